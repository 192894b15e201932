"""An agent that learns inside a world model: any of `ALGORITHMS`, one rollout with its update at a time, resumable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from rl_discrete.agents.algorithms import AgentSpec, check_arguments, describe_space, find_algorithm, find_class
from rl_discrete.agents.model_policy import ModelPolicy
from rl_discrete.agents.sb3_networks import is_finite, weights_of
from rl_discrete.agents.sb3_state import OnStep, Parts, load_parts, prepare, take_losses, take_parts
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.runs.seeding import derive_seed

BUFFER = "buffer"
_COLUMNS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


class ModelAgent:
    """Learns in model envs, one after the other.

    Its state is complete only where `enter` comes next: no imagined episode is saved. Random numbers come from the
    global generators of numpy and torch, which the caller seeds and saves.

    Args:
        algorithm: one of `ALGORITHMS`.
        env: a model env; what it observes and takes never changes.
        hidden: widths of the hidden layers.
        arguments: keyword arguments of the algorithm's constructor, `policy_kwargs` among them, all plain values.
        total_steps: imagined steps of its whole life, for whatever changes with time.
        on_step: called after every step of the env.
        seed: of the random actions of value-based agents.

    Raises:
        UsageError: an unknown algorithm, one that cannot take the space (it says which can), sb3-contrib missing, or
            arguments that do not fit.
    """

    def __init__(
        self,
        algorithm: str,
        env: VecEnv,
        hidden: tuple[int, ...],
        arguments: Mapping[str, Any],
        total_steps: int,
        on_step: OnStep,
        seed: int = 0,
    ) -> None:
        name = find_algorithm(algorithm)
        given = dict(arguments)
        policy = dict(given.pop("policy_kwargs", {}))
        check_arguments(name, given)
        num_actions = int(env.action_space.n)  # type: ignore[attr-defined]  # every model env has discrete actions
        self.spec = AgentSpec(name, describe_space(env.observation_space), num_actions, tuple(hidden), policy)
        self._total_steps = total_steps
        try:
            self.model = find_class(name)(
                self.spec.policy_name, env, policy_kwargs=self.spec.policy_kwargs, device="cpu", **given
            )
        except (TypeError, ValueError, AssertionError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UsageError(f"algo {name} cannot be made with policy.arguments.{name} {given}: {reason}") from error
        self.model.action_space.seed(derive_seed(seed, "exploration") % 2**32)
        self._callback = prepare(self.model, total_steps, on_step)
        self.policy = ModelPolicy(self.model.policy)

    @property
    def steps(self) -> int:
        """Imagined steps so far."""
        return self.model.num_timesteps

    def enter(self, env: VecEnv, seed: int, refitted: bool) -> None:
        """Learn in this env from now on, where every imagined episode begins anew.

        Args:
            env: of the same spaces as the first, and as many episodes at a time.
            seed: of all chance in it.
            refitted: whether its model is another than before: what a value-based agent remembers of that goes.
        """
        model = self.model
        env.seed(seed)
        model.set_env(env)
        observations = env.reset()
        assert isinstance(observations, np.ndarray)
        model._last_obs = observations
        model._last_episode_starts = np.ones(env.num_envs, np.bool_)
        memory = vars(model).get("_last_lstm_states")
        if memory is not None:
            vars(model)["_last_lstm_states"] = type(memory)(*(tuple(map(torch.zeros_like, pair)) for pair in memory))
        if refitted and isinstance(model, OffPolicyAlgorithm):
            self._buffer.reset()

    def advance(self) -> dict[str, float]:
        """One rollout and its update; the losses, none where nothing was updated.

        Raises:
            RunError: a loss or a weight is not finite.
        """
        try:
            self._round()
        except ValueError as error:  # as torch calls a distribution whose numbers are none
            if is_finite(weights_of(self.model.policy)):
                raise
            raise self._not_finite("a weight", "nan") from error
        losses = take_losses(self.model)
        for name, value in losses.items():
            if not math.isfinite(value):
                raise self._not_finite(f"the loss {name}", str(value))
        return losses

    def _not_finite(self, what: str, value: str) -> RunError:
        return RunError(
            f"{what} of {self.spec.algorithm} became {value} after {self.steps} imagined steps; the last checkpoint is "
            "kept: lower its learning_rate"
        )

    def _round(self) -> None:
        model, env = self.model, self.model.env
        assert env is not None
        if isinstance(model, OnPolicyAlgorithm):
            model.collect_rollouts(env, self._callback, model.rollout_buffer, model.n_steps)
            model._update_current_progress_remaining(model.num_timesteps, self._total_steps)
            model.train()
            return
        assert isinstance(model.train_freq, TrainFreq)
        rollout = model.collect_rollouts(
            env,
            train_freq=model.train_freq,
            callback=self._callback,
            learning_starts=model.learning_starts,
            replay_buffer=self._buffer,
            log_interval=None,
        )
        gradient_steps = model.gradient_steps if model.gradient_steps >= 0 else rollout.episode_timesteps
        if model.num_timesteps > model.learning_starts and gradient_steps > 0:
            model.train(batch_size=model.batch_size, gradient_steps=gradient_steps)

    def parts(self) -> Parts:
        """Everything that decides what it does after the next `enter`."""
        parts = take_parts(self.model)
        if isinstance(self.model, OffPolicyAlgorithm):
            buffer = self._buffer
            parts.arrays[BUFFER] = {name: getattr(buffer, name)[: _filled(buffer)] for name in _COLUMNS}
            parts.meta["buffer"] = {"pos": buffer.pos, "full": buffer.full}
        return parts

    def load_parts(
        self,
        tensors: Mapping[str, dict[str, Tensor]],
        arrays: Mapping[str, Mapping[str, NDArray[Any]]],
        meta: Mapping[str, Any],
    ) -> None:
        """Go on from `parts()`, by way of `enter`.

        Raises:
            RunError: weights of another network.
        """
        load_parts(self.model, tensors, meta, self._total_steps)
        if isinstance(self.model, OffPolicyAlgorithm):
            buffer = self._buffer
            buffer.pos, buffer.full = meta["buffer"]["pos"], meta["buffer"]["full"]
            for name in _COLUMNS:
                getattr(buffer, name)[: _filled(buffer)] = arrays[BUFFER][name]

    def become(self, parts: Parts) -> None:
        """Act as the agent that gave these parts; what that one remembered of its past is not needed for it.

        Raises:
            RunError: weights of another network.
        """
        load_parts(self.model, parts.tensors, parts.meta, self._total_steps)

    @property
    def _buffer(self) -> ReplayBuffer:
        buffer = vars(self.model)["replay_buffer"]
        assert isinstance(buffer, ReplayBuffer)
        return buffer


def _filled(buffer: ReplayBuffer) -> int:
    return buffer.buffer_size if buffer.full else int(buffer.pos)
