"""A writer of Doom maps: one flat room with thin inner walls, as UDMF text inside a PWAD file.

The engine builds everything else (nodes, blockmap) when it loads the map, so that no editor, no node builder and no
map file of another project is needed. Format: the UDMF 1.1 specification, with ZDoom's namespace; the layout of a
WAD file is the original one of 1993.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rl_discrete.runs.errors import UsageError

Point = tuple[float, float]
"""x and y in map units; y points north. A player is 32 units wide and 56 high."""

MAP_UNITS = 32768
"""Coordinates lie within plus and minus this."""

_LUMP_NAME = re.compile(r"[A-Z0-9_\[\]\\-]{1,8}")


@dataclass(frozen=True)
class Wall:
    """A straight wall.

    Attributes:
        start, end: its ends.
        front: texture of its right side, as seen from `start` towards `end`; None for a barrier that stops the
            player and shows nothing (inner walls only).
        back: texture of its left side; of no use on the outline.
    """

    start: Point
    end: Point
    front: str | None
    back: str | None = None

    @property
    def length(self) -> float:
        """In map units."""
        return math.dist(self.start, self.end)


@dataclass(frozen=True)
class DoomMap:
    """A flat map of one room.

    Attributes:
        name: at most 8 capital letters and digits, for instance "MAP01".
        outline: one-sided walls around the room, each beginning where the one before ends, clockwise (north up).
        inner: two-sided walls and barriers inside it.
        start: where the player enters the level.
        floor, ceiling: textures.
        height: of the room, in map units. Wall textures of 128 units fill 128 and do not repeat on inner walls.
        light: 0 (dark) to 255.

    Raises:
        UsageError: an outline that is open or not clockwise, a start outside it, an invalid name or coordinate.
    """

    name: str
    outline: tuple[Wall, ...]
    inner: tuple[Wall, ...] = ()
    start: Point = (0.0, 0.0)
    floor: str = "FLOOR0_1"
    ceiling: str = "CEIL1_1"
    height: int = 128
    light: int = 192

    def __post_init__(self) -> None:
        _check_map(self)

    @property
    def corners(self) -> list[Point]:
        """The outline's corners, clockwise."""
        return [wall.start for wall in self.outline]

    def contains(self, point: Point) -> bool:
        """Whether the point lies inside the outline (inner walls do not matter)."""
        x, y = point
        inside = False
        for (x0, y0), (x1, y1) in ((wall.start, wall.end) for wall in self.outline):
            if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
                inside = not inside
        return inside


def cut(wall: Wall, length: float, front: Sequence[str | None], back: Sequence[str | None] = ()) -> Iterator[Wall]:
    """Pieces of a wall, each `length` units long but the last, textured in turn.

    Args:
        wall: its own textures are ignored.
        length: of a piece, > 0.
        front: textures of the right side, one per piece; the first again after the last.
        back: the same for the left side, or nothing.
    """
    pieces = max(1, math.ceil(wall.length / length - 1e-9))
    (x0, y0), (x1, y1) = wall.start, wall.end
    ends = [min(i * length / wall.length, 1.0) for i in range(pieces + 1)]
    points = [(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in ends]
    points[-1] = wall.end
    for i in range(pieces):
        yield Wall(points[i], points[i + 1], front[i % len(front)], back[i % len(back)] if back else None)


def textmap(doom_map: DoomMap) -> str:
    """The map as UDMF text: one thing (the player), one sector, blocking lines."""
    vertices: dict[Point, int] = {}
    lines: list[str] = []
    sides: list[str] = []

    def vertex(point: Point) -> int:
        return vertices.setdefault(point, len(vertices))

    def side(texture: str | None) -> int:
        sides.append(_block("sidedef", sector=0, **({"texturemiddle": texture} if texture else {})))
        return len(sides) - 1

    for wall in doom_map.outline:
        ends = {"v1": vertex(wall.start), "v2": vertex(wall.end)}
        lines.append(_block("linedef", **ends, sidefront=side(wall.front), blocking=True))
    for wall in doom_map.inner:
        ends = {"v1": vertex(wall.start), "v2": vertex(wall.end)}
        both = {"sidefront": side(wall.front), "sideback": side(wall.back)}
        lines.append(_block("linedef", **ends, **both, twosided=True, blocking=True))

    x, y = doom_map.start
    blocks = [
        'namespace="zdoom";',
        _block(
            "thing", x=float(x), y=float(y), angle=0, type=1, single=True, **{f"skill{i}": True for i in range(1, 6)}
        ),
        *(_block("vertex", x=float(x), y=float(y)) for x, y in vertices),
        *lines,
        *sides,
        _block(
            "sector",
            heightfloor=0,
            heightceiling=doom_map.height,
            texturefloor=doom_map.floor,
            textureceiling=doom_map.ceiling,
            lightlevel=doom_map.light,
        ),
    ]
    return "\n".join(blocks) + "\n"


def wad_bytes(maps: Iterable[DoomMap]) -> bytes:
    """A PWAD with these maps, in this order: for each an empty marker, TEXTMAP and ENDMAP.

    The engine crashes on a map without ENDMAP or without a player; both are always written.

    Raises:
        UsageError: no map at all, or two of the same name.
    """
    listed = list(maps)
    names = [doom_map.name for doom_map in listed]
    if not listed or len(set(names)) < len(names):
        raise UsageError(f"a WAD file needs one or more maps with different names, got {names}")
    lumps: list[tuple[str, bytes]] = []
    for doom_map in listed:
        lumps += [(doom_map.name, b""), ("TEXTMAP", textmap(doom_map).encode("ascii")), ("ENDMAP", b"")]

    body, directory = bytearray(), bytearray()
    for name, data in lumps:
        directory += struct.pack("<ii8s", 12 + len(body), len(data), name.encode("ascii"))
        body += data
    return struct.pack("<4sii", b"PWAD", len(lumps), 12 + len(body)) + bytes(body) + bytes(directory)


def write_wad(path: Path, maps: Iterable[DoomMap]) -> None:
    """Write `wad_bytes(maps)` to a file."""
    path.write_bytes(wad_bytes(maps))


def _block(kind: str, **fields: str | float | int | bool) -> str:
    return kind + "{" + "".join(f"{name}={_value(value)};" for name, value in fields.items()) + "}"


def _value(value: str | float | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _check_map(doom_map: DoomMap) -> None:
    name, outline = doom_map.name, doom_map.outline
    walls = (*outline, *doom_map.inner)
    textures = [texture for wall in walls for texture in (wall.front, wall.back) if texture is not None]
    for text in (name, doom_map.floor, doom_map.ceiling, *textures):
        if not _LUMP_NAME.fullmatch(text):
            raise UsageError(f"names in a map have 1 to 8 capital letters, digits or - _, got {text!r}")
    for value in (*doom_map.start, *(value for wall in walls for point in (wall.start, wall.end) for value in point)):
        if not abs(value) < MAP_UNITS:
            raise UsageError(f"coordinates of map {name} must lie within {MAP_UNITS} of the origin, got {value}")
    if any(wall.length == 0.0 for wall in walls):
        raise UsageError(f"every wall of map {name} must be longer than 0")
    followers = outline[1:] + outline[:1]
    if len(outline) < 3 or any(wall.end != after.start for wall, after in zip(outline, followers, strict=True)):
        raise UsageError(f"the outline of map {name} must be a closed chain of walls, got {len(outline)} walls")
    if any(wall.front is None for wall in outline):
        raise UsageError(f"every outer wall of map {name} needs a texture")
    if sum(a.start[0] * a.end[1] - a.end[0] * a.start[1] for a in outline) >= 0.0:
        raise UsageError(f"the outline of map {name} must run clockwise: list its corners in the opposite order")
    if not doom_map.contains(doom_map.start):
        raise UsageError(f"the player's start {doom_map.start} lies outside map {name}")
