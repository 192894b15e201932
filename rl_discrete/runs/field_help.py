"""What the source of a config dataclass says of its fields: the help texts of the command line."""

from __future__ import annotations

import ast
import inspect
import re
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, cast, get_args, get_origin

_METAVARS = {bool: "{true,false}", int: "N", float: "X", str: "NAME", Path: "PATH"}


def field_help(config: type) -> dict[str, str]:
    """Field name -> text: the string below the field, or its entry under `Attributes:` in the docstring."""
    entries = re.findall(r"^    +(\w+): (.+(?:\n     +.+)*)", inspect.getdoc(config) or "", re.MULTILINE)
    texts: dict[str, str] = dict(entries)
    definition = ast.parse(inspect.cleandoc(inspect.getsource(config))).body[0]
    for item, below in pairwise(cast(ast.ClassDef, definition).body):
        match item, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                texts[name] = text
    return {name: " ".join(text.split()) for name, text in texts.items()}


def metavar(hint: Any) -> str:
    """The placeholder for a value of this type: `N`, `X`, `PATH`, `N[,N...]`, `{deck,best}`."""
    if get_origin(hint) is Literal:
        return "{" + ",".join(map(str, get_args(hint))) + "}"
    if get_origin(hint) is tuple:
        item = metavar(get_args(hint)[0])
        return f"{item}[,{item}...]"
    if get_origin(hint) is dict:
        return "{KEY:VALUE}"
    if get_origin(hint) is UnionType:
        return "|".join(metavar(member) for member in get_args(hint) if member is not NoneType)
    return _METAVARS.get(hint, "VALUE")
