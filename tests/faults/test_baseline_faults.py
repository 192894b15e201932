"""What can be named wrongly about a baseline, and what can go wrong in it: one line each, nothing lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.agents.baseline_config import BaselineConfig, DQNConfig, PPOConfig
from rl_discrete.agents.baselines import load_baseline, train_baseline
from rl_discrete.runs.checkpoint import list_checkpoints
from rl_discrete.runs.errors import RunError, UsageError
from tests.agents.corridor_env import CorridorEnv
from tests.agents.test_baselines import SMALL, stop_after

SHORT = replace(SMALL, steps=64, checkpoint_every=32)


class PoisonedCorridor(CorridorEnv):
    """Pays something that is no number after a while."""

    def step(self, action: np.int64) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        self.total = getattr(self, "total", 0) + 1
        return observation, reward if self.total < 20 else float("nan"), terminated, truncated, info


gymnasium.register("PoisonedCorridor-v0", "tests.faults.test_baseline_faults:PoisonedCorridor")


@pytest.mark.parametrize(
    ("agent", "config", "message"),
    [
        ("pop", SHORT, "agent must be one of ppo, dqn, random, got 'pop'; did you mean ppo?"),
        ("ppo", replace(SHORT, env="gird"), "unknown environment 'gird'; did you mean 'grid'?"),
        ("ppo", replace(SHORT, env="MountainCarContinuous-v0"), "actions must be Discrete"),
        ("ppo", replace(SHORT, env_kwargs={"lenght": 3}), "does not take these arguments"),
        ("ppo", replace(SHORT, steps=0), "steps must be >= 1, got 0"),
        ("ppo", replace(SHORT, seed=-1), "seed must be >= 0, got -1"),
        ("ppo", replace(SHORT, frame_stack=-1), "frame_stack must be >= 0, got -1"),
        ("ppo", replace(SHORT, threads=0), "threads must be >= 1, got 0"),
        ("ppo", replace(SHORT, network="nature"), "network nature needs images of >= 36 pixels"),
        ("ppo", replace(SHORT, ppo=PPOConfig(rollout_steps=8, batch_size=24)), "divide the 32 steps of a rollout"),
        ("ppo", replace(SHORT, ppo=replace(SHORT.ppo, learning_rate=0.0)), "ppo.learning_rate must be > 0, got 0.0"),
        ("ppo", replace(SHORT, ppo=replace(SHORT.ppo, discount=1.1)), "ppo.discount must be in [0, 1], got 1.1"),
        ("ppo", replace(SHORT, ppo=replace(SHORT.ppo, entropy_weight=-1.0)), "ppo.entropy_weight must be >= 0"),
        ("dqn", replace(SHORT, dqn=DQNConfig(exploration_share=0.0)), "dqn.exploration_share must be in (0, 1]"),
        ("dqn", replace(SHORT, dqn=DQNConfig(steps_per_update=0)), "dqn.steps_per_update must be >= 1, got 0"),
        ("dqn", replace(SHORT, dqn=DQNConfig(replay_bytes=1)), "a replay of 1 bytes is too small for 4 envs"),
    ],
)
def test_wrong_settings_are_one_clear_line_and_leave_no_folder(
    agent: str, config: BaselineConfig, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        train_baseline(agent, config, tmp_path / "run")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_run_is_left_alone(tmp_path: Path) -> None:
    run = train_baseline("random", SHORT, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for agent, config, resume, message in (
        ("random", SHORT, False, "continue it with --resume or choose another --out"),
        ("ppo", SHORT, True, "agent: random -> ppo"),
        ("random", replace(SHORT, seed=1), True, "seed: 0 -> 1"),
        ("random", replace(SHORT, env="CartPole-v1"), True, "holds a run of train on Corridor-v0"),
        ("random", replace(SHORT, num_envs=2), True, "num_envs: 4 -> 2"),
    ):
        with pytest.raises(UsageError, match=message):
            train_baseline(agent, config, run, resume=resume)
    assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(UsageError, match="there is no run to resume"):
        train_baseline("random", SHORT, tmp_path / "nowhere", resume=True)


@pytest.mark.parametrize("agent", ["ppo", "dqn"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    agent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train_baseline(agent, SHORT, tmp_path / "whole")
    run = train_baseline(agent, SHORT, tmp_path / "run")
    newest = list_checkpoints(run / "checkpoints")[-1]
    (newest / "policy.safetensors").write_bytes(b"damaged")
    train_baseline(agent, SHORT, run, resume=True)
    assert "continuing from step-000032" in capsys.readouterr().err
    assert (run / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


@pytest.mark.parametrize("agent", ["ppo", "dqn"])
def test_a_reward_that_is_no_number_ends_the_run_and_keeps_the_last_checkpoint(agent: str, tmp_path: Path) -> None:
    dqn = DQNConfig(burn_in=16, batch_size=8, steps_per_update=4, replay_bytes=100_000)
    config = replace(SHORT, env="PoisonedCorridor-v0", steps=256, dqn=dqn)
    with pytest.raises(
        RunError, match="env 0 gave the reward nan at step 76; the last checkpoint is kept: mend the env"
    ):
        train_baseline(agent, config, tmp_path / "run")
    assert len(list_checkpoints(tmp_path / "run" / "checkpoints")) >= 1


def test_there_is_nothing_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        stop_after(patch, 1, fail)
        with pytest.raises(MemoryError):
            train_baseline("ppo", SHORT, tmp_path / "run")
    with pytest.raises(UsageError, match="has no checkpoint yet: continue it with --resume"):
        load_baseline(tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").write_text(json.dumps({"agent": "vast"}))
    with pytest.raises(UsageError, match="holds a run of vast, not of a baseline"):
        load_baseline(tmp_path / "other")
    with pytest.raises(UsageError, match="cannot read"):
        load_baseline(tmp_path / "nowhere")
