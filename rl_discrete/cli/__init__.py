"""The command line `rl-discrete`: it parses arguments, builds one config and calls one function.

The top level is plain, so that `rl-discrete --help` imports neither torch nor the parser library; the module of
a command is imported when the command is called. Exit codes: 0 done, 2 something named wrongly, 1 a fault
found later, 128 + number of the signal that stopped the run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple

from rl_discrete import __version__
from rl_discrete.runs.errors import Interrupted, RunError, UsageError

HELP = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. Every error is one line on stderr, never a traceback.

    Args:
        argv: the arguments after the program's name; None reads those of the process.
    """
    try:
        return _dispatch(list(sys.argv[1:] if argv is None else argv))
    except UsageError as error:
        return _fail(error, 2)
    except RunError as error:
        return _fail(error, 1)
    except Interrupted as error:
        return _fail(error, error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(error: Exception | str, code: int) -> int:
    print("rl-discrete: error:", " ".join(str(error).split()), file=sys.stderr)
    return code


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in HELP:
        print(_overview())
        return 0
    if argv[0] == "--version":
        print(f"rl-discrete {__version__}")
        return 0
    if argv[0] not in COMMANDS:
        kind = "flag" if argv[0].startswith("-") else "command"
        from rl_discrete.cli.flags import unknown

        unknown(kind, argv[0], [*COMMANDS, "--help", "--version"], "`rl-discrete --help` lists the commands")
    return COMMANDS[argv[0]].call(argv[1:])


def _overview() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items())
    return (
        "usage: rl-discrete [--help] [--version] COMMAND ...\n\n"
        "Reinforcement learning on discrete codes.\n\n"
        f"commands:\n{commands}\n\n"
        "`rl-discrete COMMAND --help` shows the flags of a command."
    )


class Command(NamedTuple):
    """A word after `rl-discrete`: what the overview says of it, and where its function stands."""

    summary: str
    module: str
    function: str

    def call(self, argv: Sequence[str]) -> int:
        """Run the command with its arguments; only now is its parser, and what it needs, imported."""
        function: Callable[[str, Sequence[str]], int] = getattr(import_module(self.module), self.function)
        return function(self.summary, argv)


COMMANDS = {
    "mnist-bench": Command(
        "train, sample and compare discrete autoencoders on MNIST", "rl_discrete.cli.bench", "mnist_bench"
    ),
    "train": Command("train an agent in a real env", "rl_discrete.cli.train", "train"),
    "eval": Command("play whole episodes with the agent of a run", "rl_discrete.cli.runs", "evaluate"),
    "play": Command("play a game that the world model of a run imagines", "rl_discrete.cli.worlds", "play"),
    "video": Command("film the real env beside what a world model imagines", "rl_discrete.cli.worlds", "video"),
    "compare": Command("set runs side by side, and beside published scores", "rl_discrete.cli.worlds", "compare"),
    "replan": Command("plan for another reward in the table of a run", "rl_discrete.cli.runs", "replan"),
    "explore": Command("draw the table of a run as a page to walk through", "rl_discrete.cli.explore", "explore"),
    "diagnose": Command(
        "measure the codes, the table or the world model of a run", "rl_discrete.cli.diagnose", "diagnose"
    ),
    "export-mdp": Command("write the table of a run for other programs", "rl_discrete.cli.runs", "export_mdp"),
    "train-judge": Command(
        "rebuild the frozen classifier that scores the rows of mnist-bench", "rl_discrete.cli.bench", "train_judge"
    ),
}
