"""`play`, `video` and `diagnose` from the command line, on a run whose world model is known exactly."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete import cli
from rl_discrete.agents import trained_agent, trained_world
from rl_discrete.agents.baselines import train_baseline
from rl_discrete.data.history import History
from tests.agents.corridor_model import SIZE, CorridorModel
from tests.agents.run_files import contents
from tests.agents.test_baselines import SMALL


class CorridorStarts:
    """Starts in any cell but the goal."""

    def draw(self, uniform: NDArray[np.float64]) -> History:
        frames = np.zeros((len(uniform), 1, SIZE, SIZE), np.uint8)
        frames[np.arange(len(uniform)), 0, :, (uniform[:, 0] * 5).astype(np.int64)] = 255
        return History.of_first(frames, CorridorModel.history_length)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = replace(SMALL, env_kwargs={"kind": "image", "size": SIZE})
    return train_baseline("random", config, tmp_path_factory.mktemp("corridor") / "run")


@pytest.fixture
def run(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of chance, taken for one that has a world model."""
    monkeypatch.setattr(trained_world, "load_world_model", lambda run: (CorridorModel(), CorridorStarts()))
    return made


def test_a_script_is_played(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "script").write_text("1 6\n0\n")
    before = contents(run)
    film = tmp_path / "film.webp"
    flags = ["--run", str(run), "--script", str(tmp_path / "script"), "--video", str(film)]
    assert cli.main(["play", *flags]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"rewards of [2-4] imagined games: 0\.\d.*", printed[0]), "the goal is five steps away at most"
    assert printed[1] == str(film)
    assert film.stat().st_size > 0
    assert contents(run) == before


def test_a_film_is_made(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = tmp_path / "film.webp"
    assert cli.main(["video", "--run", str(run), "--steps", "6", "--horizon", "3", "--out", str(film)]) == 0
    assert capsys.readouterr().out == f"{film}\n"
    assert film.stat().st_size > 0


def test_rollouts_are_told(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ["--run", str(run), "--steps", "60", "--starts", "9", "--horizons", "1,2"]
    assert cli.main(["diagnose", *flags]) == 2, "a run of chance has no world model"
    assert "random" in capsys.readouterr().err
    monkeypatch.setattr(trained_agent, "agent_of", lambda run: "simple")
    monkeypatch.setattr("rl_discrete.analysis.world_diagnosis.load_agent", lambda *_: load_random(run))
    assert cli.main(["diagnose", *flags]) == 0
    printed = capsys.readouterr().out
    assert "wrong bits                          0        0" in printed
    assert str(run / "diagnostics") in printed


def load_random(run: Path) -> trained_agent.TrainedAgent:
    return trained_agent._load_baseline(run, None, 0.0, 0, print)


@pytest.mark.parametrize("command", ["play", "video", "diagnose"])
def test_a_run_must_be_named(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command]) == 2
    assert "--run is required" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["play", "--script", "{tmp}/nowhere"], "cannot read the script {tmp}/nowhere: No such file or directory"),
        (["play", "--script", "random", "--video", "a.mp4"], "a video is named *.webp, got a.mp4"),
        (["play", "--fps", "0"], "fps must be in (0, 1000], got 0"),
        (["video", "--horizon", "0"], "horizon must be >= 1, got 0"),
        (["video", "--out", "{tmp}/a.gif"], "a video is named *.webp, got {tmp}/a.gif"),
        (["video", "--stepps", "3"], "did you mean --steps?"),
    ],
)
def test_what_was_named_wrongly_is_said(
    argv: list[str], words: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*(word.format(tmp=tmp_path) for word in argv), "--run", str(run)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert words.format(tmp=tmp_path) in error


@pytest.mark.parametrize(("command", "default"), [("play", "(default: 500)"), ("video", "(default: 50)")])
def test_help_shows_the_defaults(command: str, default: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    assert default in " ".join(capsys.readouterr().out.split())
