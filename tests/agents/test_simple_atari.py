"""SimPLe's shipped settings on Atari games: no game is special, and the smoke profile runs to its end."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rl_discrete
from rl_discrete import cli
from rl_discrete.agents.simple_checks import check_envs, resolve
from rl_discrete.agents.simple_config import SimpleConfig
from rl_discrete.agents.simple_start import build_envs
from rl_discrete.cli.flags import layered, shipped
from rl_discrete.data.replay import Replay
from rl_discrete.envs.make import check_discrete
from rl_discrete.world_models.learner import begin_learner


@pytest.mark.parametrize("game", ["Breakout", "Freeway", "Boxing"])
def test_the_preset_fits_every_game(game: str, tmp_path: Path) -> None:
    config = resolve(replace(layered(SimpleConfig, [shipped("simple", "cpu")]), env=game, num_envs=2))
    generator, none, no = np.random.default_rng(0), np.zeros(2, np.int64), np.zeros(2, np.bool_)
    with closing(build_envs(config)) as envs:
        check_envs(config, envs)
        shape, num_actions = envs.observation_space.shape or (), check_discrete(envs.envs[0])
        replay = Replay(tmp_path, shape, config.frame_stack, 2, 2**22)
        replay.append(envs.reset_all(), none, none, no, no, ~no)
        for _ in range(12):
            actions = generator.integers(num_actions, size=2)
            result = envs.step(actions)
            replay.append(result.observations, actions, np.sign(result.rewards), no, no, no)
    model = begin_learner("code", replay, num_actions, config.model, seed=0).model
    state = model.reset(replay.history(replay.latest(), model.history_length))
    assert model.observation_space.contains(model.observe(state)[0])
    noise = generator.random((2, model.noise_dim), np.float32)
    step = model.step(state, generator.integers(num_actions, size=2), noise)
    assert model.observation_space.contains(step.observation[0])
    assert np.isfinite(step.reward).all()


@pytest.mark.slow
def test_the_smoke_profile_on_real_pong(tmp_path: Path) -> None:
    assert cli.main(["train", "--env", "Pong", "--profile", "smoke", "--out", str(tmp_path / "run")]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["complete"], result["steps"], result["env"], result["prior"]) == (True, 1600, "Pong", "lstm")
    model, starts = rl_discrete.load_world_model(tmp_path / "run")
    observations = model.observe(model.reset(starts.draw(np.full((2, 2), 0.5))))
    assert model.observation_space.contains(observations[0])
