"""The report's tables, as HTML. Everything that comes from the result is escaped here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

from rl_discrete.bench.aggregate import PRIORS
from rl_discrete.bench.measured import MISSING, PRIOR_LABELS, look_up, measured, name_of, number, rows_of

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A figure of a row: its heading, where it stands, how it is written, and which end is the better one.

    ``spread`` is False where the spread would only repeat that of a neighbour.
    """

    header: str
    path: tuple[str, ...]
    digits: int = 1
    better: str = ""
    """``low`` or ``high`` marks the best row; empty marks none."""
    scale: float = 1.0
    group: str = ""
    reference: tuple[str, ...] = ()
    """Where the same figure of the real test images stands under ``reference``."""
    spread: bool = True

    def cell(self, row: Row) -> str:
        """Mean and seed spread, or a dash."""
        value = measured(row, *self.path)
        if value is None:
            return MISSING
        text = _format(value.mean * self.scale, self.digits)
        if value.has_spread and self.spread:
            text += f' <span class="spread">±{_format(value.std * self.scale, self.digits)}</span>'
        return text


def _prior(prior: str, group: str) -> tuple[Column, ...]:
    path = ("priors", prior)
    return (
        Column("code length", (*path, "code_length"), 1, "", 1.0, group),
        Column("total", (*path, "total_nats"), 1, "low", 1.0, group),
        Column("bits/dim", (*path, "bits_per_dim"), 3, "low", 1.0, group, spread=False),
        Column("score", (*path, "inception_score"), 2, "high", 1.0, group),
        Column("of recon.", (*path, "score_over_reconstructions"), 3, "high", 1.0, group, spread=False),
        Column("E[KL]", (*path, "log_inception_score"), 3, "high", 1.0, group),
        Column("Fréchet", (*path, "frechet_distance"), 1, "low", 1.0, group),
    )


_RECONSTRUCTION = "Reconstruction"
MAIN = (
    Column("bits", ("capacity_bits",), 1),
    Column("BCE", ("reconstruction_bce",), 2, "low", 1.0, _RECONSTRUCTION),
    Column("excess", ("excess_bce",), 2, "low", 1.0, _RECONSTRUCTION, spread=False),
    Column("sampled", ("sampled_bce",), 2, "low", 1.0, _RECONSTRUCTION),
    Column("score", ("reconstruction", "inception_score"), 2, "high", 1.0, _RECONSTRUCTION, ("inception_score",)),
    Column("of real", ("reconstruction", "score_over_real"), 3, "high", 1.0, _RECONSTRUCTION, spread=False),
    Column("Fréchet", ("reconstruction", "frechet_distance"), 2, "low", 1.0, _RECONSTRUCTION, ("frechet_distance",)),
    *(column for column in _prior("lstm", "LSTM prior") if column.header not in ("E[KL]", "bits/dim")),
)
CODES = (
    Column("variables", ("num_latents",), 0),
    Column("categories", ("num_categories",), 0),
    Column("capacity, nats", ("capacity_nats",), 2),
    Column("entropy, nats", ("codes", "entropy"), 3),
    Column("perplexity", ("codes", "perplexity"), 3),
    Column("usage", ("codes", "usage"), 3),
    Column("dead", ("codes", "dead"), 1, "low"),
    Column("total correlation ≥", ("codes", "total_correlation_bound"), 2),
)
COST = (
    Column("autoencoder, s", ("seconds", "autoencoder"), 0),
    Column("prior, s", ("seconds", "prior"), 0),
    Column("evaluation, s", ("seconds", "evaluation"), 0),
    Column("total, s", ("seconds", "total"), 0),
    Column("images/s", ("images_per_second",), 0, "high"),
    Column("codes/s", ("codes_per_second",), 0, "high"),
    Column("peak memory, MiB", ("peak_memory_bytes",), 0, "low", 2.0**-20),
    Column("autoencoder weights", ("parameters", "autoencoder"), 0),
    Column("prior weights", ("parameters", "prior"), 0),
)


def row_table(result: Mapping[str, Any], columns: Sequence[Column], caption: str) -> str:
    """One line per row; the best figure of a column is bold; real images at the foot where they have figures."""
    rows = rows_of(result)
    best = {column: _best(rows, column) for column in columns if column.better and len(rows) > 1}
    starts = _group_starts(columns)
    body = []
    for row in rows:
        cells = ((column, column.cell(row), best.get(column) == name_of(row)) for column in columns)
        body.append([escape(name_of(row)), *(_cell(text, column in starts, bold) for column, text, bold in cells)])
    real = [number(result, "reference", "test_images", *c.reference) if c.reference else None for c in columns]
    foot = []
    if any(value is not None for value in real):
        texts = ["" if v is None else _format(v, c.digits) for v, c in zip(real, columns, strict=True)]
        foot = ["real images", *(_cell(text, column in starts) for text, column in zip(texts, columns, strict=True))]
    return _table(_head(columns), body, caption, foot)


def prior_table(result: Mapping[str, Any], caption: str) -> str:
    """One line per row and prior."""
    columns = _prior("", "")
    head = "".join(f"<th>{escape(c.header)}</th>" for c in columns) + "<th>10 splits</th>"
    body: list[list[str]] = []
    classes: list[str] = []
    for row in rows_of(result):
        name = escape(name_of(row))
        priors = [prior for prior in PRIORS if look_up(row, "priors", prior) is not None]
        for prior in priors:
            cells = [_cell(column.cell(row)) for column in _prior(prior, "")]
            body.append(
                [f'{name} <span class="spread">{PRIOR_LABELS[prior]}</span>', *cells, _cell(_splits(row, prior))]
            )
        body.append(
            [f'{name} <span class="spread">reconstructions</span>', *map(_cell, _reconstruction_cells(row)), _cell("")]
        )
        classes += ["apart" if body and index == 0 and classes else "" for index in range(len(priors) + 1)]
    return _table(f"<tr><th>row</th>{head}</tr>", body, caption, classes=classes)


def _reconstruction_cells(row: Row) -> list[str]:
    """The scores of the reconstructions under the columns of the priors; they have no code length."""
    columns = {column.path[-1]: column for column in MAIN if column.group == _RECONSTRUCTION}
    logarithm = Column("E[KL]", ("reconstruction", "log_inception_score"), 3)
    cells = {name: columns[name].cell(row) for name in ("inception_score", "frechet_distance")}
    cells["log_inception_score"] = logarithm.cell(row)
    return [cells.get(column.path[-1], "") for column in _prior("", "")]


def seed_table(result: Mapping[str, Any], caption: str) -> str:
    """One line per row and seed: the values behind the means."""
    columns = [column for column in MAIN if column.header != "bits"]
    starts = _group_starts(columns)
    body: list[list[str]] = []
    classes: list[str] = []
    for row in rows_of(result):
        seeds = look_up(row, "seeds")
        for index, seed in enumerate(seeds if isinstance(seeds, list | tuple) else []):
            cells = [_cell(_value(row, column, index), column in starts) for column in columns]
            body.append([f"{escape(name_of(row))} <span class='spread'>seed {escape(str(seed))}</span>", *cells])
            classes.append("apart" if index == 0 and len(body) > 1 else "")
    return _table(_head(columns), body, caption, classes=classes)


def fact_table(facts: Mapping[str, Any], caption: str) -> str:
    """Names and values, as for machine and versions."""
    lines = "".join(
        f"<tr><th scope='row'>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return _captioned(f'<table class="text"><tbody>{lines}</tbody></table>', caption)


def _value(row: Row, column: Column, index: int) -> str:
    values = look_up(row, *column.path, "values")
    given = values[index] if isinstance(values, list | tuple) and index < len(values) else None
    value = number({"value": given}, "value")
    return MISSING if value is None else _format(value * column.scale, column.digits)


def _splits(row: Row, prior: str) -> str:
    """Mean over the splits and standard deviation between them, both averaged over the seeds."""
    splits = look_up(row, "priors", prior, "inception_score_splits")
    pairs = [(number(one, "mean"), number(one, "std")) for one in splits] if isinstance(splits, list | tuple) else []
    means = [mean for mean, _ in pairs if mean is not None]
    if not means:
        return MISSING
    std = sum(std or 0.0 for _, std in pairs) / len(pairs)
    return f'{sum(means) / len(means):.2f} <span class="spread">±{std:.2f}</span>'


def _best(rows: Sequence[Row], column: Column) -> str | None:
    known = [(value.mean, name_of(row)) for row in rows if (value := measured(row, *column.path)) is not None]
    choose: Callable[[list[tuple[float, str]]], tuple[float, str]] = min if column.better == "low" else max
    return choose(known)[1] if len({value for value, _ in known}) > 1 else None


def _format(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}".replace(",", "\u202f")


def _group_starts(columns: Sequence[Column]) -> set[Column]:
    """The first column of every named group, which gets some air."""
    return {next(members) for group, members in groupby(columns, key=lambda c: c.group) if group}


def _head(columns: Sequence[Column]) -> str:
    starts = _group_starts(columns)
    lines = ""
    if starts:
        spans = [(group, len(list(members))) for group, members in groupby(columns, key=lambda c: c.group)]
        cells = "".join(
            f"<th class='group{' first' if group else ''}' colspan='{span}'>{escape(group)}</th>"
            for group, span in spans
        )
        lines = f"<tr><th></th>{cells}</tr>"
    headers = "".join(f"<th{_classes(c in starts, False)}>{escape(c.header)}</th>" for c in columns)
    return f"{lines}<tr><th>row</th>{headers}</tr>"


def _classes(first: bool, bold: bool) -> str:
    names = " ".join(name for name, wanted in (("first", first), ("best", bold)) if wanted)
    return f' class="{names}"' if names else ""


def _cell(text: str, first: bool = False, bold: bool = False) -> str:
    return f"<td{_classes(first, bold)}>{text}</td>"


def _table(
    head: str, body: Sequence[Sequence[str]], caption: str, foot: Sequence[str] = (), classes: Sequence[str] = ()
) -> str:
    """Lines whose first entry is the content of the row heading and whose other entries are whole cells."""
    lines = []
    for index, (name, *cells) in enumerate(body):
        mark = f' class="{classes[index]}"' if classes and classes[index] else ""
        lines.append(f'<tr{mark}><th scope="row">{name}</th>{"".join(cells)}</tr>')
    footer = f'<tfoot><tr><th scope="row">{foot[0]}</th>{"".join(foot[1:])}</tr></tfoot>' if foot else ""
    return _captioned(f"<table><thead>{head}</thead><tbody>{''.join(lines)}</tbody>{footer}</table>", caption)


def _captioned(table: str, caption: str) -> str:
    """The table in a box that scrolls sideways, with the caption outside of it, where a phone shows all of it."""
    return f'<figure><div class="scroll" tabindex="0">{table}</div><figcaption>{escape(caption)}</figcaption></figure>'
