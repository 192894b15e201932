"""Figures and report: complete, self-contained, escaped, and willing to show a part."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image

from rl_discrete.bench.conclusions import conclude
from rl_discrete.bench.figures import CHARTS, write_figures
from rl_discrete.bench.palette import LIGHT
from rl_discrete.bench.report import write_report
from rl_discrete.runs.errors import RunError
from tests.bench.result_fixture import blob_images, make_result, partial_result

VOID = {"meta", "img", "br", "link", "input", "wbr"}
HOSTILE = "<script>alert(1)</script>\"'&$x_{$"


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def values(self, name: str) -> list[str]:
        return [value for attribute, value in self.attributes if attribute == name]


def render(result: dict[str, Any], folder: Path, images: Any = None) -> str:
    result["conclusions"] = conclude(result)
    figures = write_figures(result, blob_images() if images is None else images, folder / "figures")
    write_report(result, figures, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("full")
    return render(make_result(), folder), folder


def test_every_figure_is_written_and_nothing_else(full: tuple[str, Path]) -> None:
    names = sorted(os.listdir(full[1] / "figures"))
    charts = [f"{name}{suffix}" for name in CHARTS for suffix in (".png", ".svg")]
    grids = [f"{kind}-{row}.png" for row in blob_images() for kind in ("reconstructions", "samples")]
    assert names == sorted(charts + grids)
    assert sorted(os.listdir(full[1])) == ["figures", "report.html"]


def test_grids_hold_the_images_pixel_by_pixel(full: tuple[str, Path]) -> None:
    arrays = blob_images()["gs-16x2"]
    for name, at, expected in (
        ("reconstructions-gs-16x2", (0, 0), arrays["originals"][0]),
        ("reconstructions-gs-16x2", (1, 0), arrays["reconstructions"][0]),
        ("reconstructions-gs-16x2", (2, 1), arrays["originals"][17]),
        ("samples-gs-16x2", (0, 0), arrays["samples_uniform"][0]),
        ("samples-gs-16x2", (7, 3), arrays["samples_uniform"][59]),
    ):
        with Image.open(full[1] / "figures" / f"{name}.png") as picture:
            pixels = np.asarray(picture.convert("L"))
        top, left = (2 * (2 + 30 * at[0]) + 32, 2 * (2 + 30 * at[1]))
        shown = pixels[top : top + 56 : 2, left : left + 56 : 2]
        assert np.abs(shown.astype(int) - expected).max() <= 1  # the colour map rounds


def test_the_report_needs_nothing_but_itself(full: tuple[str, Path]) -> None:
    page = Page(full[0])
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(page.tags)
    references = [
        value for name in ("src", "href", "xlink:href", "srcset", "data", "poster") for value in page.values(name)
    ]
    assert references
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in references)
    assert not re.search(r"url\((?!#)|@import|https?://", full[0])
    assert "default-src 'none'" in full[0]


def test_the_report_shows_the_figures_of_the_result(full: tuple[str, Path]) -> None:
    page = Page(full[0])
    for text in ("104.60 ±0.25", "45.534", "205.65", "9.87", "101.4", "99.63%", "2 h 3 min", "Example CPU"):
        assert text in page.words
    assert make_result()["command"] in page.words
    for conclusion in conclude(make_result()):
        assert conclusion["claim"] in page.words
        assert conclusion["verdict"] in page.words
        assert all(line in page.words for line in conclusion["evidence"].split("\n"))
    assert page.tags.count("img") == 16
    assert page.tags.count("svg") == len(CHARTS)


def test_every_picture_has_words_and_links_have_targets(full: tuple[str, Path]) -> None:
    page = Page(full[0])
    assert len([text for text in page.values("alt") + page.values("aria-label") if len(text) > 30]) == 16 + len(CHARTS)
    targets = page.values("id")
    assert len(targets) == len(set(targets))
    for link in page.values("href") + page.values("xlink:href"):
        if link.startswith("#"):
            assert link[1:] in targets
    for reference in re.findall(r"url\(#([^)]*)\)", full[0]):
        assert reference in targets


def test_charts_take_the_colours_of_the_page(full: tuple[str, Path]) -> None:
    body = full[0][full[0].index("<body>") :]
    assert not [color for color in LIGHT.values() if color in body]
    assert all(f"var(--{name})" in body for name in LIGHT)
    assert len(set(LIGHT.values())) == len(LIGHT)


def test_hostile_names_are_escaped_and_stay_in_the_folder(tmp_path: Path) -> None:
    result = make_result(["gs-16x2"], curves=False)
    result["rows"][0]["name"] = HOSTILE
    result["command"] = result["profile"] = result["data"]["name"] = HOSTILE
    result["machine"]["cpu"] = result["versions"]["torch"] = HOSTILE
    text = render(result, tmp_path, {HOSTILE: blob_images()["gs-16x2"]})
    page = Page(text)
    assert "script" not in page.tags
    assert page.words.count(HOSTILE) > 6
    assert any(HOSTILE in text for text in page.values("aria-label"))
    assert any(HOSTILE in text for text in page.values("alt"))
    result["rows"][0]["name"] = "../../up"
    render(result, tmp_path, {"../../up": blob_images()["gs-16x2"]})
    assert sorted(os.listdir(tmp_path)) == ["figures", "report.html"]
    assert "samples-______up.png" in os.listdir(tmp_path / "figures")


def test_a_hostile_conclusion_is_escaped(tmp_path: Path) -> None:
    result = make_result(["gs-16x2"], curves=False)
    result["conclusions"] = [{"claim": HOSTILE, "verdict": HOSTILE, "evidence": f"{HOSTILE}\n{HOSTILE}"}]
    write_report(result, [], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert page.words.count(HOSTILE) == 4


def test_a_part_of_a_run_gives_a_part_of_the_report(tmp_path: Path) -> None:
    images = {"gs-16x2": {"samples_uniform": blob_images(count=5)["gs-16x2"]["samples_uniform"]}}
    text = render(partial_result(), tmp_path, images)
    page = Page(text)
    assert "not complete" in page.words
    assert "104.60" in page.words
    assert "nan" not in page.words.lower().split()
    assert "None" not in page.words
    names = os.listdir(tmp_path / "figures")
    assert "samples-gs-16x2.png" in names
    assert not [name for name in names if name.startswith(("curves", "reconstructions-"))]


def test_a_seed_without_a_figure_keeps_its_place(tmp_path: Path) -> None:
    result = make_result(["gs-16x2"], curves=False)
    result["rows"][0]["reconstruction_bce"]["values"] = [91.25, None, 93.75]
    write_report(result, [], tmp_path / "report.html")
    lines = re.findall(
        r"seed (\d)</span></th><td[^>]*>([^<]*)<", (tmp_path / "report.html").read_text(encoding="utf-8")
    )
    assert lines == [("0", "91.25"), ("1", "–"), ("2", "93.75")]


@pytest.mark.parametrize("result", [{}, {"rows": [], "curves": []}, {"rows": [{}]}, {"rows": [{"name": "gs-16x2"}]}])
def test_an_all_but_empty_result_is_no_error(result: dict[str, Any], tmp_path: Path) -> None:
    assert "Definitions" in Page(render(dict(result), tmp_path, {})).words


def test_matplotlib_settings_of_the_user_are_left_alone(tmp_path: Path) -> None:
    matplotlib.rcParams["font.size"] = 17.0
    try:
        before = dict(matplotlib.rcParams)
        write_figures(make_result(["gs-16x2"], curves=False), {}, tmp_path)
        assert dict(matplotlib.rcParams) == before
    finally:
        matplotlib.rcdefaults()


def test_equal_results_give_equal_files(tmp_path: Path) -> None:
    one, two = (
        write_figures(make_result(["gs-16x2"], curves=False), {}, tmp_path / str(number)) for number in range(2)
    )
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert one


def test_a_failing_disk_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(make_result(curves=False), [], tmp_path / "report.html")
    old = (tmp_path / "report.html").read_bytes()

    def full_disk(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(RunError):
        write_report(partial_result(), [], tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == old
    assert os.listdir(tmp_path) == ["report.html"]
