"""Two workers never write into one folder: the second waits for the first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rl_discrete.bench.orphan import hold
from rl_discrete.runs.errors import RunError

HOLDER = """
import pathlib, sys, time
from rl_discrete.bench.orphan import hold
with hold(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Another process that has the folder for so long."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_is_waited_for(tmp_path: Path) -> None:
    with holder(tmp_path, 0.5) as other:
        with hold(tmp_path, patience=60.0):
            assert other.wait(60.0) == 0  # it let go by ending; the lock file is still there
        assert (tmp_path / ".lock").exists()


def test_patience_ends_in_one_line(tmp_path: Path) -> None:
    with holder(tmp_path, 600.0) as other:
        with pytest.raises(RunError, match=r"still in use by another process.*--resume") as caught, hold(tmp_path, 0.2):
            pass
        other.kill()
    assert "\n" not in str(caught.value)


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path, 600.0) as other:
        other.kill()
        other.wait()
        with hold(tmp_path, patience=0.0):
            pass


def test_what_fails_inside_keeps_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), hold(tmp_path):
        (tmp_path / "missing").read_text()
    with pytest.raises(RunError, match="cannot write"), hold(tmp_path / "nowhere"):
        pass
