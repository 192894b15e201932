"""How well a table's counts predict transitions that it has not counted."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.checks import TransitionArrays
from rl_discrete.mdp.tabular import TabularMDP
from rl_discrete.mdp.transitions import Transitions


def measure_table(table: TabularMDP, transitions: Transitions, held_out: TransitionArrays) -> dict[str, float]:
    """Figures of M held-out transitions against a table and its picture; nan where there is nothing to judge.

    `held_out_tried_share` have a state and action that the table has tried, `held_out_seen_share` also an outcome that
    it has seen. `held_out_step_nats` is the mean, over the tried ones, of -log p of the outcome, with half a count
    added to every outcome of the pair and to one more that stands for all that it has never seen (Krichevsky and
    Trofimov 1981), so that it is finite. `held_out_reward_rms_error` is that of the pair's mean reward.
    """
    rows, targets = table.rows(held_out.keys), table.rows(held_out.next_keys)
    states = np.searchsorted(transitions.rows, np.maximum(rows, 0))
    pairs = states * transitions.num_actions + held_out.actions
    known = rows >= 0
    tried = known & (np.where(known, transitions.counts.reshape(-1)[np.where(known, pairs, 0)], 0) > 0)
    if not tried.any():
        nothing = 0.0 if len(tried) else math.nan
        return {
            "held_out_tried_share": nothing,
            "held_out_seen_share": nothing,
            "held_out_step_nats": math.nan,
            "held_out_reward_rms_error": math.nan,
        }
    pairs, targets, ended = pairs[tried], targets[tried], held_out.terminated[tried]
    seen = np.where(ended, transitions.terminations.reshape(-1)[pairs], _followed(transitions, pairs, targets))
    outcomes = np.diff(transitions.offsets)[pairs] + (transitions.terminations.reshape(-1)[pairs] > 0)
    chances = (seen + 0.5) / (transitions.counts.reshape(-1)[pairs] + 0.5 * (outcomes + 1))
    error = held_out.rewards[tried] - transitions.mean_rewards.reshape(-1)[pairs]
    return {
        "held_out_tried_share": float(tried.mean()),
        "held_out_seen_share": float((seen > 0).sum() / len(tried)),
        "held_out_step_nats": float(-np.log(chances).mean()),
        "held_out_reward_rms_error": float(np.sqrt((error**2).mean())),
    }


def _followed(transitions: Transitions, pairs: NDArray[np.int64], rows: NDArray[np.int32]) -> NDArray[np.int64]:
    """How often the states in `rows` of the table, -1 for unknown ones, have followed the pairs."""
    states = np.searchsorted(transitions.rows, np.maximum(rows, 0))
    numbers = transitions.edge_source * transitions.num_states + transitions.edge_target  # ascending
    wanted = pairs * transitions.num_states + states
    places = np.minimum(np.searchsorted(numbers, wanted), max(len(numbers) - 1, 0))
    if not len(numbers):
        return np.zeros(len(pairs), np.int64)
    return np.where((rows >= 0) & (numbers[places] == wanted), transitions.edge_count[places], 0)
