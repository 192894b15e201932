"""Frozen dataclasses from plain mappings and back, with errors that name the source and the nearest key."""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from rl_discrete.runs.errors import UsageError

Config = TypeVar("Config")


class _Loader(yaml.SafeLoader):
    """YAML 1.2 numbers (`1e-3` is a number, not a string), and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"key {twice[0]!r} appears twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+"), list("-+0123456789.")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    Raises:
        UsageError: there is no such file, it is not YAML, it has a key twice, or it holds no mapping.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # _Loader is a SafeLoader
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text file: {error.reason} at byte {error.start}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UsageError(f"{path} must hold 'key: value' lines, got a {type(data).__name__}")
    return data


def from_mapping(cls: type[Config], data: Mapping[str, Any], source: str) -> Config:
    """Build the dataclass `cls` from plain values.

    Missing keys take their defaults (in a nested dataclass those of the instance that its field holds), nested
    mappings become nested dataclasses, lists become tuples where a tuple is declared, strings become paths, and
    an int will do for a float. Nothing else is converted; a bool is not an int.

    Args:
        cls: a dataclass whose fields are dataclasses, bool, int, float, str, Path, Literal, or tuples, lists,
            dicts, optionals and unions of these.
        data: the values by field name.
        source: where they come from, for the error: a file name or "command line".

    Raises:
        UsageError: an unknown key (it names the nearest), a missing one, a value of the wrong type, or one
            that the dataclass itself refuses.
    """
    config: Config = _build(cls, data, source, "")
    return config


def to_mapping(config: Any) -> dict[str, Any]:
    """A dataclass instance as plain values for YAML or JSON; `from_mapping` gives the instance back."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `override`; mappings are merged key by key, anything else is replaced."""
    merged = dict(base)
    for key, value in override.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def without(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """`base` without the values that `override` sets too, key by key; mappings left empty go."""
    kept: dict[str, Any] = {}
    for key, value in base.items():
        over = override.get(key)
        if key not in override:
            kept[key] = value
        elif isinstance(value, Mapping) and isinstance(over, Mapping) and (rest := without(value, over)):
            kept[key] = rest
    return kept


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line "training.epochs: 10 -> 20" for each value that differs, in the order of the keys."""
    before, after = _flatten(old), _flatten(new)
    return [
        f"{key}: {before.get(key, '(not set)')} -> {after.get(key, '(not set)')}"
        for key in dict.fromkeys([*before, *after])
        if key not in before or key not in after or before[key] != after[key]
    ]


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that `word` was probably meant to be. Case does not matter, nor `-` for `_`."""
    spelled = {choice.lower().replace("-", "_"): choice for choice in choices}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), spelled, n=1, cutoff=0.5)
    return spelled[close[0]] if close else None


def _build(cls: Any, data: Any, source: str, prefix: str) -> Any:
    if not isinstance(data, Mapping):
        raise UsageError(f"{source}: {prefix.rstrip('.') or 'the config'} must be a mapping of keys, got {data!r}")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for key in data:
        if key not in fields:
            close = nearest(str(key), fields)
            hint = f"did you mean '{prefix}{close}'?" if close else f"valid keys: {', '.join(fields)}"
            raise UsageError(f"{source}: unknown key '{prefix}{key}'; {hint}")
    required = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    for name in required:
        if name not in data:
            raise UsageError(f"{source}: the key '{prefix}{name}' is missing")
    hints = get_type_hints(cls)
    values = {
        key: _convert(hints[key], _over_default(fields[key], value), source, prefix + key)
        for key, value in data.items()
    }
    try:
        return cls(**values)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error


def _over_default(field: dataclasses.Field[Any], value: Any) -> Any:
    """`value`, completed where the field's own default is a dataclass that says more than its class does."""
    made = field.default_factory
    default = field.default if made is dataclasses.MISSING else made()
    whole = dataclasses.is_dataclass(default) and not isinstance(default, type) and isinstance(value, Mapping)
    return merge(to_mapping(default), value) if whole else value


def _convert(kind: Any, value: Any, source: str, key: str) -> Any:
    """`value` as the declared type `kind`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        if isinstance(kind, type) and isinstance(value, kind):
            return value
        return _build(kind, value, source, f"{key}.")
    if origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in arguments):
            return value
        close = nearest(str(value), (str(choice) for choice in arguments))
        hint = f"; did you mean {close!r}?" if close else ""
        raise UsageError(f"{source}: {key} must be one of {_choices(arguments)}, got {value!r}{hint}")
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, source, key)
    if origin in (tuple, list) and isinstance(value, (list, tuple)):
        return _convert_items(origin, arguments, value, source, key)
    if origin is dict and isinstance(value, Mapping):
        return {
            _convert(arguments[0], name, source, f"a key of {key}"): _convert(
                arguments[1], item, source, f"{key}.{name}"
            )
            for name, item in value.items()
        }
    if kind is Any or type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return float(value)
    if kind is Path and isinstance(value, (str, Path)):
        return Path(value)
    raise UsageError(f"{source}: {key} must be {_name(kind)}, got {value!r}")


def _convert_items(origin: Any, arguments: tuple[Any, ...], values: Any, source: str, key: str) -> Any:
    if origin is list or (len(arguments) == 2 and arguments[1] is Ellipsis):
        kinds = [arguments[0]] * len(values)
    else:
        kinds = list(arguments)
    if len(kinds) != len(values):
        raise UsageError(f"{source}: {key} must have {len(kinds)} items, got {len(values)}: {list(values)!r}")
    items = zip(kinds, values, strict=True)
    return origin(_convert(kind, item, source, f"{key}[{index}]") for index, (kind, item) in enumerate(items))


def _convert_union(arguments: tuple[Any, ...], value: Any, source: str, key: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    kinds = [kind for kind in arguments if kind is not type(None)]
    if len(kinds) == 1:
        return _convert(kinds[0], value, source, key)
    if type(value) in kinds:
        return value
    for kind in kinds:
        try:
            return _convert(kind, value, source, key)
        except UsageError:  # another member may take it
            continue
    raise UsageError(f"{source}: {key} must be {' or '.join(map(_name, arguments))}, got {value!r}")


def _choices(arguments: tuple[Any, ...]) -> str:
    return ", ".join(str(choice) for choice in arguments)


def _name(kind: Any) -> str:
    if kind is type(None):
        return "null"
    if get_origin(kind) is not None:
        return str(kind)
    return {bool: "true or false", int: "an integer", float: "a number", str: "a string", Path: "a path"}.get(
        kind, getattr(kind, "__name__", str(kind))
    )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_mapping(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = _plain(value)
    return flat
