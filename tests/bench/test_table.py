"""The terminal table: widths, pipes, encodings and holes."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from rl_discrete.bench.table import render_table
from tests.bench.result_fixture import make_result, partial_result


def on_pipe(result: dict[str, Any], encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    render_table(result, Console(file=file))
    file.seek(0)
    return file.read()


def on_terminal(result: dict[str, Any], width: int) -> str:
    file = io.StringIO()
    render_table(result, Console(file=file, width=width, force_terminal=True, color_system=None, _environ={}))
    return file.getvalue()


def test_every_figure_of_a_row_is_on_its_line() -> None:
    line = next(line for line in on_pipe(make_result()).splitlines() if "ish-32x2" in line)
    assert line.split() == [
        "ish-32x2", "32", "84.3", "±0.2", "38.8", "17.1/22.2", "101.4", "4.99", "4.93", "8.79", "9.45", "0.93", "30.4",
    ]  # fmt: skip


def test_references_are_shown() -> None:
    text = on_pipe(make_result())
    real = next(line for line in text.splitlines() if "real images" in line)
    assert real.split()[-2:] == ["9.87", "0.9"]
    assert "45.534" in text
    assert "205.65" in text


def test_a_pipe_gets_plain_lines_of_100_characters() -> None:
    text = on_pipe(make_result())
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "\x1b" not in text
    assert "narrow" not in text


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_terminal_is_never_overrun_and_no_figure_is_cut(width: int) -> None:
    text = on_terminal(make_result(), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    assert ("narrow" in text) == (width < 100)
    assert all(f"{bce:.1f}" in text for bce in (104.6, 84.3, 65.2))


def test_holes_are_dashes() -> None:
    text = on_pipe(partial_result())
    line = next(line for line in text.splitlines() if "gs-16x2" in line)
    assert line.split() == ["gs-16x2", "16", "104.6", "59.1", "–", "–", "6.91", "6.95", "–", "9.02", "–", "–"]
    assert "not complete" in text
    assert "real images" not in text


def test_ascii_output_spells_the_signs_out() -> None:
    text = on_pipe(make_result(), encoding="ascii")
    assert "84.3 +-0.2" in text
    assert "Frechet" in text


def test_a_name_is_not_read_as_markup() -> None:
    result = make_result(["gs-16x2"])
    result["rows"][0]["name"] = "[bold]x[/]"
    assert "[bold]x[/]" in on_pipe(result)


def test_a_result_without_rows_still_prints() -> None:
    assert "row" in on_pipe(make_result() | {"rows": []})
