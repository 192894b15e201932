"""The learner of the table: what it counts and what it leaves out, and a restored one that goes on bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rl_discrete.data.replay import Replay
from rl_discrete.encoders.config import EncoderConfig, EncoderNetworkConfig
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.config import WorldModelConfig
from rl_discrete.world_models.held_out import split_rows
from rl_discrete.world_models.learner import begin_learner, restore_learner
from rl_discrete.world_models.table_config import TableModelConfig
from rl_discrete.world_models.table_learner import TableLearner
from tests.mdp.random_transitions import assert_same

CODES = EncoderConfig(num_latents=8, network=EncoderNetworkConfig(hidden=(16,)))
TABLE = TableModelConfig(codes=CODES, updates=30, refit_updates=20, schedule_updates=45, batch_size=16)
LEARNED = WorldModelConfig(table=TABLE)
CELLS = WorldModelConfig(table=replace(TABLE, encoder="downsample"))
PLACES, ENVS = 8, 4


def walked(folder: Path, steps: int, seed: int = 0) -> Replay:
    """Four walks in a circle of eight places, seen as cosine and sine; a step right from the last one ends the walk."""
    replay, rng = Replay(folder, (2,), 1, ENVS, 10**6, np.float32), np.random.default_rng(seed)
    places, fresh = rng.integers(PLACES, size=ENVS), np.ones(ENVS, np.bool_)
    for _ in range(steps):
        actions, again = rng.integers(2, size=ENVS), rng.integers(PLACES, size=ENVS)
        ends = ~fresh & (places == PLACES - 1) & (actions == 0)
        places = np.where(fresh, again, (places + np.where(actions, -1, 1)) % PLACES)
        angle = 2 * np.pi * (places + 0.5) / PLACES
        frames = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
        replay.append(frames, actions, ends.astype(float), ends, np.zeros(ENVS, np.bool_), fresh)
        fresh = ends
    return replay


def silent(name: str, share: float) -> None:
    assert 0.0 <= share <= 1.0, name


def test_counts_are_those_of_the_rows_that_are_not_held_out(tmp_path: Path) -> None:
    replay = walked(tmp_path, 800)
    learner = begin_learner("table", replay, 2, CELLS, seed=0)
    measured = learner.fit(replay, None, silent)
    assert isinstance(learner, TableLearner)
    transitions = learner.model.transitions
    train, held = split_rows(replay, TABLE.held_out_share, TABLE.held_out_steps)
    columns = replay.columns(train)
    assert len(held) > 100
    assert transitions.counts.sum() == (columns.previous >= 0).sum()
    assert transitions.terminations.sum() == columns.terminated.sum()
    assert transitions.num_states == measured["states"] == PLACES
    assert measured["held_out_tried_share"] == measured["held_out_seen_share"] == 1.0
    assert measured["held_out_reward_rms_error"] == 0.0
    # One outcome a pair: half a count is left for what was never seen, about a hundredth of some fifty visits.
    assert 0.0 < measured["held_out_step_nats"] < 0.03
    assert learner.updates == 0  # this encoder learns nothing


def test_a_restored_learner_goes_on_bit_for_bit(tmp_path: Path) -> None:
    replay = walked(tmp_path, 250)
    first = begin_learner("table", replay, 2, LEARNED, seed=3)
    assert isinstance(first, TableLearner)
    before = first.model
    measured = first.fit(replay, None, silent)
    assert first.model is not before
    assert measured["train_loss_nats"] > 0.0
    state = first.state()
    json.dumps(state.meta)
    second = restore_learner("table", state, replay, 2, LEARNED, seed=3)
    assert isinstance(second, TableLearner)
    assert_same(first.model.transitions, second.model.transitions)
    assert first.fit(replay, None, silent) == second.fit(replay, None, silent)
    assert (first.fits, first.updates) == (second.fits, second.updates) == (2, 45)  # 30, and what the schedule left
    assert_same(first.model.transitions, second.model.transitions)
    keys = first.model.transitions.keys
    third = begin_learner("table", replay, 2, LEARNED, seed=4)  # the control: another seed
    third.fit(replay, None, silent)
    assert isinstance(third, TableLearner)
    assert not np.array_equal(third.model.transitions.keys, keys)
    assert "train_loss_nats" not in first.fit(replay, 10, silent)  # all gradient steps are spent
    np.testing.assert_array_equal(first.model.transitions.keys, keys)


def test_bad_input_is_refused_in_one_line(tmp_path: Path) -> None:
    replay = walked(tmp_path, 20)
    with pytest.raises(UsageError, match=r"table.batch_size must be >= 1, got 0"):
        begin_learner("table", replay, 2, WorldModelConfig(table=replace(TABLE, batch_size=0)), seed=0)
    with pytest.raises(UsageError, match="held_out_share"):
        begin_learner("table", replay, 2, WorldModelConfig(table=replace(TABLE, held_out_share=0.9)), seed=0)
    with pytest.raises(UsageError, match="holds no transition"):
        begin_learner("table", walked(tmp_path / "empty", 0), 2, CELLS, seed=0)
    with pytest.raises(UsageError, match="holds no transition"):
        begin_learner("table", walked(tmp_path / "starts", 1), 2, CELLS, seed=0)
