"""Where the things of an Atari game are: the truth from the console's memory, and what a picture shows.

The memory says where an object is, but in units of its own; a picture shows something, but not what it is. Held
against each other over real frames, each explains the other: the pixels that are bright only while the object is near
are the object's, and a straight line leads from the memory to the place among the pixels. No colour, crop or scale of
a game is written down here, only which bytes of its memory hold which place. For diagnostics alone: training and the
choice of models never see any of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.atari_scores import game_of
from rl_discrete.agents.real_play import RealPlay, as_pictures

Floats = NDArray[np.float64]
Pictures = NDArray[np.uint8]

MEMORY: dict[str, dict[str, tuple[int, int]]] = {"Pong": {"ball": (49, 54), "player": (46, 51), "enemy": (45, 50)}}
"""Game -> object -> the two bytes of the memory that hold x and y (as in Anand et al. 2019, arXiv 1906.08226)."""

_ACTIVE = 24  # levels by which a pixel differs from the background where something is
_NARROW = 0.3  # a pixel is an object's if the object's place varies there by at most this share of its whole spread
_FEWEST = 3  # frames in which something was near a pixel, for it to be judged
_ENOUGH = 20  # frames in which an object is seen, for it to be judged
_FITTED_ON = 1500  # frames of a play from which objects are learned
_FLOOR = 2.0  # pixels: an object that is not found to this precision in real frames is not judged


@dataclass(frozen=True, eq=False)
class _Object:
    x_byte: int
    y_byte: int
    mask: NDArray[np.bool_]
    """(H, W) pixels that are active only where this object is near."""
    scale: Floats
    """(2,) pixels for each unit of the memory; 0 along an axis on which the object never moves."""
    offset: Floats
    """(2,) pixels."""
    floor: float
    """Median distance in pixels between the place in the memory and the one in real frames."""


class ObjectFinder:
    """Finds the objects of a game in pictures, once it has seen real ones.

    Made by `ObjectFinder.fit`.

    Attributes:
        floors: object -> median distance in pixels between memory and real frames: no model can be closer.
    """

    def __init__(self, background: NDArray[np.int16], objects: Mapping[str, _Object]) -> None:
        self._background, self._objects = background, dict(objects)
        self.floors = {name: item.floor for name, item in self._objects.items()}

    @classmethod
    def fit(cls, env: str, pictures: Pictures, memory: NDArray[np.uint8]) -> ObjectFinder | None:
        """Learns what an object looks like; None where nothing is known of the env, or nothing could be found.

        Args:
            env: its name; the memory of Pong is known.
            pictures: real frames, uint8 (N, H, W, 3).
            memory: uint8 (N, 128) at the same time.
        """
        game = game_of(env)
        if game not in MEMORY or len(pictures) < _ENOUGH or memory.shape[1:] != (128,):
            return None
        background = np.median(pictures[:: max(1, len(pictures) // 500)], axis=0).astype(np.int16)
        active = _active(pictures, background)
        found = {name: _learn(active, memory, *bytes_) for name, bytes_ in MEMORY[game].items()}
        objects = {name: item for name, item in found.items() if item is not None}
        return cls(background, objects) if objects else None

    def locate(self, pictures: Pictures) -> dict[str, Floats]:
        """Object -> (N, 2) x and y in pixels, the centre of all that is active where only it can be; nan if unseen.

        Along an axis on which an object never moves its place is 0.
        """
        active = _active(pictures, self._background)
        return {name: _centres(active, item.mask, item.scale != 0) for name, item in self._objects.items()}

    def truth(self, memory: NDArray[np.uint8]) -> dict[str, Floats]:
        """Object -> (N, 2) x and y in pixels by the memory (N, 128); it does not say whether the object is there."""
        return {
            name: memory[:, [item.x_byte, item.y_byte]] * item.scale + item.offset
            for name, item in self._objects.items()
        }


def known_objects(env: str) -> tuple[str, ...]:
    """The objects of an env whose places in the memory are known; none of most envs."""
    return tuple(MEMORY.get(game_of(env) or "", ()))


def learn_objects(env: str, play: RealPlay) -> ObjectFinder | None:
    """A finder of the objects of an env, learned from some of the frames of a play; None as in `ObjectFinder.fit`."""
    rows = np.unique(np.linspace(0, len(play) - 1, min(len(play), _FITTED_ON)).astype(np.int64))
    pictures = as_pictures(play.frames[rows])
    if pictures is None or play.states is None:
        return None
    return ObjectFinder.fit(env, pictures, play.states[rows])


def _active(pictures: Pictures, background: NDArray[np.int16]) -> NDArray[np.bool_]:
    """(N, H, W) where something stands before the background."""
    return np.asarray((np.abs(pictures - background) > _ACTIVE).any(axis=3))


def _centres(active: NDArray[np.bool_], mask: NDArray[np.bool_], axes: NDArray[np.bool_]) -> Floats:
    """(N, 2) mean x and y of the pixels that are active inside a mask; nan where there are none."""
    seen = active & mask
    mass = seen.sum(axis=(1, 2)).astype(np.float64)
    mass[mass == 0] = np.nan
    x = (seen.sum(axis=1) * np.arange(mask.shape[1])).sum(axis=1) / mass
    y = (seen.sum(axis=2) * np.arange(mask.shape[0])).sum(axis=1) / mass
    return np.stack([x, y], axis=1) * np.where(axes, 1.0, 0.0)


def _learn(active: NDArray[np.bool_], memory: NDArray[np.uint8], x_byte: int, y_byte: int) -> _Object | None:
    places = memory[:, [x_byte, y_byte]].astype(np.float64)  # (N, 2)
    spread = places.std(axis=0)
    axes = spread > 1.0
    if not axes.any():
        return None
    shape, flat = active.shape[1:], active.reshape(len(active), -1).astype(np.float32)
    # Sums over the frames in which a pixel or one of its eight neighbours is active, of place and squared place.
    centred = (places - places.mean(axis=0)).astype(np.float32)
    columns = np.concatenate([np.ones((len(places), 1), np.float32), centred, centred**2], axis=1)
    maps = [cv2.boxFilter(sums.reshape(shape), -1, (3, 3), normalize=False) for sums in columns.T @ flat]
    count = np.maximum(maps[0], 1.0)
    narrow = maps[0] >= _FEWEST
    for axis in np.flatnonzero(axes):
        variance = np.maximum(maps[3 + axis] / count - (maps[1 + axis] / count) ** 2, 0.0)
        narrow &= np.sqrt(variance) <= _NARROW * spread[axis]
    seen = _centres(active, narrow, axes)
    there = ~np.isnan(seen[:, 0])
    scale, offset = np.zeros(2), np.zeros(2)
    for _ in range(2):  # the second time without what is far off, such as a ball that is only in the memory
        if there.sum() < _ENOUGH:
            return None
        for axis in np.flatnonzero(axes):
            scale[axis], offset[axis] = np.polyfit(places[there, axis], seen[there, axis], 1)
        distance = np.linalg.norm(places * scale + offset - seen, axis=1)
        floor = float(np.median(distance[there]))
        there &= distance <= max(3.0 * floor, 1.0)
    return _Object(x_byte, y_byte, narrow, scale, offset, floor) if floor <= _FLOOR else None
