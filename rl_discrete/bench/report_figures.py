"""The report's figures: charts as inline SVG that follows the page's colours, image grids as PNG, all with
words.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from rl_discrete.bench.figures import CHARTS, RECONSTRUCTIONS, SAMPLES, file_name
from rl_discrete.bench.measured import measured, name_of, rows_of
from rl_discrete.bench.palette import LIGHT

CAPTIONS = {
    "reconstruction-bce": "Reconstruction BCE with hard codes. Grey: the floor, which no model can go below; "
    "colour: the excess above it.",
    "inception-score": "Inception score of samples by prior. At the right: the LSTM prior's score, and as a share "
    "of that of reconstructions.",
    "code-length": "Code length of the test images under the LSTM prior, against the capacity and the independent "
    "prior.",
    "rate-distortion": "What a code costs and what it leaves. Along a diagonal the total description length is the "
    "same; nearer the lower left corner is better.",
    "variable-entropy": "Entropy of each latent variable over the test split, as a share of ln K; an empty bar is "
    "a dead variable. First seed.",
    "curves-reconstruction": "BCE against the number of variables, as in the talk, and against the bits, where the "
    "methods compete on equal terms. One seed, few epochs.",
    "curves-score": "Inception score of samples against the number of variables, by prior. One seed, few epochs.",
}
_CHART_FIGURES = {
    "reconstruction-bce": ("reconstruction_bce",),
    "inception-score": ("priors", "lstm", "inception_score"),
    "code-length": ("priors", "lstm", "code_length"),
    "rate-distortion": ("priors", "lstm", "total_nats"),
    "variable-entropy": ("codes", "entropy"),
}


def chart(name: str, result: Mapping[str, Any], figures: Sequence[Path]) -> str:
    """The chart ``name`` as a figure with caption, or nothing where it was not drawn. SVG is preferred."""
    paths = {path.suffix: path for path in figures if path.stem == name}
    if not paths or name not in CHARTS:
        return ""
    alternative = _alternative(name, result)
    if ".svg" in paths:
        picture = _inline_svg(paths[".svg"].read_text(encoding="utf-8"), alternative)
    else:
        picture = _png(paths[".png"], alternative)
    caption = escape(CAPTIONS[name])
    return f'<figure><div class="scroll chart">{picture}</div><figcaption>{caption}</figcaption></figure>'


def image_grids(result: Mapping[str, Any], figures: Sequence[Path]) -> str:
    """Reconstructions and samples of every row, under the row's name."""
    by_stem = {path.stem: path for path in figures if path.suffix == ".png"}
    parts = []
    for row in rows_of(result):
        name = name_of(row)
        words = {
            RECONSTRUCTIONS: f"Test images above, their reconstructions by {name} below, in pairs of lines.",
            SAMPLES: f"Samples of {name}, one panel per prior.",
        }
        grids = ""
        for prefix, text in words.items():
            path = by_stem.get(prefix + file_name(name))
            if path is not None:
                grids += f'<figure><div class="scroll sheet {prefix.rstrip("-")}">{_png(path, text)}</div></figure>'
        if grids:
            parts.append(f"<h3>{escape(name)}</h3>{grids}")
    return "".join(parts)


def _alternative(name: str, result: Mapping[str, Any]) -> str:
    """The chart in words: its caption and, where it shows a figure per row, those figures."""
    path = _CHART_FIGURES.get(name)
    values = [(name_of(row), measured(row, *path)) for row in rows_of(result)] if path else []
    listed = ", ".join(f"{row} {value.mean:.2f}" for row, value in values if value is not None)
    label = path[-1].replace("_", " ") if path else ""
    return f"{CAPTIONS[name]} {label}: {listed}." if listed else CAPTIONS[name]


def _png(path: Path, alternative: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alternative)}">'


def _inline_svg(text: str, alternative: str) -> str:
    """A chart's SVG as a part of the page: no header, no group names, the page's font and colours."""
    body = text[text.index("<svg") :]
    body = re.sub(r"<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # repeated in every chart, and referred to by nothing
    body = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", body)
    for name, color in LIGHT.items():
        body = body.replace(color, f"var(--{name})")
    view_box = re.search(r'viewBox="[\d. ]+"', body)
    head = f'<svg role="img" aria-label="{escape(alternative)}" {view_box.group() if view_box else ""}>'
    return re.sub(r"<svg[^>]*>", lambda _: head, body, count=1).strip()
