"""The explorer's page in a real browser: what a visitor does, and what the page then says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_discrete.analysis.explorer import write_page
from rl_discrete.analysis.explorer_data import Moment
from rl_discrete.mdp.solve import solve
from rl_discrete.mdp.transitions import Transitions
from tests.analysis.browser import BROWSER, visit
from tests.analysis.explorer_worlds import ABOUT, DISCOUNT, RED, key_of, long_walk, room
from tests.mdp.random_transitions import transitions_of

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")

HELPERS = """
const main = document.querySelector("main");
const canvas = document.getElementById("canvas");
const text = (id) => document.getElementById(id).textContent;
const data = () => ({ ...main.dataset });
const frame = async () => {
  await sleep(50);
  explorer.drawNow();
};
const pointer = (type, [x, y]) => {
  const box = canvas.getBoundingClientRect();
  const place = { clientX: x + box.left, clientY: y + box.top };
  canvas.dispatchEvent(new PointerEvent(type, { pointerId: 1, bubbles: true, ...place }));
};
const click = async (key) => {
  pointer("pointerdown", explorer.place(key));
  pointer("pointerup", explorer.place(key));
  await frame();
};
const slide = async (index) => {
  const slider = document.getElementById("slider");
  slider.value = index;
  slider.dispatchEvent(new Event("input"));
  await until(() => data().step === String(explorer.meta.moments[index].step));
};
const find = async (query) => {
  document.getElementById("query").value = query;
  document.getElementById("search").requestSubmit();
  await frame();
};
"""


def written(folder: Path, moments: list[Moment], same_meaning: bool = True) -> Path:
    page = folder / "explorer.html"
    page.write_text(write_page(moments, ABOUT, same_meaning), encoding="utf-8")
    return page


def fork() -> Moment:
    """From 0x1 action 0 leads straight to 0x3, but once in five; action 1 leads over 0x2, nine times in ten."""
    visits = [(0, 0, 0.0, 2)] + [(0, 0, 0.0, 0)] * 4
    visits += [(0, 1, 0.0, 1)] * 9 + [(0, 1, 0.0, 0)] + [(1, 0, 0.0, 2)] * 9 + [(1, 0, 1.0, -1)]
    transitions = transitions_of(visits, np.array([[1], [2], [3], [4]], np.uint64), 4)
    solution = solve(transitions, DISCOUNT)
    return Moment(500, transitions, solution.values, solution.q_values)


def test_a_visit(tmp_path: Path) -> None:
    page = written(tmp_path, [room(1000, 150), room(2000, 2000), room(3000, 20_000)])
    start, goal = f"{key_of(0):08x}", f"{key_of(37):08x}"
    script = f"""{HELPERS}
const seen = {{ begin: data() }};
await slide(0); seen.first = data(); seen.firstStep = text("step");
await slide(2); seen.last = data();
await find("0x{goal.upper()}"); seen.found = text("found"); seen.shown = text("code");
await find("no such"); seen.none = text("found");
canvas.dispatchEvent(new KeyboardEvent("keydown", {{ key: "0", bubbles: true }})); await frame();
pointer("pointermove", explorer.place("{goal}"));
await until(() => document.querySelector("#tip canvas").dataset.drawn);
seen.tip = text("tip");
const drawn = document.querySelector("#tip canvas").getContext("2d");
seen.pixel = Array.from(drawn.getImageData(22, 18, 1, 1).data);
await click("{start}"); seen.one = data();
await click("{goal}"); seen.two = data(); seen.route = text("route");
seen.strip = document.querySelectorAll(".strip canvas").length;
document.getElementById("play").click(); await until(() => data().at === "9"); seen.played = data();
await slide(1); seen.kept = data();
document.dispatchEvent(new KeyboardEvent("keydown", {{ key: "Escape", bubbles: true }})); await frame();
seen.cleared = data(); seen.address = location.hash;
return seen;
"""
    seen = visit(page, script)
    last = room(3000, 20_000)
    assert seen["begin"]["step"] == seen["last"]["step"] == "3000"
    assert (seen["first"]["step"], seen["firstStep"]) == ("1000", "step 1,000")
    assert int(seen["first"]["codes"]) == room(1000, 150).transitions.num_states < int(seen["last"]["codes"])
    assert seen["found"] == goal
    assert goal in seen["shown"]
    assert "no such" in seen["none"]
    node = int(np.flatnonzero(last.transitions.keys[:, 0] == key_of(37))[0])
    assert f"N{int(last.visits[node])}V{last.values[node]:.3f}" in seen["tip"]
    for action in range(4):
        assert f"{action}{last.transitions.counts[node, action]}{last.q_values[node, action]:.3f}" in seen["tip"]
    np.testing.assert_allclose(seen["pixel"][:3], RED, atol=12)  # row 4, column 5 of a room of 8 by 8 tiles
    assert (seen["one"]["from"], seen["one"]["to"], seen["one"]["steps"]) == (start, "", "")
    assert (seen["two"]["from"], seen["two"]["to"], seen["two"]["steps"]) == (start, goal, "9")
    assert "steps9" in seen["route"]
    assert seen["strip"] == 10
    assert seen["played"]["at"] == "9"
    assert (seen["kept"]["step"], seen["kept"]["from"], seen["kept"]["to"]) == ("2000", start, goal)
    assert (seen["cleared"]["from"], seen["cleared"]["steps"], seen["address"]) == ("", "", "#step=2000")


def test_the_most_probable_route_and_the_meaning_of_keys(tmp_path: Path) -> None:
    page = written(tmp_path, [fork(), room(1000, 400, side=4)], same_meaning=False)
    script = f"""{HELPERS}
const seen = {{ there: data(), facts: text("route") }};
seen.steps = Array.from(document.querySelectorAll(".steps tbody tr"), (row) => row.textContent);
document.querySelector("#code .row button:last-child").click(); await frame();
await slide(1); seen.other = data(); seen.note = text("moment");
location.hash = "#step=500&from=1&to=4"; await until(() => Number(data().to) === 4); seen.alone = text("route");
location.hash = "#step=500&from=3"; await until(() => Number(data().from) === 3); seen.never = text("code");
return seen;
"""
    seen = visit(page, script, "#step=500&from=1&to=3")
    names = [f"{key:08x}" for key in (1, 2, 3)]
    assert (seen["there"]["step"], seen["there"]["from"], seen["there"]["steps"]) == ("500", names[0], "2")
    assert f"probability{0.9 * 0.9:.3f}" in seen["facts"]  # one step straight there has 0.2
    assert [names[index] in row for index, row in enumerate(seen["steps"])] == [True] * 3
    assert (seen["other"]["from"], seen["other"]["steps"]) == ("", "")  # keys mean something else there
    assert "can mean something else" in seen["note"]
    assert "No tried actions lead" in seen["alone"]
    assert "Never left" in seen["never"]


def far_apart(table: Transitions) -> tuple[int, int, int]:
    """A code, one that takes as many steps as any to reach from there, and those steps."""
    following: dict[int, set[int]] = {}
    for source, target in zip(
        (table.edge_source // table.num_actions).tolist(), table.edge_target.tolist(), strict=True
    ):
        following.setdefault(source, set()).add(target)
    start = int(table.edge_target[table.num_edges // 2])
    steps, queue = {start: 0}, [start]
    for node in queue:
        for target in following.get(node, ()):
            if target not in steps:
                steps[target] = steps[node] + 1
                queue.append(target)
    return start, queue[-1], steps[queue[-1]]


def crowd(folder: Path, moment: Moment, start: str, goal: str) -> Any:
    """What a page shows at first, in a group, close by and on a path."""
    page = written(folder, [moment])
    script = f"""{HELPERS}
const seen = {{ wide: data(), status: text("status") }};
const table = explorer.state.table;
const mark = explorer.picture.marks.find(({{ group }}) => group.size > 1);
pointer("pointermove", [mark.x, mark.y]); seen.tip = text("tip"); seen.size = mark.group.size;
seen.sum = explorer.picture.marks.reduce((sum, {{ group }}) => sum + group.size, 0);
await find(table.names[7]); seen.close = data();
location.hash = "#from={start}&to={goal}"; await until(() => data().to === "{goal}"); seen.route = data();
return seen;
"""
    return visit(page, script)


@pytest.mark.parametrize("num_codes", [6000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_thousands_of_codes_are_drawn_in_groups(tmp_path: Path, num_codes: int) -> None:
    moment = long_walk(1000, num_codes)
    start, goal, steps = far_apart(moment.transitions)
    names = [f"{int(moment.transitions.keys[node, 0]):08x}" for node in (start, goal)]
    seen = crowd(tmp_path, moment, *names)
    assert seen["wide"]["mode"] == "groups"
    assert seen["wide"]["codes"] == str(num_codes) == str(seen["sum"])
    assert 100 < int(seen["wide"]["marks"]) < num_codes / 2
    assert f"{num_codes:,} codes drawn as" in seen["status"]
    assert seen["tip"].startswith(f"{seen['size']} codes")
    assert seen["close"]["mode"] == "codes"
    assert int(seen["close"]["marks"]) < 5000
    assert int(seen["route"]["steps"]) >= steps > math.sqrt(num_codes) / 2
