"""The command `diagnose`: how well the codes of a run abstract, its table is planned, its world model imagines."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_discrete.cli.flags import HELP, add_fields, layered, new_parser, parse, print_help, taken_run


def diagnose(summary: str, argv: Sequence[str]) -> int:
    """`rl-discrete diagnose`: its arguments, or its help."""
    from rl_discrete.analysis.diagnostics_config import DiagnosticsConfig

    parser = new_parser("diagnose", summary)
    parser.add_argument("--run", type=Path, metavar="PATH", help="run folder, as given to --out of train")
    add_fields(parser, DiagnosticsConfig)
    if any(word in HELP for word in argv):
        return print_help(parser, DiagnosticsConfig())
    flags = parse(parser, argv)
    run = taken_run(flags)
    config = layered(DiagnosticsConfig, [("command line", flags)])

    command = shlex.join(["rl-discrete", "diagnose", *argv])
    from rl_discrete.agents.trained_agent import agent_of

    if agent_of(run) == "simple":
        from rl_discrete.agents.trained_world import load_world_model
        from rl_discrete.analysis.world_diagnosis import diagnose_world

        model, _ = load_world_model(run)
        print(rollout_lines(diagnose_world(run, model, config, command)))
        print(f"figure and all numbers: {run / 'diagnostics'}")
        return 0

    from rich.console import Console

    from rl_discrete.analysis.diagnostics import FOLDER, diagnose_run
    from rl_discrete.analysis.diagnostics_table import render_diagnostics
    from rl_discrete.bench.table import PIPE_WIDTH

    result = diagnose_run(run, config, command)
    render_diagnostics(result, Console(width=None if sys.stdout.isatty() else PIPE_WIDTH))
    print(f"figures and all numbers: {run / FOLDER}")
    return 0


OBJECT_LINES = {
    "mean": "mean error in px",
    "median": "median error in px",
    "near": "within 2 px",
    "lost": "lost",
    "ghost": "where there is none",
    "mean_reconstruction": "decoded: error in px",
    "near_reconstruction": "decoded: within 2 px",
    "lost_reconstruction": "decoded: lost",
    "mean_real": "real: error in px",
    "near_real": "real: within 2 px",
}
"""What is told of an object: `decoded` of the true codes, not of imagined ones, `real` of the frames themselves."""


def rollout_lines(result: Mapping[str, Any]) -> str:
    """The figures of a world model as text: one line for each, one column for each number of imagined steps."""
    from rl_discrete.agents.table_check import describe_check

    checked = result.get("cross_check")
    events = {"reward > 0": result["reward"]["plus"], "reward < 0": result["reward"]["minus"], "end": result["end"]}
    lines = {
        "imagined steps": result["horizons"],
        "rollouts": result["count"],
        "wrong bits": result.get("bit_error"),
        "  bits of the last frame": result.get("bit_error_copy"),
        "nats of the true code": result.get("nats"),
        "nats of the frame's bits": result.get("prior_nats"),
        "pixel error (of 255)": result.get("pixel_error"),
        "  true codes decoded": result.get("pixel_error_reconstruction"),
        "  last frame repeated": result.get("pixel_error_copy"),
        **{f"{name}, {kind}": figures[kind] for name, figures in events.items() for kind in ("recall", "precision")},
        **{f"{name}, imagined": figures["imagined"] for name, figures in events.items()},
        **{f"{name}, in truth": figures["real"] for name, figures in events.items()},
        **{
            f"{name}, {words}": figures.get(kind)
            for name, figures in result["objects"].items()
            for kind, words in OBJECT_LINES.items()
        },
    }
    title = f"world model of {result['agent']} on {result['env']} after {result['step']:,} steps"
    rows = [f"{name:28}" + "".join(f"{_word(value):>9}" for value in line) for name, line in lines.items() if line]
    return "\n".join([title, *rows, *(describe_check(checked) if checked else ())])


def _word(value: float | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3g}"
