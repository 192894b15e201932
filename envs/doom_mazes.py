"""The five mazes of Corneil, Gerstner and Brea (2018) as data: walls, starts, rewards and ends.

The coordinates are those of the maps in the authors' repository (github.com/danecor/VaST), in map units; walls are
textured anew. Every wall piece shows a mark of its own, so that places can be told apart by sight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rl_discrete.envs.doom_engine import Pose
from rl_discrete.envs.doom_map import DoomMap, Point, Wall, cut

MARKS = (
    *("REDWALL1", "SILVER2", "DOGRMSC", "MURAL1", "PANBLUE", "AQTRIM07", "LITEMET", "SP_HOT1", "AQBRIK03"),
    *("LITEYEL3", "SMSTONE6", "CEMENT4", "SKINBORD", "AQLITE08", "BSTONE3", "SP_ROCK1", "AQBRIK02", "LITESTON"),
    *("MC8", "GRAYTAN4", "AQLITE15", "A-VINES", "SKIN2", "COMPUTE3", "GSTONE2", "AQLITE09", "CARLLF2", "COMPOHSO"),
    *("SP_FACE2", "LITE96", "ESPIGR2", "AQTRIM04", "SKSNAKE4", "AQSECT08", "PWHITE", "PGREEN", "AQLITE05", "PBLUE"),
    *("PORAN", "STONEW5", "DLEVSIGN", "ZZWOLF12", "ZZWOLF3B", "YELMETAL", "ZZWOLF2", "COMPSTA1", "COMPBLUE"),
    *("AQLITE11", "A-ASKIN3", "AQLITE03", "ZZWOLF13", "AQLITE16", "DOC1", "BLAKWAL1", "AQLITE14", "AQSECT07"),
    *("SKSPINE1", "ZZWOLF6", "CEMENT2", "ZZWOLF2B", "AQPANL04", "A-ASKIN4", "ZZWOLF4", "ZZWOLF9", "CEMENT5"),
    *("AQLITE21", "COMPTILE", "DORED", "ZELDOOR", "COMPUTE1", "A-CAMO5", "CEMENT1", "LITE2", "CRBWHBP", "GRAYTAN6"),
    *("AQMETL05", "ZZWOLF3", "CRAWLBP", "AQLITE07", "CEMENT8", "ZZWOLF1", "CRATELIT", "ZZWOLF7", "METAL-BD"),
    *("CEMPOIS", "SILVER3", "CR64HBG", "AQLITE12", "CR64HGBP", "SUPPORT2", "BROWNPIP", "TNTDOOR", "ZZWOLF8"),
    *("SK_RIGHT", "SLIME8", "ESPITAN3", "GRAYDANG", "CEMENT3", "GRAYTALL", "DOGLDIR", "BIGDOOR7", "SKULWAL3"),
    *("AQPIPE02", "AQLITE01", "SLADAGN", "SK_LEFT", "CR64HBBP", "PIPEWAL2", "BTNTSLVR", "BRNPOIS2", "CRWDS64"),
    *("SKSNAKE3", "MODWALL4", "SPCDOOR4", "AQSECT15", "AQPIPE11", "SLOPPY1", "ZZWOLF7B", "AQSECT06", "BASE3"),
    *("AQCONC14", "METAL6", "PANBLACK", "PLAT1", "ZDOORB1", "AQCONC17", "PANEL6", "DOKGRIR", "AQDOOR01", "GRAYTAN1"),
)
"""Wall textures of Freedoom, 128 units high, none of them animated, as many as the maze with most wall pieces needs.

The later ones were picked one by one, each the texture least like all before it in the mean colours of its sixteenths.
"""


@dataclass(frozen=True)
class Area:
    """An open rectangle and the reward in it."""

    reward: float
    west: float = -math.inf
    east: float = math.inf
    south: float = -math.inf
    north: float = math.inf

    def contains(self, pose: Pose) -> bool:
        """Whether the player stands in it."""
        return self.west < pose.x < self.east and self.south < pose.y < self.north


@dataclass(frozen=True)
class Teleporter:
    """Whoever enters `area` in the hall at `source` stands at `target`, turned by `turn` degrees to the left."""

    area: Area
    source: Point
    target: Point
    turn: float

    def exit(self, pose: Pose) -> Pose:
        """Where a player at `pose` comes out, as far from the middle of the line as it went in."""
        return Pose(self.target[0], self.target[1] + pose.x - self.source[0], pose.angle + self.turn)


@dataclass(frozen=True)
class Maze:
    """A task.

    Attributes:
        maps: the maze; where a passage can open, closed first, open second.
        starts: an episode starts at one of them, drawn uniformly.
        headings: and with one of these, in degrees.
        start_actions: random actions before the first observation.
        living_reward: per step that does not end the episode.
        ends: the first area that holds the player ends the episode with its reward.
        hazards: areas whose reward comes on top in a step that ends in them, with probability `hazard_rate`.
        hazard_rate: see there.
        forced_start: where the forced run begins, None if the task has none.
        forced_run: the points it passes.
        teleporter: None if the task has none.
    """

    maps: tuple[DoomMap, ...]
    starts: tuple[Point, ...]
    ends: tuple[Area, ...]
    headings: tuple[float, ...] = tuple(30.0 * i for i in range(12))
    start_actions: int = 10
    living_reward: float = -0.01
    hazards: tuple[Area, ...] = ()
    hazard_rate: float = 0.25
    forced_start: Pose | None = None
    forced_run: tuple[Point, ...] = ()
    teleporter: Teleporter | None = None


def _walls(corners: list[Point], piece: float) -> tuple[Wall, ...]:
    """The outline through these corners, cut into pieces; every piece shows the next mark."""
    walls: list[Wall] = []
    for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
        walls += cut(Wall(start, end, None), piece, MARKS[len(walls) :])
    return tuple(walls)


def _inner_walls(segments: list[tuple[Point, Point]], piece: float, used: int) -> tuple[Wall, ...]:
    """Thin walls, cut into pieces, with marks of their own on both sides; the first `used` marks stand elsewhere."""
    walls: list[Wall] = []
    for start, end in segments:
        marks = MARKS[used + 2 * len(walls) :]
        walls += cut(Wall(start, end, None), piece, marks[::2], marks[1::2])
    return tuple(walls)


def _cross(reach: float, width: float) -> list[Point]:
    """Corners of a plus around the origin, clockwise from the north arm."""
    arm = [(-width, reach), (width, reach), (width, width)]
    return [point for turn in range(4) for point in (_clockwise(p, turn) for p in arm)]


def _clockwise(point: Point, quarters: int) -> Point:
    for _ in range(quarters):
        point = (point[1], -point[0])
    return point


_CENTRE = [(32.0 * i, 32.0 * j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
_ARM = [(distance, 32.0 * j) for distance in (128.0, 224.0, 320.0) for j in (-1, 0, 1)]

PLUS = Maze(
    maps=(DoomMap("MAP01", _walls(_cross(576.0, 64.0), 256.0)),),
    starts=tuple(_CENTRE + [_clockwise(point, turn) for turn in range(4) for point in _ARM]),
    living_reward=0.0,
    ends=(
        Area(1.0, west=550.0),
        Area(1.0, east=-550.0),
        Area(-1.0, south=550.0),
        Area(-1.0, north=-550.0),
    ),
)
"""Four arms: +1 at the ends of the east and the west arm, -1 in the north and the south. 45 starts near the centre."""

_T_CORNERS = [(-320.0, 64.0), (320.0, 64.0), (320.0, -64.0), (64.0, -64.0)]
_T_CORNERS += [(64.0, -576.0), (-64.0, -576.0), (-64.0, -64.0), (-320.0, -64.0)]
_T_WALLS = _walls(_T_CORNERS, 128.0)

T_MAZE = Maze(
    maps=(
        DoomMap("MAP01", _T_WALLS, inner=(Wall((64.0, -64.0), (64.0, 64.0), None),)),
        DoomMap("MAP02", _T_WALLS),
    ),
    starts=((-288.0, 0.0),),
    headings=(0.0,),
    start_actions=0,
    ends=(Area(1.0, north=-550.0),),
    forced_start=Pose(286.0, 0.0, 180.0),
    forced_run=((0.0, 0.0), (0.0, -380.0)),
)
"""A hall with a stem at whose foot waits +1. An invisible barrier cuts off the right arm until the passage opens."""

_H_CORNERS = [(-1344.0, 576.0), (-832.0, 576.0), (-832.0, 64.0), (832.0, 64.0), (832.0, 576.0), (960.0, 576.0)]
_H_CORNERS += [(960.0, -576.0), (832.0, -576.0), (832.0, -64.0), (-832.0, -64.0), (-832.0, -640.0)]
_H_CORNERS += [(-960.0, -640.0), (-960.0, 448.0), (-1344.0, 448.0)]

H_MAZE = Maze(
    maps=(
        DoomMap(
            "MAP01",
            _walls(_H_CORNERS, 128.0),
            inner=(Wall((-960.0, -576.0), (-832.0, -576.0), None),),
        ),
    ),
    starts=tuple(
        (x, y)
        for x in (-1312.0, -1280.0, -1248.0, -1216.0, -1184.0, -1152.0, -1120.0, -1088.0)
        for y in (480.0, 512.0, 544.0)
    ),
    ends=(Area(1.0, west=0.0, south=550.0), Area(-1.0, west=0.0, north=-550.0)),
    forced_start=Pose(-896.0, 0.0, 270.0),
    forced_run=((-896.0, -700.0), (896.0, 700.0)),
    teleporter=Teleporter(
        Area(0.0, west=-960.0, east=-832.0, north=-550.0),
        source=(-896.0, -576.0),
        target=(896.0, 320.0),
        turn=90.0,
    ),
)
"""From a room in the north-west to the north end of the east hall (+1; its south end -1). 24 starts.

A barrier that cannot be seen ends the west hall in the south. With the teleporter on, who touches it stands in the
east hall, near the goal.
"""

_HALL_SEGMENTS: list[tuple[Point, Point]] = [
    ((-384.0, 256.0), (-384.0, -512.0)),
    ((256.0, -256.0), (256.0, 128.0)),
    ((-256.0, -384.0), (512.0, -384.0)),
    ((-256.0, 256.0), (-256.0, -256.0)),
    ((384.0, 384.0), (-384.0, 384.0)),
    ((256.0, 256.0), (-256.0, 256.0)),
    ((-128.0, 0.0), (-128.0, 128.0)),
    ((384.0, -256.0), (384.0, 384.0)),
    ((-128.0, -256.0), (-256.0, -256.0)),
    ((0.0, -256.0), (256.0, -256.0)),
    ((-128.0, -128.0), (-128.0, -256.0)),
    ((-128.0, -128.0), (128.0, -128.0)),
    ((128.0, -128.0), (128.0, 0.0)),
    ((-128.0, 128.0), (256.0, 128.0)),
]
_RING = [(side, 64.0 * i + 32.0) for side in (-448.0, 448.0) for i in range(-8, 8)]
_RING += [(64.0 * i, side) for side in (-448.0, 448.0) for i in range(-6, 7) if (i, side) != (-6, -448.0)]

_HALL_OUTLINE = _walls([(-512.0, 512.0), (512.0, 512.0), (512.0, -512.0), (-512.0, -512.0)], 128.0)

HALL = Maze(
    maps=(DoomMap("MAP01", _HALL_OUTLINE, inner=_inner_walls(_HALL_SEGMENTS, 128.0, len(_HALL_OUTLINE))),),
    starts=tuple(_RING),
    ends=(Area(1.0, west=-40.0, east=40.0, south=-40.0, north=40.0),),
)
"""A spiral in a square, +1 in its centre. 57 starts along the outer ring."""

_HAZARD_CORNERS = ((0, -320), (256, -64), (-128, 320), (-384, -64), (128, -192), (0, 192))

HALL_HAZARD = Maze(
    maps=HALL.maps,
    starts=HALL.starts,
    ends=HALL.ends,
    hazards=tuple(Area(-1.0, west=x, east=x + 64, south=y, north=y + 64) for x, y in _HAZARD_CORNERS),
)
"""The same with six squares of 64 units, not to be seen, each of whose steps costs 1 with probability 0.25."""
