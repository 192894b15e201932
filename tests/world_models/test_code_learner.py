"""Codec and dynamics fitted as a replay grows: exact resume, new kinds of rewards, a codec fitted again when due."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rl_discrete.data.history import CodedHistory
from rl_discrete.data.replay import Replay
from rl_discrete.latents.config import ConditionalLSTMConfig
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.code_learner import CodeLearner
from rl_discrete.world_models.config import (
    CodecConfig,
    CodeModelConfig,
    DynamicsConfig,
    DynamicsFitConfig,
    WorldModelConfig,
)
from rl_discrete.world_models.learner import LearnerState, begin_learner, restore_learner
from tests.world_models.lines import MOVES, line_replay

ACTIONS = len(MOVES)
CONFIG = WorldModelConfig(
    code=CodeModelConfig(
        codec=CodecConfig(vector_bits=8, vector_hidden=(16,), updates=20, refit_updates=10),
        dynamics=DynamicsConfig(
            hidden=16,
            outcome_hidden=8,
            history=2,
            recurrent=4,
            burn_in=2,
            ensemble=2,
            lstm=ConditionalLSTMConfig(hidden=8, embedding=4, chunk=4),
        ),
        fit=DynamicsFitConfig(updates=6, refit_updates=4, batch_size=8, unroll=2, codec_growth=2.0, held_out_steps=16),
    )
)


def quiet(what: str, share: float) -> None:
    assert 0.0 <= share <= 1.0, what


def grow(replay: Replay, rows: int, reward: float = 1.0) -> None:
    """Appends `rows` rows to each env, of episodes of their own."""
    generator = np.random.default_rng(rows)
    num_envs, (size,) = replay.layout.num_envs, replay.layout.frame_shape
    no = np.zeros(num_envs, np.bool_)
    for index in range(rows):
        frames = np.eye(size, dtype=np.float32)[generator.integers(size, size=num_envs)]
        starts = np.full(num_envs, index == 0)
        replay.append(frames, no.astype(np.int64), np.full(num_envs, reward), no, no, starts)


def same(state: LearnerState, other: LearnerState) -> bool:
    tensors = state.tensors.keys() == other.tensors.keys() and all(
        torch.equal(value, other.tensors[name]) for name, value in state.tensors.items()
    )
    return tensors and json.dumps(state.meta) == json.dumps(other.meta)


def test_a_restored_learner_goes_on_bit_for_bit(tmp_path: Path) -> None:
    replay = line_replay(tmp_path, steps=150)
    learner = begin_learner("code", replay, ACTIONS, CONFIG, seed=3)
    first = learner.model
    found = learner.fit(replay, None, quiet)
    assert {"nats_per_step", "bit_error_1", "train_code_nats", "imagined_positive_rate"} <= found.keys()
    assert learner.model is not first
    kept = learner.state()
    saved = LearnerState(kept.tensors, kept.arrays, json.loads(json.dumps(kept.meta)))
    restored = restore_learner("code", saved, replay, ACTIONS, CONFIG, seed=3)
    history = replay.history(replay.rows()[5:25], learner.model.history_length)
    state = learner.model.reset(history)
    np.testing.assert_array_equal(learner.model.observe(state), restored.model.observe(restored.model.reset(history)))
    grow(replay, 200)
    assert learner.fit(replay, 5, quiet) == restored.fit(replay, 5, quiet)
    assert same(learner.state(), restored.state())
    assert not same(kept, learner.state())


def test_histories_of_codes_give_the_states_of_their_frames(tmp_path: Path) -> None:
    replay = line_replay(tmp_path, steps=150)
    learner = CodeLearner.begin(replay, ACTIONS, CONFIG, seed=0)
    learner.fit(replay, 2, quiet)
    restored = CodeLearner.restore(learner.state(), replay, ACTIONS, CONFIG, seed=0)
    histories = learner.histories(replay)
    for _ in range(2):  # the second time of a replay that has grown, and of another codec
        length, rows = learner.model.history_length, replay.rows()[::7]
        wanted = learner.model.reset(replay.history(rows, length))
        for told in (histories(rows, length), restored.histories(replay)(rows, length + 2)):
            assert isinstance(told, CodedHistory)
            found = learner.model.reset(told)
            assert torch.equal(found.seen, wanted.seen)
            for summary, other in zip(found.summaries, wanted.summaries, strict=True):
                assert summary is not None
                assert other is not None
                assert torch.equal(summary, other)
        grow(replay, 200)
        learner.fit(replay, 2, quiet)
        restored = CodeLearner.restore(learner.state(), replay, ACTIONS, CONFIG, seed=0)


def test_the_codec_is_fitted_again_when_the_replay_has_grown(tmp_path: Path) -> None:
    replay = line_replay(tmp_path, steps=150)
    learner = CodeLearner.begin(replay, ACTIONS, CONFIG, seed=0)
    assert "codec/loss" in learner.fit(replay, 2, quiet)
    assert "codec/loss" not in learner.fit(replay, 2, quiet)
    grow(replay, 160)
    assert "codec/loss" in learner.fit(replay, 2, quiet)
    assert learner.fits == 3


def test_a_new_kind_of_reward_gets_new_heads(tmp_path: Path) -> None:
    replay = line_replay(tmp_path, steps=150)
    learner = CodeLearner.begin(replay, ACTIONS, CONFIG, seed=0)
    learner.fit(replay, 2, quiet)
    assert learner.state().meta["reward_kind"] == "signs"
    grow(replay, 30, reward=7.0)
    learner.fit(replay, 2, quiet)
    state = learner.state()
    assert state.meta["reward_kind"] == "values"
    assert same(CodeLearner.restore(state, replay, ACTIONS, CONFIG, seed=0).state(), state)


def test_what_cannot_work_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be code, pixel or table"):
        begin_learner("nothing", line_replay(tmp_path, steps=30), ACTIONS, CONFIG, seed=0)  # type: ignore[arg-type]
    empty = Replay(tmp_path / "empty", (6,), 1, 1, 2**20, np.float32)
    with pytest.raises(UsageError, match="empty"):
        CodeLearner.begin(empty, ACTIONS, CONFIG, seed=0)
