"""Chooses the settings of the preset `best` without the test set, and prints what was found.

    python docs/results/mnist-selection/select_presets.py FOLDER [NAME ...]

The last 10,000 training images stand in for the test images, and MNIST's own test files are not in the folder that the
benchmark is given. What decides was fixed before the first run: the BCE of the held-out images for the autoencoder,
and the score of the LSTM's samples over that of reconstructions for the prior. A setting takes the preset's place when
it is better by more than seeds of one setting spread, 0.3 nats; where two that matter are closer, three more seeds and
the mean of all four decide. The seeds are none of those reported. Runs that this folder holds the result of are not
made again. NAMEs: how the names of the runs begin that are to be made.
"""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rl_discrete.data.mnist import load_images
from rl_discrete.runs.config import merge

HERE = Path(__file__).parent
HELD_OUT = 10_000
SEED = 10
MORE_SEEDS = (11, 12, 13)
QUICK = {"prior_training": {"epochs": 1}, "num_samples": 1000}  # where the autoencoder alone is compared
NO_AVERAGE = {"training": {"average_decay": 0.0, "final_learning_rate": 0.0}}
NOT_DISTORTED = {"augmentation": {"share": 0.0}}
MORE_DISTORTED = {"augmentation": {"strength": 0.25, "share": 0.75, "until": 0.8}}
DEEP = {"hidden": [512], "residual_layers": 2}
WIDE = {"hidden": [1024], "residual_layers": 0}


def _gs(**settings: Any) -> dict[str, Any]:
    return {"autoencoder": {"gs": settings}}


def _ish(**settings: float) -> dict[str, Any]:
    return {"autoencoder": {"ish": settings}}


def _network(**settings: Any) -> dict[str, Any]:
    return {"autoencoder": {"network": settings}}


def _rate(rate: float) -> dict[str, Any]:
    return {"training": {"learning_rate": rate}}


BCE: dict[str, dict[str, dict[str, Any]]] = {
    "gs-16x2": {
        "as it was": {},
        "weights not averaged": NO_AVERAGE,
        "beta 0": _gs(beta=0.0),
        "images not distorted": NOT_DISTORTED,
        "rate 2e-3": _rate(2e-3),
        "rate 8e-3": _rate(8e-3),
        "rate 1.6e-2": _rate(1.6e-2),
        "one wide layer": _network(**WIDE),
        "beta 0.3, rate 8e-3": {**_gs(beta=0.3), **_rate(8e-3)},
        "temperature to 0.5, rate 8e-3": {**_gs(temperature_end=0.5), **_rate(8e-3)},
    },
    "ish-32x2": {
        "as it was": {},
        "weights not averaged": NO_AVERAGE,
        "images not distorted": NOT_DISTORTED,
        "images distorted more and longer": MORE_DISTORTED,
        "rate 2e-3": _rate(2e-3),
        "rate 8e-3": _rate(8e-3),
        "one wide layer": _network(**WIDE),
        "noise 0.5": _ish(noise=0.5),
        "noise 0.5, rate 8e-3": {**_ish(noise=0.5), **_rate(8e-3)},
        "noise 0.25, rate 8e-3": {**_ish(noise=0.25), **_rate(8e-3)},
        "half of the bits rounded": _ish(hard_share=0.5),
        "half of the bits rounded, rate 8e-3": {**_ish(hard_share=0.5), **_rate(8e-3)},
    },
    "gs-30x10": {
        "as it was": {},
        "beta 0.1 throughout": _gs(beta_start=0.1, beta=0.1),
        "rate 8e-3": _rate(8e-3),
    },
    "ish-96x2": {
        "as it was": {},
        "as the shorter rows": {
            "autoencoder": {"network": DEEP},
            "training": {"learning_rate": 4e-3, "final_learning_rate": 0.3, "average_decay": 0.9995},
        },
        "rate 8e-3": _rate(8e-3),
        "rate 3.2e-2": _rate(3.2e-2),
        "noise 0.5": _ish(noise=0.5),
    },
}
"""Rows, and the settings tried on each: departures from the preset as it was then."""
CLOSE = {"gs-16x2": ("as it was", "rate 8e-3")}
"""Rows, and which of these are made with MORE_SEEDS too."""
BEFORE = {row: _rate(4e-3) for row in ("gs-16x2", "ish-32x2", "gs-30x10")}
"""What the preset had where these runs have changed it since."""
PRIOR_BEFORE = {"prior_training": {"learning_rate": 4e-3}}
SCORES: dict[str, dict[str, dict[str, Any]]] = {
    "ish-32x2": {
        "as it was": _rate(4e-3),
        "as it was, prior on codes not distorted": {**_rate(4e-3), "prior_augmentation": {"share": 0.0}},
        "noise 0.5, rate 8e-3": _ish(noise=0.5),
        "rate 8e-3": {},
        "prior of 96 units": {"prior": {"hidden": 96}},
        "prior of 256 units": {"prior": {"hidden": 256}},
        "prior at rate 2e-3": {"prior_training": {"learning_rate": 2e-3}},
        "prior at rate 8e-3": {"prior_training": {"learning_rate": 8e-3}},
        "prior on codes distorted half as much": {"prior_augmentation": {"strength": 0.125}},
    },
    "ish-96x2": {
        "as it was": {},
        "prior at rate 8e-3": {"prior_training": {"learning_rate": 8e-3}},
    },
}
"""The same for the prior: departures from PRIOR_BEFORE on codes of the preset as it is, which the first runs chose."""


def hold_out(folder: Path) -> Path:
    """Writes the four files of a data set whose test images are the last training images of MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    data = load_images()
    for name, images, labels in (
        ("train", data.train_images[:-HELD_OUT], data.train_labels[:-HELD_OUT]),
        ("t10k", data.train_images[-HELD_OUT:], data.train_labels[-HELD_OUT:]),
    ):
        for kind, array in (("images-idx3", images.numpy()), ("labels-idx1", labels.numpy().astype(np.uint8))):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            with gzip.GzipFile(folder / f"{name}-{kind}-ubyte.gz", "wb", mtime=0) as file:
                file.write(header + array.tobytes())
    return folder


def run(folder: Path, name: str, row: str, settings: dict[str, Any], seed: int = SEED) -> dict[str, Any]:
    """The row's part of result.json of one run."""
    kept = HERE / f"{name}.json"
    if not kept.exists():
        config = folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(settings))
        command = [str(Path(sys.executable).parent / "rl-discrete"), "mnist-bench", "--rows", row, "--seeds", str(seed)]
        command += ["--data-dir", str(folder / "data"), "--config", str(config)]
        subprocess.run([*command, "--out", str(folder / name)], check=True)
        result = json.loads((folder / name / "result.json").read_text())
        found = {key: value for key, value in result["rows"][0].items() if key != "variables"}
        kept.write_text(json.dumps({"settings": settings, **found}, indent=1) + "\n")
    return dict(json.loads(kept.read_text()))


def each_run(kind: str, tried: dict[str, dict[str, dict[str, Any]]]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Name, row, title and settings of every run of a kind that the command line asks for."""
    for row, settings in tried.items():
        for title, changed in settings.items():
            name = f"{kind}-{row}-{title.replace(',', '').replace(' ', '_')}"
            if any(name.startswith(asked) for asked in sys.argv[2:] or [""]):
                yield name, row, title, changed


def main() -> None:
    """Makes the runs that are missing, in the folder named on the command line, and prints what decides."""
    folder = Path(sys.argv[1])
    if not (folder / "data").exists():
        hold_out(folder / "data")
    for name, row, title, changed in each_run("bce", BCE):
        settings = {**QUICK, "row_settings": {row: merge(BEFORE.get(row, {}), changed)}}
        seeds = {name: SEED, **{f"{name}-seed{seed}": seed for seed in MORE_SEEDS if title in CLOSE.get(row, ())}}
        found = [run(folder, each, row, settings, seed)["reconstruction_bce"]["mean"] for each, seed in seeds.items()]
        more = f" {' '.join(f'{bce:.2f}' for bce in found)}" if len(found) > 1 else ""
        print(f"{row:9} {title:40} BCE {sum(found) / len(found):.2f}{more}", flush=True)
    for name, row, title, changed in each_run("score", SCORES):
        found = run(folder, name, row, {"row_settings": {row: merge(PRIOR_BEFORE, changed)}})
        prior, whole = found["priors"]["lstm"], found["reconstruction"]
        share = prior["inception_score"]["mean"] / whole["inception_score"]["mean"]
        figures = f"samples over reconstructions {share:.3f}, code length {prior['code_length']['mean']:.2f}"
        print(f"{row:9} {title:40} {figures}", flush=True)


if __name__ == "__main__":
    main()
