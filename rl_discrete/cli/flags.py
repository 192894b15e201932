"""Flags from config dataclasses, and configs from flags: what every command's parser is made of.

A config comes in layers, each over the one before: the dataclass, the shipped YAML of preset and profile, `--config
FILE`, the flags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast, get_args, get_origin, get_type_hints

from rl_discrete.runs.errors import UsageError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

Config = TypeVar("Config")
HELP = ("-h", "--help")


def unknown(kind: str, given: str, allowed: Sequence[str], remedy: str) -> NoReturn:
    """Raises UsageError for a word that is not among the allowed ones, naming the nearest of them."""
    from rl_discrete.runs.config import nearest

    guess = nearest(given, allowed)
    raise UsageError(f"unknown {kind} {given!r}; " + (f"did you mean {guess}? " if guess else "") + remedy)


def shipped(folder: str, name: str) -> tuple[str, dict[str, Any]]:
    """A layer that comes with the package: the path of configs/folder/name.yaml and what it holds."""
    from rl_discrete import configs
    from rl_discrete.runs.config import read_yaml

    path = Path(configs.__path__[0], folder, f"{name}.yaml")
    return str(path), read_yaml(path)


def config_file(flags: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Take `--config FILE` out of the flags: its name and what it holds. A resumed run goes on with its own."""
    from rl_discrete.runs.config import read_yaml

    path = flags.pop("config", None)
    own = Path(flags["out"], "config.yaml") if flags.get("resume") and "out" in flags else None
    if path is None and own is not None and own.is_file() and not {"profile", "preset"} & set(flags):
        path = own
    return ("", {}) if path is None else (str(path), read_yaml(path))


def selected(
    name: str, allowed: Sequence[str], default: str, flags: dict[str, Any], given: dict[str, Any], file: str
) -> str:
    """Take a selector out of the flags and the config file (a run names both in its own); flags win."""
    by_file, by_flag = given.pop(name, default), flags.pop(name, None)
    if by_file not in allowed:
        unknown(f"{name} in {file}:", str(by_file), allowed, f"allowed: {', '.join(allowed)}")
    return cast(str, by_flag or by_file)


def layered(config: type[Config], layers: Sequence[tuple[str, Mapping[str, Any]]]) -> Config:
    """Defaults, then each (source, values) over them; an error names the source that brought it in."""
    from rl_discrete.runs.config import from_mapping, merge

    merged: dict[str, Any] = {}
    for source, values in layers:
        merged = merge(merged, values)
        built = from_mapping(config, merged, source)
    return built


def new_parser(command: str, summary: str) -> ArgumentParser:
    """A parser for the flags of a command, still without any."""
    from argparse import HelpFormatter

    from jsonargparse import ArgumentParser

    return ArgumentParser(
        prog=f"rl-discrete {command}",
        usage=f"rl-discrete {command} [flags]",
        description=summary,
        allow_abbrev=False,
        exit_on_error=False,
        print_config=None,
        formatter_class=HelpFormatter,
    )


def add_fields(
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
            add_fields(parser, cast(type, hint), f"{prefix}{item.name}.", text)
        elif item.name in switches:
            group.add_argument(flag, action="store_true", help=text.replace("%", "%%"))
        else:
            reader = hint
            if get_origin(hint) is tuple:
                reader = _comma_separated(get_args(hint)[0])
            elif get_origin(hint) is dict:
                reader = _mapping
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


def _mapping(text: str | dict[str, Any]) -> dict[str, Any]:
    """A mapping written as in YAML or JSON."""
    from argparse import ArgumentTypeError

    import yaml

    try:
        value = text if isinstance(text, dict) else yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    if not isinstance(value, dict):
        raise ArgumentTypeError(f"must be a mapping such as '{{key: value}}', got {text!r}")
    return value


def taken_run(flags: dict[str, Any]) -> Path:
    """Take `--run PATH` out of the flags.

    Raises:
        UsageError: it was not given.
    """
    run = flags.pop("run", None)
    if run is None:
        raise UsageError("--run is required: the folder of a run, as given to --out of train")
    return Path(run)


def value_of(flag: str, argv: Sequence[str]) -> str | None:
    """The value of a flag that decides which others there are; the last one where it is given twice."""
    found = None
    for word, following in zip(argv, [*argv, None][1:], strict=True):
        if word == flag:
            found = following
        elif word.startswith(f"{flag}="):
            found = word.partition("=")[2]
    return found


def parse(parser: ArgumentParser, argv: Sequence[str]) -> dict[str, Any]:
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
            unknown("flag", flag, flags, remedy)
    try:
        return parser.parse_args(list(argv), defaults=False).as_dict()
    except ArgumentError as error:
        raise UsageError(_plain(str(error), remedy)) from None


def _plain(message: str, remedy: str) -> str:
    """The parser's message in the words of the command line."""
    if match := re.match(r"argument (--\S+): invalid choice: '(.*)' \(choose from (.*)\)", message):
        flag, given, choices = match.groups()
        allowed = choices.replace("'", "").split(", ")
        unknown(flag.lstrip("-"), given, allowed, f"allowed: {', '.join(allowed)}")
    if match := re.match(r'Parser key "(.+?)":\s*Expected an? (.+)\. Got value: (.*)', message, re.DOTALL):
        key, expected, given = match.groups()
        expected = re.sub(r"<class '(?:\w+\.)*(\w+)'>|typing\.", r"\1", expected)
        return f"--{key if '.' in key else key.replace('_', '-')} must be {expected}, got {given!r}"
    if match := re.match(r"argument (--\S+): (must .*)", message):
        return " ".join(match.groups())
    return f"{message.removeprefix('argument ')}; {remedy}"


def print_help(parser: ArgumentParser, config: object, **selected: str) -> int:
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
