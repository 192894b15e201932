"""The command line `rl-discrete`: it parses arguments, builds one config and calls one function.

The top level is plain, so that `rl-discrete --help` imports neither torch nor the parser library; each
command loads its own parser in its own function. Exit codes: 0 done, 2 something named wrongly, 1 a fault
found later, 128 + number of the signal that stopped the run.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    NamedTuple,
    NoReturn,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from rl_discrete import __version__
from rl_discrete.runs.errors import Interrupted, RunError, UsageError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

Config = TypeVar("Config")
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
        _unknown(kind, argv[0], [*COMMANDS, "--help", "--version"], "`rl-discrete --help` lists the commands")
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


def _unknown(kind: str, given: str, allowed: Sequence[str], remedy: str) -> NoReturn:
    from rl_discrete.runs.config import nearest

    guess = nearest(given, allowed)
    raise UsageError(f"unknown {kind} {given!r}; " + (f"did you mean {guess}? " if guess else "") + remedy)


def _mnist_bench(argv: Sequence[str]) -> int:
    from rl_discrete.bench.config import PRESETS, PROFILES, MnistBenchConfig, Row

    parser = _new_parser("mnist-bench")
    parser.add_argument("--profile", choices=PROFILES, default="default", help="how much is run")
    parser.add_argument("--preset", choices=PRESETS, default="best", help="which architecture")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file; flags override it")
    _add_fields(parser, MnistBenchConfig, switches=("resume",))
    flags = _parse(parser, [word for word in argv if word not in HELP])
    file, given = _config_file(flags)
    profile = _selected("profile", PROFILES, "default", flags, given, file)
    preset = _selected("preset", PRESETS, "best", flags, given, file)
    shipped = [_shipped("mnist", preset), _shipped("mnist", profile)]
    config = _layered(MnistBenchConfig, [*shipped, (file, given), ("command line", flags)])
    if any(word in HELP for word in argv):
        return _print_help(parser, config, profile=profile, preset=preset)
    for name in config.rows:
        Row.parse(name)

    from rl_discrete.bench.mnist import run_mnist_bench

    command = shlex.join(["rl-discrete", "mnist-bench", *argv])
    run_mnist_bench(config, profile=profile, preset=preset, command=command)
    return 0


def _train_judge(argv: Sequence[str]) -> int:
    from rl_discrete.bench.judge_config import JudgeConfig

    parser = _new_parser("train-judge")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file; flags override it")
    _add_fields(parser, JudgeConfig, switches=("resume",))
    flags = _parse(parser, [word for word in argv if word not in HELP])
    config = _layered(JudgeConfig, [_config_file(flags), ("command line", flags)])
    if any(word in HELP for word in argv):
        return _print_help(parser, config)

    from rl_discrete.bench.judge_training import train_judge

    train_judge(config)
    return 0


class Command(NamedTuple):
    """A word after `rl-discrete`: what the overview says of it, and the function that takes its arguments."""

    summary: str
    call: Callable[[Sequence[str]], int]


COMMANDS = {
    "mnist-bench": Command("train, sample and compare discrete autoencoders on MNIST", _mnist_bench),
    "train-judge": Command("rebuild the frozen classifier that scores the rows of mnist-bench", _train_judge),
}


def _shipped(folder: str, name: str) -> tuple[str, dict[str, Any]]:
    from rl_discrete import configs
    from rl_discrete.runs.config import read_yaml

    path = Path(configs.__path__[0], folder, f"{name}.yaml")
    return str(path), read_yaml(path)


def _config_file(flags: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Take `--config FILE` out of the flags: its name and what it holds. A resumed run goes on with its own."""
    from rl_discrete.runs.config import read_yaml

    path = flags.pop("config", None)
    own = Path(flags["out"], "config.yaml") if flags.get("resume") and "out" in flags else None
    if path is None and own is not None and own.is_file() and not {"profile", "preset"} & set(flags):
        path = own
    return ("", {}) if path is None else (str(path), read_yaml(path))


def _selected(
    name: str, allowed: Sequence[str], default: str, flags: dict[str, Any], given: dict[str, Any], file: str
) -> str:
    """Take a selector out of the flags and the config file (a run names both in its own); flags win."""
    by_file, by_flag = given.pop(name, default), flags.pop(name, None)
    if by_file not in allowed:
        _unknown(f"{name} in {file}:", str(by_file), allowed, f"allowed: {', '.join(allowed)}")
    return cast(str, by_flag or by_file)


def _layered(config: type[Config], layers: Sequence[tuple[str, Mapping[str, Any]]]) -> Config:
    """Defaults, then each (source, values) over them; an error names the source that brought it in."""
    from rl_discrete.runs.config import from_mapping, merge

    merged: dict[str, Any] = {}
    for source, values in layers:
        merged = merge(merged, values)
        built = from_mapping(config, merged, source)
    return built


def _new_parser(command: str) -> ArgumentParser:
    from argparse import HelpFormatter

    from jsonargparse import ArgumentParser

    return ArgumentParser(
        prog=f"rl-discrete {command}",
        usage=f"rl-discrete {command} [flags]",
        description=COMMANDS[command].summary,
        allow_abbrev=False,
        exit_on_error=False,
        print_config=None,
        formatter_class=HelpFormatter,
    )


def _add_fields(
    parser: ArgumentParser, config: type, prefix: str = "", summary: str = "", switches: Sequence[str] = ()
) -> None:
    """One flag a leaf of a nested dataclass, `--data-dir` or `--training.batch_size`; one group a dataclass.

    The parser's own dataclass support would add a second flag a group that reads a file (`--training FILE`).
    """
    from rl_discrete.runs.field_help import field_help, metavar

    hints, texts = get_type_hints(config), field_help(config)
    summary = summary or (config.__doc__ or "").partition("\n\n")[0]
    group = parser.add_argument_group(prefix.rstrip(".") or "run", summary)
    for item in fields(config):
        hint, text = hints[item.name], texts.get(item.name, "")
        flag = f"--{prefix}{item.name if prefix else item.name.replace('_', '-')}"
        if is_dataclass(hint):
            _add_fields(parser, cast(type, hint), f"{prefix}{item.name}.", text)
        elif item.name in switches:
            group.add_argument(flag, action="store_true", help=text.replace("%", "%%"))
        else:
            reader = _comma_separated(get_args(hint)[0]) if get_origin(hint) is tuple else hint
            group.add_argument(flag, type=reader, metavar=metavar(hint), help=text.replace("%", "%%"))


def _comma_separated(kind: type) -> Callable[[str], tuple[Any, ...]]:
    def read(text: str | tuple[Any, ...]) -> tuple[Any, ...]:
        from argparse import ArgumentTypeError

        if isinstance(text, tuple):
            return text  # the parser checks once more what has been read
        try:
            return tuple(kind(item.strip()) for item in text.strip("[]").split(","))
        except ValueError:
            message = f"must be {kind.__name__} values separated by commas, got {text!r}"
            raise ArgumentTypeError(message) from None

    return read


def _parse(parser: ArgumentParser, argv: Sequence[str]) -> dict[str, Any]:
    """What the user gave and nothing else, nested as in YAML.

    Raises:
        UsageError: an unknown flag, with the nearest one; a value of the wrong type; a value missing.
    """
    from argparse import ArgumentError

    flags = [flag for action in parser._actions for flag in action.option_strings]
    remedy = f"`{parser.prog} --help` lists them"
    for word in argv:
        flag = word.partition("=")[0]
        if re.match(r"--?[A-Za-z]", word) and flag not in flags:
            _unknown("flag", flag, flags, remedy)
    try:
        return parser.parse_args(list(argv), defaults=False).as_dict()
    except ArgumentError as error:
        raise UsageError(_plain(str(error), remedy)) from None


def _plain(message: str, remedy: str) -> str:
    """The parser's message in the words of the command line."""
    if match := re.match(r"argument (--\S+): invalid choice: '(.*)' \(choose from (.*)\)", message):
        flag, given, choices = match.groups()
        allowed = choices.replace("'", "").split(", ")
        _unknown(flag.lstrip("-"), given, allowed, f"allowed: {', '.join(allowed)}")
    if match := re.match(r'Parser key "(.+?)":\s*Expected an? (.+)\. Got value: (.*)', message, re.DOTALL):
        key, expected, given = match.groups()
        expected = re.sub(r"<class '(?:\w+\.)*(\w+)'>|typing\.", r"\1", expected)
        return f"--{key if '.' in key else key.replace('_', '-')} must be {expected}, got {given!r}"
    if match := re.match(r"argument (--\S+): (must .*)", message):
        return " ".join(match.groups())
    return f"{message.removeprefix('argument ')}; {remedy}"


def _print_help(parser: ArgumentParser, config: object, **selected: str) -> int:
    """Help with the defaults that hold for the selected files and flags."""
    from rl_discrete.runs.config import to_mapping

    defaults = {**dict(_leaves(to_mapping(config))), **selected}
    for action in parser._actions:
        value = defaults.get(action.dest)
        if isinstance(value, (list, str, int, float)):
            shown = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            shown = shown.lower() if isinstance(value, bool) else shown
            action.help = f"{action.help} (default: {shown.replace('%', '%%')})"
    parser.print_help()
    return 0


def _leaves(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
