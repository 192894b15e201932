"""Chooses the settings of the preset `best` without the test set, and prints what was found.

    python docs/results/mnist-selection/select_presets.py FOLDER

The last 10,000 training images stand in for the test images, and MNIST's own test files are not in the folder that the
benchmark is given. What decides was fixed before the first run: the BCE of the held-out images for the autoencoder,
and the score of the LSTM's samples over that of reconstructions for the prior. The seed is none of those reported.
Runs that FOLDER holds already are not made again; each one's result is copied to this folder when it ends.
"""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rl_discrete.data.mnist import load_images

HERE = Path(__file__).parent
HELD_OUT = 10_000
SEED = 10
NO_AVERAGE = {"training": {"average_decay": 0.0, "final_learning_rate": 0.0}}
NOT_DISTORTED = {"augmentation": {"share": 0.0}}
QUICK = {"prior_training": {"epochs": 1}, "num_samples": 1000}  # where the autoencoder alone is compared


def _gs(**settings: float) -> dict[str, Any]:
    return {"autoencoder": {"gs": settings}}


def _for_row(row: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {"row_settings": {row: settings}}


BCE = {
    "gs-16x2": {
        "preset": {},
        "weights not averaged": NO_AVERAGE,
        "beta 0": _gs(beta=0.0),
        "images not distorted": NOT_DISTORTED,
    },
    "ish-32x2": {
        "preset": {},
        "weights not averaged": NO_AVERAGE,
        "images not distorted": NOT_DISTORTED,
    },
    "gs-30x10": {
        "preset": {},
        "beta 0.1 throughout": _gs(beta_start=0.1, beta=0.1),
    },
    "ish-96x2": {
        "preset": {},
        "as the shorter rows": {
            "autoencoder": {"network": {"hidden": [512], "residual_layers": 2}},
            "training": {"learning_rate": 4e-3, "final_learning_rate": 0.3, "average_decay": 0.9995},
        },
    },
}
"""Rows, and the settings tried on each: the preset's own, and what it departs from."""
SCORES = {"ish-32x2": {"preset": {}, "prior on codes not distorted": {"prior_augmentation": {"share": 0.0}}}}


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


def run(folder: Path, name: str, row: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The row's part of result.json of one run."""
    kept = HERE / f"{name}.json"
    if not kept.exists():
        config = folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(settings))
        command = [str(Path(sys.executable).parent / "rl-discrete"), "mnist-bench", "--rows", row, "--seeds", str(SEED)]
        command += ["--data-dir", str(folder / "data"), "--config", str(config)]
        subprocess.run([*command, "--out", str(folder / name)], check=True)
        result = json.loads((folder / name / "result.json").read_text())
        found = {key: value for key, value in result["rows"][0].items() if key != "variables"}
        kept.write_text(json.dumps({"settings": settings, **found}, indent=1) + "\n")
    return dict(json.loads(kept.read_text()))


def main() -> None:
    """Makes the runs that are missing, in the folder named on the command line, and prints what decides."""
    folder = Path(sys.argv[1])
    if not (folder / "data").exists():
        hold_out(folder / "data")
    for row, tried in BCE.items():
        for title, settings in tried.items():
            name = f"bce-{row}-{title.replace(' ', '_')}"
            found = run(folder, name, row, {**QUICK, **_for_row(row, settings)})
            print(f"{row:9} {title:32} BCE {found['reconstruction_bce']['mean']:.2f}", flush=True)
    for row, tried in SCORES.items():
        for title, settings in tried.items():
            found = run(folder, f"score-{row}-{title.replace(' ', '_')}", row, _for_row(row, settings))
            score, whole = found["priors"]["lstm"], found["reconstruction"]
            share = score["inception_score"]["mean"] / whole["inception_score"]["mean"]
            print(f"{row:9} {title:32} score of samples over reconstructions {share:.3f}", flush=True)


if __name__ == "__main__":
    main()
