"""The report of a benchmark run: one HTML file that needs nothing but itself.

No script, no font and no picture from elsewhere: a content security policy in the page forbids them. Charts
are inline SVG, image grids are data URLs, and light or dark follows the reader's setting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from rl_discrete.bench.measured import look_up, number
from rl_discrete.bench.report_figures import chart, image_grids
from rl_discrete.bench.report_summary import TERMS, summary
from rl_discrete.bench.report_tables import CODES, COST, MAIN, fact_table, prior_table, row_table, seed_table
from rl_discrete.bench.stylesheet import stylesheet
from rl_discrete.runs.durable import disk_errors, replace_file

TITLE = "Discrete autoencoders on MNIST"
INSTALL = "python -m venv .venv && .venv/bin/pip install ."


def write_report(result: Mapping[str, Any], figures: Sequence[Path], path: Path) -> None:
    """Write the report of ``result``, complete or not, to ``path``, atomically.

    Args:
        result: the content of result.json, with its conclusions.
        figures: what `write_figures` returned; a figure that is missing is left out.
        path: the HTML file.

    Raises:
        RunError: the disk refused.
    """
    with disk_errors(path):
        replace_file(path, _page(result, figures).encode())


def _page(result: Mapping[str, Any], figures: Sequence[Path]) -> str:
    sections = [(name, title, body) for name, title, body in _sections(result, figures) if body]
    links = " ".join(f'<a href="#{name}">{escape(title)}</a>' for name, title, _ in sections)
    content = "".join(
        f'<section id="{name}"><h2>{escape(title)}</h2>{body}</section>' for name, title, body in sections
    )
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{TITLE}</title>\n<style>{stylesheet()}</style>\n</head>\n<body>\n"
        f"<header><h1>{TITLE}</h1>{summary(result)}<nav>{links}</nav></header>\n<main>{content}</main>\n</body>\n</html>\n"
    )


def _sections(result: Mapping[str, Any], figures: Sequence[Path]) -> list[tuple[str, str, str]]:
    def charts(*names: str) -> str:
        return "".join(chart(name, result, figures) for name in names)

    seeds = seed_table(result, "Every value behind the means.")
    return [
        ("results", "Results", row_table(result, MAIN, _references(result)) + charts("reconstruction-bce")),
        ("conclusions", "The talk's conclusions", _conclusions(result)),
        (
            "priors",
            "Priors and samples",
            charts("inception-score", "code-length", "rate-distortion")
            + prior_table(result, "Test set, nats per image; scores and distances of the samples of each prior."),
        ),
        ("images", "Images", image_grids(result, figures)),
        ("codes", "Codes", row_table(result, CODES, "Means over variables.") + charts("variable-entropy")),
        ("curves", "Number of variables", charts("curves-reconstruction", "curves-score")),
        ("cost", "Cost", row_table(result, COST, "Wall seconds per seed; the rate of each stage's training loop.")),
        ("seeds", "Seeds", f"<details><summary>Values of every seed</summary>{seeds}</details>"),
        ("definitions", "Definitions", _definitions()),
        ("reproduce", "Reproduce", _reproduce(result)),
    ]


def _references(result: Mapping[str, Any]) -> str:
    """What the main table's numbers are to be held against."""
    parts = ["BCE, code length and total in nats per image; bold: the best row."]
    floor, factorial = number(result, "reference", "bce_floor"), number(result, "reference", "factorial_bce")
    if floor is not None:
        parts.append(f"Floor of the BCE: {floor:.3f}.")
    if factorial is not None:
        parts.append(f"BCE of the per-pixel means: {factorial:.2f}.")
    if number(result, "reference", "test_images", "inception_score") is not None:
        parts.append("Real images: score of the test images, distance of training images to them.")
    return " ".join(parts)


def _conclusions(result: Mapping[str, Any]) -> str:
    """The verdicts with their evidence: the first line states the rule, the others the findings."""
    items = []
    for conclusion in result.get("conclusions") or []:
        verdict = str(look_up(conclusion, "verdict"))
        css = verdict if verdict in ("supported", "contradicted", "undecided") else "undecided"
        rule, *findings = str(look_up(conclusion, "evidence") or "").split("\n")
        listed = "".join(f"<li>{_whole_names(escape(finding))}</li>" for finding in findings)
        items.append(
            f"<li><h3>{escape(str(look_up(conclusion, 'claim')))}</h3>"
            f' <span class="verdict {css}">{escape(verdict)}</span>'
            f'<p class="quiet">{escape(rule)}</p>{f"<ul class=evidence>{listed}</ul>" if listed else ""}</li>'
        )
    intro = "<p>Six claims of the talk that this benchmark follows, each judged by a fixed rule.</p>"
    return f'{intro}<ol class="conclusions">{"".join(items)}</ol>' if items else ""


def _whole_names(text: str) -> str:
    """Keep the row names in escaped ``text`` from being broken at their hyphens."""
    return re.sub(r"\b(?:gs|ish)-\d+x\d+\b", r'<span class="name">\g<0></span>', text)


def _definitions() -> str:
    listed = "".join(f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>" for term, meaning in TERMS.items())
    return f'<dl class="terms">{listed}</dl>'


def _reproduce(result: Mapping[str, Any]) -> str:
    command = str(result.get("command") or "rl-discrete mnist-bench")
    machine, versions = look_up(result, "machine") or {}, look_up(result, "versions") or {}
    judge = {f"judge {name}": look_up(result, "reference", "judge", name) for name in ("accuracy", "sha256")}
    known = {name: value for name, value in judge.items() if value is not None}
    return (
        f"<pre>{escape(INSTALL)}\n{escape(command)}</pre>"
        + (fact_table(machine, "Machine") if machine else "")
        + (fact_table({**versions, **known}, "Versions and judge") if versions or known else "")
    )
