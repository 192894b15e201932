"""Colours of frames, and windows of a replay, for the world model of pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.data.replay import Replay
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.pixel_coding import PixelCoding
from rl_discrete.world_models.pixel_windows import WindowSampler

FRAME = (1, 2, 2)


def test_every_value_is_a_symbol_without_a_palette() -> None:
    frames = np.random.default_rng(0).integers(256, size=(5, 3, 4, 6), dtype=np.uint8)
    coding = PixelCoding.find(frames, 0)
    assert (coding.planes, coding.values, coding.colours) == (3, 256, None)
    assert coding.symbols(frames) is frames
    assert coding.frames(frames) is frames


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_come_back(channels: int) -> None:
    generator = np.random.default_rng(0)
    colours = generator.integers(256, size=(7, channels), dtype=np.uint8)
    frames = np.moveaxis(colours[generator.integers(7, size=(4, 5, 6))], -1, 1)
    coding = PixelCoding.find(frames, 16)
    assert (coding.planes, coding.values) == (1, 7)
    symbols = coding.symbols(frames)
    assert symbols.shape == (4, 1, 5, 6)
    assert np.array_equal(coding.frames(symbols), frames)
    stacked = frames.reshape(2, 2, channels, 5, 6)
    assert np.array_equal(coding.symbols(stacked), symbols.reshape(2, 2, 1, 5, 6))


def test_a_small_object_keeps_its_colour_and_shades_share_one() -> None:
    frames = np.zeros((50, 1, 20, 20), np.uint8)
    frames[:, :, :10] = np.random.default_rng(0).integers(100, 108, size=(50, 1, 10, 20))  # 8 shades of a background
    frames[0, 0, 15, 15] = 236  # one pixel of 20,000
    coding = PixelCoding.find(frames, 3)
    assert coding.colours is not None
    assert sorted(coding.colours[:, 0].tolist())[::2] == [0, 236]
    back = coding.frames(coding.symbols(frames))
    assert back[0, 0, 15, 15] == 236
    assert np.abs(back[:, :, :10].astype(int) - frames[:, :, :10]).max() < 8
    by_frequency = np.bincount(frames.ravel()).argsort()[::-1][:3]
    assert 236 not in by_frequency  # the control


def test_an_unknown_colour_is_the_nearest() -> None:
    coding = PixelCoding((3, 1, 2), np.array([[0, 0, 0], [200, 0, 0], [0, 0, 90]], np.uint8))
    frames = np.array([[[[150, 10]], [[20, 0]], [[0, 60]]]], np.uint8)
    for _ in range(2):
        assert coding.symbols(frames)[0, 0, 0].tolist() == [1, 2]


def test_what_has_no_colours() -> None:
    with pytest.raises(UsageError, match="takes images, got frames of shape"):
        PixelCoding((4,))
    with pytest.raises(UsageError, match="palette must be 0 or between 2 and 256, got 1"):
        PixelCoding.find(np.zeros((1, 1, 2, 2), np.uint8), 1)
    with pytest.raises(UsageError, match="1 to 3 channels, got 4"):
        PixelCoding.find(np.zeros((1, 4, 2, 2), np.uint8), 8)


def numbered(folder: Path, lengths: tuple[int, ...], rewarded: tuple[int, ...] = ()) -> Replay:
    """Episodes of one env, all of which end; the frames and actions of row j say j."""
    replay = Replay(folder, FRAME, 1, 1, 10**6, segment_rows=64)
    row = 0
    for length in lengths:
        for time in range(length):
            replay.append(
                np.full((1, *FRAME), row % 256, np.uint8),
                [row % 5],
                [float(row in rewarded)],
                [time == length - 1],
                [False],
                [time == 0],
            )
            row += 1
    return replay


def sampler(
    replay: Replay, context: int, predicted: int, share: float = 0.0, rows: NDArray[np.int64] | None = None
) -> WindowSampler:
    coding = PixelCoding(FRAME)
    return WindowSampler(replay, replay.rows() if rows is None else rows, coding, context, predicted, share)


def test_windows_stay_in_their_episode(tmp_path: Path) -> None:
    lengths = (7, 2, 9, 3, 1)
    replay = numbered(tmp_path, lengths)
    made = sampler(replay, context=3, predicted=2)
    first = np.repeat(np.cumsum((0, *lengths[:-1])), lengths)  # of the episode of each row
    assert made.ends.tolist() == [row for row in range(22) if row - first[row] >= 2]
    windows = made.draw(400, np.random.default_rng(0))
    rows = windows.symbols[:, :, 0, 0, 0].numpy().astype(int)
    assert set(rows[:, -1]) == set(made.ends.tolist())
    valid = windows.valid.numpy()
    assert valid[:, 2:].all()
    assert not valid[:, 0].all()  # young episodes are there too
    for ids, there, actions, ended in zip(rows, valid, windows.actions.numpy(), windows.ended.numpy(), strict=True):
        kept = ids[there]
        assert (np.diff(kept) == 1).all()
        assert len(set(first[kept])) == 1
        starts = kept == first[kept]
        assert actions[there].tolist() == np.where(starts, 0, kept % 5).tolist()
        assert not ended[:-1].any()
        assert ended[-1] == (kept[-1] + 1 in (*first, 22))


def test_rows_that_may_not_be_predicted(tmp_path: Path) -> None:
    replay = numbered(tmp_path, (12,))
    made = sampler(replay, context=2, predicted=2, rows=np.array([0, 1, 2, 3, 8, 9, 10, 11]))
    assert made.ends.tolist() == [2, 3, 9, 10, 11]


def test_telling_windows_are_drawn_more_often_and_it_is_known_how_much(tmp_path: Path) -> None:
    replay = numbered(tmp_path, (300, 2), rewarded=(100,))
    rare, plain = (sampler(replay, 2, 4, share) for share in (0.5, 0.0))
    assert rare.weights.mean() == pytest.approx(1.0)
    assert plain.excess().rewards.tolist() == [1.0, 1.0, 1.0]
    told = rare.excess()
    generator = np.random.default_rng(0)
    windows = rare.draw(6000, generator)
    drawn = (windows.rewards[:, 2:] > 0.0).float().mean().item()
    there = 4.0 / (4.0 * len(rare.ends))
    assert told.rewards[2].item() == pytest.approx(drawn / there, rel=0.06)
    assert told.rewards[2].item() > 30.0
    assert told.rewards[0].item() == 1.0  # nowhere
    assert 0.8 < told.rewards[1].item() < 1.0
    ends = windows.ended[:, 2:].float().mean().item() * 4.0 * len(rare.ends)
    assert told.ends == pytest.approx(ends, rel=0.2)
    uniform = plain.draw(6000, generator)
    assert (uniform.rewards[:, 2:] > 0.0).float().mean().item() < 0.2 * drawn  # the control


def test_too_little_for_a_window(tmp_path: Path) -> None:
    replay = numbered(tmp_path, (2, 2))
    with pytest.raises(UsageError, match="a window takes 3 frames of one episode, and none has as many"):
        sampler(replay, 1, 2)
    with pytest.raises(UsageError, match=r"reward_share must be in \[0, 1\), got 1.0"):
        sampler(replay, 1, 1, 1.0)
