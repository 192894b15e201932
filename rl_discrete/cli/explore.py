"""The command `explore`: a page in which the MDP that a run has learned can be walked through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rl_discrete.cli.flags import HELP, new_parser, parse
from rl_discrete.runs.errors import UsageError


def explore(summary: str, argv: Sequence[str]) -> int:
    """`rl-discrete explore`: its arguments, or its help."""
    parser = new_parser("explore", summary)
    parser.add_argument("--run", type=Path, metavar="PATH", help="run folder, as given to --out of train --agent vast")
    parser.add_argument(
        "--out", type=Path, metavar="PATH", help="HTML file; by default explorer.html in the run folder"
    )
    if any(word in HELP for word in argv):
        parser.print_help()
        return 0
    flags = parse(parser, argv)
    if "run" not in flags:
        raise UsageError("--run is required: the folder of a run, as given to --out of train --agent vast")

    from rl_discrete.analysis.explorer import explore_run

    print(explore_run(flags["run"], flags.get("out")))
    return 0
