"""What can go wrong in the world of a VaST run: one line each, and the last checkpoint is kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from rl_discrete.agents.vast import train_vast
from rl_discrete.analysis.diagnostics import diagnose_run
from rl_discrete.analysis.diagnostics_config import DiagnosticsConfig
from rl_discrete.runs.checkpoint import list_checkpoints
from rl_discrete.runs.errors import RunError
from tests.agents.vast_runs import small
from tests.agents.worlds import Passage, Vector


class Poisoned(Passage):
    """Pays something that is no number after a while."""

    after = 10**9
    reward = math.nan

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def step(self, action: np.int64) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        self.taken += 1
        return observation, reward if self.taken <= self.after else self.reward, terminated, truncated, info


POISONED = small(env="Poisoned-v0", encoder="downsample", steps=120, checkpoint_every=40)
gymnasium.register("Poisoned-v0", "tests.faults.test_vast_faults:Poisoned", disable_env_checker=True)


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_no_number_ends_the_run_and_keeps_the_last_checkpoint(
    reward: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Poisoned, "reward", reward)
    with monkeypatch.context() as patch:
        patch.setattr(Poisoned, "after", 19)
        with pytest.raises(
            RunError, match=f"env 0 gave the reward {reward} at step 76; the last checkpoint is kept: mend the env"
        ):
            train_vast(POISONED, tmp_path / "run")
    assert [path.name for path in list_checkpoints(tmp_path / "run" / "checkpoints")] == ["step-000040"]
    train_vast(POISONED, tmp_path / "run", resume=True)


def test_a_reward_that_is_no_number_ends_a_diagnosis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train_vast(POISONED, tmp_path / "run")
    monkeypatch.setattr(Poisoned, "after", 5)
    with pytest.raises(RunError, match="env 0 gave the reward nan at step 20: mend the env"):
        diagnose_run(run, DiagnosticsConfig(steps=40, num_envs=4))
    assert not (run / "diagnostics").exists()
