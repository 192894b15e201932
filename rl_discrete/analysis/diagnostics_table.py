"""The figures of `diagnose` as a short table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

Line = tuple[str, str, str]  # what, figure, what it is to be compared with
MISSING = "-"


def render_diagnostics(result: Mapping[str, Any], console: Console) -> None:
    """Prints a title and one line for each figure, with what it means or should be compared with beside it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD if not console.options.ascii_only else box.ASCII2, pad_edge=False)
    table.add_column("figure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("beside")
    for number, part in enumerate((_codes(result), _states(result), _table(result), _planner(result))):
        if number and part:
            table.add_section()
        for line in part:
            table.add_row(*(Text(word) for word in line))
    title = f"{result['encoder']} on {result['env']} after {result['step']:,} steps"
    console.print(Text(f"{title}; {result['play']['steps']:,} fresh steps"))
    console.print(table)


def _codes(result: Mapping[str, Any]) -> list[Line]:
    codes, churn, course = result["codes"], result["churn"], result["course"]
    latents = codes["num_latents"]
    lines = [
        ("codes seen", f"{codes['distinct']:,}", f"perplexity {_number(codes['perplexity'])}"),
        ("latents that are dead", f"{codes['dead']} of {latents}", f"of {codes['num_categories']} categories each"),
        ("entropy of a latent", _number(codes["entropy_mean"]), "nats, mean"),
        ("correlation of latents", _number(codes["correlation_mean"]), f"largest {_number(codes['correlation_max'])}"),
    ]
    if churn["between"]:
        first, last = churn["step"][-2:]
        text = f"of {churn['probes']} probes, step {first:,} to {last:,}"
        lines.append(("codes that changed", _share(churn["between"][-1]), text))
    reassigned = _last(course.get("reassigned_replay") or course.get("reassigned_sampled") or ())
    if reassigned is not None:
        probes = _last(course.get("reassigned_probes") or ())
        lines.append(("reassigned, last logged", _share(reassigned), f"of the probe set {_share(probes)}"))
    return lines


def _states(result: Mapping[str, Any]) -> list[Line]:
    states = result["states"]
    if states is None:
        return [("true states", MISSING, "the env has no diagnostic_state")]
    merged, spread = states["aliasing"], states["spread"]
    seen = f"{states['counted_as_one']}; {_share(states['revisited'])} of steps in one seen twice"
    judged = (
        f"chance {_share(merged['chance'])}; of {merged['num_codes']:,} codes, {_share(merged['covered'])} of steps"
    )
    by = ", ".join(f"{word} {_share(merged[f'by_{word}'])}" for word in ("reward", "end", "next_code"))
    per_state, per_code = states["codes_per_state"], states["states_per_code"]
    lines = [
        ("true states", f"{states['distinct']:,}", seen),
        ("codes that alias", _share(merged["rate"]), judged),
        ("", "", by.replace("_", " ")),
        ("codes of a state", _number(per_state["effective"]), f"{_number(per_state['distinct'])} different ones"),
        ("states of a code", _number(per_code["effective"]), f"{_number(per_code['distinct'])} different ones"),
    ]
    if spread is not None:
        text = f"all places {_number(spread['overall'])}; {_share(spread['shared'])} of steps share a code"
        lines.append(("spread within a code", _number(spread["within"]), text))
        if spread["heading"] is not None:
            lines.append(("headings of a code", _number(spread["heading"]), "1: all the same"))
    return lines


def _table(result: Mapping[str, Any]) -> list[Line]:
    table, greedy = result["table"], result["play"]["greedy"]
    logged = _last(result["course"].get("from_neighbours") or ())
    return [
        ("states of the table", f"{table['states']:,}", f"perplexity {_number(table['perplexity'])} by visits"),
        ("edges", f"{table['edges']:,}", f"{_number(table['bytes'] / 1e6)} MB with the planner"),
        ("bytes an edge", _number(table["bytes_per_edge"]), ""),
        ("bytes a state-action", _number(table["bytes_per_state_action"]), ""),
        ("greedy from neighbours", _share(greedy["from_neighbours"]), f"in training, last {_share(logged)}"),
        ("greedy from nowhere", _share(greedy["from_fallback"]), ""),
    ]


def _planner(result: Mapping[str, Any]) -> list[Line]:
    planner = result["planner"]
    per_step = _last(result["course"].get("sweeps_per_step") or ())
    scale = f"of values up to {_number(planner['value_scale'])}"
    return [
        (
            "sweeps of this table",
            f"{planner['sweeps']:,}",
            f"last {_number(per_step)} a step; {planner['queue']:,} wait in the queue",
        ),
        ("Bellman residual", _number(planner["bellman_residual"]), scale),
        ("error of a value", _number(planner["value_error"]), f"largest; rms {_number(planner['value_error_rms'])}"),
        ("reward a step", _number(result["play"]["reward_per_step"]), _ends(result["play"]["ends"])),
    ]


def _ends(ends: Mapping[str, int]) -> str:
    return "ends " + ", ".join(f"{name} {number}" for name, number in ends.items())


def _last(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1%}"
