"""The command `diagnose`: how well the codes of a run abstract, and how well its table is planned."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rl_discrete.cli.flags import HELP, add_fields, layered, new_parser, parse, print_help
from rl_discrete.runs.errors import UsageError


def diagnose(summary: str, argv: Sequence[str]) -> int:
    """`rl-discrete diagnose`: its arguments, or its help."""
    from rl_discrete.analysis.diagnostics_config import DiagnosticsConfig

    parser = new_parser("diagnose", summary)
    parser.add_argument("--run", type=Path, metavar="PATH", help="run folder, as given to --out of train --agent vast")
    add_fields(parser, DiagnosticsConfig)
    if any(word in HELP for word in argv):
        return print_help(parser, DiagnosticsConfig())
    flags = parse(parser, argv)
    run = flags.pop("run", None)
    if run is None:
        raise UsageError("--run is required: the folder of a run, as given to --out of train --agent vast")
    config = layered(DiagnosticsConfig, [("command line", flags)])

    from rich.console import Console

    from rl_discrete.analysis.diagnostics import FOLDER, diagnose_run
    from rl_discrete.analysis.diagnostics_table import render_diagnostics
    from rl_discrete.bench.table import PIPE_WIDTH

    result = diagnose_run(Path(run), config, shlex.join(["rl-discrete", "diagnose", *argv]))
    render_diagnostics(result, Console(width=None if sys.stdout.isatty() else PIPE_WIDTH))
    print(f"figures and all numbers: {Path(run) / FOLDER}")
    return 0
