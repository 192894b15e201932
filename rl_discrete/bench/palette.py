"""The few colours of the benchmark's charts and page, once for paper and once for a dark screen.

Charts are drawn in the light colours; the report replaces each of them by a CSS variable of the same name,
which is why every colour occurs once.
"""

from __future__ import annotations

LIGHT = {
    "ink": "#1d2126",
    "muted": "#646b75",
    "grid": "#e2e4e8",
    "pale": "#cdd2d9",
    "mid": "#98a0ab",
    "gs": "#b8552b",
    "gs-soft": "#cf865d",
    "gs-faint": "#e0ab8a",
    "ish": "#27699b",
}
DARK = {
    "ink": "#e4e6ea",
    "muted": "#a0a7b1",
    "grid": "#30353c",
    "pale": "#474e58",
    "mid": "#76808d",
    "gs": "#e58a5c",
    "gs-soft": "#c27a54",
    "gs-faint": "#96664d",
    "ish": "#6cb0e0",
}


def method_color(method: object) -> str:
    """The colour of a method's marks: ``gs``, ``ish``, or the neutral ink for anything else."""
    return LIGHT[method] if method in ("gs", "ish") and isinstance(method, str) else LIGHT["ink"]
