"""What goes wrong with commands on a finished run: one line, the right exit code, and a run left as it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rl_discrete import cli
from rl_discrete.agents.baselines import train_baseline
from rl_discrete.agents.vast import train_vast
from tests.agents import worlds
from tests.agents.run_files import contents
from tests.agents.test_baselines import SMALL
from tests.agents.two_ends import ENV
from tests.agents.vast_runs import exact

PASSAGE = f"{worlds.Passage.__name__}-v0"
COMMANDS: dict[str, tuple[str, ...]] = {
    "eval": (),
    "replan": ("--reward", "-reward"),
    "export-mdp": ("--out", "{tmp}/mdp.npz"),
}
"""Each command with what it must be told besides the run."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = exact(env=ENV, steps=400, burn_in=100, window=400, checkpoint_every=200)
    return train_vast(config, tmp_path_factory.mktemp("ends") / "run")


@pytest.fixture(scope="module")
def chance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_baseline("random", SMALL, tmp_path_factory.mktemp("random") / "run")


def refused(capfd: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str]:
    """Exit code and the one line on stderr of a command that printed nothing else there but progress."""
    code = cli.main([*map(str, argv)])
    printed = capfd.readouterr()
    assert printed.out == ""
    errors = [line for line in printed.err.splitlines() if not line.startswith("[")]
    assert len(errors) == 1, errors
    assert errors[0].startswith("rl-discrete: error: ")
    return code, errors[0].removeprefix("rl-discrete: error: ")


def told(command: str, folder: Path) -> list[str]:
    return [command, *(word.format(tmp=folder) for word in COMMANDS[command])]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("eval", "--episodes", "0"), ("episodes must be >= 1, got 0",)),
        (("eval", "--epsilon", "1.5"), ("epsilon must be in [0, 1], got 1.5",)),
        (("eval", "--epsilon", "nan"), ("epsilon", "nan")),
        (("eval", "--episode", "3"), ("unknown flag '--episode'", "did you mean --episodes?")),
        (("eval", "--videos", "-1"), ("videos must be >= 0, got -1",)),
        (("eval", "--checkpoint", "{tmp}/step-000007"), ("no checkpoint", "step-000007", "step-000400")),
        (("replan",), ("--reward is required",)),
        (("replan", "--reward", "rewrad * 2"), ("rewrad",)),
        (("replan", "--reward", "__import__('os').getcwd()"), ("__import__",)),
        (("replan", "--reward", "{tmp}/missing.npy"), ("missing.npy",)),
        (("replan", "--reward", "{tmp}/short.npy"), ("(7,)", "(7, 2)", "(3,)")),
        (("replan", "--reward", "{tmp}/nan.npy"), ("finite", "nan")),
        (("replan", "--reward", "{tmp}/words.npy"), ("must be numbers",)),
        (("replan", "--reward", "{tmp}/objects.npy"), ("objects.npy",)),
        (("replan", "--reward", "{tmp}/no-array.npy"), ("no-array.npy",)),
        (("replan", "--reward", "-reward", "--name", "../out"), ("name must be", "'../out'")),
        (("replan", "--reward", "-reward", "--name", "n" * 201), ("name must be at most 200 bytes long, got 201",)),
        (("replan", "--reward", "1e306"), ("rewards of 1e+306", "float64 cannot hold")),
        (("replan", "--reward", "1e308"), ("rewards of 1e+308", "too large")),
        (("replan", "--reward", "-reward", "--tolerance", "0"), ("tolerance must be > 0, got 0",)),
        (("replan", "--reward", "-reward", "--change", "reverse_rewards"), ("needs a trial", "--steps")),
        (("replan", "--reward", "-reward", "--steps", "9", "--change", "open_door"), ("TwoEnds-v0", "open_door")),
        (("replan", "--reward", "-reward", "--steps", "9", "--change", "needs_more"), ("needs_more", "something")),
        (("replan", "--reward", "-reward", "--steps", "9", "--change", "__init__"), ("name of a method", "__init__")),
        (("export-mdp",), ("--out is required",)),
        (("export-mdp", "--out", "{tmp}/mdp.xml"), (".graphml", "mdp.xml")),
        (("export-mdp", "--out", "{tmp}/nowhere/mdp.npz"), ("nowhere",)),
        (("export-mdp", "--out", "{tmp}/short.npy"), (".graphml", "short.npy")),
        (("export-mdp", "--out", "{run}/config.yaml"), (".graphml", "config.yaml")),
        (("export-mdp", "--out", "{run}/checkpoints/step-000400/table.npz"), ("table.npz exists",)),
        (("export-mdp", "--out", "{tmp}/model.tra"), ("model.trew exists",)),
        (("export-mdp", "--out", "{tmp}/" + "n" * 300 + ".npz"), ("cannot write", "too long")),
        (("explore", "--out", "{run}/config.yaml"), ("config.yaml exists",)),
        (("explore", "--out", "{tmp}"), ("is a folder",)),
        (("explore", "--out", "{tmp}/" + "n" * 246 + ".html"), ("cannot write", "too long")),
    ],
)
def test_what_was_named_wrongly_is_said_and_nothing_is_written(
    argv: tuple[str, ...], words: tuple[str, ...], run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "short.npy", np.zeros(3))
    np.save(tmp_path / "nan.npy", np.full((7, 2), np.nan))
    np.save(tmp_path / "words.npy", np.array(["a"] * 7))
    np.save(tmp_path / "objects.npy", np.array([{}] * 7, object))
    (tmp_path / "no-array.npy").write_text("no array")
    (tmp_path / "model.trew").write_text("somebody else's")
    before, made = contents(run), sorted(path.name for path in run.rglob("*"))
    command, *rest = (word.format(tmp=tmp_path, run=run) for word in argv)
    code, line = refused(capfd, command, "--run", run, *rest)
    assert (code, line.count("Traceback")) == (2, 0)
    for word in words:
        assert word in line
    assert contents(run) == before
    assert sorted(path.name for path in run.rglob("*")) == made
    assert len(list(tmp_path.iterdir())) == 6
    assert (tmp_path / "model.trew").read_text() == "somebody else's"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_checkpoint_of_another_run_is_refused(
    command: str, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    newest = sorted((other / "checkpoints").glob("step-*"))[-1]
    before = contents(run)
    code, line = refused(capfd, *told(command, tmp_path), "--run", run, "--checkpoint", newest)
    assert (code, f"{newest} is no checkpoint of {run}" in line) == (2, True)
    assert "holds step-000200, step-000400" in line
    assert contents(run) == before
    code, line = refused(capfd, *told(command, tmp_path), "--run", run, "--checkpoint", run / "checkpoints")
    assert (code, "is no checkpoint of" in line) == (2, True)
    (tmp_path / "link").symlink_to(other)
    own = tmp_path / "link" / "checkpoints" / newest.name
    assert cli.main([*told(command, tmp_path), "--run", str(other), "--checkpoint", str(own)]) == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_holds_no_such_run_is_named(
    command: str, run: Path, chance: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def config(name: str, settings: Any) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump(settings))
        return tmp_path / name

    begun = config("begun", yaml.safe_load((run / "config.yaml").read_text()))
    folders = {
        tmp_path / "nowhere": "nowhere",
        config("bench", {"rows": ["ish-32x2"]}): "another command",
        config("other", {"agent": "muzero"}): "muzero",
        config("typo", {"agent": "vast", "stpes": 3}): "did you mean 'steps'?",
        begun: "no checkpoint yet",
    }
    if command != "eval":
        folders[chance] = "holds a run of random"
    for folder, word in folders.items():
        before = contents(folder)
        code, line = refused(capfd, *told(command, tmp_path), "--run", folder)
        assert code == 2
        assert word in line
        assert contents(folder) == before
    code, line = refused(capfd, *told(command, tmp_path))
    assert (code, line.partition(":")[0]) == (2, "--run is required")


@pytest.mark.parametrize("command", COMMANDS)
def test_damaged_checkpoints_are_a_fault_of_the_run(
    command: str, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    newest, other = sorted((copy / "checkpoints").glob("step-*"), reverse=True)
    (newest / "table.npz").write_bytes(b"")
    assert cli.main([*told(command, tmp_path), "--run", str(copy)]) == 0, "the one before serves"
    assert f"continuing from {other.name}" in capfd.readouterr().err
    (other / "table.npz").write_bytes(b"")
    (tmp_path / "mdp.npz").unlink(missing_ok=True)
    before = contents(copy)
    code, line = refused(capfd, *told(command, tmp_path), "--run", copy)
    assert code == 1
    assert "no checkpoint is usable" in line
    assert contents(copy) == before


def test_an_env_that_cannot_be_filmed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = exact(env=PASSAGE, steps=80, burn_in=40, window=80)
    run = train_vast(config, tmp_path / "run")
    capfd.readouterr()
    code, line = refused(capfd, "eval", "--run", run, "--episodes", 2, "--videos", 1)
    assert (code, "render" in line) == (2, True)
    assert not (run / "evaluation.json").exists()


def test_each_command_prints_a_short_result(run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    printed = {}
    extra = {"replan": ("--steps", "40", "--change", "reverse_rewards")}
    for command in COMMANDS:
        assert cli.main([*told(command, tmp_path), "--run", str(run), *extra.get(command, ())]) == 0
        printed[command] = capfd.readouterr().out.splitlines()
    assert printed["eval"][0] == "vast on TwoEnds-v0 after 400 steps: 30 episodes"
    assert printed["eval"][1].startswith("sampled  return mean ")
    assert printed["eval"][2].endswith("0 truncated, 0 capped")
    assert printed["eval"][3].startswith("greedy   return mean ")
    assert printed["replan"][0].startswith("7 states planned anew in ")
    assert [line.split()[0] for line in printed["replan"][2:]] == ["former", "before", "after"]
    assert "few ends: " in printed["replan"][2]
    assert printed["export-mdp"] == [f"7 states and 12 edges written to {tmp_path / 'mdp.npz'}"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_the_defaults(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    printed = capfd.readouterr().out
    assert "--run PATH" in printed
    assert "--checkpoint PATH" in printed
