"""The map writer, without an engine."""

from __future__ import annotations

import itertools
import math
import re
import struct
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_discrete.envs import doom_mazes
from rl_discrete.envs.doom_engine import Pose
from rl_discrete.envs.doom_map import DoomMap, Point, Wall, cut, textmap, wad_bytes, write_wad
from rl_discrete.envs.doom_mazes import H_MAZE, HALL, HALL_HAZARD, MARKS, PLUS, T_MAZE, Maze
from rl_discrete.runs.errors import UsageError

MAZES = {"plus": PLUS, "t": T_MAZE, "h": H_MAZE, "hall": HALL, "hazard": HALL_HAZARD}
SQUARE = ((0.0, 0.0), (0.0, 128.0), (256.0, 128.0), (256.0, 0.0))  # clockwise


def room(corners: tuple[Point, ...] = SQUARE, **fields: object) -> DoomMap:
    ends = corners[1:] + corners[:1]
    walls = tuple(Wall(start, end, "BRICK7") for start, end in zip(corners, ends, strict=True))
    settings: dict[str, object] = {"name": "MAP01", "outline": walls, "start": (64.0, 64.0), **fields}
    return DoomMap(**settings)  # type: ignore[arg-type]


def lumps(wad: bytes) -> list[tuple[str, bytes]]:
    """An independent reader of the WAD format."""
    kind, count, directory = struct.unpack_from("<4sii", wad)
    assert kind == b"PWAD"
    assert directory + 16 * count == len(wad)
    found = []
    for i in range(count):
        start, size, name = struct.unpack_from("<ii8s", wad, directory + 16 * i)
        assert 12 <= start <= start + size <= directory
        found.append((name.rstrip(b"\0").decode(), wad[start : start + size]))
    return found


def blocks(text: str, kind: str) -> list[dict[str, str]]:
    found = re.findall(rf"^{kind}{{(.*)}}$", text, re.MULTILINE)
    return [dict(field.split("=", 1) for field in block.rstrip(";").split(";")) for block in found]


def test_every_map_has_its_three_lumps(tmp_path: Path) -> None:
    write_wad(tmp_path / "maps.wad", T_MAZE.maps)
    found = lumps((tmp_path / "maps.wad").read_bytes())
    assert [name for name, _ in found] == ["MAP01", "TEXTMAP", "ENDMAP", "MAP02", "TEXTMAP", "ENDMAP"]
    assert [data for name, data in found if name != "TEXTMAP"] == [b""] * 4
    assert found[1][1] == textmap(T_MAZE.maps[0]).encode()


def test_text_of_a_room_with_an_inner_wall_and_a_barrier() -> None:
    inner = (Wall((64.0, 0.0), (64.0, 32.0), "METAL2", "GRAY7"), Wall((96.0, 0.0), (96.0, 128.0), None))
    text = textmap(room(inner=inner))
    assert text.startswith('namespace="zdoom";\n')
    vertices = [(float(v["x"]), float(v["y"])) for v in blocks(text, "vertex")]
    sides, lines = blocks(text, "sidedef"), blocks(text, "linedef")
    assert len(vertices) == len(set(vertices)) == 8  # walls share their corners
    assert all(line["blocking"] == "true" for line in lines)
    ends = [(vertices[int(line["v1"])], vertices[int(line["v2"])]) for line in lines]
    assert ends == [(wall.start, wall.end) for wall in (*room().outline, *inner)]
    textures = [
        (sides[int(line["sidefront"])].get("texturemiddle"), sides[int(line["sideback"])].get("texturemiddle"))
        for line in lines[4:]
    ]
    assert textures == [('"METAL2"', '"GRAY7"'), (None, None)]
    assert ["twosided" in line for line in lines] == [False] * 4 + [True] * 2
    assert [thing["type"] for thing in blocks(text, "thing")] == ["1"]
    assert [sector["heightceiling"] for sector in blocks(text, "sector")] == ["128"]


@given(st.floats(1.0, 3000.0), st.floats(16.0, 512.0), st.floats(0.0, 2.0 * math.pi))
def test_pieces_of_a_wall_join_and_turn_through_the_textures(length: float, piece: float, angle: float) -> None:
    wall = Wall((10.0, -20.0), (10.0 + length * math.cos(angle), -20.0 + length * math.sin(angle)), None)
    pieces = list(cut(wall, piece, ("A", "B", "C"), ("D",)))
    assert (pieces[0].start, pieces[-1].end) == (wall.start, wall.end)
    assert all(a.end == b.start for a, b in itertools.pairwise(pieces))
    assert all(part.length == pytest.approx(piece) for part in pieces[:-1])
    assert pieces[-1].length <= piece + 1e-6
    assert [part.front for part in pieces] == ["ABC"[i % 3] for i in range(len(pieces))]
    assert {part.back for part in pieces} == {"D"}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: room(SQUARE[::-1]), "must run clockwise"),
        (lambda: room(outline=room().outline[:3]), "closed chain"),
        (lambda: room(outline=()), "closed chain"),
        (lambda: room(start=(300.0, 64.0)), "lies outside map MAP01"),
        (lambda: room(name="map01"), "got 'map01'"),
        (lambda: room(name="MAP000001"), "got 'MAP000001'"),
        (lambda: room(floor='A"; x'), "1 to 8 capital letters"),
        (lambda: room(inner=(Wall((64.0, 0.0), (64.0, 32.0), "MUCHTOOLONG"),)), "got 'MUCHTOOLONG'"),
        (lambda: room(inner=(Wall((64.0, 0.0), (64.0, 0.0), None),)), "longer than 0"),
        (lambda: room(start=(math.nan, 0.0)), "got nan"),
        (lambda: room(((0.0, 0.0), (0.0, 9.0), (40000.0, 0.0))), "got 40000.0"),
        (lambda: room(outline=tuple(replace(wall, front=None) for wall in room().outline)), "needs a texture"),
        (lambda: wad_bytes([]), "one or more maps"),
        (lambda: wad_bytes([room(), room()]), "different names"),
    ],
)
def test_faulty_maps_are_refused(build: object, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        build()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def reachable(maze: Maze, doom_map: DoomMap, start: Point) -> dict[Point, int]:
    """Points of a lattice of 8 units where the middle of a player, 32 units wide, can go, with their distance."""
    boxes = [
        (*sorted((wall.start[0], wall.end[0])), *sorted((wall.start[1], wall.end[1])))
        for wall in (*doom_map.outline, *doom_map.inner)
    ]

    def free(x: float, y: float) -> bool:
        hits = (x0 - 16 < x < x1 + 16 and y0 - 16 < y < y1 + 16 for x0, x1, y0, y1 in boxes)
        return doom_map.contains((x, y)) and not any(hits)

    assert free(*start)
    found, front = {start: 0}, deque([start])
    while front:
        x, y = front.popleft()
        for point in ((x + 8, y), (x - 8, y), (x, y + 8), (x, y - 8)):
            if point not in found and free(*point):
                found[point] = found[(x, y)] + 8
                front.append(point)
    return found


@pytest.mark.parametrize("name", MAZES)
def test_every_end_can_be_reached_from_every_start(name: str) -> None:
    maze = MAZES[name]
    found = reachable(maze, maze.maps[0], maze.starts[0])
    assert set(maze.starts) <= set(found)
    for end in maze.ends:
        assert any(end.contains(Pose(*point, 0.0)) for point in found)


def test_the_reference_s_counts_of_starts() -> None:
    assert {name: len(set(maze.starts)) for name, maze in MAZES.items()} == {
        "plus": 45,
        "t": 1,
        "h": 24,
        "hall": 57,
        "hazard": 57,
    }


def test_the_passage_is_the_only_way_into_the_right_arm() -> None:
    closed, opened = (reachable(T_MAZE, doom_map, T_MAZE.starts[0]) for doom_map in T_MAZE.maps)
    assert max(x for x, _ in closed) < 64.0 < 288.0 < max(x for x, _ in opened)


@pytest.mark.parametrize(("maze", "pieces"), [(PLUS, 20), (T_MAZE, 20), (H_MAZE, 72), (HALL, 122), (HALL_HAZARD, 122)])
def test_every_mark_of_a_maze_shows_once(maze: Maze, pieces: int) -> None:
    walls = maze.maps[0].outline + maze.maps[0].inner
    shown = [mark for wall in walls for mark in (wall.front, wall.back) if mark is not None]
    assert len(shown) == len(set(shown)) == pieces


def test_marks_are_many_and_differ() -> None:
    assert len(set(MARKS)) == len(MARKS)
    assert not [mark for mark in MARKS if mark.startswith(("FIRE", "BLODGR", "SLADRIP", "DBRAIN"))]  # animated
    assert doom_mazes.HALL.maps[0].inner[0].front != doom_mazes.HALL.maps[0].inner[0].back
