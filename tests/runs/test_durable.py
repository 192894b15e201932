from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from rl_discrete.runs import durable
from rl_discrete.runs.errors import RunError, UsageError


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_json_is_strict_and_takes_arrays(tmp_path: Path) -> None:
    value = {
        "nan": float("nan"),
        "nested": [float("inf"), (1, 2.5)],
        "array": np.array([1.0, np.nan]),
        "scalar": np.float32(0.5),
        "tensor": torch.tensor([[1, 2]]),
        "path": Path("a/b"),
        1: True,
    }
    durable.write_json(tmp_path / "result.json", value)
    text = (tmp_path / "result.json").read_text()
    assert json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON")) == {
        "nan": None,
        "nested": [None, [1, 2.5]],
        "array": [1.0, None],
        "scalar": 0.5,
        "tensor": [[1, 2]],
        "path": "a/b",
        "1": True,
    }


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "result.json"
    durable.write_json(path, {"version": 1})
    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(RunError, match=r"result\.json: No space left on device"):
        durable.write_json(path, {"version": 2})
    monkeypatch.undo()
    assert json.loads(path.read_text()) == {"version": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_is_made_once_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "claim.json"
    durable.create_file(path, b"mine")
    with pytest.raises(FileExistsError):
        durable.create_file(path, b"theirs")
    assert path.read_bytes() == b"mine"
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        durable.create_file(tmp_path / "other.json", b"mine")
    assert list(tmp_path.iterdir()) == [path]


def test_only_a_free_name_that_a_file_can_have_passes(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists; choose another file"):
        durable.check_free(tmp_path / "dangling")
    for folder in (tmp_path, Path(), Path("/")):
        with pytest.raises(UsageError, match="is a folder; name a file"):
            durable.check_free(folder)
    for length in (250, 5000):  # with room for the name while it is written
        with pytest.raises(UsageError, match=r"cannot write .*too long; choose another file"):
            durable.check_free(tmp_path / ("x" * length + ".npz"))
    durable.check_free(tmp_path / "free.npz")
    durable.check_free(tmp_path / "no-folder" / "free.npz")


def test_sweep_takes_only_what_nobody_writes(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    kept = {f".tmp-a-{os.getppid()}", "step-000001", "notes.txt"}
    swept = {f".tmp-b-{gone.pid}", f".tmp-c-{os.getpid()}", ".tmp-without-owner", f".tmp-d-{10**30}"}
    for name in kept | swept:
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text("x")
    (tmp_path / f".tmp-file-{gone.pid}").write_text("x")
    durable.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept
