"""The explorer of a learned MDP: one HTML page that needs nothing but itself.

The page shows the graph of visited codes, checkpoint by checkpoint. Its parts, plain HTML, CSS and JavaScript, stand
in `explorer_page/`; a content security policy forbids whatever would come from elsewhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from rl_discrete.agents.config import VastConfig
from rl_discrete.agents.vast_policy import load_config
from rl_discrete.analysis.explorer_data import Moment, page_data
from rl_discrete.analysis.explorer_run import History, read_history
from rl_discrete.analysis.table_layout import lay_out_tables
from rl_discrete.bench.palette import DARK, LIGHT
from rl_discrete.runs.durable import check_free, disk_errors, replace_file
from rl_discrete.runs.progress import Progress

SCRIPTS = (
    "load",
    "table",
    "groups",
    "route",
    "camera",
    "picture",
    "links",
    "panel",
    "route_panel",
    "main",
    "events",
)
"""The files of the script, in order."""
PAGE = "explorer.html"
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def explore_run(run: Path, out: Path | None = None, warn: Callable[[str], None] | None = None) -> Path:
    """Writes the explorer of a run of `rl-discrete train --agent vast`, atomically, and returns its path.

    Args:
        run: the run folder; it may belong to a run that is still going on.
        out: the HTML file, a new one; None: `explorer.html` in the run folder, in place of an earlier one.
        warn: receives a line for whatever of the run cannot be read and is left out; None: it stands beside the
            progress.

    Raises:
        UsageError: no such run, no checkpoint yet, a table without any code, or `out` exists.
        RunError: no checkpoint can be read, or the disk refused.
    """
    path = run / PAGE if out is None else out
    if path.name != PAGE or os.path.realpath(path.parent) != os.path.realpath(run) or path.is_dir():
        check_free(path)
    config = load_config(run)
    with Progress() as progress:
        task = progress.add("checkpoints", 1)
        history = read_history(run, config, warn or progress.log, partial(progress.update, task))
        progress.finish(task)
        progress.add("page", 1)
        page = _page_of(run, config, history)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, page.encode())
    return path


def _page_of(run: Path, config: VastConfig, history: History) -> str:
    about = {
        "run": run.resolve().name,
        "env": config.env,
        "encoder": config.encoder,
        "seed": config.seed,
        "discount": config.planner.discount,
        "checkpoints": history.checkpoints,
    }
    return write_page(history.moments, about, history.same_meaning)


def write_page(moments: Sequence[Moment], about: Mapping[str, Any], same_meaning: bool) -> str:
    """The text of the page.

    Args:
        moments: tables in order of time.
        about: what the page says of the run: run, env, encoder, seed, discount, checkpoints.
        same_meaning: whether a key stands for the same observations in all of them.

    Raises:
        UsageError: no moment, or none with a code.
    """
    places = lay_out_tables([moment.transitions for moment in moments], same_meaning)
    meta, arrays = page_data(moments, places, {**about, "sameMeaning": same_meaning})
    blocks = [_block("meta", json.dumps(meta, allow_nan=False).replace("<", "\\u003c"))]
    for index, (moment, content) in enumerate(zip(moments, arrays, strict=True)):
        blocks.append(_block(f"table-{index}", content))
        blocks += [_block(f"image-{index}-{kind}", frames.image) for kind, frames in enumerate(moment.frames)]
    script = "\n".join(_part(f"{name}.js") for name in SCRIPTS)
    return Template(_part("page.html")).substitute(
        policy=_POLICY,
        title=escape(f"{meta['run']}: {meta['env']}, {meta['encoder']}"),
        style=f"{_colors()}\n{_part('page.css')}",
        data="\n".join(blocks),
        script=f'(() => {{\n"use strict";\n{script}\n}})();',
    )


def _colors() -> str:
    """The colours of the house as variables, those of the page itself stand in its own file."""
    light, dark = (" ".join(f"--{name}: {value};" for name, value in colors.items()) for colors in (LIGHT, DARK))
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def _block(name: str, content: str) -> str:
    return f'<script type="application/octet-stream" id="{name}">{content}</script>'


def _part(name: str) -> str:
    return (Path(__file__).parent / "explorer_page" / name).read_text(encoding="utf-8")
