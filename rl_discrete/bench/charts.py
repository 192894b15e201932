"""Bar charts over the rows of a result: BCE, Inception score and code length.

Each function gives one figure, or None where the result has nothing for it. Drawn on bare ``Figure``
objects: no pyplot, no window system, no global state. Colours come from the palette only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rl_discrete.bench.aggregate import PRIORS
from rl_discrete.bench.measured import (
    PRIOR_LABELS,
    Measured,
    measured,
    name_of,
    number,
    rows_of,
)
from rl_discrete.bench.palette import LIGHT, method_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 6.6  # inches; narrow, so that the text stays readable on a phone


def bce_chart(result: Mapping[str, Any]) -> Figure | None:
    """Reconstruction BCE per row, split at the floor of the test set, with the seed spread."""
    found = [(row, bce) for row in rows_of(result) if (bce := measured(row, "reconstruction_bce"))]
    if not found:
        return None
    figure, axes = _bars_for([row for row, _ in found])
    floor = number(result, "reference", "bce_floor")
    for place, (row, bce) in enumerate(found):
        color = method_color(row.get("method"))
        base = min(floor or 0.0, bce.mean)
        axes.barh(place, base, height=0.62, color=LIGHT["pale"])
        axes.barh(place, bce.mean - base, left=base, height=0.62, color=color)
        _spread(axes, place, bce)
        _value(axes, place, bce.mean + (bce.std if bce.has_spread else 0.0), bce.text(1))
    if floor is not None:
        _reference(axes, floor, f"floor {floor:.3f}")
    axes.set_xlim(0, 1.16 * max(bce.mean + bce.std for _, bce in found))
    axes.set_xlabel("reconstruction BCE, nats per image (lower is better)")
    return figure


def score_chart(result: Mapping[str, Any]) -> Figure | None:
    """Inception score of the samples of each prior, with marks for reconstructions and real images."""
    rows = [row for row in rows_of(result) if any(_score(row, prior) for prior in PRIORS)]
    if not rows:
        return None
    figure, axes = _bars_for(rows, per_row=0.52)
    handles: dict[str, Any] = {}
    for place, row in enumerate(rows):
        fills = {
            "uniform": LIGHT["pale"],
            "independent": LIGHT["mid"],
            "lstm": method_color(row.get("method")),
        }
        for offset, prior in zip((-0.27, 0.0, 0.27), PRIORS, strict=True):
            score = _score(row, prior)
            if score is None:
                continue
            bar = axes.barh(place + offset, score.mean - 1, left=1, height=0.25, color=fills[prior])
            _spread(axes, place + offset, score)
            if prior != "lstm":
                handles.setdefault(PRIOR_LABELS[prior], bar)
        _value(axes, place, 10.0, _lstm_and_ratio(row))
        reconstruction = measured(row, "reconstruction", "inception_score")
        if reconstruction is not None:
            mark = axes.vlines(reconstruction.mean, place - 0.42, place + 0.42, color=LIGHT["ink"], lw=1.6)
            handles.setdefault("reconstructions", mark)
    real = number(result, "reference", "test_images", "inception_score")
    if real is not None:
        _reference(axes, real, f"real test images {real:.2f}", side="right")
    axes.set_xlim(1, 10)
    axes.set_xlabel("Inception score by the judge, 1 to 10 (higher is better); coloured bars: LSTM prior")
    axes.text(1.012, 1, "LSTM,\nof recon.", transform=axes.transAxes, va="bottom", fontsize=8, color=LIGHT["muted"])
    _legend(figure, handles)
    return figure


def code_length_chart(result: Mapping[str, Any]) -> Figure | None:
    """Code length under each prior against the capacity L ln K."""
    rows = [row for row in rows_of(result) if number(row, "capacity_nats") is not None]
    if not any(measured(row, "priors", "lstm", "code_length") for row in rows):
        return None
    figure, axes = _bars_for(rows)
    handles: dict[str, Any] = {}
    for place, row in enumerate(rows):
        capacity = number(row, "capacity_nats") or 0.0
        outline = axes.barh(place, capacity, height=0.62, color="none", edgecolor=LIGHT["mid"], lw=1)
        handles.setdefault("capacity L ln K", outline)
        lstm, independent = (measured(row, "priors", prior, "code_length") for prior in ("lstm", "independent"))
        label = ""
        if lstm is not None:
            axes.barh(place, lstm.mean, height=0.62, color=method_color(row.get("method")))
            _spread(axes, place, lstm)
            label = f"{lstm.mean:.1f} of {capacity:.1f} ({lstm.mean / capacity:.0%})" if capacity else ""
        if independent is not None:
            mark = axes.vlines(independent.mean, place - 0.31, place + 0.31, color=LIGHT["ink"], lw=1.6)
            handles.setdefault("independent prior", mark)
        _value(axes, place, max(capacity, independent.mean if independent else 0.0), label)
    axes.set_xlim(0, 1.32 * max(number(row, "capacity_nats") or 0.0 for row in rows))
    axes.set_xlabel("code length on the test set, nats per image; coloured bars: LSTM prior")
    _legend(figure, handles)
    return figure


def _lstm_and_ratio(row: Mapping[str, Any]) -> str:
    score, ratio = _score(row, "lstm"), measured(row, "priors", "lstm", "score_over_reconstructions")
    if score is None:
        return ""
    return f"{score.mean:.2f}" if ratio is None else f"{score.mean:.2f}, {ratio.mean:.0%}"


def _score(row: Mapping[str, Any], prior: str) -> Measured | None:
    return measured(row, "priors", prior, "inception_score")


def _bars_for(rows: list[Mapping[str, Any]], per_row: float = 0.34) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, per_row * len(rows) + 0.95), layout="constrained")
    axes = figure.subplots()
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), labels=[name_of(row) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    return figure, axes


def _spread(axes: Axes, place: float, value: Measured) -> None:
    if value.has_spread:
        axes.errorbar(value.mean, place, xerr=value.std, color=LIGHT["ink"], lw=1.1, capsize=2.5)


def _value(axes: Axes, place: float, end: float, text: str) -> None:
    axes.annotate(text, (end, place), (5, 0), textcoords="offset points", va="center", fontsize=8, color=LIGHT["ink"])


def _reference(axes: Axes, place: float, text: str, side: str = "center") -> None:
    axes.axvline(place, color=LIGHT["ink"], lw=0.9, ls=(0, (4, 3)))
    axes.annotate(
        text,
        (place, 1),
        (0, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha=side,
        fontsize=8,
        color=LIGHT["ink"],
    )


def _legend(figure: Figure, handles: Mapping[str, Any]) -> None:
    if handles:
        figure.legend(
            list(handles.values()), list(handles), loc="outside upper left", ncols=len(handles), frameon=False
        )
