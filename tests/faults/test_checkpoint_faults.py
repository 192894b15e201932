"""What may happen to a checkpoint: kills, full disks, altered bytes, leftovers, a second writer."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import rl_discrete
from rl_discrete.runs.checkpoint import (
    CheckpointError,
    list_checkpoints,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from rl_discrete.runs.errors import RunError
from rl_discrete.runs.manifest import Manifest

ROOT = Path(rl_discrete.__file__).resolve().parents[1]

# Saves without end, says so after each, and imports no torch, so that it starts fast.
SAVER = """
import sys, pathlib, numpy
from rl_discrete.runs.checkpoint import load_checkpoint, save_checkpoint
folder = pathlib.Path(sys.argv[1])
found = load_checkpoint(folder, warn=lambda line: sys.exit("warned: " + line))
step = found.step if found else 0
while True:
    step += 1
    table = numpy.full(20_000, step)
    save_checkpoint(folder, step, tensors={}, arrays={"table": {"t": table}, "small": {"s": table[:1]}},
                    meta={"step": step}, older_parts=["small"])
    print(step, flush=True)
"""

FULL_DISK = """
import resource, sys, pathlib, numpy
from rl_discrete.runs.checkpoint import save_checkpoint
from rl_discrete.runs.errors import RunError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    table = {"t": numpy.ones(50_000)}
    save_checkpoint(pathlib.Path(sys.argv[1]), 2, tensors={}, arrays={"table": table}, meta={})
except RunError as error:
    print(error)
"""


def save(folder: Path, step: int) -> Path:
    table = {"t": np.full(100, step)}
    return save_checkpoint(folder, step, tensors={}, arrays={"table": table}, meta={"step": step, "pad": "x" * 50})


def loaded_step(folder: Path, warn: Callable[[str], None] = pytest.fail) -> int:
    """The step that loads, after a check that its content is the one that was saved."""
    loaded = load_checkpoint(folder, warn=warn)
    assert loaded is not None
    assert loaded.meta["step"] == loaded.step
    assert (loaded.arrays["table"]["t"] == loaded.step).all()
    return loaded.step


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_kill_at_any_moment_loses_only_the_save_under_way(tmp_path: Path) -> None:
    moments = random.Random(0)
    last = 0
    for _ in range(5):
        with start(SAVER, tmp_path) as child:
            assert child.stdout is not None
            child.stdout.readline()  # it has saved at least once
            time.sleep(moments.uniform(0.0, 0.2))
            child.kill()
            announced = [int(line) for line in child.stdout.read().split()]
            assert child.stderr is not None
            assert child.stderr.read() == ""
        step = loaded_step(tmp_path)
        assert step >= max([last, *announced])
        assert step > last
        last = step
        for path in list_checkpoints(tmp_path):  # most of them thinned, the last perhaps killed meanwhile
            older = read_checkpoint(path, ["small"])
            assert older.arrays["small"]["s"] == older.step
    save(tmp_path, last + 1)
    assert not [name for name in names(tmp_path) if name.startswith(".tmp-") or name.endswith(".old")]


@pytest.mark.parametrize("limit", [0, 4_096, 399_999])
def test_no_room_for_the_bytes(tmp_path: Path, limit: int) -> None:
    save(tmp_path, 1)
    with start(FULL_DISK, tmp_path, limit) as child:
        said, complaint = child.communicate()
    assert complaint == ""
    assert said.count("\n") == 1
    assert "File too large" in said
    assert "--resume" in said
    assert names(tmp_path) == ["LATEST", "step-000001"]
    assert loaded_step(tmp_path) == 1


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("same_step", [False, True])
def test_a_disk_that_fills_up_at_any_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, same_step: bool
) -> None:
    real = getattr(os, call)
    failures = 0
    for allowed in range(20):  # the first call fails, then the second, and so on until none does
        folder = tmp_path / str(allowed)
        save(folder, 1)
        left = iter(range(allowed))

        def limited(*arguments: object, left: object = left) -> object:
            if next(left, None) is None:  # type: ignore[call-overload]
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments)

        monkeypatch.setattr(os, call, limited)
        complaint = ""
        try:
            save(folder, 1 if same_step else 2)
        except RunError as error:
            failures += 1
            complaint = str(error)
        monkeypatch.undo()
        assert complaint == "" or "No space left on device" in complaint
        assert not [name for name in names(folder) if name.startswith(".tmp-")]
        assert loaded_step(folder) in ((1,) if same_step else (1, 2))
        save(folder, 3)
        assert loaded_step(folder) == 3
        assert {"LATEST", "step-000003"} <= set(names(folder)) <= {"LATEST", *(f"step-00000{i}" for i in (1, 2, 3))}
    assert 2 <= failures < 20


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    places = random.Random(0)
    noticed = 0
    for file in newest.iterdir():
        original = file.read_bytes()
        for _ in range(60):
            place, bit = places.randrange(len(original)), places.randrange(8)
            flipped = bytearray(original)
            flipped[place] ^= 1 << bit
            file.write_bytes(flipped)
            warnings: list[str] = []
            if loaded_step(tmp_path, warnings.append) == 1:
                noticed += 1
                assert len(warnings) == 1
                assert "\n" not in warnings[0]
                assert "step-000002" in warnings[0]
                assert warnings[0].endswith("continuing from step-000001")
            else:  # the flip made one kind of JSON white space of another
                assert file.name == "manifest.json"
                assert json.loads(flipped) == json.loads(original)
        file.write_bytes(original)
    assert noticed >= 110
    assert loaded_step(tmp_path) == 2


@pytest.mark.parametrize("name", ["table.npz", "manifest.json"])
def test_cut_and_missing_files_are_noticed(tmp_path: Path, name: str) -> None:
    save(tmp_path, 1)
    file = save(tmp_path, 2) / name
    content = file.read_bytes()
    for damage in (
        content[:-2],
        content[: len(content) // 2],
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        content + b"x",
        None,
    ):
        if damage is None:
            file.unlink()
        else:
            file.write_bytes(damage)
        warnings: list[str] = []
        assert loaded_step(tmp_path, warnings.append) == 1
        assert len(warnings) == 1


def test_when_none_verifies_the_error_says_so(tmp_path: Path) -> None:
    for step in (1, 2):
        (save(tmp_path, step) / "table.npz").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step-000002.*step-000001.*--out") as raised:
        load_checkpoint(tmp_path)
    assert "\n" not in str(raised.value)


def test_work_goes_on_after_a_fall_back(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (save(tmp_path, 2) / "table.npz").write_bytes(b"")
    assert loaded_step(tmp_path, lambda line: None) == 1
    save(tmp_path, 2)
    assert loaded_step(tmp_path) == 2
    assert names(tmp_path) == ["LATEST", "step-000001", "step-000002"]


@pytest.mark.parametrize("content", [None, "", "step-000001\n", "step-000099\n", "../elsewhere"])
def test_latest_is_never_trusted(tmp_path: Path, content: str | None) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    if content is None:
        (tmp_path / "LATEST").unlink()
    else:
        (tmp_path / "LATEST").write_text(content)
    assert loaded_step(tmp_path) == 2
    save(tmp_path, 3)
    assert (tmp_path / "LATEST").read_text() == "step-000003\n"


def test_leftovers_of_a_killed_writer_are_ignored_then_swept(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    with subprocess.Popen(["true"]) as gone:
        pass
    shutil.copytree(path, tmp_path / f".tmp-step-000009-{gone.pid}")
    (tmp_path / f".tmp-LATEST-{gone.pid}").write_text("step-0")
    assert loaded_step(tmp_path) == 1
    save(tmp_path, 2)
    assert names(tmp_path) == ["LATEST", "step-000001", "step-000002"]


def test_a_kill_between_the_two_renames_of_a_replacement(tmp_path: Path) -> None:
    save(tmp_path, 1).rename(tmp_path / "step-000001.old")
    assert loaded_step(tmp_path) == 1
    save(tmp_path, 1)
    assert names(tmp_path) == ["LATEST", "step-000001"]


def test_a_kill_while_thinning(tmp_path: Path) -> None:
    table, small = {"t": np.ones(3)}, {"s": np.ones(1)}
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, tensors={}, arrays={"table": table, "small": small}, meta={}, keep=9)
    first = tmp_path / "step-000001"
    (first / "manifest.json").write_bytes(Manifest.read(first).keeping(["small"]).encode())  # and no file is gone yet
    save_checkpoint(tmp_path, 4, tensors={}, arrays={"small": small}, meta={}, keep=9, older_parts=["small"])
    assert names(first) == ["manifest.json", "small.npz", "table.npz"]
    save_checkpoint(tmp_path, 5, tensors={}, arrays={"small": small}, meta={}, keep=4, older_parts=["small"])
    assert names(first) == ["manifest.json", "small.npz"]


def test_two_writers_leave_something_that_loads(tmp_path: Path) -> None:
    with start(SAVER, tmp_path) as first, start(SAVER, tmp_path) as second:
        for child in (first, second):
            assert child.stdout is not None
            child.stdout.readline()
        time.sleep(0.3)
        for child in (first, second):
            child.kill()
        complaints = [child.communicate()[1] for child in (first, second)]
    for complaint in complaints:  # one may have lost the race, with the error that says so
        assert complaint == "" or "RunError: cannot write" in complaint
    assert loaded_step(tmp_path, lambda line: None) > 0
