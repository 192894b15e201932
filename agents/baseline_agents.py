"""PPO and DQN of Stable-Baselines3, and chance, behind one face: one rollout with its update at a time, resumable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.dqn.policies import DQNPolicy

from rl_discrete.agents.baseline_config import BaselineConfig
from rl_discrete.agents.disk_buffer import DiskBuffer
from rl_discrete.agents.sb3_networks import PolicySpec
from rl_discrete.agents.sb3_policy import RandomPolicy
from rl_discrete.agents.sb3_state import Mask, OnStep, Parts, load_parts, prepare, take_losses, take_parts, tell_step
from rl_discrete.data.replay import Replay
from rl_discrete.runs.checkpoint import Checkpoint
from rl_discrete.runs.seeding import derive_seed


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
        tell_step(self._on_step, rewards, dones, infos)
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
        self._callback = prepare(model, total_steps, on_step)

    def advance(self) -> dict[str, float]:
        self._round()
        return take_losses(self.model)

    @abstractmethod
    def _round(self) -> None:
        """One rollout and its update."""

    def parts(self) -> Parts:
        assert self.model._last_episode_starts is not None
        parts = take_parts(self.model)
        parts.arrays["agent"] = {"starts": self.model._last_episode_starts.copy()}
        return parts

    def restore(self, checkpoint: Checkpoint, observations: NDArray[Any], restarted: Mask) -> None:
        load_parts(self.model, checkpoint.tensors, checkpoint.meta["agent"], self._total_steps)
        self.model._last_obs = observations
        self.model._last_episode_starts = checkpoint.arrays["agent"]["starts"] | restarted

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
        parts.meta["buffer"] = self.buffer.commit()
        return parts

    def restore(self, checkpoint: Checkpoint, observations: NDArray[Any], restarted: Mask) -> None:
        super().restore(checkpoint, observations, restarted)
        self.buffer.load_state(checkpoint.meta["agent"]["buffer"], checkpoint.arrays["agent"]["starting"] | restarted)

    def release(self) -> None:
        self.buffer.release()
