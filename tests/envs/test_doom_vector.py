"""Doom behind the adapters: an agent of Stable-Baselines3 is told the same of it, in frames and in a model's bits."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rl_discrete.data.history import History
from rl_discrete.data.replay import Replay
from rl_discrete.envs.encoded import EncodedVectorEnv
from rl_discrete.envs.make import make_env
from rl_discrete.envs.sb3 import AnyVectorEnv, VectorEnvToVecEnv
from rl_discrete.world_models.learner import begin_learner
from tests.agents.simple_runs import WORLDS

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("vizdoom") is None, reason="vizdoom is not installed: pip install 'rl-discrete[doom]'"
)

B, ACTIONS, LENGTH = 2, 3, 4


def mazes(mode: AutoresetMode) -> AnyVectorEnv:
    maze = partial(make_env, "DoomPlusMaze", max_steps=LENGTH)
    return SyncVectorEnv([maze] * B, autoreset_mode=mode)


def test_doom_is_the_same_in_frames_and_in_the_bits_of_a_world_model(tmp_path: Path) -> None:
    generator, none, no = np.random.default_rng(0), np.zeros(B, np.int64), np.zeros(B, np.bool_)
    real = VectorEnvToVecEnv(mazes(AutoresetMode.NEXT_STEP))
    real.seed(3)
    first = np.asarray(real.reset())
    assert first.shape == (B, 3, 60, 80)
    replay = Replay(tmp_path, first.shape[1:], 1, B, 2**22)
    replay.append(first, none, none, no, no, ~no)
    told = []
    for _ in range(2 * LENGTH + 1):
        actions = generator.integers(ACTIONS, size=B)
        frames, rewards, dones, infos = real.step(actions)
        told.append((actions, np.asarray(frames), rewards, dones, infos))
        replay.append(np.asarray(frames), actions, rewards, no, no, dones)
    real.close()
    model = begin_learner("code", replay, ACTIONS, WORLDS, seed=0).model

    encoded = VectorEnvToVecEnv(EncodedVectorEnv(mazes(AutoresetMode.SAME_STEP), model))
    encoded.seed(3)
    histories = [History.of_first(first[[index]], model.history_length) for index in range(B)]
    seen, ends, shown = np.asarray(encoded.reset()), 0, set()
    for actions, frames, rewards, dones, infos in told:
        for index, history in enumerate(histories):
            assert np.array_equal(seen[index], model.observe(model.reset(history))[0])
            shown.add(seen[index].tobytes())
        stepped, paid, ended, said = encoded.step(actions)
        assert paid.tolist() == rewards.tolist()
        assert ended.tolist() == dones.tolist()
        for index, info in enumerate(infos):
            assert said[index]["TimeLimit.truncated"] == info["TimeLimit.truncated"]
            last = info["terminal_observation"] if dones[index] else frames[index]
            histories[index] = histories[index].push(actions[[index]], last[None])
            if dones[index]:
                closing = model.observe(model.reset(histories[index]))[0]
                assert np.array_equal(said[index]["terminal_observation"], closing)
                histories[index] = History.of_first(frames[[index]], model.history_length)
                ends += 1
        seen = np.asarray(stepped)
    encoded.close()
    assert ends >= 2 * B
    assert len(shown) > LENGTH  # other frames, other bits
