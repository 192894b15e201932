"""SimPLe's loop with the real world models, tiny, on a grid world: it runs, what it made is loaded, a stop is exact."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rl_discrete
from rl_discrete.agents.simple import train_simple
from rl_discrete.envs.model import WorldModelVectorEnv
from rl_discrete.runs.errors import Interrupted
from rl_discrete.world_models.base import WorldModel
from rl_discrete.world_models.code import CodeWorldModel
from rl_discrete.world_models.pixel import PixelWorldModel
from rl_discrete.world_models.tabular import TabularWorldModel
from tests.agents.run_files import assert_same_run
from tests.agents.simple_runs import SMALL
from tests.agents.test_simple import die, happen_in, terminate


@pytest.mark.parametrize(
    ("world_model", "kind"), [("code", CodeWorldModel), ("pixel", PixelWorldModel), ("table", TabularWorldModel)]
)
def test_every_world_model_goes_through_the_loop_and_comes_back(
    world_model: Any, kind: type[WorldModel[Any]], tmp_path: Path
) -> None:
    run = train_simple(replace(SMALL, world_model=world_model), tmp_path / "run")
    result = json.loads((run / "result.json").read_text())
    assert (result["complete"], result["steps"], result["imagined_steps"]) == (True, 160, 128)
    assert len(result["iterations"]) == 2
    model, starts = rl_discrete.load_world_model(run)
    assert isinstance(model, kind)
    envs = WorldModelVectorEnv(model, starts, num_envs=3, horizon=2)
    observations, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(observations)
    observations, rewards, terminated, _, _ = envs.step(np.array([0, 1, 2]))
    assert envs.observation_space.contains(observations)
    assert np.isfinite(rewards).all()
    assert terminated.shape == (3,)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with codes that nobody disturbed."""
    return train_simple(SMALL, tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize(
    ("function", "call", "how"),
    [
        ("step_envs", 50, terminate),  # among the real steps after the first fit
        ("fit_world", 2, die),
        ("learn_block", 2, terminate),
        ("diagnose", 1, die),
    ],
)
def test_a_resumed_run_with_real_codes_is_the_same_bit_for_bit(
    function: str, call: int, how: Any, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        happen_in(patch, function, call, how)
        with pytest.raises((Interrupted, MemoryError)):
            train_simple(SMALL, tmp_path / "parts")
    assert_same_run(whole, train_simple(SMALL, tmp_path / "parts", resume=True))
