"""Held-out rows: the right share, the same ones as the replay grows, and nothing of them in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.held_out import HeldOut, split_rows
from tests.world_models.lines import code_replay, line_replay


def test_share_and_blocks() -> None:
    held = HeldOut(share=0.1, steps=16, num_envs=4).mask(np.arange(64 * 1000))
    assert held.mean() == pytest.approx(0.1)
    assert held[64:128].all()
    assert not held[:64].any()
    blocks = held.reshape(-1, 64)
    assert (blocks.all(1) | ~blocks.any(1)).all()
    assert len(np.unique(np.flatnonzero(blocks.all(1)) % 10)) > 5  # not always the same place
    assert not HeldOut(0.0, 16, 4).mask(np.arange(1000)).any()
    assert not HeldOut(0.5, 16, 4).mask(np.full(3, -1)).any()


def test_rows_stay_what_they_are_as_the_replay_grows() -> None:
    split = HeldOut(share=0.2, steps=8, num_envs=2)
    np.testing.assert_array_equal(split.mask(np.arange(5000))[:1000], split.mask(np.arange(1000)))


def test_training_never_sees_a_held_out_row(tmp_path: Path) -> None:
    replay = line_replay(tmp_path, steps=300)
    train, held = split_rows(replay, 0.1, 16)
    assert len(train) + len(held) == len(replay.rows())
    assert len(held) > 0
    coded = code_replay(replay)
    starts = coded.training_starts(2, 4)
    used = np.concatenate((coded.back(starts, 2), coded.ahead(starts, 4)), axis=1)
    assert not coded.held_out[used[used >= 0]].any()
    measured = coded.held_out_starts(5)
    assert len(measured) > 0
    assert coded.held_out[measured].all()
    assert coded.held_out[coded.ahead(measured, 5)].all()


def test_codes_actions_and_links_are_those_of_the_replay(tmp_path: Path) -> None:
    replay = line_replay(tmp_path, steps=60)
    coded = code_replay(replay, soft=True)
    rows = replay.rows()
    columns = replay.columns(rows)
    np.testing.assert_array_equal(coded.codes, replay.frames(rows) > 0.5)
    np.testing.assert_array_equal(coded.actions[~columns.starts], columns.actions[~columns.starts])
    assert coded.soft is not None
    np.testing.assert_array_equal(coded.soft > 0.5, coded.codes == 1)
    codes, actions, valid = coded.history(np.arange(len(coded)), 3)
    expected = replay.history(rows, 3)
    np.testing.assert_array_equal(valid, expected.valid)
    np.testing.assert_array_equal(codes, expected.frames > 0.5)
    led = valid[:, 1:] & valid[:, :-1]
    np.testing.assert_array_equal(actions[:, 1:][led], expected.actions[:, 1:][led])
    np.testing.assert_array_equal(coded.ahead(np.arange(len(coded)), 1)[:, 0], coded.following)


def test_bad_shares() -> None:
    for share, steps in ((-0.1, 8), (0.6, 8), (0.1, 0)):
        with pytest.raises(UsageError, match="held_out_share"):
            HeldOut(share, steps, 1)
