"""The figures of a VaST run: one line for each window of env steps, and a summary at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.exploration import Choice
from rl_discrete.agents.vast_run import VastRun
from rl_discrete.agents.window import Window
from rl_discrete.encoders.base import Encoder
from rl_discrete.latents.codes import bits_per_latent, unpack
from rl_discrete.latents.usage import latent_usage
from rl_discrete.mdp.lookup import Estimates
from rl_discrete.mdp.tabular import Keys, TabularMDP

_ENDS = ("plus", "minus", "zero", "cut")
_NEWEST = 2000  # observations that latents are judged by
_WIDEST = 1024  # latents times categories beyond which judging them would cost more than the run


def add_lookups(window: Window, estimates: Estimates, choice: Choice) -> None:
    """Counts where the values of the greedy actions came from: the state itself, its neighbours, or nowhere."""
    radius = estimates.radius[np.arange(len(choice.actions)), choice.actions][choice.greedy]
    window.add(
        greedy=len(radius),
        from_neighbours=np.count_nonzero(radius > 0),
        from_fallback=np.count_nonzero(radius < 0),
        radius=radius.clip(min=0).sum(),
    )


def measure(run: VastRun) -> dict[str, float]:
    """The metrics of the window that ends here, and a new window.

    Perplexity counts states by their visits, and a bit is dead if it is the same in every state; entropy (nats, a mean
    over latents) and correlation are of the newest observations that were acted on, and left out of very wide codes.
    `planner/residual` is what is still to be propagated, max |V - U|. The Bellman residual, distances from the exact
    values, aliasing and whatever needs true states cost too much here: they stand in `diagnose` alone.
    """
    run.keep_losses()
    window, planner = run.window, run.tabulation.planner
    table = planner.table
    ends = {name: window.total(f"ends_{name}") for name in _ENDS}
    terminated = ends["plus"] + ends["minus"] + ends["zero"]
    episodes = terminated + ends["cut"] or float("nan")
    num_bits = run.acting.num_latents * bits_per_latent(run.acting.num_categories)
    keys, _, counts = planner.view()
    visits = np.asarray(counts).sum(axis=1)
    metrics = {
        "reward_per_step": window.mean("reward", "steps"),
        "epsilon": run.exploration.epsilon(run.step),
        **{f"ends/{name}": number for name, number in ends.items()},
        "ends/plus_share": ends["plus"] / (terminated or float("nan")),
        "episode/return": window.total("returns") / episodes,
        "episode/length": window.total("lengths") / episodes,
        "table/states": table.num_states,
        "table/rows": table.num_rows,
        "table/edges": table.num_edges,
        "table/bytes": table.num_bytes,
        "table/bytes_per_edge": bytes_per_edge(table),
        "table/states_per_step": table.num_states / run.step,
        "codes/perplexity": perplexity(visits),
        "codes/dead_bits": dead_bits(keys[visits > 0], num_bits),
        **{f"codes/{name}": value for name, value in measure_latents(newest_keys(run), run.acting).items()},
        **{f"codes/reassigned_{name}": share for name, share in run.reassigned.items()},
        "lookup/neighbour_share": window.mean("from_neighbours", "greedy"),
        "lookup/fallback_share": window.mean("from_fallback", "greedy"),
        "lookup/radius": window.mean("radius", "greedy"),
        "planner/sweeps_per_step": window.mean("sweeps", "steps"),
        "planner/backups_per_step": window.mean("backups", "steps"),
        "planner/queue": planner.queue_length,
        "planner/residual": planner.residual(),
        "learner/updates": run.learner.updates,
        **{name: window.mean(name, "updates") for name in sorted(window.totals) if name.startswith("loss/")},
    }
    if window.total("relabel_checks"):
        metrics["codes/reassigned_sampled"] = window.mean("relabelled", "relabel_checks")
    run.window = Window()
    return {name: float(value) for name, value in metrics.items()}


def newest_keys(run: VastRun) -> Keys:
    """Keys (N, W) of the newest observations that were acted on: those at which no episode ended."""
    rows = run.replay.rows()[-_NEWEST:]
    columns = run.replay.columns(rows)
    return run.tabulation.keys(rows[~(columns.terminated | columns.truncated)])


def measure_latents(keys: Keys, encoder: Encoder) -> dict[str, float]:
    """Entropy and correlations of the latents of keys (N, W), as in `diagnose`; nothing where codes are too wide."""
    num_latents, num_categories = encoder.num_latents, encoder.num_categories
    if len(keys) == 0 or num_latents * num_categories > _WIDEST:
        return {}
    return latent_usage(unpack(keys, num_latents, num_categories), num_categories).summary()


def bytes_per_edge(table: TabularMDP) -> float:
    """Bytes of the pool of edges, room to spare included, for each of them; nan without edges."""
    return table.store.arrays.entries.nbytes / table.num_edges if table.num_edges else float("nan")


def perplexity(visits: NDArray[np.int64]) -> float:
    """exp of the entropy of the visits over states: how many states are in use, as it were; 0 where none is."""
    share = visits[visits > 0] / max(int(visits.sum()), 1)
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0


def dead_bits(keys: Keys, num_bits: int) -> int:
    """Bits of keys (N, W) that are the same in all of them, of the lowest `num_bits` bits."""
    if len(keys) == 0:
        return num_bits
    differing = np.bitwise_or.reduce(keys, axis=0) ^ np.bitwise_and.reduce(keys, axis=0)
    return num_bits - int(np.bitwise_count(differing).sum())


def describe(run: VastRun) -> str:
    """A few words for the progress bar."""
    due = run.updates_due()
    if run.learner.updates + 1 < due:
        return f"gradient step {run.learner.updates} of {due}"
    words = f"{run.tabulation.planner.table.num_states} states, epsilon {run.exploration.epsilon(run.step):.2f}"
    if run.window.total("steps"):  # else a window has just ended
        words += f", reward {run.window.mean('reward', 'steps'):.4f} per step"
    return words


def summarize_run(run: VastRun, windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What result.json says of the run besides its settings."""
    table = run.tabulation.planner.table
    sums = {name: sum(line[f"ends/{name}"] for line in windows) for name in _ENDS}
    return {
        "steps": run.step,
        "updates": run.learner.updates,
        "totals": {
            "ends": sums,
            "states": table.num_states,
            "edges": table.num_edges,
            "table_bytes": table.num_bytes,
            "replay_bytes": run.replay.num_bytes,
        },
        "windows": list(windows),
        "seconds": run.seconds,
    }
