"""PPO and DQN of Stable-Baselines3, and chance, behind one face: one rollout with its update at a time, resumable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor

from rl_discrete.agents.baseline_config import BaselineConfig
from rl_discrete.agents.disk_buffer import DiskBuffer
from rl_discrete.agents.sb3_networks import PolicySpec, load_weights, weights_of
from rl_discrete.agents.sb3_policy import RandomPolicy
from rl_discrete.data.replay import Replay
from rl_discrete.runs.checkpoint import Checkpoint
from rl_discrete.runs.seeding import derive_seed

POLICY, OPTIMIZER = "policy", "optimizer"
Mask = NDArray[np.bool_]
OnStep = Callable[[NDArray[np.floating[Any]], Mask, Mask], None]
"""Called after every step of B envs with rewards, terminated and truncated, (B,) each."""


@dataclass
class Parts:
    """What an agent puts into a checkpoint."""

    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    arrays: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)


class BaselineAgent(Protocol):
    """Acts in the parallel envs it was made with, and learns."""

    def advance(self) -> dict[str, float]:
        """One rollout and its update; the losses, none where nothing was updated."""

    def parts(self) -> Parts:
        """Everything that decides what it does next."""

    def restore(self, checkpoint: Checkpoint, observations: NDArray[Any], restarted: Mask) -> None:
        """Go on from `parts()`.

        Args:
            checkpoint: holds them.
            observations: (B, ...) what the envs show now.
            restarted: (B,) envs that begin a fresh episode.
        """

    def release(self) -> None:
        """The checkpoint is safe: what only older ones needed may go."""


class RandomAgent:
    """Draws every action uniformly."""

    def __init__(self, num_actions: int, env: VecEnv, on_step: OnStep, seed: int) -> None:
        self._policy, self._env, self._on_step = RandomPolicy(num_actions, seed), env, on_step
        self._observations = np.asarray(env.reset())

    def advance(self) -> dict[str, float]:
        actions, _ = self._policy.predict(self._observations)
        _, rewards, dones, infos = self._env.step(actions)
        _tell(self._on_step, rewards, dones, infos)
        return {}

    def parts(self) -> Parts:
        return Parts(meta={"policy": self._policy.state()})

    def restore(self, checkpoint: Checkpoint, observations: NDArray[Any], restarted: Mask) -> None:
        self._policy.load_state(checkpoint.meta["agent"]["policy"])

    def release(self) -> None:
        """Nothing is on the disk."""


class _Sb3Agent(ABC):
    """What PPO and DQN share. The body of their `learn` stands here: a checkpoint falls between two rounds of it."""

    def __init__(self, model: PPO | DQN, total_steps: int, on_step: OnStep) -> None:
        self.model = model
        self._total_steps = total_steps
        model.set_logger(Logger(None, []))
        _, self._callback = model._setup_learn(total_steps, _Watch(on_step))

    def advance(self) -> dict[str, float]:
        logged = self.model.logger.name_to_value
        logged.clear()
        self._round()
        losses = {name.removeprefix("train/"): float(value) for name, value in logged.items() if name.endswith("loss")}
        return {name.removesuffix("_loss").replace("loss", "total"): value for name, value in losses.items()}

    @abstractmethod
    def _round(self) -> None:
        """One rollout and its update."""

    def parts(self) -> Parts:
        model = self.model
        assert model._last_episode_starts is not None
        meta = {
            "steps": model.num_timesteps,
            "updates": model._n_updates,
            "episodes": model._episode_num,
            "actions": dict(model.action_space.np_random.bit_generator.state),
        }
        moments = {
            f"{index}.{name}": value
            for index, values in model.policy.optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        tensors = {POLICY: weights_of(model.policy), OPTIMIZER: moments}
        return Parts(tensors, {"agent": {"starts": model._last_episode_starts.copy()}}, meta)

    def restore(self, checkpoint: Checkpoint, observations: NDArray[Any], restarted: Mask) -> None:
        model, meta = self.model, checkpoint.meta["agent"]
        load_weights(model.policy, checkpoint.tensors[POLICY])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in checkpoint.tensors[OPTIMIZER].items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = value
        model.policy.optimizer.load_state_dict({**model.policy.optimizer.state_dict(), "state": moments})
        model.num_timesteps, model._n_updates, model._episode_num = meta["steps"], meta["updates"], meta["episodes"]
        model.action_space.np_random.bit_generator.state = meta["actions"]
        model._last_obs = observations
        model._last_episode_starts = checkpoint.arrays["agent"]["starts"] | restarted
        model._update_current_progress_remaining(model.num_timesteps, self._total_steps)

    def release(self) -> None:  # noqa: B027  # not abstract: only a replay leaves something behind
        """Frames that only older checkpoints needed are deleted."""


class PPOAgent(_Sb3Agent):
    """Proximal policy optimisation."""

    def __init__(self, config: BaselineConfig, spec: PolicySpec, env: VecEnv, on_step: OnStep) -> None:
        ppo = config.ppo
        model = PPO(
            ActorCriticPolicy,
            env,
            policy_kwargs=spec.policy_kwargs,
            learning_rate=ppo.learning_rate,
            n_steps=ppo.rollout_steps,
            batch_size=ppo.batch_size,
            n_epochs=ppo.epochs,
            gamma=ppo.discount,
            gae_lambda=ppo.gae_lambda,
            clip_range=ppo.clip_range,
            ent_coef=ppo.entropy_weight,
            vf_coef=ppo.value_weight,
            max_grad_norm=ppo.gradient_clip,
            device="cpu",
        )
        super().__init__(model, config.steps, on_step)
        self._ppo, self._env = model, env

    def _round(self) -> None:
        model = self._ppo
        model.collect_rollouts(self._env, self._callback, model.rollout_buffer, model.n_steps)
        model._update_current_progress_remaining(model.num_timesteps, self._total_steps)
        model.train()


class DQNAgent(_Sb3Agent):
    """Deep Q-learning. A round is as short as the gradient steps call for."""

    def __init__(self, config: BaselineConfig, spec: PolicySpec, env: VecEnv, on_step: OnStep, replay: Replay) -> None:
        dqn = config.dqn
        steps_each = -(-dqn.steps_per_update // config.num_envs)
        model = DQN(
            DQNPolicy,
            env,
            policy_kwargs=spec.policy_kwargs,
            learning_rate=dqn.learning_rate,
            buffer_size=1,  # the real one comes next
            learning_starts=dqn.burn_in,
            batch_size=dqn.batch_size,
            gamma=dqn.discount,
            train_freq=steps_each,
            gradient_steps=max(1, steps_each * config.num_envs // dqn.steps_per_update),
            target_update_interval=max(dqn.target_every, config.num_envs),
            exploration_fraction=dqn.exploration_share,
            exploration_final_eps=dqn.exploration_end,
            max_grad_norm=dqn.gradient_clip,
            device="cpu",
            _init_setup_model=False,
        )
        self.buffer = DiskBuffer(replay, spec.observation_space, spaces.Discrete(spec.num_actions), config.seed)
        model.replay_buffer = self.buffer  # type: ignore[assignment]
        model._setup_model()
        model.action_space.seed(derive_seed(config.seed, "exploration") % 2**32)
        super().__init__(model, config.steps, on_step)
        self._dqn, self._env = model, env
        self._every = TrainFreq(steps_each, TrainFrequencyUnit.STEP)

    def _round(self) -> None:
        model = self._dqn
        model.collect_rollouts(
            self._env,
            train_freq=self._every,
            callback=self._callback,
            learning_starts=model.learning_starts,
            replay_buffer=self.buffer,  # type: ignore[arg-type]
            log_interval=None,
        )
        if model.num_timesteps > model.learning_starts:
            model.train(batch_size=model.batch_size, gradient_steps=model.gradient_steps)

    def parts(self) -> Parts:
        parts = super().parts()
        parts.arrays["replay"] = self.buffer.replay.state()
        parts.arrays["agent"]["starting"] = self.buffer.starting
        parts.meta |= {"calls": self._dqn._n_calls, "buffer": self.buffer.commit()}
        return parts

    def restore(self, checkpoint: Checkpoint, observations: NDArray[Any], restarted: Mask) -> None:
        super().restore(checkpoint, observations, restarted)
        model, meta = self._dqn, checkpoint.meta["agent"]
        model._n_calls = meta["calls"]
        model.exploration_rate = model.exploration_schedule(model._current_progress_remaining)
        self.buffer.load_state(meta["buffer"], checkpoint.arrays["agent"]["starting"] | restarted)

    def release(self) -> None:
        self.buffer.release()


class _Watch(BaseCallback):
    """Passes on what every step brings."""

    def __init__(self, on_step: OnStep) -> None:
        super().__init__()
        self._tell = on_step

    def _on_step(self) -> bool:
        _tell(self._tell, self.locals["rewards"], self.locals["dones"], self.locals["infos"])
        return True


def _tell(on_step: OnStep, rewards: NDArray[Any], dones: Mask, infos: Sequence[Mapping[str, Any]]) -> None:
    cut = dones & np.array([info.get("TimeLimit.truncated", False) for info in infos], np.bool_)
    on_step(rewards, dones & ~cut, cut)
