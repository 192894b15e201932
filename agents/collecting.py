"""How real steps are chosen: by the agent, with as much chance as it takes to see what it would not look for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.model_policy import draw
from rl_discrete.runs.seeding import derive_seed

_HALVINGS = 40


class Explorer:
    """Draws the actions of B envs from an agent's probabilities, from flatter ones, or at random for a while.

    A random action may be held for several steps, because some games need it: what takes fifty steps in one direction
    is never seen by an agent that turns at random in each. Most are held for a step or two and a few for very long: the
    lengths follow a power law with exponent 2 (Dabney et al. 2020, arXiv 2006.01782, section 3), cut at the longest.

    Args:
        num_envs: B.
        num_actions: A.
        seed: of the run.
    """

    def __init__(self, num_envs: int, num_actions: int, seed: int) -> None:
        self._num_actions = num_actions
        self._generator = np.random.default_rng(derive_seed(seed, "collection"))
        self._held = np.zeros(num_envs, np.int64)
        self._left = np.zeros(num_envs, np.int64)  # steps for which it is held yet

    def choose(
        self,
        shares: NDArray[np.float64],
        starts: NDArray[np.bool_],
        epsilon: float,
        entropy_floor: float,
        longest_hold: int,
        exploring: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """Actions (B,).

        Args:
            shares: (B, A) the agent's probabilities.
            starts: (B,) where an episode begins: nothing is held across it.
            epsilon: share of steps in the long run, in [0, 1], whose action is drawn uniformly.
            entropy_floor: least entropy of the other actions, as a share of that of chance, in [0, 1].
            longest_hold: steps for which a random action is held at most, >= 1.
            exploring: (B,) the envs that this chance is for; the others get none. None: all of them.
        """
        exploring = np.ones(len(shares), np.bool_) if exploring is None else exploring
        long, begin, which, own = self._generator.random((4, len(shares)))
        lengths = hold_lengths(longest_hold)
        mean = float((lengths * np.arange(1, longest_hold + 1)).sum())
        rate = epsilon / (epsilon + mean * (1.0 - epsilon)) if epsilon > 0.0 else 0.0
        staying = (self._left > 0) & exploring & ~starts & (epsilon > 0.0)
        beginning = ~staying & (begin < rate) & exploring
        chosen = draw(np.where(exploring[:, None], raise_entropy(shares, entropy_floor), shares), own)
        uniform = np.minimum((which * self._num_actions).astype(np.int64), self._num_actions - 1)
        actions = np.where(staying, self._held, np.where(beginning, uniform, chosen))
        begun = np.minimum(np.searchsorted(lengths.cumsum(), long, side="right"), longest_hold - 1)  # steps after this
        self._held, self._left = actions, np.where(staying, self._left - 1, np.where(beginning, begun, 0))
        return actions

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON and arrays for a checkpoint."""
        return dict(self._generator.bit_generator.state), {"held": self._held, "left": self._left}

    def load_state(self, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Go on from `state()`."""
        self._generator.bit_generator.state = meta
        self._held, self._left = arrays["held"], arrays["left"]


def hold_lengths(longest: int) -> NDArray[np.float64]:
    """Probabilities (longest,) that a random action is held for 1, 2, ... steps."""
    weights = np.arange(1, longest + 1, dtype=np.float64) ** -2.0
    return np.asarray(weights / weights.sum())


def raise_entropy(shares: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    """Probabilities (B, A) mixed with chance, each row as little as it takes for an entropy of `floor` * log(A)."""
    if floor <= 0.0:
        return shares
    num_actions = shares.shape[1]
    wanted = floor * np.log(num_actions)
    low, high = np.zeros((len(shares), 1)), np.ones((len(shares), 1))
    for _ in range(_HALVINGS):  # entropy only grows on the way to the uniform distribution
        middle = (low + high) / 2
        enough = _entropy((1.0 - middle) * shares + middle / num_actions) >= wanted
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    mixed: NDArray[np.float64] = (1.0 - high) * shares + high / num_actions
    return np.where(_entropy(shares) >= wanted, shares, mixed)


def _entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B, 1) nats."""
    logs = np.log(np.where(shares > 0.0, shares, 1.0))
    return np.asarray(-(shares * logs).sum(axis=1, keepdims=True))
