"""The figures of a table and its planner: how much there is, what it costs, how far its values are from the exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.vast_metrics import bytes_per_edge, perplexity
from rl_discrete.mdp.solve import solve
from rl_discrete.mdp.sweeping import PrioritizedSweeping
from rl_discrete.mdp.transitions import Transitions

TOLERANCE = 1e-8
"""Largest error of the exact values."""


def size_figures(planner: PrioritizedSweeping) -> dict[str, Any]:
    """States, edges and memory, room to spare included.

    An edge pays for the pool of edges; a state-action pays for everything else, the planner's arrays among it.
    """
    table = planner.table
    edges = table.store.arrays.entries.nbytes
    rows = table.num_bytes - edges + planner.num_bytes
    pairs = table.num_states * table.num_actions
    return {
        "states": table.num_states,
        "rows": table.num_rows,
        "edges": table.num_edges,
        "bytes": table.num_bytes + planner.num_bytes,
        "bytes_per_edge": bytes_per_edge(table),
        "bytes_per_state_action": rows / pairs if pairs else float("nan"),
        "perplexity": perplexity(table.counts(table.live_rows()).sum(axis=1)),
    }


def value_figures(planner: PrioritizedSweeping, transitions: Transitions, discount: float) -> dict[str, Any]:
    """How far the planner is from having planned everything.

    `bellman_residual` is the largest change of a value by one exact Bellman sweep, `value_error` the largest distance
    from the exact values of the table as it stands, `value_error_rms` its root mean square over states, `value_scale`
    the largest exact value, all in units of reward. Where untried actions count as optimistic, these values are
    another solution, and the distance says so.
    """
    values = planner.values(transitions.keys)
    exact = solve(transitions, discount, TOLERANCE).values
    error = np.abs(values - exact)
    return {
        "discount": discount,
        "sweeps": planner.sweeps,
        "backups": planner.backups,
        "queue": planner.queue_length,
        "residual": planner.residual(),
        "drift": planner.drift(),
        "bellman_residual": float(np.abs(_swept(transitions, values, discount) - values).max(initial=0.0)),
        "value_error": float(error.max(initial=0.0)),
        "value_error_rms": float(np.sqrt((error**2).mean())) if len(error) else 0.0,
        "value_scale": float(np.abs(exact).max(initial=0.0)),
    }


def _swept(transitions: Transitions, values: NDArray[np.float64], discount: float) -> NDArray[np.float64]:
    """(S,): the values after one Bellman sweep."""
    flow = transitions.edge_count * values[transitions.edge_target]
    sums = np.bincount(transitions.edge_source, flow, transitions.counts.size).reshape(transitions.counts.shape)
    tried = transitions.counts > 0
    following = np.divide(sums, transitions.counts, out=np.zeros_like(sums), where=tried)
    best = np.where(tried, transitions.mean_rewards + discount * following, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(np.isneginf(best), 0.0, best)
