"""What may happen to a replay: kills, full disks, lost files, arguments that do not fit."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rl_discrete
from rl_discrete.data.replay import Replay
from rl_discrete.runs.checkpoint import load_checkpoint
from rl_discrete.runs.errors import RunError, UsageError
from tests.replay_runs import Feed, Naive

ROOT = Path(rl_discrete.__file__).resolve().parents[1]
SHAPE = (1, 8, 8)
STACK, ENVS, ROWS, SEGMENTS = 3, 2, 12, 5
CAP = ROWS * SEGMENTS * 64

# Appends without end, saves a checkpoint after every 10 steps and says so, and goes on from the newest at its start.
WRITER = f"""
import sys, pathlib
from rl_discrete.data.replay import Replay
from rl_discrete.runs.checkpoint import list_checkpoints, load_checkpoint, read_checkpoint, save_checkpoint
from tests.replay_runs import Feed
out = pathlib.Path(sys.argv[1])
folder, checkpoints, feed, step = out / "replay", out / "checkpoints", Feed(3, {ENVS}, {SHAPE}), 0
found = load_checkpoint(checkpoints, warn=lambda line: sys.exit("warned: " + line))
if found is None:
    replay = Replay(folder, {SHAPE}, {STACK}, {ENVS}, {CAP}, segment_rows={ROWS})
else:
    replay, step = Replay.restore(folder, found.meta, found.arrays["replay"]), found.step
    for _ in range(step):
        next(feed)
while True:
    replay.append(*next(feed).arguments())
    step += 1
    if step % 10 == 0:
        save_checkpoint(checkpoints, step, tensors={{}}, arrays={{"replay": replay.state()}}, meta=replay.commit())
        replay.release([read_checkpoint(path, ()).meta for path in list_checkpoints(checkpoints)])
        print(step, flush=True)
"""


def undisturbed(folder: Path, steps: int) -> tuple[Replay, Naive, Feed]:
    replay = Replay(folder, SHAPE, STACK, ENVS, CAP, segment_rows=ROWS)
    naive, feed = Naive(STACK, SEGMENTS, ROWS), Feed(3, ENVS, SHAPE)
    for _ in range(steps):
        step = next(feed)
        replay.append(*step.arguments())
        naive.append(step)
    return replay, naive, feed


def assert_intact(replay: Replay, naive: Naive) -> None:
    rows = naive.kept()
    assert replay.rows().tolist() == rows
    np.testing.assert_array_equal(replay.observations(rows), [naive.observation(row) for row in rows])


def test_a_kill_loses_at_most_what_was_not_committed(tmp_path: Path) -> None:
    """Killed while appending, committing, saving, deleting: what goes on equals a replay that was never killed."""
    moments = random.Random(0)
    printed = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
        )
        assert process.stdout is not None
        with process:
            for _ in range(moments.randrange(1, 4)):
                printed = int(process.stdout.readline())
            time.sleep(moments.random() * 0.03)
            process.kill()
    checkpoint = load_checkpoint(tmp_path / "checkpoints", warn=pytest.fail)
    assert checkpoint is not None
    assert checkpoint.step >= printed >= 30
    replay = Replay.restore(tmp_path / "replay", checkpoint.meta, checkpoint.arrays["replay"])
    twin, naive, feed = undisturbed(tmp_path / "other", checkpoint.step)
    assert_intact(replay, naive)
    for _ in range(25):
        step = next(feed)
        assert replay.append(*step.arguments()).tolist() == twin.append(*step.arguments()).tolist()
        naive.append(step)
    assert_intact(replay, naive)
    for ours, theirs in zip(*(r.sample(64, np.random.default_rng(1)) for r in (replay, twin)), strict=True):
        if isinstance(ours, np.ndarray):
            np.testing.assert_array_equal(ours, theirs)
        else:
            for name, values in vars(ours).items():
                np.testing.assert_array_equal(values, getattr(theirs, name))
    assert {name: values.tolist() for name, values in replay.state().items()} == {
        name: values.tolist() for name, values in twin.state().items()
    }


def test_without_its_truncation_a_killed_run_would_differ(tmp_path: Path) -> None:
    """The control: rows beyond the commit are on the disk, and a replay that counted files would find them."""
    replay, _, feed = undisturbed(tmp_path, 7)
    meta, arrays = replay.commit(), replay.state()
    for _ in range(9):
        replay.append(*next(feed).arguments())
    on_disk = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert on_disk > sum(meta["segments"].values())
    Replay.restore(tmp_path, meta, arrays)
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == meta["segments"]


@pytest.mark.parametrize("room", [0, 1, 64, 100])  # bytes that still fit, of the 128 of a step
@pytest.mark.parametrize("steps", [3, 29, 30])  # in the middle of a segment, and around one that is to leave
def test_a_full_disk_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, steps: int) -> None:
    replay, naive, feed = undisturbed(tmp_path, steps)
    step, before, left = next(feed), replay.state(), room

    def write(descriptor: int, content: memoryview, position: int) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = content[:left]
        left -= len(part)
        return os.write(descriptor, part) if os.lseek(descriptor, position, os.SEEK_SET) >= 0 else 0

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", write)
        while left >= len(step.envs) * 64:
            replay.append(*step.arguments())
            naive.append(step)
            step, before = next(feed), replay.state()
        with pytest.raises(RunError, match=r"cannot write .*segment-.*No space left.*intact") as caught:
            replay.append(*step.arguments())
    assert "\n" not in str(caught.value)
    for name, values in replay.state().items():
        np.testing.assert_array_equal(values, before[name])
    assert_intact(replay, naive)
    assert_intact(Replay.restore(tmp_path, replay.commit(), replay.state()), naive)
    for _ in range(10):  # room was made
        replay.append(*step.arguments())
        naive.append(step)
        step = next(feed)
    assert_intact(replay, naive)


def test_the_real_limit_of_a_file_is_met_in_order(tmp_path: Path) -> None:
    """No patch: the operating system itself refuses to write beyond 500 bytes of a file."""
    program = f"""
import resource, pathlib
from rl_discrete.data.replay import Replay
from rl_discrete.runs.errors import RunError
from tests.replay_runs import Feed
resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
replay, feed = Replay(pathlib.Path({str(tmp_path)!r}), {SHAPE}, {STACK}, {ENVS}, {CAP}), Feed(3, {ENVS}, {SHAPE})
try:
    while True:
        replay.append(*next(feed).arguments())
except RunError as error:
    print(replay.next_row, replay.observations(replay.rows()).shape, error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    rows = int(done.stdout.split()[0])
    assert 4 <= rows <= 7
    assert f"({rows}, 3, 8, 8) cannot write {tmp_path / 'segment-000000.bin'}: File too large" in done.stdout


def test_a_commit_that_the_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replay, naive, _ = undisturbed(tmp_path, 6)

    def refuse(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", refuse)
        with pytest.raises(RunError, match="Input/output error"):
            replay.commit()
    assert_intact(Replay.restore(tmp_path, replay.commit(), replay.state()), naive)


def test_a_commit_puts_every_new_frame_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replay, _, feed = undisturbed(tmp_path, 8)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    files = [(tmp_path / name).stat().st_ino for name in replay.commit()["segments"]]
    assert synced == [*files, tmp_path.stat().st_ino]
    replay.append(*next(feed).arguments())
    synced.clear()
    replay.commit()
    assert synced == [files[-1], tmp_path.stat().st_ino]


def test_lost_and_shortened_segments(tmp_path: Path) -> None:
    replay, _, _ = undisturbed(tmp_path, 12)
    meta, arrays = replay.commit(), replay.state()
    path = tmp_path / "segment-000001.bin"
    content = {file: file.read_bytes() for file in tmp_path.iterdir()}
    os.truncate(path, 100)
    with pytest.raises(RunError, match=r"segment-000001\.bin holds 100 bytes, and the checkpoint needs \d+"):
        Replay.restore(tmp_path, meta, arrays)
    path.unlink()
    with pytest.raises(RunError, match=r"segment-000001\.bin is missing"):
        Replay.restore(tmp_path, meta, arrays)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == {k: v for k, v in content.items() if k != path}
    fresh = undisturbed(tmp_path / "other", 12)[0]
    (tmp_path / "other" / path.name).unlink()
    with pytest.raises(RunError, match=r"cannot read .*segment-000001\.bin"):
        fresh.observations(fresh.rows())


def test_parts_of_two_checkpoints(tmp_path: Path) -> None:
    replay, _, feed = undisturbed(tmp_path, 12)
    arrays = replay.state()
    replay.append(*next(feed).arguments())
    with pytest.raises(RunError, match="do not belong together"):
        Replay.restore(tmp_path, replay.commit(), arrays)


def test_a_new_replay_does_not_read_what_a_killed_one_left(tmp_path: Path) -> None:
    undisturbed(tmp_path, 20)
    (tmp_path / "notes.txt").write_text("mine")
    replay, naive, _ = undisturbed(tmp_path, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert replay.rows().tolist() == naive.kept() == []


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"capacity_bytes": 1000}, "1,000 bytes is too small for 2 envs .* the smallest is 1,536 bytes"),
        ({"capacity_bytes": -5}, "the smallest is 1,536 bytes"),
        ({"stack": 0}, "stack and num_envs must be >= 1, got 0 and 2"),
        ({"num_envs": 0}, "stack and num_envs must be >= 1, got 3 and 0"),
        ({"frame_shape": (0, 8)}, r"frame_shape .* got \(0, 8\)"),
        ({"frame_shape": ()}, r"frame_shape .* got \(\)"),
        ({"dtype": "float64"}, "must be uint8 or float32, got float64"),
        ({"segment_rows": 11}, "segment_rows must be .* = 12, got 11"),
    ],
)
def test_sizes_that_no_replay_can_have(tmp_path: Path, sizes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"frame_shape": SHAPE, "stack": STACK, "num_envs": ENVS, "capacity_bytes": CAP} | sizes
    with pytest.raises(UsageError, match=message):
        Replay(tmp_path / "replay", **given)
    assert not (tmp_path / "replay").exists()


def test_the_smallest_cap_that_is_named_will_do(tmp_path: Path) -> None:
    replay = Replay(tmp_path, SHAPE, STACK, ENVS, 1536)
    feed = Feed(0, ENVS, SHAPE)
    for _ in range(50):
        replay.append(*next(feed).arguments())
    assert replay.num_bytes <= 1536
    replay.sample(8, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": np.zeros((2, 1, 8, 7), np.uint8)}, r"frames must be uint8 \(2, 1, 8, 8\), got .* \(2, 1, 8, 7\)"),
        ({"frames": np.zeros((2, *SHAPE), np.float32)}, "frames must be uint8 .* got float32"),
        ({"frames": np.zeros((1, *SHAPE), np.uint8)}, r"frames must be uint8 \(2, .* got uint8 \(1,"),
        ({"actions": [1]}, r"must have the shape \(2,\) of envs, got \(1,\)"),
        ({"actions": [-1, 0]}, r"actions must be whole numbers .* got \[-1, 0\]"),
        ({"actions": [2**31, 0]}, "actions must be whole numbers"),
        ({"actions": [0.5, 0.0]}, "actions must be whole numbers"),
        ({"rewards": [0.0, float("nan")]}, r"rewards must be finite, got \[0.0, nan\]"),
        ({"rewards": [float("inf"), 0.0]}, "rewards must be finite"),
        ({"envs": [0, 0]}, r"one row at a time, got envs \[0, 0\]"),
        ({"envs": [0, 2]}, r"envs must be numbers in \[0, 2\), got \[0, 2\]"),
        ({"envs": [-1, 0]}, r"envs must be numbers in \[0, 2\)"),
    ],
)
def test_arguments_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    replay = Replay(tmp_path, SHAPE, STACK, ENVS, CAP)
    never = np.zeros(2, bool)
    good: dict[str, Any] = {"frames": np.ones((2, *SHAPE), np.uint8), "actions": [0, 1], "rewards": [0.0, 1.0]}
    good |= {"terminated": never, "truncated": never, "starts": ~never}
    replay.append(**good)
    good["starts"] = never
    with pytest.raises(UsageError, match=message) as caught:
        replay.append(**good | changes)
    assert "\n" not in str(caught.value)
    assert replay.next_row == 2
    replay.append(**good)
    assert replay.next_row == 4


def test_a_step_without_an_episode(tmp_path: Path) -> None:
    replay = Replay(tmp_path, (1,), 1, 2, 8, segment_rows=4)
    frame = np.zeros((1, 1), np.uint8)

    def step(env: int, start: bool = False, end: bool = False, cut: bool = False) -> None:
        replay.append(frame, [0], [0.0], [end], [cut], [start], [env])

    with pytest.raises(UsageError, match="env 1 has no episode to go on with"):
        step(1)
    for last in ({"end": True}, {"cut": True}):
        step(0, start=True)
        step(0, **last)
        with pytest.raises(UsageError, match=r"env 0 has no episode .* append a start first"):
            step(0)
    step(1, start=True)
    for _ in range(8):  # env 1 waits until its row is gone
        step(0, start=True)
    with pytest.raises(UsageError, match="env 1 has no episode"):
        step(1)


def test_rows_that_are_not_there(tmp_path: Path) -> None:
    replay, _, _ = undisturbed(tmp_path, 42)
    assert replay.first_row > 0
    for row in (-1, 0, replay.first_row - 1, replay.next_row, 10**9):
        for question in (replay.columns, replay.observations, replay.batch):
            with pytest.raises(UsageError, match=f"row {row} is not in the replay, which holds rows"):
                question([replay.next_row - 1, row])


def test_a_transition_whose_beginning_has_left(tmp_path: Path) -> None:
    replay = Replay(tmp_path, (1,), 1, 1, 4, segment_rows=2)
    for row in range(5):
        replay.append(np.full((1, 1), row, np.uint8), [0], [0.0], [False], [False], [row == 0])
    assert replay.rows().tolist() == [2, 3, 4]
    assert replay.observations([2]).tolist() == [[2]]
    with pytest.raises(UsageError, match="no transition leads to row 2: the row before it has left"):
        replay.batch([3, 2])
    assert set(replay.sample(200, np.random.default_rng(0))[0].tolist()) == {3, 4}


@pytest.mark.parametrize("size", [0, -1, 5])
def test_samples_that_cannot_be_drawn(tmp_path: Path, size: int) -> None:
    replay = Replay(tmp_path, SHAPE, STACK, ENVS, CAP)
    with pytest.raises(UsageError, match=f"batch_size >= 1 and rows, got {size} and 0 rows"):
        replay.sample(size, np.random.default_rng(0))
