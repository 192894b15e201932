"""The table at the end of a run, for a terminal of any width and for a pipe."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rl_discrete.bench.measured import MISSING, measured, name_of, number, rows_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPE_WIDTH = 100
"""Characters a line where the output is not a terminal and nobody knows its width."""


@dataclass(frozen=True)
class _Column:
    header: str
    cell: Callable[[Mapping[str, Any]], str]
    real: tuple[str, ...] = ()
    """Where the same figure of the real test images stands under ``reference``."""
    digits: int = 1
    rank: int = 0
    """Columns of higher rank are left out first when the terminal is narrow; rank 0 stays."""


def render_table(result: Mapping[str, Any], console: Console) -> None:
    """Print a line per row of ``result`` and the reference lines on ``console``.

    A narrow terminal gets fewer columns. Output that is not a terminal gets lines of at most 100 characters
    without control sequences, in plain ASCII where its encoding has nothing else.
    """
    from rich.text import Text

    if console.is_terminal:
        _print(result, console, ascii_only=console.options.ascii_only)
        return
    plain = io.StringIO()
    _print(result, _plain_console(plain), ascii_only=console.options.ascii_only)
    lines = [line.rstrip() for line in plain.getvalue().splitlines()]
    console.print(Text("\n".join(lines)), soft_wrap=True)


def _plain_console(file: io.StringIO) -> Console:
    from rich.console import Console

    return Console(file=file, width=PIPE_WIDTH, color_system=None, force_terminal=False)


def _print(result: Mapping[str, Any], console: Console, ascii_only: bool) -> None:
    columns = list(_COLUMNS)
    table = _table(result, columns, ascii_only)
    while _natural_width(console, table) > console.width and any(column.rank for column in columns):
        columns.remove(max(columns, key=lambda column: column.rank))
        table = _table(result, columns, ascii_only)
    console.print(table)
    for line in _notes(result, left_out=len(columns) < len(_COLUMNS)):
        console.print(_spell(line, ascii_only), markup=False, highlight=False)


def _natural_width(console: Console, table: Table) -> int:
    from rich.measure import Measurement

    return Measurement.get(console, console.options.update(width=1000), table).maximum


def _table(result: Mapping[str, Any], columns: list[_Column], ascii_only: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.ASCII2 if ascii_only else box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("row", no_wrap=True)
    for column in columns:
        table.add_column(_spell(column.header, ascii_only), justify="right", no_wrap=True)
    for row in rows_of(result):
        cells = (Text(_spell(column.cell(row), ascii_only)) for column in columns)
        table.add_row(Text(_spell(name_of(row), ascii_only)), *cells)
    if any(number(result, "reference", "test_images", *column.real) is not None for column in columns if column.real):
        table.add_section()
        table.add_row(Text("real images"), *(Text(_real(result, column)) for column in columns))
    return table


def _real(result: Mapping[str, Any], column: _Column) -> str:
    value = number(result, "reference", "test_images", *column.real) if column.real else None
    return "" if value is None else f"{value:.{column.digits}f}"


def _figure(*path: str, digits: int = 1, spread: bool = False) -> Callable[[Mapping[str, Any]], str]:
    def cell(row: Mapping[str, Any]) -> str:
        value = measured(row, *path)
        if value is None:
            return MISSING
        return value.text(digits) if spread else f"{value.mean:.{digits}f}"

    return cell


def _code_and_capacity(row: Mapping[str, Any]) -> str:
    length, capacity = measured(row, "priors", "lstm", "code_length"), number(row, "capacity_nats")
    if length is None or capacity is None:
        return MISSING
    return f"{length.mean:.1f}/{capacity:.1f}"


_COLUMNS = (
    _Column("bits", _figure("capacity_bits", digits=0), rank=5),
    _Column("BCE", _figure("reconstruction_bce", spread=True)),
    _Column("excess", _figure("excess_bce"), rank=4),
    _Column("code/cap.", _code_and_capacity, rank=2),
    _Column("total", _figure("priors", "lstm", "total_nats"), rank=1),
    _Column("unif.", _figure("priors", "uniform", "inception_score", digits=2), rank=7),
    _Column("ind.", _figure("priors", "independent", "inception_score", digits=2), rank=6),
    _Column("LSTM", _figure("priors", "lstm", "inception_score", digits=2)),
    _Column("recon.", _figure("reconstruction", "inception_score", digits=2), ("inception_score",), 2, rank=5),
    _Column("ratio", _figure("priors", "lstm", "score_over_reconstructions", digits=2)),
    _Column("Fréchet", _figure("priors", "lstm", "frechet_distance"), ("frechet_distance",), rank=3),
)


def _notes(result: Mapping[str, Any], left_out: bool) -> list[str]:
    """What the columns mean, and the references that no column has room for."""
    lines = [
        "BCE, excess over the floor, code and total: nats per image; code/cap.: code length under the LSTM prior "
        "and L ln K.",
        "unif., ind., LSTM, recon.: Inception score of samples of each prior and of reconstructions; ratio: LSTM "
        "over recon.; Fréchet: on features of the judge, LSTM samples.",
    ]
    floor, factorial = number(result, "reference", "bce_floor"), number(result, "reference", "factorial_bce")
    references = [] if floor is None else [f"floor of the test set {floor:.3f}"]
    references += [] if factorial is None else [f"per-pixel means {factorial:.2f}"]
    if references:
        lines.append(f"BCE references: {', '.join(references)}.")
    if left_out:
        lines.append("This terminal is narrow; the report and result.json have the other columns.")
    if result.get("complete") is False:
        lines.append("The run is not complete.")
    return lines


def _spell(text: str, ascii_only: bool) -> str:
    """``text`` with the few signs that ASCII lacks spelled out, if need be."""
    if not ascii_only:
        return text
    spelled = text.replace("±", "+-").replace(MISSING, "-").replace("é", "e")
    return spelled.encode("ascii", "replace").decode("ascii")
