"""Runs beside each other: known means and intervals, published scores, and folders that cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rl_discrete import cli
from rl_discrete.agents.compared_run import read_run
from rl_discrete.agents.comparison import (
    PUBLISHED,
    bootstrap_interval,
    compare_runs,
    interquartile_mean,
    mean_of,
)
from rl_discrete.agents.run_config import CompareConfig
from rl_discrete.runs.errors import RunError, UsageError


def write_run(folder: Path, score: float, **settings: Any) -> Path:
    """What a run of train leaves behind once it is evaluated."""
    folder.mkdir(parents=True)
    config = {"agent": "ppo", "env": "Pong", "seed": 0, **settings}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    evaluation = {
        "agent": config["agent"],
        "env": config["env"],
        "step": 100_000,
        "episodes": 30,
        "mean": score,
        "interval": [score - 1, score + 1],
        "greedy": {"mean": score + 0.5},
    }
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    lines = [
        {"step": 1000, "episode/return": None},
        *({"step": step, "episode/return": -20.0} for step in (2000, 3000)),
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    world = {"agent": "simple", "world_model": "code", "encoder": "ish", "prior": "lstm", "algo": "ppo"}
    return [
        *(write_run(tmp_path / f"simple-{seed}", -12.0 + seed, seed=seed, **world) for seed in range(3)),
        write_run(tmp_path / "factorised", -14.0, **{**world, "prior": "factorised"}),
        write_run(tmp_path / "ppo", -20.0),
        write_run(tmp_path / "freeway", 10.0, env="Freeway", **world),
        write_run(tmp_path / "grid", 0.5, env="grid"),
    ]


def test_the_interquartile_mean_forgets_the_ends() -> None:
    assert interquartile_mean(np.array([1.0, 2.0, 3.0, 100.0])) == 2.5
    assert interquartile_mean(np.array([-50.0, 2.0, 3.0])) == -15.0, "three scores have no quarter to lose"
    assert interquartile_mean(np.array([[0.0, 1, 2, 9], [3.0, 3, 3, 3]])).tolist() == [1.5, 3.0]
    assert interquartile_mean(np.array([7.0])) == 7.0


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    held, generator = 0, np.random.default_rng(0)
    for _ in range(60):
        scores = generator.normal(size=20)
        ends = bootstrap_interval([scores], mean_of, 500, generator)
        assert ends is not None
        held += ends[0] <= 0.0 <= ends[1]
    assert 50 <= held <= 60


def test_strata_are_resampled_apart() -> None:
    """Two games of one score each: nothing is known of the spread. With two scores in one of them, it is that one's."""
    generator = np.random.default_rng(0)
    assert bootstrap_interval([np.array([0.0]), np.array([9.0])], mean_of, 200, generator) is None
    ends = bootstrap_interval([np.array([0.0, 1.0]), np.array([100.0])], mean_of, 200, generator)
    assert ends == pytest.approx((100 / 3, 102 / 3)), "the other game is in every resample, once"


def test_runs_are_grouped_by_what_was_trained(runs: list[Path]) -> None:
    result = compare_runs(runs)
    groups = {(group["env"], group["label"]): group for group in result["groups"]}
    assert list(groups) == [
        ("Pong", "simple code ish lstm ppo"),
        ("Pong", "simple code ish factorised ppo"),
        ("Pong", "ppo"),
        ("Freeway", "simple code ish lstm ppo"),
        ("grid", "ppo"),
        ("Pong", PUBLISHED),
        ("Freeway", PUBLISHED),
    ]
    lstm = groups["Pong", "simple code ish lstm ppo"]
    assert (lstm["scores"], lstm["seeds"], lstm["mean"], lstm["greedy"]) == (
        [-12.0, -11.0, -10.0],
        [0, 1, 2],
        -11,
        -10.5,
    )
    assert -12.0 <= lstm["iqm_interval"][0] < -11.0 < lstm["iqm_interval"][1] <= -10.0
    assert lstm["human_normalised"] == pytest.approx(9.7 / 35.3)
    assert groups["Pong", "ppo"]["iqm_interval"] is None, "one run says nothing of the spread over seeds"
    assert groups["grid", "ppo"]["human_normalised"] is None
    simple = groups["Pong", PUBLISHED]
    assert (len(simple["scores"]), simple["reprinted"], simple["random"], simple["human"]) == (5, 12.8, -20.7, 14.6)
    assert simple["mean"] == pytest.approx(12.82)
    assert simple["iqm"] == pytest.approx((19.3 + 20.7 + 21.0) / 3), "the one seed that failed is cut off"
    overall = {item["label"]: item for item in result["overall"]}
    assert overall["simple code ish lstm ppo"]["envs"] == ["Pong", "Freeway"]
    assert overall["simple code ish lstm ppo"]["mean"] == pytest.approx((9.7 / 35.3 + 10 / 29.6) / 2)
    assert compare_runs(runs)["groups"] == result["groups"], "the same every time"


def test_a_curve_has_the_windows_in_which_episodes_ended(runs: list[Path]) -> None:
    assert read_run(runs[0]).curve == ((2000, -20.0), (3000, -20.0))


def test_the_command_prints_a_table_and_draws(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(["compare", *map(str, runs), "--out", str(out), "--resamples", "200"]) == 0
    printed = capsys.readouterr().out
    for words in (
        "Pong ",
        "simple code ish lstm ppo",
        PUBLISHED,
        "random -20.7, human 14.6",
        "one run",
        "over 2 games",
    ):
        assert words in printed
    assert sorted(path.name for path in out.iterdir()) == ["compare.json", "curves.png", "scores.png"]
    written = json.loads((out / "compare.json").read_text())
    assert written["command"].startswith("rl-discrete compare ")
    assert len(written["runs"]) == len(runs)
    assert (out / "scores.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "name the run folders to compare"),
        (["{tmp}/nowhere"], "nowhere"),
        (["{tmp}/ppo", "{tmp}/ppo/../ppo"], "named twice"),
        (["{tmp}/ppo", "--resamples", "3"], "resamples must be >= 100, got 3"),
        (["{tmp}/ppo", "--ot", "there"], "did you mean --out?"),
    ],
)
def test_what_was_named_wrongly_is_said(
    argv: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "ppo", 0.0)
    assert cli.main(["compare", *(word.format(tmp=tmp_path) for word in argv)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert words in printed.err


def test_folders_that_cannot_be_compared(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", 0.0)
    (run / "evaluation.json").write_text("{}")
    with pytest.raises(RunError, match=r"evaluation.json is damaged .*: run eval again"):
        compare_runs([run])
    (run / "evaluation.json").write_text('{"mean": ')
    with pytest.raises(RunError, match="is damaged"):
        compare_runs([run])
    (run / "evaluation.json").unlink()
    with pytest.raises(UsageError, match=r"was not evaluated: run `rl-discrete eval --run .*` first"):
        compare_runs([run])
    (run / "config.yaml").write_text("rows: [gs-16x2]\n")
    with pytest.raises(UsageError, match="holds no run of train"):
        compare_runs([run])
    with pytest.raises(UsageError, match="at least one run folder"):
        compare_runs([], CompareConfig())
