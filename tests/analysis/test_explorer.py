"""What the explorer reads of a run, and what it puts into its page."""

from __future__ import annotations

import base64
import json
import re
import shutil
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.agents.vast import train_vast
from rl_discrete.agents.vast_policy import load_config
from rl_discrete.analysis.explorer import explore_run, write_page
from rl_discrete.analysis.explorer_data import Moment, most_visited, page_data
from rl_discrete.analysis.explorer_frames import Frames, pack_frames
from rl_discrete.analysis.explorer_run import read_history
from rl_discrete.cli.explore import explore
from rl_discrete.runs.checkpoint import list_checkpoints
from rl_discrete.runs.errors import RunError, UsageError
from tests.agents.vast_runs import small
from tests.analysis.explorer_worlds import ABOUT, long_walk, room


def block(page: str, name: str) -> str:
    found = re.search(rf'<script type="application/octet-stream" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found, name
    return found[1]


def unpacked(text: str) -> dict[str, NDArray[Any]]:
    """What the page's `unpack` makes of a table."""
    content = zlib.decompress(base64.b64decode(text))
    begin = 8 + int.from_bytes(content[:4], "little")
    entries = json.loads(content[8:begin])
    return {
        name: np.frombuffer(content, f"<{kind}", size, begin + offset) for name, (kind, offset, size) in entries.items()
    }


def picture(frames: Frames, code: int) -> NDArray[np.uint8]:
    """The frame (H, W, C) of a code, cut out as the page does."""
    encoded = np.frombuffer(base64.b64decode(frames.image), np.uint8)
    sheet = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB), np.uint8)
    row, column = divmod(int(frames.numbers[code]), frames.columns)
    (width, height), margin = frames.size, frames.margin
    top, left = row * (height + 2 * margin) + margin, column * (width + 2 * margin) + margin
    return sheet[top : top + height, left : left + width]


def test_the_page_holds_the_table() -> None:
    moments = [room(1000, 300), room(2000, 5000)]
    page = write_page(moments, ABOUT, same_meaning=True)
    meta = json.loads(block(page, "meta"))
    assert [entry["step"] for entry in meta["moments"]] == [1000, 2000]
    assert (meta["actions"], meta["sameMeaning"], meta["env"]) == (4, True, "room")
    arrays, table = unpacked(block(page, "table-1")), moments[1].transitions
    held: dict[str, NDArray[Any]] = {
        "keys": table.keys,
        "counts": table.counts,
        "ends": table.terminations,
        "offsets": table.offsets,
        "targets": table.edge_target,
        "edgeCounts": table.edge_count,
        "values": moments[1].values.astype(np.float32),
        "q": moments[1].q_values.astype(np.float32),
        "frame0": moments[1].frames[0].numbers,
    }
    for name, expected in held.items():
        np.testing.assert_array_equal(arrays[name], expected.ravel(), err_msg=name)
    assert not arrays["hidden"].any()
    assert block(page, "image-1-0") == moments[1].frames[0].image


def test_the_page_needs_nothing_else() -> None:
    page = write_page([room(1, 200)], {**ABOUT, "run": "</script><script>alert(1)</script>"}, same_meaning=True)
    assert "default-src 'none'" in page
    assert "alert(1)</script>" not in page
    assert not re.search(r"""(src|href)\s*=\s*["']""", page)
    assert not re.search(r"https?://|import\s*\(|fetch\s*\(|XMLHttpRequest", page)


def test_rare_codes_are_added_up() -> None:
    whole = long_walk(0, 400)
    few = most_visited(whole, 250)
    table = few.transitions
    assert table.num_states == 250
    assert few.visits.min() >= np.sort(whole.visits)[-250]
    assert few.left_out == (150, whole.visits.sum() - few.visits.sum())
    meta, arrays = page_data([few], [np.zeros((250, 2))], ABOUT)
    found = unpacked(arrays[0])
    followed = np.add.reduceat(np.append(found["edgeCounts"], 0), found["offsets"][:-1].astype(np.int64))
    followed[np.diff(found["offsets"].astype(np.int64)) == 0] = 0
    np.testing.assert_array_equal(found["counts"], followed + found["ends"] + found["hidden"])
    assert found["hidden"].sum() > 0 == found["ends"].sum()
    assert meta["moments"][0]["leftOut"] == few.left_out
    assert most_visited(whole, 400) is whole


def test_drawn_frames_stay_exact_and_large_ones_shrink() -> None:
    rng = np.random.default_rng(0)
    drawn = np.kron(rng.integers(0, 2, (70, 3, 6, 8)) * 255, np.ones((1, 1, 4, 4))).astype(np.uint8)
    codes = rng.permutation(90)[:70]
    frames = pack_frames("decoded", drawn, codes, 90)
    assert (frames.numbers >= 0).sum() == 70
    for index in (0, 33, 69):
        np.testing.assert_array_equal(picture(frames, int(codes[index])).transpose(2, 0, 1), drawn[index])
    smooth = np.broadcast_to(np.linspace(20, 220, 80).round().astype(np.uint8), (3, 1, 61, 80))
    shrunk = pack_frames("seen", smooth, np.arange(3), 3)
    assert shrunk.size == (40, 30)
    np.testing.assert_allclose(picture(shrunk, 1)[..., 0], smooth[0, 0, :30, ::2], atol=6)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_vast(small(steps=480, checkpoint_every=160), tmp_path_factory.mktemp("learned") / "run")


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = small(encoder="simhash", steps=480, checkpoint_every=160)
    return train_vast(config, tmp_path_factory.mktemp("fixed") / "run")


def test_a_run_whose_encoder_learns(learned: Path) -> None:
    history = read_history(learned, load_config(learned))
    assert not history.same_meaning
    assert [moment.step for moment in history.moments] == [160, 320, 480]
    assert [[frames.kind for frames in moment.frames] for moment in history.moments] == [
        ["decoded"],
        ["decoded"],
        ["decoded", "seen"],
    ]
    last = history.moments[-1]
    assert (last.frames[0].numbers >= 0).all()
    assert last.visits.sum() > 300


def test_a_run_whose_codes_stay_the_same(fixed: Path) -> None:
    history = read_history(fixed, load_config(fixed))
    assert history.same_meaning
    assert [[frames.kind for frames in moment.frames] for moment in history.moments] == [["seen"]] * 3
    for moment in history.moments:
        assert (moment.frames[0].numbers[moment.visits > 0] >= 0).all()


def test_the_page_of_a_run(learned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explore("", ["--run", str(learned)]) == 0
    path = learned / "explorer.html"
    assert capsys.readouterr().out == f"{path}\n"
    meta = json.loads(block(path.read_text(encoding="utf-8"), "meta"))
    assert (meta["env"], meta["encoder"], meta["checkpoints"]) == ("grid", "ish", 3)
    assert not list(learned.glob(".tmp*"))
    path.write_text("an older page")
    (tmp_path / "link").symlink_to(learned)
    explore_run(tmp_path / "link", path)
    assert path.stat().st_size > 1000, "the page of the run is written anew, under any name"


def test_damage_is_left_out_in_one_line(learned: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(learned, run)
    paths = list_checkpoints(run / "checkpoints")
    (paths[1] / "table.npz").write_bytes(b"nonsense")
    shutil.rmtree(run / "replay")
    lines: list[str] = []
    history = read_history(run, load_config(run), lines.append)
    assert [moment.step for moment in history.moments] == [160, 480]
    assert [frames.kind for frames in history.moments[-1].frames] == ["decoded"]
    assert len(lines) == 2
    assert "leaves it out" in "".join(lines)
    assert "without true frames" in "".join(lines)
    for path in (paths[0], paths[2]):
        (path / "table.npz").write_bytes(b"nonsense")
    with pytest.raises(RunError, match="no checkpoint"):
        explore_run(run, warn=lines.append)


def test_what_cannot_be_explored(learned: Path, tmp_path: Path) -> None:
    before = (learned / "config.yaml").read_bytes()
    for taken, words in ((tmp_path, "is a folder"), (learned / "config.yaml", "exists; choose another file")):
        with pytest.raises(UsageError, match=words):
            explore_run(learned, taken)
    assert (learned / "config.yaml").read_bytes() == before
    with pytest.raises(UsageError, match="--run is required"):
        explore("", [])
    with pytest.raises(UsageError):
        explore_run(tmp_path / "nowhere")
    shutil.copy(learned / "config.yaml", tmp_path)
    with pytest.raises(UsageError, match="no checkpoint yet"):
        explore_run(tmp_path)
    with pytest.raises(UsageError, match="no code to show"):
        write_page([], ABOUT, same_meaning=True)
    moment = room(0, 50)
    with pytest.raises(UsageError, match="values and q_values"):
        Moment(0, moment.transitions, moment.values[1:], moment.q_values)
    with pytest.raises(UsageError, match="frames must be uint8"):
        pack_frames("seen", np.zeros((2, 4, 8, 8), np.uint8), np.arange(2), 2)
