"""The replay against the plainest one there could be: what is kept, how it is linked, what is drawn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rl_discrete.data import ring, row_index
from rl_discrete.data.replay import Replay, TransitionBatch
from rl_discrete.runs.errors import RunError, UsageError
from tests.replay_runs import Feed, Ids, Naive, Step

SHAPE = (2, 3, 2)


@pytest.fixture(scope="module", autouse=True)
def short_rings() -> Iterator[None]:
    """Rings that have to grow in runs as short as these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring, "_FIRST_PLACES", 2)
        yield


def pair(
    folder: Path, stack: int, num_envs: int, max_segments: int, shape: tuple[int, ...] = SHAPE, dtype: str = "uint8"
) -> tuple[Replay, Naive]:
    """A replay with the shortest segments, and its naive twin."""
    rows = 2 * stack * num_envs
    frame = int(np.prod(shape)) * np.dtype(dtype).itemsize
    cap = max_segments * rows * frame + frame  # the rest of a segment is of no use
    return Replay(folder, shape, stack, num_envs, cap, dtype, rows), Naive(stack, max_segments, rows)


def append(replay: Replay, naive: Naive, step: Step) -> None:
    """To both, with a look at what leaves before and after."""
    n = len(step.envs)
    expected = sorted(set(naive.kept()) - set(naive.kept(n)))
    assert replay.leaving(n).tolist() == expected
    ids = replay.append(*step.arguments())
    naive.append(step)
    assert ids.tolist() == list(range(len(naive.frames) - n, len(naive.frames)))
    assert not set(expected) & set(replay.rows().tolist())


def assert_same(replay: Replay, naive: Naive) -> None:
    rows = naive.kept()
    assert replay.rows().tolist() == rows
    assert (replay.first_row, replay.next_row) == (naive.first_row(), len(naive.frames))
    columns = replay.columns(rows)
    facts = [*zip(*(naive.facts[row] for row in rows), strict=True)]
    found = columns.actions, columns.rewards, columns.terminated, columns.truncated, columns.starts, columns.envs
    for values, expected in zip(found, facts, strict=True):
        np.testing.assert_array_equal(values, expected)
    assert columns.previous.tolist() == naive.neighbours(rows, -1)
    assert columns.following.tolist() == naive.neighbours(rows, 1)
    np.testing.assert_array_equal(replay.observations(rows), [naive.observation(row) for row in rows])
    assert_transitions(replay.batch(naive.transitions()), naive.transitions(), naive)


def assert_transitions(batch: TransitionBatch, rows: list[int], naive: Naive) -> None:
    before = naive.neighbours(rows, -1)
    blank = np.zeros_like(naive.observation(rows[0]))
    np.testing.assert_array_equal(batch.current, [naive.observation(row) for row in rows])
    np.testing.assert_array_equal(batch.previous, [blank if row < 0 else naive.observation(row) for row in before])
    assert batch.actions.tolist() == [naive.facts[row][0] for row in rows]
    assert batch.rewards.tolist() == [float(np.float32(naive.facts[row][1])) for row in rows]
    assert batch.starts.tolist() == [row < 0 for row in before]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    stack=st.integers(1, 4),
    num_envs=st.integers(1, 3),
    max_segments=st.integers(2, 4),
    end=st.sampled_from([0.02, 0.2, 0.8]),
    vectors=st.booleans(),
)
def test_it_is_the_naive_replay(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    stack: int,
    num_envs: int,
    max_segments: int,
    end: float,
    vectors: bool,
) -> None:
    shape, dtype = ((3,), "float32") if vectors else (SHAPE, "uint8")
    replay, naive = pair(tmp_path_factory.mktemp("replay"), stack, num_envs, max_segments, shape, dtype)
    feed = Feed(seed, num_envs, shape, dtype, end)
    steps = 5 * stack * max_segments
    for number in range(steps):
        append(replay, naive, next(feed))
        if number in (0, 2, steps // 2, steps - 1):
            assert_same(replay, naive)
    assert replay.observations(replay.rows()).dtype == np.dtype(dtype)
    assert replay.num_bytes <= replay.layout.capacity_bytes
    batch = replay.sample(30, np.random.default_rng(seed))
    assert_transitions(batch[1], batch[0].tolist(), naive)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), stack=st.integers(1, 3), stops=st.lists(st.integers(1, 25), min_size=1, max_size=4))
def test_a_resumed_replay_goes_on_as_if_it_had_never_stopped(
    tmp_path_factory: pytest.TempPathFactory, seed: int, stack: int, stops: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("replay")
    replay, naive = pair(folder, stack, 2, 3)
    feed = Feed(seed, 2, SHAPE)
    for stop in stops:
        for _ in range(stop):
            append(replay, naive, next(feed))
        meta, arrays = json.loads(json.dumps(replay.commit())), replay.state()
        lost = Feed(seed + 1, 2, SHAPE)
        for _ in range(15):  # what was not committed is lost, though it may push out what was
            replay.append(*next(lost).arguments())
        replay = Replay.restore(folder, meta, arrays)
        assert_same(replay, naive)
        replay.release([meta])
        assert_same(replay, naive)
    untouched, twin = pair(tmp_path_factory.mktemp("other"), stack, 2, 3)
    feed = Feed(seed, 2, SHAPE)
    for _ in range(sum(stops)):
        append(untouched, twin, next(feed))
    for (rows, batch), (others, other) in [
        (replay.sample(16, np.random.default_rng(n)), untouched.sample(16, np.random.default_rng(n))) for n in range(3)
    ]:
        np.testing.assert_array_equal(rows, others)
        for name, values in vars(batch).items():
            np.testing.assert_array_equal(values, getattr(other, name))
    assert replay.latest().tolist() == untouched.latest().tolist()


def filled(folder: Path, steps: int = 60, stack: int = 2) -> tuple[Replay, Naive]:
    replay, naive = pair(folder, stack, 2, 4)
    feed = Feed(5, 2, SHAPE)
    for _ in range(steps):
        append(replay, naive, next(feed))
    return replay, naive


Sampler = Callable[[Replay, int, np.random.Generator], Ids]


def ours(replay: Replay, size: int, generator: np.random.Generator) -> Ids:
    return replay.sample(size, generator)[0]


def newest_first(replay: Replay, size: int, generator: np.random.Generator) -> Ids:
    rows = replay.rows()
    return np.asarray(rows[(len(rows) * np.sqrt(generator.random(size))).astype(int)])


def beyond_the_size(replay: Replay, size: int, generator: np.random.Generator) -> Ids:
    """Positions over the whole capacity, those that should not be drawn deleted wherever they lie."""
    positions = np.delete(np.arange(replay.layout.max_rows), [0])
    return generator.choice(positions, size) + replay.first_row


def draws_uniformly(sampler: Sampler, replay: Replay, naive: Naive) -> bool:
    """Every transition within five standard deviations of its share, and nothing else at all."""
    possible, size = naive.transitions(), 20_000
    rows = sampler(replay, size, np.random.default_rng(0))
    if not set(rows.tolist()) <= set(possible):
        return False
    counts = np.array([(rows == row).sum() for row in possible])
    share = 1 / len(possible)
    return bool((abs(counts - size * share) < 5 * np.sqrt(size * share * (1 - share))).all())


@pytest.mark.parametrize("steps", [3, 60])  # nearly empty, and with segments gone
def test_transitions_are_drawn_uniformly(tmp_path: Path, steps: int) -> None:
    replay, naive = filled(tmp_path, steps)
    assert (replay.first_row > 0) == (steps == 60)
    assert draws_uniformly(ours, replay, naive)
    assert not draws_uniformly(newest_first, replay, naive)


def test_positions_beyond_the_size_are_never_drawn(tmp_path: Path) -> None:
    replay, naive = filled(tmp_path, 3)
    assert replay.next_row < replay.layout.max_rows
    assert not draws_uniformly(beyond_the_size, replay, naive)


def test_a_draw_depends_on_its_generator_alone(tmp_path: Path) -> None:
    replay, _ = filled(tmp_path)
    first, again, other = (replay.sample(32, np.random.default_rng(seed))[0].tolist() for seed in (1, 1, 2))
    assert first == again != other


Relabels = list[tuple[int, NDArray[Any]]]


def relabels(replay: Replay, rows: Ids) -> Relabels:
    """What a lazy relabelling does with a sample: observations, and the rows whose keys they decide."""
    batch, columns = replay.batch(rows), replay.columns(rows)
    found = list(zip(rows.tolist(), batch.current, strict=True))
    return found + [(row, o) for row, o in zip(columns.previous.tolist(), batch.previous, strict=True) if row >= 0]


def relabels_of_the_original(replay: Replay, rows: Ids) -> Relabels:
    """The released code: the row before gets the key of the stack before, unless it is a true terminal."""
    batch = replay.batch(rows)
    found = list(zip(rows.tolist(), batch.current, strict=True))
    before = [(row - 1, o) for row, o in zip(rows.tolist(), batch.previous, strict=True) if row > replay.first_row]
    return found + [(row, o) for row, o in before if not replay.columns([row]).terminated[0]]


def test_a_cut_episode_is_not_relabelled_from_the_start_of_the_next(tmp_path: Path) -> None:
    replay, naive = pair(tmp_path, 2, 1, 4)
    frames = np.random.default_rng(0).integers(1, 256, (6, 1, *SHAPE)).astype(np.uint8)
    #                     start, step, cut | start, step, end
    starts, cut, end = [1, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]
    for row in range(6):
        ended, cut_off, started = (np.array([flag[row]], bool) for flag in (end, cut, starts))
        append(replay, naive, Step(frames[row], np.ones(1, int), np.ones(1), ended, cut_off, started, np.zeros(1, int)))
    columns = replay.columns(range(6))
    assert columns.previous.tolist() == [-1, 0, 1, -1, 3, 4]
    assert columns.following.tolist() == [1, 2, -1, 4, 5, -1]
    assert columns.truncated.tolist() == [False, False, True, False, False, False]
    assert columns.terminated.tolist() == [False, False, False, False, False, True]
    batch = replay.batch([0, 3])
    assert batch.starts.all()
    assert not batch.previous.any()
    assert not batch.actions.any()
    assert not batch.rewards.any()

    def true_to_the_frames(found: Relabels) -> bool:
        return all((observation == naive.observation(row)).all() for row, observation in found)

    assert true_to_the_frames(relabels(replay, np.arange(6)))
    assert not true_to_the_frames(relabels_of_the_original(replay, np.arange(6)))


def test_a_link_across_a_cut_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison with the naive replay has teeth: episodes that run into each other fail it."""
    add = row_index.RowIndex.add

    def runs_on(self: row_index.RowIndex, records: row_index.Records) -> Ids:
        before = self.latest[records["env"]]
        ids = add(self, records)
        linked = records["start"] & (before >= 0)
        self._ring.values["back"][self._ring.places(ids[linked])] = (ids - before)[linked]
        return ids

    monkeypatch.setattr(row_index.RowIndex, "add", runs_on)
    replay, naive = pair(tmp_path, 2, 2, 4)
    feed = Feed(0, 2, SHAPE)
    for _ in range(8):
        step = next(feed)
        replay.append(*step.arguments())
        naive.append(step)
    with pytest.raises(AssertionError):
        assert_same(replay, naive)


def test_a_cap_far_beyond_the_memory_takes_none(tmp_path: Path) -> None:
    """Of frames as small as a vector of one number a few gigabytes hold more rows than memory could."""
    replay = Replay(tmp_path, (1,), 1, 1, 10**13, "float32")
    feed = Feed(0, 1, (1,), "float32")
    for _ in range(4):
        replay.append(*next(feed).arguments())
    assert replay.rows().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("cut", [True, False])
def test_episodes_of_no_step_and_of_one(tmp_path: Path, cut: bool) -> None:
    replay, naive = pair(tmp_path, 3, 1, 2)
    generator = np.random.default_rng(0)
    for start in (True, True, True, False, True, False, True):
        frame = generator.integers(1, 256, (1, *SHAPE)).astype(np.uint8)
        ends = np.array([not start and not cut]), np.array([not start and cut])
        append(replay, naive, Step(frame, np.array([1]), np.ones(1), *ends, np.array([start]), np.array([0])))
    assert_same(replay, naive)
    assert replay.columns(range(7)).previous.tolist() == [-1, -1, -1, 2, -1, 4, -1]


def test_the_rewards_and_frames_come_back_exactly(tmp_path: Path) -> None:
    replay, _ = pair(tmp_path, 1, 1, 2, (2,), "float32")
    values = np.array([[1e-38, -np.float32(1) / 3]], np.float32)
    replay.append(values, [0], [0.0], [False], [False], [True])
    replay.append(values, [7], [0.1], [False], [True], [False])
    assert (replay.observations([1]) == values).all()
    assert replay.columns([1]).rewards[0] == 0.1
    assert replay.columns([1]).truncated[0]


def test_files_stay_while_a_kept_checkpoint_refers_to_them(tmp_path: Path) -> None:
    replay, naive = pair(tmp_path, 1, 1, 2)  # two rows in a segment, two segments
    feed = Feed(0, 1, SHAPE)

    def go_on(rows: int) -> dict[str, Any]:
        for _ in range(rows):
            append(replay, naive, next(feed))
        return replay.commit()

    def files() -> list[int]:
        return sorted(int(path.stem[-6:]) for path in tmp_path.iterdir())

    first = go_on(3)
    assert first["segments"] == {"segment-000000.bin": 24, "segment-000001.bin": 12}
    arrays = replay.state()
    second = go_on(6)  # nine rows: segments 3 and 4 are kept, 2 left before any commit
    assert files() == [0, 1, 3, 4]
    replay.release([first, second])
    assert files() == [0, 1, 3, 4]
    go_on(2)
    replay.release([second])
    assert files() == [3, 4, 5]
    with pytest.raises(RunError, match=r"segment-000000\.bin is missing"):
        Replay.restore(tmp_path, first, arrays)
    assert_same(replay, naive)


def test_a_run_killed_twice_goes_on_from_the_same_checkpoint(tmp_path: Path) -> None:
    replay, naive = filled(tmp_path)
    meta, arrays = replay.commit(), replay.state()
    for seed in range(2):
        again = Replay.restore(tmp_path, meta, arrays)
        assert_same(again, naive)
        feed = Feed(seed, 2, SHAPE)
        for _ in range(60):  # until everything that was committed has left
            again.append(*next(feed).arguments())
        assert again.first_row >= replay.next_row


def test_another_cap_after_a_resume(tmp_path: Path) -> None:
    replay, naive = filled(tmp_path)
    meta, arrays = replay.commit(), replay.state()
    size = replay.layout.segment_rows * replay.layout.frame_bytes
    smaller = Replay.restore(tmp_path, meta, arrays, capacity_bytes=2 * size)
    assert smaller.rows().tolist() == replay.rows().tolist()
    naive.max_segments = 2
    feed = Feed(9, 2, SHAPE)
    before = set(smaller.rows().tolist())
    leaving = smaller.leaving(2).tolist()
    step = next(feed)
    smaller.append(*step.arguments())
    naive.append(step)
    assert_same(smaller, naive)
    assert before - set(leaving) == set(smaller.rows().tolist()) - set(smaller.latest().tolist())
    larger = Replay.restore(tmp_path, smaller.commit(), smaller.state(), capacity_bytes=9 * size)
    for _ in range(20):
        larger.append(*next(feed).arguments())
    assert larger.first_row == smaller.first_row > 0


def test_a_replay_opened_to_be_read_changes_nothing(tmp_path: Path) -> None:
    replay, naive = filled(tmp_path)
    meta, arrays = replay.commit(), replay.state()
    feed = Feed(7, 2, SHAPE)
    for _ in range(3):
        replay.append(*next(feed).arguments())  # by another process, which goes on
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    reader = Replay.restore(tmp_path, meta, arrays, read_only=True)
    assert_same(reader, naive)
    for change in (reader.commit, lambda: reader.append(*next(feed).arguments()), lambda: reader.release([])):
        with pytest.raises(UsageError, match="opened to be read"):
            change()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_summary_tells_the_cap(tmp_path: Path) -> None:
    replay = Replay(tmp_path, (1, 84, 84), 4, 16, 1_000_000_000)
    assert "141,696 frames of 1x84x84 uint8, 999.8 MB on disk (cap 1,000.0 MB)" in replay.summary
    assert replay.layout.max_segments >= 16


@pytest.mark.benchmark
def test_a_sample_takes_milliseconds(tmp_path: Path) -> None:
    """128 stacks of four frames 84 x 84, and as many before them; CPU time, best of 50."""
    replay = Replay(tmp_path, (1, 84, 84), 4, 8, 500_000_000)
    frames = np.random.default_rng(0).integers(0, 256, (8, 1, 84, 84)).astype(np.uint8)
    never = np.zeros(8, bool)
    for number in range(4_000):
        replay.append(frames, np.zeros(8, int), np.zeros(8), never, never, np.full(8, number % 300 == 0))
    generator = np.random.default_rng(0)
    seconds = []
    for _ in range(50):
        begin = time.process_time()
        replay.sample(128, generator)
        seconds.append(time.process_time() - begin)
    print(f"sample of 128: {min(seconds) * 1e3:.2f} ms, median {sorted(seconds)[25] * 1e3:.2f} ms")
    assert min(seconds) < 0.004
