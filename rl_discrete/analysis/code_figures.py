"""The figures of codes that agents met: how they are used, and what they split and merge of the true states."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from rl_discrete.analysis.aliasing import aliasing
from rl_discrete.analysis.code_statistics import code_perplexity, fragmentation, labels
from rl_discrete.analysis.diagnostics_config import DiagnosticsConfig
from rl_discrete.analysis.fresh_play import Play
from rl_discrete.analysis.true_states import TrueStates, spread_within_codes
from rl_discrete.latents.codes import unpack
from rl_discrete.latents.usage import latent_usage
from rl_discrete.mdp.tabular import Keys
from rl_discrete.runs.seeding import derive_seed


def usage_figures(keys: Keys, num_latents: int, num_categories: int) -> dict[str, Any]:
    """How L latents of K categories are used in N observations; entropies in nats, one of each latent.

    Correlations of pairs are Cramer's V, for bits the absolute Pearson correlation; their mean and maximum are over
    the pairs of latents that are not dead, nan where there is none.
    """
    usage = latent_usage(unpack(keys, num_latents, num_categories), num_categories)
    return {
        "observations": len(keys),
        "num_latents": num_latents,
        "num_categories": num_categories,
        "distinct": int(labels("keys", keys).max()) + 1,
        "perplexity": code_perplexity(keys),
        "dead": usage.dead,
        **usage.summary(),
        "entropy": usage.entropy,
        "latent_perplexity": usage.perplexity,
        "correlation": usage.correlation.round(4),
    }


def state_figures(play: Play, truth: TrueStates, config: DiagnosticsConfig) -> dict[str, Any]:
    """What the codes of a play split and merge of its true states.

    Aliasing says which share of the codes merges states that behave differently; it stands beside the share that
    would be found by chance. It cannot tell anything of states seen only once: `revisited` is the share of the steps
    whose state occurs at least twice.
    """
    states = labels("states", truth.cells)
    generator = np.random.default_rng(derive_seed(config.seed, "diagnostics", "aliasing"))
    merged = aliasing(
        play.keys,
        play.actions,
        play.rewards,
        play.terminated,
        play.next_keys,
        states,
        generator,
        min_visits=config.min_visits,
    )
    per_state, per_code = fragmentation(play.keys, states), fragmentation(states, play.keys)
    spread = None
    if truth.positions is not None:
        spread = asdict(spread_within_codes(play.keys, truth.positions, truth.headings))
    return {
        "kind": truth.kind,
        "counted_as_one": truth.description,
        "distinct": per_state.num_states,
        "revisited": float((np.bincount(states)[states] > 1).mean()),
        "aliasing": asdict(merged),
        "codes_per_state": {"distinct": per_state.distinct, "effective": per_state.effective},
        "states_per_code": {"distinct": per_code.distinct, "effective": per_code.effective},
        "spread": spread,
    }


def play_figures(play: Play) -> dict[str, Any]:
    """What the agent earned, how its episodes ended, and where the values of its greedy actions came from."""
    ends, greedy = play.terminated, play.radius[play.greedy]
    number = len(greedy) or float("nan")
    return {
        "steps": len(play.actions),
        "reward_per_step": float(play.rewards.mean()),
        "ends": {
            "plus": int((ends & (play.rewards > 0)).sum()),
            "minus": int((ends & (play.rewards < 0)).sum()),
            "zero": int((ends & (play.rewards == 0)).sum()),
            "cut": int(play.cut.sum()),
        },
        "greedy": {
            "actions": len(greedy),
            "from_neighbours": float((greedy > 0).sum() / number),
            "from_fallback": float((greedy < 0).sum() / number),
            "radius_mean": float(greedy.clip(min=0).sum() / number),
        },
    }
