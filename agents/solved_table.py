"""Values of a table that were solved for, as the lookup reads them: a planner that plans no more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.solve import Solution
from rl_discrete.mdp.tabular import Keys
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.errors import UsageError


class SolvedTable:
    """A `mdp.lookup.ReadablePlanner` of a table and a solution of it; both stay as they are.

    Args:
        transitions: S states with A actions.
        solution: its values, for its own reward or for another.

    Raises:
        UsageError: the solution of another table.
    """

    def __init__(self, transitions: Transitions, solution: Solution) -> None:
        if solution.q_values.shape != transitions.counts.shape:
            raise UsageError(
                f"the solution must have shape {transitions.counts.shape} like the table, got {solution.q_values.shape}"
            )
        self._view = transitions.keys, solution.q_values, transitions.counts
        self._places = {key.tobytes(): place for place, key in enumerate(transitions.keys)}

    def q_values(self, keys: Keys) -> NDArray[np.float64]:
        """Action values float64 (B, A) of keys uint64 (B, W): nan where untried, and for keys that the table lacks."""
        own, q_values, _ = self._view
        if keys.dtype != np.uint64 or keys.ndim != 2 or keys.shape[1] != own.shape[1]:
            raise UsageError(f"keys must be uint64 (B, {own.shape[1]}), got {keys.dtype} {keys.shape}")
        places = np.array([self._places.get(key.tobytes(), -1) for key in keys], np.int64)
        known = places >= 0
        values = np.full((len(keys), q_values.shape[1]), np.nan)
        values[known] = q_values[places[known]]
        return values

    def view(self) -> tuple[Keys, NDArray[np.float64], NDArray[np.integer]]:
        """Keys uint64 (S, W), Q float64 (S, A), and counts (S, A), not copied."""
        return self._view
