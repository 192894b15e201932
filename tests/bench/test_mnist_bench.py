"""`rl-discrete mnist-bench` from the command to its files: what a run writes, repeats, resumes and gives back."""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import rl_discrete
from rl_discrete import cli
from rl_discrete.bench.metrics import reconstruction_bce
from rl_discrete.bench.trained_row import TrainedRow
from rl_discrete.data.mnist import load_images
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.metrics import read_metrics
from tests.bench_runs import files, leftovers, read_result, repeatable, run

PRIORS = {"uniform", "independent", "lstm"}
SCORES = {"inception_score", "log_inception_score", "frechet_distance"}
RESULT_KEYS = {
    *("schema_version", "command", "profile", "preset", "seeds", "complete", "resumed", "data", "versions", "machine"),
    *("seconds_total", "peak_memory_bytes", "reference", "rows", "curves", "conclusions"),
}
ROW_STATISTICS = {
    *("reconstruction_bce", "excess_bce", "sampled_bce", "images_per_second", "codes_per_second", "peak_memory_bytes"),
}
ROW_KEYS = ROW_STATISTICS | {
    *("name", "method", "num_latents", "num_categories", "capacity_bits", "capacity_nats", "seeds", "reconstruction"),
    *("codes", "variables", "priors", "seconds", "parameters"),
}


@pytest.fixture(scope="module")
def grown(finished: Path, digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run, resumed in a copy with another row and another seed."""
    out = tmp_path_factory.mktemp("grown") / "run"
    shutil.copytree(finished, out)
    outcome = run("--out", out, "--resume", "--rows", "gs-3x3", "--seeds", "0,1")
    assert outcome.code == 0, outcome.err
    return out


def numbers(value: Any) -> Iterator[float]:
    """Every number below a value of result.json; null is none that is wanted."""
    assert value is not None
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, (int, float)):
        yield float(value)


def statistic_of(value: dict[str, Any], seeds: int) -> list[float]:
    """The values of a STAT, checked against its mean and standard deviation."""
    assert value.keys() == {"mean", "std", "values"}
    values: list[float] = value["values"]
    assert len(values) == seeds
    assert value["mean"] == pytest.approx(statistics.fmean(values))
    assert value["std"] == pytest.approx(statistics.stdev(values) if seeds > 1 else 0.0)
    return values


def check_row(row: dict[str, Any], seeds: int) -> None:
    """Every documented key of a row, and what must hold between its figures."""
    assert row.keys() == ROW_KEYS
    assert len(row["seeds"]) == len(row["variables"]) == seeds
    for key in ROW_STATISTICS:
        assert min(statistic_of(row[key], seeds)) > 0.0, key
    assert row["reconstruction"].keys() == SCORES | {"score_over_real"}
    assert row["codes"].keys() == {"entropy", "perplexity", "usage", "dead", "total_correlation_bound"}
    assert row["seconds"].keys() == {"autoencoder", "prior", "evaluation", "total"}
    assert row["priors"].keys() == PRIORS
    for group in (row["reconstruction"], row["codes"], row["seconds"]):
        for value in group.values():
            statistic_of(value, seeds)
    for prior in row["priors"].values():
        assert prior.keys() == SCORES | {
            *("code_length", "total_nats", "bits_per_dim", "inception_score_splits", "score_over_reconstructions")
        }
        assert len(prior["inception_score_splits"]) == seeds
        for key in prior.keys() - {"inception_score_splits"}:
            statistic_of(prior[key], seeds)
        totals = zip(prior["code_length"]["values"], row["reconstruction_bce"]["values"], strict=True)
        assert prior["total_nats"]["values"] == pytest.approx([length + bce for length, bce in totals])
    assert row["priors"]["uniform"]["code_length"]["mean"] == pytest.approx(row["capacity_nats"], rel=1e-6)
    for one in row["variables"]:
        assert {len(one[key]) for key in ("entropy", "perplexity", "usage")} == {row["num_latents"]}
    assert row["parameters"].keys() == {"autoencoder", "prior"}


def test_a_run_writes_every_file(finished: Path) -> None:
    names = {str(path.relative_to(finished)) for path in files(finished)}
    assert {"config.yaml", "versions.json", "metrics.jsonl", "result.json", "report.html"} <= names
    for row in ("gs-4x2", "ish-8x2"):
        wanted = {
            f"rows/{row}-s0/{name}" for name in ("result.json", "images.npz", "metrics.jsonl", "checkpoints/LATEST")
        }
        assert wanted | {f"figures/reconstructions-{row}.png", f"figures/samples-{row}.png"} <= names
        assert any(name.startswith(f"rows/{row}-s0/tensorboard/events") for name in names)
    assert "figures/reconstruction-bce.png" in names
    assert "figures/inception-score.png" in names
    for figure in (finished / "figures").glob("*.png"):
        assert figure.read_bytes().startswith(b"\x89PNG\r\n")
        assert figure.read_bytes().endswith(b"IEND\xaeB`\x82")
    assert leftovers(finished) == []
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert "ish-8x2" in page


def test_the_config_of_a_run_names_everything_that_decides_it(finished: Path, digits: Path) -> None:
    config = yaml.safe_load((finished / "config.yaml").read_text(encoding="utf-8"))
    assert config["profile"] == "default"
    assert config["preset"] == "best"
    assert config["rows"] == ["gs-4x2", "ish-8x2"]
    assert config["data_dir"] == str(digits)
    assert config["training"]["epochs"] == 40
    assert config["autoencoder"]["network"]["hidden"] == [32]
    assert config["prior"]["hidden"] == 16


def test_the_result_has_every_documented_key_and_finite_numbers(finished: Path) -> None:
    result = read_result(finished)
    assert result.keys() == RESULT_KEYS
    assert all(math.isfinite(number) for number in numbers(result))
    assert result["schema_version"] == 1
    assert result["complete"]
    assert not result["resumed"]
    assert result["data"] == {"name": "digits", "train": 1100, "validation": 100, "test": 300}
    assert result["command"].startswith("rl-discrete mnist-bench --data-dir ")
    assert {"rl-discrete", "torch", "python"} <= result["versions"].keys()
    assert {"cpu", "cores", "workers", "threads_per_worker", "device"} <= result["machine"].keys()
    assert result["reference"].keys() == {"bce_floor", "factorial_bce", "judge", "test_images"}
    assert result["reference"]["test_images"].keys() == SCORES | {"inception_score_splits"}
    assert {"accuracy", "sha256"} <= result["reference"]["judge"].keys()
    assert [row["name"] for row in result["rows"]] == ["gs-4x2", "ish-8x2"]
    for row in result["rows"]:
        check_row(row, seeds=1)
        floor = result["reference"]["bce_floor"]
        assert floor < row["reconstruction_bce"]["mean"] < 1.1 * result["reference"]["factorial_bce"]
        assert row["excess_bce"]["mean"] == pytest.approx(row["reconstruction_bce"]["mean"] - floor)
    assert result["curves"] == []
    assert len(result["conclusions"]) == 6
    for conclusion in result["conclusions"]:
        assert conclusion.keys() >= {"claim", "verdict", "evidence"}
        assert conclusion["verdict"] in ("supported", "contradicted", "undecided")


def test_training_learns(finished: Path) -> None:
    """Even tiny training beats the start by far; figures of an untrained model would pass every other test."""
    for row in ("gs-4x2", "ish-8x2"):
        lines = read_metrics(finished / "rows" / f"{row}-s0" / "metrics.jsonl")
        bce = [line["autoencoder/validation_bce"] for line in lines if "autoencoder/loss" in line]
        length = [line["prior/validation_code_length"] for line in lines if "prior/loss" in line]
        assert (len(bce), len(length)) == (40, 50)
        assert min(bce[-3:]) < bce[0] - 2.0
        assert min(length[-3:]) < length[0]


def test_two_seeds_give_mean_spread_and_values(grown: Path) -> None:
    result = read_result(grown)
    assert result["seeds"] == [0, 1]
    (row,) = result["rows"]
    check_row(row, seeds=2)
    assert row["name"] == "gs-3x3"
    assert row["seeds"] == [0, 1]
    first, second = row["reconstruction_bce"]["values"]
    assert first != second


def test_adding_rows_and_seeds_trains_only_those(finished: Path, grown: Path) -> None:
    before = {path.relative_to(finished): path.read_bytes() for path in files(finished / "rows")}
    after = {path.relative_to(grown): path.read_bytes() for path in files(grown / "rows")}
    assert {path.parts[1] for path in after.keys() - before.keys()} == {"gs-3x3-s0", "gs-3x3-s1"}
    assert all(after[path] == content for path, content in before.items())
    reference = [(out / "reference" / "reference.json").read_bytes() for out in (finished, grown)]
    assert reference[0] == reference[1]
    assert read_result(grown)["resumed"]


def test_resuming_a_finished_run_computes_nothing_and_rewrites_the_report(
    finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "report.html").unlink()
    (out / "figures" / "reconstruction-bce.png").unlink()
    rows, reference = files(out / "rows"), files(out / "reference")
    assert cli.main(["mnist-bench", "--out", str(out), "--resume"]) == 0
    assert "ish-8x2" in capfd.readouterr().out  # the table
    assert (files(out / "rows"), files(out / "reference")) == (rows, reference)
    assert repeatable(read_result(out)) == repeatable(read_result(finished))
    times = [[row["seconds"] for row in read_result(path)["rows"]] for path in (out, finished)]
    assert times[0] == times[1]  # those of the training, not of this resume
    for name in ("reconstruction-bce.png", "samples-ish-8x2.png"):
        assert (out / "figures" / name).read_bytes() == (finished / "figures" / name).read_bytes()
    assert (out / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("row", ["gs-4x2", "ish-8x2"])
def test_load_gives_back_models_that_reproduce_the_figures(finished: Path, digits: Path, row: str) -> None:
    trained = rl_discrete.load(finished, row=row, seed=0)
    stored = next(entry for entry in read_result(finished)["rows"] if entry["name"] == row)
    images = load_images(digits).test_images
    with torch.no_grad():
        codes = trained.autoencoder.encode(images)
        logits = trained.autoencoder.decoder(trained.autoencoder.bottleneck.embed(codes))
        bce = float(reconstruction_bce(logits, images).double().mean())
        lengths = {
            "lstm": -float(trained.lstm.log_prob(codes).double().mean()),
            "independent": -float(trained.independent.log_prob(codes).double().mean()),
        }
    assert bce == pytest.approx(stored["reconstruction_bce"]["values"][0], rel=1e-6)
    for prior, length in lengths.items():
        assert length == pytest.approx(stored["priors"][prior]["code_length"]["values"][0], rel=1e-6)
    assert isinstance(trained, TrainedRow)
    assert not trained.autoencoder.training
    assert trained.num_parameters == stored["parameters"]


def test_load_takes_the_first_seed_and_tells_the_seeds_apart(grown: Path) -> None:
    weights = [rl_discrete.load(grown, row="gs-3x3", seed=seed).state() for seed in (None, 0, 1)]
    name = next(name for name, value in weights[0].items() if value.ndim == 2)
    assert torch.equal(weights[0][name], weights[1][name])
    assert not torch.equal(weights[0][name], weights[2][name])


@pytest.mark.parametrize(
    ("row", "seed", "words"),
    [(None, 0, "gs-4x2, ish-8x2"), ("gs-16x2", 0, "gs-4x2, ish-8x2"), ("gs-4x2", 7, "seeds [0]")],
)
def test_load_names_what_a_run_holds(finished: Path, row: str | None, seed: int, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        rl_discrete.load(finished, row=row, seed=seed)
    assert words in str(caught.value)


def test_the_config_of_a_run_repeats_it_elsewhere(
    finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`--config DIR/config.yaml` resolves to the same settings: resumed in a copy, nothing is to be done."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    argv = ["mnist-bench", "--config", str(finished / "config.yaml"), "--out", str(out), "--resume"]
    assert cli.main(argv) == 0
    assert "resumed with a difference" not in capfd.readouterr().out
    assert (out / "config.yaml").read_bytes() == (finished / "config.yaml").read_bytes()
    assert json.loads((out / "versions.json").read_text())["run"]["command"] == "mnist-bench"
