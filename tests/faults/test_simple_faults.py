"""What can be named wrongly about a SimPLe run, and what can go wrong in it: one line each, nothing lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

import rl_discrete
from rl_discrete.agents.simple import train_simple
from rl_discrete.agents.simple_config import SimpleConfig
from rl_discrete.runs.checkpoint import list_checkpoints
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.world_models.base import ModelStep
from tests.agents.simple_worlds import SMALL, CoinLearner, use
from tests.agents.test_simple import checkpoint, die, happen_in, same
from tests.world_models.toy import SIDES, CoinEnv, CoinModel, State

SHORT = replace(SMALL, schedule=replace(SMALL.schedule, iterations=1, imagined_steps=128, last_steps=0))


class FaultyCoin(CoinEnv):
    """Goes wrong after a while, in one of several ways."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault, self.taken = fault, 0

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        self.taken += 1
        if self.taken > 15:
            if self.fault == "reward":
                reward = float("nan")
            elif self.fault == "observation":
                observation[1] = np.nan
            elif self.fault == "shape":
                observation = np.zeros(SIDES + 1, np.float32)
        return observation, reward, terminated or self.fault == "short", truncated, info


gymnasium.register("FaultyCoin-v0", "tests.faults.test_simple_faults:FaultyCoin")


@pytest.fixture(autouse=True)
def _coin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The learner of every run."""
    use(monkeypatch, CoinLearner)


def with_arguments(algo: str, **arguments: Any) -> SimpleConfig:
    return replace(SHORT, algo=algo, policy=replace(SHORT.policy, arguments={algo: arguments}))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(SHORT, env="gird"), "unknown environment 'gird'; did you mean 'grid'?"),
        (replace(SHORT, env="MountainCarContinuous-v0"), "actions must be Discrete"),
        (replace(SHORT, env_kwargs={"lenght": 3}), "does not take these arguments"),
        (replace(SHORT, algo="pop"), "unknown algo 'pop'; did you mean ppo? allowed: ppo, a2c, dqn, qrdqn, trpo"),
        (replace(SHORT, algo="SAC"), "algo sac cannot learn inside a world model: it needs continuous actions; take "),
        (replace(SHORT, algo="MaskablePPO"), "which actions are allowed; take one of ppo, a2c, dqn, qrdqn, trpo"),
        (with_arguments("ppo", n_step=3), "policy.arguments.ppo has no 'n_step'; did you mean n_steps?"),
        (with_arguments("ppo", n_steps=8, batch_size=100), "divide the 64 steps of a rollout"),
        (with_arguments("dqn", policy_kwargs=3), "policy.arguments.dqn.policy_kwargs must be a mapping"),
        (replace(SHORT, policy=replace(SHORT.policy, arguments={"ppo": 3})), "policy.arguments.ppo must be a mapping"),
        (replace(SHORT, real_steps=-4), "real_steps must be >= 0, got -4"),
        (replace(SHORT, real_steps=162), "real_steps must be a multiple of num_envs (4), so that it is met exactly"),
        (replace(SHORT, real_steps=0), "--real-steps 0 --world-run DIR trains in the finished model of another run"),
        (replace(SHORT, world_run=Path("there")), "real_steps 0 and world_run go together"),
        (replace(SHORT, prior="factorised", world_model="pixel"), "prior factorised is for world_model code"),
        (
            replace(SHORT, world_model="pixel"),
            "takes images, uint8 (C, H, W), got float32 (3,)",
        ),
        (replace(SHORT, frame_stack=-1), "frame_stack must be >= 0, got -1"),
        (replace(SHORT, schedule=replace(SHORT.schedule, iterations=0)), "schedule.iterations must be >= 1, got 0"),
        (replace(SHORT, schedule=replace(SHORT.schedule, fit_updates=0)), "schedule.fit_updates must be >= 1, got 0"),
        (
            replace(SHORT, schedule=replace(SHORT.schedule, last_imagined_factor=0.0)),
            "schedule.last_imagined_factor must be > 0, got 0.0",
        ),
        (replace(SHORT, collection=replace(SHORT.collection, epsilon=1.5)), "collection.epsilon must be in [0, 1]"),
        (
            replace(SHORT, schedule=replace(SHORT.schedule, last_agents=0)),
            "schedule.last_agents must be >= 1, got 0",
        ),
        (
            replace(SHORT, collection=replace(SHORT.collection, longest_hold=0)),
            "collection.longest_hold must be >= 1, got 0",
        ),
        (replace(SHORT, imagination=replace(SHORT.imagination, half_life=0.0)), "imagination.half_life must be > 0"),
        (replace(SHORT, replay_bytes=1), "a replay of 1 bytes is too small for 4 envs"),
    ],
)
def test_wrong_settings_are_one_clear_line_and_leave_no_folder(
    config: SimpleConfig, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        train_simple(config, tmp_path / "run")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("reward", "env 0 gave the reward nan at step 60; the last checkpoint is kept: mend the env"),
        ("observation", "the env showed nan at place 1 of an observation; the last checkpoint is kept"),
        ("shape", r"the env showed float32 \(4,\) where its space says float32 \(3,\)"),
    ],
)
def test_a_faulty_env_ends_the_run_and_keeps_the_last_checkpoint(fault: str, message: str, tmp_path: Path) -> None:
    config = replace(SHORT, env="FaultyCoin-v0", env_kwargs={"fault": fault})
    with pytest.raises(RunError, match=message):
        train_simple(config, tmp_path / "run")
    assert len(list_checkpoints(tmp_path / "run" / "checkpoints")) == 1


def test_episodes_of_one_step_are_learned_from(tmp_path: Path) -> None:
    run = train_simple(replace(SHORT, env="FaultyCoin-v0", env_kwargs={"fault": "short"}), tmp_path / "run")
    assert (run / "result.json").exists()


def test_a_loss_that_is_no_number_ends_the_run_and_resume_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Poisoned(CoinModel):
        def step(self, state: State, actions: NDArray[np.int64], noise: NDArray[np.float32]) -> ModelStep[State]:
            step = super().step(state, actions, noise)
            return replace(step, reward=step.reward * np.float32(np.nan))

    whole = train_simple(SHORT, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(CoinLearner, "kind", Poisoned)
        with pytest.raises(RunError, match="of ppo became nan after 128 imagined steps; the last checkpoint is kept"):
            train_simple(SHORT, tmp_path / "run")
    run = train_simple(SHORT, tmp_path / "run", resume=True)
    assert same(checkpoint(run), checkpoint(whole))


def test_a_fit_that_fails_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RunError("a loss became nan")

    with monkeypatch.context() as patch:
        patch.setattr(CoinLearner, "interrupt", staticmethod(fail))
        with pytest.raises(RunError, match="a loss became nan"):
            train_simple(SHORT, tmp_path / "run")
    assert (train_simple(SHORT, tmp_path / "run", resume=True) / "result.json").exists()


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, run = (train_simple(SMALL, tmp_path / name) for name in ("whole", "run"))
    newest = list_checkpoints(run / "checkpoints")[-1]
    (newest / "policy.safetensors").write_bytes(b"damaged")
    train_simple(SMALL, run, resume=True)
    assert "continuing from step-000140" in capsys.readouterr().err
    assert (run / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    assert same(checkpoint(run), checkpoint(whole))


def test_more_model_envs_than_memory_holds(tmp_path: Path) -> None:
    arguments = {"ppo": {"n_steps": 2, "batch_size": 10**9}}
    imagination, policy = replace(SHORT.imagination, num_envs=10**9), replace(SHORT.policy, arguments=arguments)
    with pytest.raises(UsageError, match=r"at most|fit"):
        train_simple(replace(SHORT, imagination=imagination, policy=policy), tmp_path / "run")


def test_a_folder_of_another_run_is_left_alone(tmp_path: Path) -> None:
    run = train_simple(SHORT, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for config, resume, message in (
        (SHORT, False, "continue it with --resume or choose another --out"),
        (replace(SHORT, algo="a2c"), True, "algo: ppo -> a2c"),
        (replace(SHORT, encoder="gs"), True, "encoder: ish -> gs"),
        (replace(SHORT, real_steps=164), True, "real_steps: 160 -> 164"),
        (replace(SHORT, env="CartPole-v1"), True, "holds a run of train on"),
    ):
        with pytest.raises(UsageError, match=message):
            train_simple(config, run, resume=resume)
    with pytest.raises(UsageError, match=r"holds a world model of .*Coin-v0, not of CartPole-v1: say --env"):
        train_simple(replace(SHORT, env="CartPole-v1", real_steps=0, world_run=run), tmp_path / "other")
    assert {path: path.read_bytes() for path in before} == before


def test_there_is_nothing_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        happen_in(patch, "step_envs", 3, die)
        with pytest.raises(MemoryError):
            train_simple(SHORT, tmp_path / "run")
    with pytest.raises(UsageError, match="has no checkpoint yet: continue it with --resume"):
        rl_discrete.load_world_model(tmp_path / "run")
    with monkeypatch.context() as patch:
        happen_in(patch, "step_envs", 30, die)
        with pytest.raises(MemoryError):
            train_simple(SHORT, tmp_path / "run", resume=True)
    with pytest.raises(UsageError, match=r"has no world model yet: continue .* with --resume"):
        rl_discrete.load(tmp_path / "run")
    config = replace(SHORT, real_steps=0, world_run=tmp_path / "run")
    with pytest.raises(UsageError, match="has no world model yet"):
        train_simple(config, tmp_path / "other")
