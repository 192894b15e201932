"""An agent of Stable-Baselines3 that only acts, saved as safetensors and JSON: nothing is pickled."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from rl_discrete.agents.sb3_networks import PolicySpec, load_weights, push_frame, weights_of
from rl_discrete.runs import durable
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.runs.seeding import derive_seed

FORMAT = 1
WEIGHTS_NAME, SPEC_NAME = "policy.safetensors", "policy.json"

State = tuple[NDArray[Any], ...] | None


class Sb3Policy:
    """Acts by the network of a PPO or DQN agent; has the `predict` of Stable-Baselines3.

    It is shown single frames and joins them itself: the frames before are in the state that `predict` returns.
    Chance comes from a generator of its own.

    Args:
        spec: what the policy is.
        weights: those that `weights_of` its module returns.
        epsilon: probability of a random action of a DQN agent, in [0, 1]; a PPO agent draws from its policy.
        seed: of these draws.

    Raises:
        RunError: weights that do not fit.
    """

    def __init__(self, spec: PolicySpec, weights: dict[str, Tensor], epsilon: float = 0.05, seed: int = 0) -> None:
        if not 0.0 <= epsilon <= 1.0:
            raise UsageError(f"epsilon must be in [0, 1], got {epsilon}")
        self.spec = spec
        with torch.random.fork_rng(devices=[]):  # fresh weights, not for long
            self._module = spec.build()
        load_weights(self._module, weights)
        self._module.set_training_mode(False)
        self._epsilon = epsilon
        self._generator = np.random.default_rng(derive_seed(seed, "policy"))

    def weights(self) -> dict[str, Tensor]:
        """Its weights, as they were given."""
        return weights_of(self._module)

    def predict(
        self,
        observation: NDArray[Any],
        state: State = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], State]:
        """Actions for a batch of envs.

        Args:
            observation: newest frames (B, C, H, W) or vectors (B, D), or those of a single env without B.
            state: what the last call returned; None at first.
            episode_start: (B,) where an episode begins.
            deterministic: take the best action.

        Returns:
            Actions int64 (B,), or () for a single env, and the state for the next call.
        """
        frames = np.asarray(observation)
        single = frames.ndim == len(self.spec.frame_shape)
        frames = frames[None] if single else frames
        if frames.shape[1:] != self.spec.frame_shape:
            raise UsageError(f"observations must be {self.spec.frame_shape}, got {frames.shape[1:]}")
        starts = None if episode_start is None else np.atleast_1d(np.asarray(episode_start, np.bool_))
        stack = push_frame(frames, None if state is None else state[0], starts, self.spec.frame_stack)
        actions = self._choose(torch.as_tensor(stack), deterministic)
        return (actions[0] if single else actions), (stack,)

    @torch.no_grad()
    def _choose(self, observations: Tensor, deterministic: bool) -> NDArray[np.int64]:
        count = len(observations)
        if isinstance(self._module, ActorCriticPolicy):
            distribution = self._module.get_distribution(observations)
            assert isinstance(distribution, CategoricalDistribution)
            shares: NDArray[np.float64] = distribution.distribution.probs.double().numpy()
            if not deterministic:
                below = shares.cumsum(axis=1) / shares.sum(axis=1, keepdims=True)
                return np.asarray((self._generator.random((count, 1)) >= below[:, :-1]).sum(axis=1), np.int64)
            return np.asarray(shares.argmax(axis=1), np.int64)
        best = self._module.q_net(observations).argmax(dim=1).numpy()  # type: ignore[operator]
        if deterministic:
            return np.asarray(best, np.int64)
        random = self._generator.random(count) < self._epsilon
        return np.where(random, self._generator.integers(self.spec.num_actions, size=count), best)


class RandomPolicy:
    """Draws every action uniformly; has the `predict` of Stable-Baselines3."""

    def __init__(self, num_actions: int, seed: int = 0) -> None:
        self.num_actions = num_actions
        self._generator = np.random.default_rng(derive_seed(seed, "policy"))

    def predict(
        self,
        observation: NDArray[Any],
        state: State = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], State]:
        """Actions int64 (B,) for observations (B, C, H, W) or (B, D), or one for a single observation."""
        single = np.ndim(observation) in (1, 3)
        return self._generator.integers(self.num_actions, size=() if single else len(observation)), state

    def state(self) -> dict[str, Any]:
        """The generator, for a checkpoint."""
        return dict(self._generator.bit_generator.state)

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self._generator.bit_generator.state = state


def save_policy(policy: Sb3Policy, folder: Path) -> None:
    """Write `policy.safetensors` and then `policy.json` into a folder; with the second the agent is complete.

    Raises:
        RunError: the disk refused.
    """
    weights = save_tensors({name: value.contiguous() for name, value in policy.weights().items()})
    with durable.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        durable.replace_file(folder / WEIGHTS_NAME, weights)
    described = {"format": FORMAT, "sha256": hashlib.sha256(weights).hexdigest(), **policy.spec.to_json()}
    durable.write_json(folder / SPEC_NAME, described)


def load_policy(folder: Path, epsilon: float = 0.05, seed: int = 0) -> Sb3Policy:
    """The agent that `save_policy` wrote.

    Raises:
        UsageError: there is none in this folder.
        RunError: it is damaged, or a newer version of this library wrote it.
    """
    try:
        described = json.loads((folder / SPEC_NAME).read_text(encoding="utf-8"))
        weights = (folder / WEIGHTS_NAME).read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"{folder} holds no saved agent: {error.filename} is missing") from None
    except ValueError as error:
        raise RunError(f"{folder / SPEC_NAME} is damaged ({error}); save the agent again") from None
    if described.pop("format") != FORMAT:
        raise RunError(f"{folder} was written by a newer rl-discrete; install that version")
    if described.pop("sha256") != hashlib.sha256(weights).hexdigest():
        raise RunError(
            f"{folder / WEIGHTS_NAME} is damaged: its sha256 is not that in {SPEC_NAME}; save the agent again"
        )
    return Sb3Policy(PolicySpec.from_json(described), load_tensors(weights), epsilon, seed)
