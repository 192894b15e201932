"""What can be named wrongly about a VaST run, and what can go wrong in its world: one line each, nothing lost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from rl_discrete.agents.config import ExplorationConfig, LearningConfig, PlannerConfig
from rl_discrete.agents.vast import train_vast
from rl_discrete.analysis.diagnostics import diagnose_run
from rl_discrete.analysis.diagnostics_config import DiagnosticsConfig
from rl_discrete.runs.checkpoint import list_checkpoints
from rl_discrete.runs.errors import RunError, UsageError
from tests.agents.vast_runs import small
from tests.agents.worlds import PASSAGE, Passage, Vector


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be >= 1, got 0"),
        ({"encoder": "isch"}, "encoder"),
        ({"env": "gird"}, "did you mean 'grid'"),
        ({"planner": PlannerConfig(discount=1.0)}, r"planner.discount must be in \[0, 1\), got 1.0"),
        ({"planner": PlannerConfig(cutoff=math.inf)}, "planner.cutoff must be > 0 and finite, got inf"),
        ({"planner": PlannerConfig(optimistic_value=math.inf)}, "planner.optimistic_value must be finite, got inf"),
        ({"planner": PlannerConfig(lookup_fallback=math.nan)}, "planner.lookup_fallback must be finite, got nan"),
        ({"planner": PlannerConfig(max_bytes=1)}, r"max_bytes must be >= \d{4}, the size of an empty table, got 1"),
        ({"exploration": ExplorationConfig(end=2.0)}, r"exploration.end must be in \[0, 1\]"),
        ({"training": LearningConfig(batch_size=0)}, "training.batch_size must be >= 1"),
        ({"changes": ("open_door@5",)}, "cannot change by open_door"),
        ({"env": PASSAGE, "changes": ("open_passage@5", "open_passage@5")}, "made once"),
        ({"changes": ("reset@5+forced",)}, "no forced run"),
        ({"changes": ("step@5",)}, r"cannot change by step: .*missing .* 'action'"),
        ({"changes": ("action_space@5",)}, "cannot change by action_space: .* not callable"),
        ({"env": PASSAGE, "changes": ("schedule_forced_run@5",)}, "call open_passage"),
        ({"env": PASSAGE, "changes": ("open_passage@6", "schedule_forced_run@5")}, "call open_passage"),
        (
            {
                "env": PASSAGE,
                "env_kwargs": {"forced_run": False},
                "changes": ("open_passage@5+forced",),
            },
            "has no forced run",
        ),
        ({"replay_bytes": 100}, "too small"),
        ({"env_kwargs": {"size": 3}}, "does not take these arguments"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train_vast(small(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_env_with_other_actions_is_refused(tmp_path: Path) -> None:
    assert "Pendulum-v1" in gymnasium.registry
    with pytest.raises(UsageError, match="actions must be Discrete"):
        train_vast(small(env="Pendulum-v1"), tmp_path / "run")


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
