"""A VaST run that is stopped or killed and resumed equals one that nobody disturbed, bit for bit."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rl_discrete.agents import vast
from rl_discrete.agents.config import ExplorationConfig, VastConfig
from rl_discrete.agents.vast import train_vast
from rl_discrete.agents.vast_run import VastRun
from rl_discrete.runs.checkpoint import load_checkpoint
from rl_discrete.runs.errors import Interrupted, UsageError
from rl_discrete.runs.folder import RunFolder
from rl_discrete.runs.metrics import MetricLog
from tests.agents.vast_runs import result, small
from tests.agents.worlds import PASSAGE

RUNS = {
    "snapshot": small(),
    "lazy": small(relabel="lazy"),
    "full-forgetting": small(relabel="full", forget=True, replay_bytes=4800 * 200),
    "stack": small(encoder="downsample", frame_stack=2),
    "changing": small(
        env=PASSAGE,
        changes=("open_passage@143+forced",),
        exploration=ExplorationConfig(steps=50, end=0.2),
    ),
}


class Killed(Exception):
    pass


@pytest.fixture(scope="module", params=list(RUNS))
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[VastConfig, Path]:
    config = RUNS[request.param]
    return config, train_vast(config, tmp_path_factory.mktemp(request.param) / "run")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[VastConfig, Path]:
    """One of them, the fastest, for faults that have nothing to do with what is learned."""
    return RUNS["stack"], train_vast(RUNS["stack"], tmp_path_factory.mktemp("quick") / "run")


def kill_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """The run dies in the middle of a step, some way after a checkpoint."""
    step_envs = vast.step_envs

    def die(run: VastRun, actions: Any) -> Any:
        if run.step >= steps:
            raise Killed
        return step_envs(run, actions)

    monkeypatch.setattr(vast, "step_envs", die)


def signal_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Ctrl-C comes before a step."""
    change_world = vast.change_world

    def interrupt(run: VastRun) -> None:
        if run.step == steps:
            os.kill(os.getpid(), signal.SIGINT)
        change_world(run)

    monkeypatch.setattr(vast, "change_world", interrupt)


def assert_same_run(one: Path, other: Path) -> None:
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    left, right = (load_checkpoint(folder / "checkpoints") for folder in (one, other))
    assert left is not None
    assert right is not None
    assert left.step == right.step
    without_time = [{key: value for key, value in found.meta.items() if key != "seconds"} for found in (left, right)]
    assert without_time[0] == without_time[1]
    assert left.arrays.keys() == right.arrays.keys()
    for part, arrays in left.arrays.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, right.arrays[part][name], err_msg=f"{part}/{name}")
    for part, tensors in left.tensors.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, right.tensors[part][name]), f"{part}/{name}"
    for segment in (one / "replay").glob("*.bin"):
        assert segment.read_bytes() == (other / "replay" / segment.name).read_bytes()


def test_killed_and_resumed(
    undisturbed: tuple[VastConfig, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, whole = undisturbed
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        kill_after(patch, 252)
        with pytest.raises(Killed):
            train_vast(config, out)
    assert load_checkpoint(out / "checkpoints").step == 200  # type: ignore[union-attr]
    train_vast(config, out, resume=True)
    assert_same_run(whole, out)
    assert result(out)["resumed"]
    assert result(out)["windows"] == result(whole)["windows"]


def test_killed_between_the_last_line_and_the_last_checkpoint(
    quick: tuple[VastConfig, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line ends a window that is not over; it must not be written twice."""
    config, whole = replace(quick[0], checkpoint_every=40), quick[1]
    out = tmp_path / "run"
    save = vast.save

    def die(run: VastRun, log: MetricLog, folder: RunFolder) -> int:
        if run.step == config.steps and not run.window.total("steps"):
            raise Killed
        return save(run, log, folder)

    with monkeypatch.context() as patch:
        patch.setattr(vast, "save", die)
        with pytest.raises(Killed):
            train_vast(config, out)
    train_vast(config, out, resume=True)
    assert_same_run(whole, out)


def test_stopped_by_a_signal_and_resumed(
    quick: tuple[VastConfig, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, whole = quick
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        signal_after(patch, 152)
        with pytest.raises(Interrupted):
            train_vast(config, out)
    train_vast(config, out, resume=True)
    assert_same_run(whole, out)


def test_stopped_among_the_gradient_steps_of_the_burn_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(RUNS["snapshot"], training=replace(RUNS["snapshot"].training, burn_in_updates=35))
    whole = train_vast(config, tmp_path / "whole")
    learn = vast.learn

    def interrupt(run: VastRun) -> bool:
        caught_up = learn(run)
        if run.learner.updates == 20:
            os.kill(os.getpid(), signal.SIGTERM)
        return caught_up

    with monkeypatch.context() as patch:
        patch.setattr(vast, "learn", interrupt)
        with pytest.raises(Interrupted):
            train_vast(config, tmp_path / "run")
    checkpoint = load_checkpoint(tmp_path / "run" / "checkpoints", parts=())
    assert checkpoint is not None
    assert (checkpoint.step, checkpoint.meta["updates"]) == (80, 20)
    train_vast(config, tmp_path / "run", resume=True)
    assert_same_run(whole, tmp_path / "run")


def test_a_finished_run_goes_on_with_more_steps(quick: tuple[VastConfig, Path], tmp_path: Path) -> None:
    config = replace(RUNS["stack"], steps=200)
    out = train_vast(config, tmp_path / "run")
    train_vast(replace(config, steps=320), out, resume=True)
    assert_same_run(quick[1], out)


def test_the_memory_cap_can_be_raised_on_the_way(
    quick: tuple[VastConfig, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def capped(steps: int, max_bytes: int) -> VastConfig:
        return replace(RUNS["stack"], steps=steps, planner=replace(RUNS["stack"].planner, max_bytes=max_bytes))

    out = train_vast(capped(200, 16_000), tmp_path / "capped")
    train_vast(capped(240, 16_000), out, resume=True)
    assert capsys.readouterr().err.count("memory cap of 16000 bytes") == 1
    before = result(out)["totals"]["states"]
    train_vast(capped(320, 10**8), out, resume=True)
    assert result(out)["totals"]["states"] > before
    same = train_vast(capped(200, 10**8), tmp_path / "same")
    train_vast(capped(320, 10**9), same, resume=True)
    assert (same / "metrics.jsonl").read_bytes() == (quick[1] / "metrics.jsonl").read_bytes()
    assert "memory cap" not in capsys.readouterr().err


def test_an_older_checkpoint_serves_where_the_newest_is_damaged(
    quick: tuple[VastConfig, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, whole = quick
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    newest = sorted((out / "checkpoints").glob("step-*"))[-1]
    (newest / "table.npz").write_bytes(b"")
    train_vast(config, out, resume=True)
    assert "continuing from step-" in capsys.readouterr().err
    assert_same_run(whole, out)


def test_a_run_of_other_settings_is_left_alone(tmp_path: Path) -> None:
    out = train_vast(replace(RUNS["stack"], steps=40), tmp_path / "run")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    changes: dict[str, Any]
    for changes in ({"encoder": "simhash"}, {"seed": 1}, {"num_envs": 2}, {"frame_stack": 1}):
        with pytest.raises(UsageError, match="begun with other settings"):
            train_vast(replace(RUNS["stack"], **changes), out, resume=True)
    with pytest.raises(UsageError, match="holds a run of train on grid, not of train on Passage-v0"):
        train_vast(replace(RUNS["changing"]), out, resume=True)
    assert {path: path.read_bytes() for path in before} == before
