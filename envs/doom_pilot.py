"""A driver that knows where it is: it steers the player along points, for forced runs and for tests."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rl_discrete.envs.doom_engine import FORWARD, LEFT, RIGHT, Pose
from rl_discrete.envs.doom_map import Point

_NEAR = 96.0  # map units; who walks still slides up to 88
_STRAIGHT = 15.5  # degrees; headings of the fast controls lie 30 apart
_STUCK = 2.0  # map units; the shortest free step is 7


class Pilot:
    """Turns towards the next point, walks, and takes the point after it as soon as it is near.

    At a wall it turns a little further and tries again. It depends on nothing but the poses it is shown.

    Args:
        route: the points, in order. Between two of them the way must be straight and free.
    """

    def __init__(self, route: Iterable[Point]) -> None:
        self._route = list(route)
        self._walked_from: Pose | None = None
        self._evading = False

    def action(self, pose: Pose) -> int | None:
        """What to do at `pose`; None at the end of the route."""
        while self._route and math.dist(self._route[0], pose[:2]) < _NEAR:
            self._route.pop(0)
        if not self._route:
            return None
        x, y = self._route[0]
        bearing = math.degrees(math.atan2(y - pose.y, x - pose.x))
        left = (bearing - pose.angle + 180.0) % 360.0 - 180.0
        stuck = self._walked_from is not None and math.dist(self._walked_from[:2], pose[:2]) < _STUCK
        if not stuck and (self._evading or abs(left) <= _STRAIGHT):
            self._walked_from, self._evading = pose, False
            return FORWARD
        self._walked_from, self._evading = None, stuck
        return LEFT if left > 0.0 else RIGHT

    def skip(self) -> None:
        """Give up the next point: something has moved the player past it."""
        self._route = self._route[1:]
