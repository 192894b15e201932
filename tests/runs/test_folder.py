from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rl_discrete
from rl_discrete.runs.config import read_yaml
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.runs.folder import RunFolder, collect_versions

CONFIG = {"autoencoder": {"num_latents": 32, "hidden": [512, 256]}, "training": {"learning_rate": 1e-3}}


def enter(out: Path | None, *, resume: bool = False, log: Any = pytest.fail, **changes: Any) -> RunFolder:
    arguments: dict[str, Any] = {"command": "mnist-bench", "subject": "mnist", "seed": 0, "config": CONFIG}
    return RunFolder.open(out, resume=resume, log=log, **{**arguments, **changes})


def test_a_new_run_writes_down_what_it_is(tmp_path: Path) -> None:
    with enter(tmp_path / "a" / "run") as run:
        assert run.path == tmp_path / "a" / "run"
        assert not run.resumed
        assert (run.checkpoints.name, run.figures.name, run.tensorboard.name) == (
            "checkpoints",
            "figures",
            "tensorboard",
        )
        run.write_json("result.json", {"loss": float("nan")})
    assert json.loads((run.path / "result.json").read_text()) == {"loss": None}
    assert read_yaml(run.path / "config.yaml") == CONFIG
    versions = json.loads((run.path / "versions.json").read_text())
    assert versions["run"] == {"command": "mnist-bench", "subject": "mnist", "seed": 0}
    assert versions["versions"] == collect_versions()
    assert "torch" in versions["versions"]


def test_without_out_the_folder_is_named_after_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with enter(None, seed=7) as run:
        assert run.path.parent == Path("runs", "mnist-bench", "mnist")
        assert run.path.name.endswith("-s7")
        assert (tmp_path / run.path).is_dir()
    with pytest.raises(UsageError, match="--resume needs --out"):
        enter(None, resume=True)


def test_an_occupied_folder_needs_resume(tmp_path: Path) -> None:
    enter(tmp_path / "run").close()
    with pytest.raises(UsageError, match=r"mnist-bench on mnist.*--resume.*another --out"):
        enter(tmp_path / "run")
    with enter(tmp_path / "run", resume=True) as run:
        assert run.resumed


@pytest.mark.parametrize("changes", [{"command": "train"}, {"subject": "pong"}])
def test_another_commands_run_is_not_resumed(tmp_path: Path, changes: dict[str, str]) -> None:
    enter(tmp_path).close()
    with pytest.raises(UsageError, match=r"holds a run of mnist-bench on mnist, not of"):
        enter(tmp_path, resume=True, **changes)
    with enter(tmp_path, resume=True) as run:  # and it was let go
        assert run.resumed


def test_resume_shows_every_difference(tmp_path: Path) -> None:
    enter(tmp_path).close()
    changed = {
        "autoencoder": {"num_latents": 64, "hidden": (512, 256)},
        "training": {"learning_rate": 0.001},
        "new": 1,
    }
    lines: list[str] = []
    with enter(tmp_path, resume=True, config=changed, seed=3, log=lines.append):
        pass
    assert sorted(lines) == [
        "resumed with a difference: config.autoencoder.num_latents: 32 -> 64",
        "resumed with a difference: config.new: (not set) -> 1",
        "resumed with a difference: run.seed: 0 -> 3",
    ]
    assert read_yaml(tmp_path / "config.yaml")["autoencoder"] == {"num_latents": 64, "hidden": [512, 256]}
    with enter(tmp_path, resume=True, config=changed, seed=3):  # what runs now is what is written
        pass


def test_a_missing_folder_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing does not exist; drop --resume"):
        enter(tmp_path / "missing", resume=True)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_killed_before_it_wrote_its_config_never_was(tmp_path: Path, resume: bool) -> None:
    for name in (".lock", "versions.json", ".tmp-config.yaml-1234567"):
        (tmp_path / name).write_text("")
    with enter(tmp_path, resume=resume) as run:
        assert not run.resumed
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "config.yaml", "versions.json"]


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, resume: bool) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="is not empty and holds no run; choose another --out"):
        enter(tmp_path, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_out_must_be_a_usable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        enter(tmp_path / "file")
    with pytest.raises(UsageError, match="Not a directory"):
        enter(tmp_path / "file" / "run")


def test_an_altered_run_folder_is_one_line(tmp_path: Path) -> None:
    enter(tmp_path).close()
    (tmp_path / "versions.json").write_text("{")
    with pytest.raises(UsageError, match=r"versions\.json is not valid YAML"):
        enter(tmp_path, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path, resume: bool) -> None:
    code = (
        "import sys, pathlib; from rl_discrete.runs.folder import RunFolder\n"
        "with RunFolder.open(pathlib.Path(sys.argv[1]), command='mnist-bench', subject='mnist', seed=0,"
        " config={}, resume=False):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(rl_discrete.__file__).resolve().parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=rf"in use by process {first.pid};"):
            enter(tmp_path, resume=resume)
        first.kill()
    with enter(tmp_path, resume=True, config={}) as run:  # the lock of a killed process is free
        assert run.resumed


def test_a_full_disk_is_one_line_and_lets_the_folder_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(RunError, match=r"versions\.json: No space left on device"):
        enter(tmp_path)
    monkeypatch.undo()
    with enter(tmp_path) as run:
        assert not run.resumed
