"""The policy of an agent that learned inside a world model: it acts on what the model shows, not on frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor

from rl_discrete.agents.algorithms import AgentSpec
from rl_discrete.agents.sb3_networks import load_weights
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.seeding import derive_seed

State = tuple[NDArray[Any], ...] | None
"""Of a recurrent policy: hidden and cell state, float32 (layers, B, width) each; None for all others."""


class ModelPolicy:
    """Any policy of Stable-Baselines3 or sb3-contrib with discrete actions; has their `predict`.

    Actor-critics draw from their policy; value-based agents act at random with probability `epsilon`. Chance comes
    from a generator of its own. For frames of a real env, `rl_discrete.envs.encoded.EncodedPolicy` goes around it.

    Args:
        module: the policy; it is used as it is, so that it may go on learning.
        epsilon: probability of a random action of a value-based agent, in [0, 1].
        seed: of these draws.
    """

    def __init__(self, module: BasePolicy, epsilon: float = 0.05, seed: int = 0) -> None:
        if not 0.0 <= epsilon <= 1.0:
            raise UsageError(f"epsilon must be in [0, 1], got {epsilon}")
        assert isinstance(module.action_space, spaces.Discrete)
        self.module, self.num_actions = module, int(module.action_space.n)
        self._epsilon = epsilon
        self._generator = np.random.default_rng(derive_seed(seed, "policy"))

    @classmethod
    def restore(cls, spec: AgentSpec, weights: dict[str, Tensor], epsilon: float = 0.05, seed: int = 0) -> ModelPolicy:
        """The policy of a saved agent.

        Raises:
            RunError: weights that do not fit.
            UsageError: sb3-contrib is missing, or `epsilon` outside its range.
        """
        with torch.random.fork_rng(devices=[]):  # fresh weights, not for long
            module = spec.build_policy()
        load_weights(module, weights)
        return cls(module, epsilon, seed)

    def predict(
        self,
        observation: NDArray[Any],
        state: State = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], State]:
        """Actions for a batch of model observations.

        Args:
            observation: (B, ...) as the world model shows them, or that of a single env without B.
            state: what the last call returned; None at first.
            episode_start: (B,) where an episode begins.
            deterministic: take the best action.

        Returns:
            Actions int64 (B,), or () for a single env, and the state for the next call.
        """
        seen = np.asarray(observation)
        single = seen.shape == self.module.observation_space.shape
        shares, following = self.shares(seen[None] if single else seen, state, episode_start)
        if deterministic:
            actions = shares.argmax(axis=1)
        else:
            if not isinstance(self.module, ActorCriticPolicy):
                shares = (1.0 - self._epsilon) * shares + self._epsilon / self.num_actions
            actions = draw(shares, self._generator.random(len(shares)))
        return (actions[0] if single else actions), following

    @torch.no_grad()
    def shares(
        self, observations: NDArray[Any], state: State = None, starts: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float64], State]:
        """Probability of each action, (B, A): all on the best one where the agent is value-based; and the next state.

        Args:
            observations: (B, ...).
            state: what the last call returned; None at first.
            starts: (B,) where an episode begins.
        """
        self.module.set_training_mode(False)
        count, tensor = len(observations), torch.as_tensor(observations)
        following: State = None
        if hasattr(self.module, "lstm_actor"):
            if state is None:
                sizes: Any = self.module.lstm_hidden_state_shape  # torch types no attribute of a module
                layers, _, width = sizes
                state = (np.zeros((layers, count, width), np.float32),) * 2
            begun = torch.tensor(np.zeros(count) if starts is None else np.atleast_1d(starts), dtype=torch.float32)
            hidden = (torch.as_tensor(state[0]), torch.as_tensor(state[1]))
            distribution, hidden = self.module.get_distribution(tensor, hidden, begun)  # type: ignore[operator]
            following = (hidden[0].numpy(), hidden[1].numpy())
        elif isinstance(self.module, ActorCriticPolicy):
            distribution = self.module.get_distribution(tensor)
        else:
            best = self.module._predict(tensor, deterministic=True).numpy()
            return np.eye(self.num_actions)[best.ravel()], None
        assert isinstance(distribution, CategoricalDistribution)
        shares: NDArray[np.float64] = distribution.distribution.probs.double().numpy()
        return shares / shares.sum(axis=1, keepdims=True), following


def draw(shares: NDArray[np.float64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Actions (B,) by the probabilities `shares` (B, A), one for each number of `uniform` (B,) in [0, 1)."""
    return np.asarray((uniform[:, None] >= shares.cumsum(axis=1)[:, :-1]).sum(axis=1), np.int64)
