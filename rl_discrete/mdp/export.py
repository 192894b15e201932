"""A learned MDP as a file for other tools, and back without loss.

| format | suffix | read by |
|---|---|---|
| npz | .npz | numpy: the arrays of `Transitions` under their names, and `values` and `q_values` of a solution |
| graphml | .graphml | networkx, Gephi, yEd, igraph |
| dot | .dot | Graphviz |
| prism | .tra, with .sta .lab .trew .counts beside it | PRISM |
| storm | .drn | Storm |
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import ParseError

import numpy as np

from rl_discrete.mdp.export_checkers import read_prism, read_storm, write_prism, write_storm
from rl_discrete.mdp.export_dot import read_dot, write_dot
from rl_discrete.mdp.export_graphml import read_graphml, write_graphml
from rl_discrete.mdp.solve import Solution
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.durable import disk_errors, replace_file
from rl_discrete.runs.errors import RunError, UsageError


def write_npz(transitions: Transitions, solution: Solution | None) -> dict[str, bytes]:
    """The file's content by suffix."""
    arrays = {field.name: getattr(transitions, field.name) for field in fields(Transitions)}
    if solution:
        arrays |= {"values": solution.values, "q_values": solution.q_values}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return {".npz": file.getvalue()}


def read_npz(path: Path) -> Transitions:
    """The table in a file that `write_npz` made.

    Raises:
        ValueError, KeyError, EOFError, zipfile.BadZipFile: not such a file.
    """
    with zipfile.ZipFile(path):  # numpy would take another kind of file for a pickle, and say so at length
        pass
    with np.load(path, allow_pickle=False) as arrays:
        return Transitions(**{field.name: arrays[field.name] for field in fields(Transitions)})


class Format(NamedTuple):
    """One way to write a table: the suffix that names it, its writer and its reader, suffixes of files beside it."""

    suffix: str
    write: Callable[[Transitions, Solution | None], dict[str, bytes]]
    read: Callable[[Path], Transitions]
    beside: tuple[str, ...] = ()


FORMATS = {
    "npz": Format(".npz", write_npz, read_npz),
    "graphml": Format(".graphml", write_graphml, read_graphml),
    "dot": Format(".dot", write_dot, read_dot),
    "prism": Format(".tra", write_prism, read_prism, (".sta", ".lab", ".trew", ".counts")),
    "storm": Format(".drn", write_storm, read_storm),
}


def export(
    transitions: Transitions,
    path: str | os.PathLike[str],
    solution: Solution | None = None,
    format: str | None = None,  # noqa: A002 - the word that everybody expects
) -> None:
    """Write a table to `path`, atomically: the old file or the new one, nothing between.

    Args:
        solution: of this table, to write its values too; `load` gives the table alone.
        format: a name in `FORMATS`; None: by the suffix of `path`. PRISM's files lie beside `path`, which is the last
            of them to be replaced.

    Raises:
        UsageError: an unknown suffix or format, a folder that is missing, or the solution of another table.
        RunError: the disk refused.
    """
    path = Path(path)
    chosen = _format(path, format)
    if solution and solution.q_values.shape != transitions.counts.shape:
        raise UsageError(
            f"the solution must have q_values of shape {transitions.counts.shape} like the table, "
            f"got {solution.q_values.shape}"
        )
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    contents = chosen.write(transitions, solution)
    for target, suffix in zip(export_files(path, format), (*chosen.beside, chosen.suffix), strict=True):
        with disk_errors(target):
            replace_file(target, contents[suffix])


def export_files(path: str | os.PathLike[str], format: str | None = None) -> list[Path]:  # noqa: A002
    """The files that `export` writes, `path` last.

    Raises:
        UsageError: an unknown suffix or format.
    """
    path = Path(path)
    return [*(path.with_suffix(suffix) for suffix in _format(path, format).beside), path]


def load(path: str | os.PathLike[str], format: str | None = None) -> Transitions:  # noqa: A002
    """The table that `export` wrote to `path`, to the last bit.

    Raises:
        UsageError: an unknown suffix or format, or no such file.
        RunError: the file was not written by `export`, or was altered since.
    """
    path = Path(path)
    chosen = _format(path, format)
    if not path.is_file():
        raise UsageError(f"there is no file {path}; make one with `rl-discrete export-mdp --out {path}`")
    try:
        return chosen.read(path)
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile, ParseError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"cannot read a table from {path}: {reason}; export it anew") from error


def _format(path: Path, name: str | None) -> Format:
    if name is not None:
        if name not in FORMATS:
            raise UsageError(f"format must be one of {', '.join(FORMATS)}, got {name!r}")
        return FORMATS[name]
    for candidate in FORMATS.values():
        if path.suffix == candidate.suffix:
            return candidate
    known = ", ".join(f"{candidate.suffix} ({name})" for name, candidate in FORMATS.items())
    raise UsageError(f"the suffix must be one of {known}, got {path.name!r}")
