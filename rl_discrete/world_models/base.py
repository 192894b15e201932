"""What every world model is: a deterministic function of a state, actions and noise, for a whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rl_discrete.data.history import History

S = TypeVar("S")
"""The state of B imagined episodes: opaque to everyone but its model, and never changed in place."""


@dataclass(frozen=True)
class ModelStep(Generic[S]):
    """What one step of B imagined episodes gives."""

    state: S
    observation: NDArray[Any]
    """(B, *observation_space.shape) what the agent sees now."""
    reward: NDArray[np.float32]
    """(B,)"""
    terminated: NDArray[np.bool_]
    """(B,) whether the model says that the MDP ended here."""
    doubtful: NDArray[np.bool_]
    """(B,) whether the model does not trust itself any further (an ensemble that disagrees): a cut, not an end."""


class WorldModel(Protocol[S]):
    """A learned step function; it remembers nothing itself.

    Contract (executable in `tests/contracts/test_world_models.py`): a batch of B equals B single steps under the same
    noise, up to float rounding at a boundary; every random choice is an inverse CDF of its own noise; `step` of equal
    arguments is equal; `select` takes rows of `fresh` where the mask is set and leaves all others bit for bit.
    """

    num_actions: int
    noise_dim: int
    """Uniform numbers that one step of one episode takes."""
    history_length: int
    """Frames that `reset` looks at; more are ignored, fewer are an error."""

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        """Of one episode, for agents."""

    def reset(self, history: History) -> S:
        """The state after real frames: B states of B histories.

        Raises:
            UsageError: frames of another shape, or too short a history.
        """

    def observe(self, state: S) -> NDArray[Any]:
        """What an agent sees in the states: (B, *observation_space.shape). Real envs are shown to agents so, too."""

    def step(self, state: S, actions: NDArray[np.int64], noise: NDArray[np.float32]) -> ModelStep[S]:
        """One imagined step.

        Args:
            state: of B episodes.
            actions: (B,) in [0, num_actions).
            noise: float32 (B, noise_dim), uniform in (0, 1).
        """

    def select(self, state: S, mask: NDArray[np.bool_], fresh: S) -> S:
        """`state` with the rows of `mask` (B,) replaced, in order, by the rows of `fresh`, one for each set entry."""

    def render(self, state: S) -> NDArray[np.uint8] | None:
        """What the states look like, uint8 (B, H, W, 3); None where nothing can be shown. Decodes: only for eyes."""
