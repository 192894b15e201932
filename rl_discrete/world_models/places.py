"""Where the things of each colour are: places that have bits of their own, and how many.

A place is what one colour covers in one part of the picture: a paddle in its column, the ball in its court, a score at
the edge. Places of one colour that are apart are told apart, so that the bits of a paddle do not change with the score.
Places that always change together, such as the strokes of a digit and the gaps in it, share their bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rl_discrete.world_models.config import CodecConfig
from rl_discrete.world_models.frame_source import FrameSource
from rl_discrete.world_models.palette import Palette

_FLASH = 3.0  # a colour covering this many times its usual maximum is a flash of the screen, not a thing
_USUAL = 0.99  # share of the frames whose maximum is the usual one
_ENERGY = 0.95  # share of a thing's picture, squared, that its rank should hold
_PICTURES = 32  # pictures of each place that its rank is found in
_OCTET = 8
_REPEATED = 10  # times that a picture must be seen, on average, before places can be told to change together

Lists = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Frame, pixel `y * W + x` and place (or class) of every active pixel, ordered by frame."""


@dataclass(frozen=True)
class Place:
    """One place: its colour's class, and how it is coded."""

    colour: int
    group: int
    """Bits it is described by; places may share them."""
    rank: int
    pixels: float
    """Mean number of pixels, where there are any."""
    weight: float
    """Of one of its pixels in the loss; a pixel without it has 1."""


@dataclass(frozen=True)
class Places:
    """All places of frames (C, H, W). Every pixel of a colour belongs to exactly one place of this colour."""

    palette: Palette
    owner: NDArray[np.int64]
    """(K, H, W) the place that a pixel of each class belongs to."""
    each: tuple[Place, ...]
    bits: tuple[int, ...]
    """Of each group, multiples of 8."""

    def active(self, frames: NDArray[np.uint8]) -> Lists:
        """Frame, pixel and place of the pixels of frames (N, C, H, W) that are no background."""
        frame, pixel, colour = self.palette.active(frames)
        return frame, pixel, self.owner.reshape(len(self.owner), -1)[colour, pixel]

    def owned(self, place: int) -> NDArray[np.bool_]:
        """(H, W) which pixels belong to a place."""
        return np.asarray(self.owner[self.each[place].colour] == place, np.bool_)

    def box(self, place: int) -> tuple[int, int, int, int]:
        """First row, row after the last, first column and column after the last of what belongs to a place."""
        rows, columns = np.nonzero(self.owned(place))
        return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


def find_places(palette: Palette, source: FrameSource, config: CodecConfig, max_places: int) -> Places:
    """At most `max_places` places, of the colours of `palette` in collected frames.

    Pixels that a colour was ever seen at, no more than `region_gap` apart, are one place. Two places whose pictures
    come in no more combinations than each has pictures, added up, are one group. The bits of a group are 2 log2 of
    the pixels that it was ever seen at, or of its different pictures if they are fewer, to the nearest multiple of 8,
    at least 8; over `max_bits` in all, the largest groups lose 8 each in turn.
    """
    parts, seen = [], 0
    for block in source.blocks():
        frame, pixel, colour = palette.active(np.asarray(block, np.uint8))
        parts.append((frame + seen, pixel, colour))
        seen += len(block)
    frame, pixel, colour = (np.concatenate(part) for part in zip(*parts, strict=True))
    usual = _usual(frame, colour, seen, len(palette.colours))
    frame, pixel, colour = frame[usual], pixel[usual], colour[usual]
    shape = palette.background.shape[1:]
    regions = []
    for index in range(len(palette.colours)):
        own = colour == index
        regions += [(index, region) for region in _regions(frame[own], pixel[own], seen, shape, config)]
    owner, classes = _owners(_join(regions, max_places), len(palette.colours), shape)
    place = owner.reshape(len(owner), -1)[colour, pixel]
    pictures = _pictures(frame, pixel, place, seen, len(classes))
    group, joint = _groups(pictures)
    each = []
    for index, colour_class in enumerate(classes):
        mine = place == index
        mean = mine.sum() / max(1, len(np.unique(frame[mine])))
        weight = float(np.clip(config.object_weight * shape[0] * shape[1] / max(mean, 1.0), 1.0, config.max_weight))
        rank = _rank(frame[mine], pixel[mine], shape, config)
        each.append(Place(colour_class, group[index], rank, float(max(mean, 1.0)), weight))
    within = np.array(group)[place]
    ever = [len(np.unique(pixel[within == index])) for index in range(len(joint))]
    return Places(palette, owner, tuple(each), _bits(joint, ever, config.max_bits))


def _usual(frame: NDArray[np.int64], colour: NDArray[np.int64], frames: int, classes: int) -> NDArray[np.bool_]:
    """(M,) which pixels belong to a thing and not to a flash of the whole screen."""
    counts = np.bincount(colour * frames + frame, minlength=classes * frames).reshape(classes, frames)
    limits = [np.quantile(row[row > 0], _USUAL, method="lower") if row.any() else 0 for row in counts]
    return np.asarray(counts[colour, frame] <= _FLASH * np.array(limits)[colour], np.bool_)


def _regions(
    frame: NDArray[np.int64], pixel: NDArray[np.int64], frames: int, shape: tuple[int, ...], config: CodecConfig
) -> list[NDArray[np.bool_]]:
    """The parts of the picture (H, W) where one colour was seen; those rarely seen are joined to the nearest."""
    ever = np.zeros(shape, np.uint8)
    ever.ravel()[pixel] = 1
    reach = config.region_gap + 1  # windows of this size touch when pixels are no further apart
    count, labels = cv2.connectedComponents(cv2.dilate(ever, np.ones((reach, reach), np.uint8)), connectivity=8)
    regions = [(labels == label) & (ever > 0) for label in range(1, count)]
    label = labels.ravel()[pixel]
    support = [len(np.unique(frame[label == index])) for index in range(1, count)]
    while len(regions) > 1 and min(support) < config.rare_share * frames:
        rare = int(np.argmin(support))
        away = _distance(regions[rare])
        others = [index for index in range(len(regions)) if index != rare]
        nearest = min(others, key=lambda index: float(away[regions[index]].min()))
        regions[nearest] |= regions[rare]
        support[nearest] += support[rare]
        del regions[rare], support[rare]
    return regions


def _join(regions: list[tuple[int, NDArray[np.bool_]]], limit: int) -> list[tuple[int, NDArray[np.bool_]]]:
    """At most `limit` regions: the two of one colour that are nearest to each other become one, again and again."""
    gaps = np.full((len(regions), len(regions)), np.inf)
    if len(regions) > limit:
        for i, (colour, region) in enumerate(regions):
            away = _distance(region)
            for j, (same, other) in enumerate(regions[:i]):
                gaps[i, j] = gaps[j, i] = away[other].min() if same == colour else np.inf
    while len(regions) > limit:
        kept, gone = sorted(int(index) for index in np.unravel_index(int(gaps.argmin()), gaps.shape))
        regions[kept] = (regions[kept][0], regions[kept][1] | regions[gone][1])
        gaps[kept] = gaps[:, kept] = np.minimum(gaps[kept], gaps[gone])
        gaps[kept, kept] = np.inf
        gaps = np.delete(np.delete(gaps, gone, 0), gone, 1)
        del regions[gone]
    return regions


def _owners(
    regions: list[tuple[int, NDArray[np.bool_]]], classes: int, shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], list[int]]:
    """(K, H, W) the nearest place of each colour, and the colour of each place."""
    owner = np.zeros((classes, *shape), np.int64)
    nearest = np.full((classes, *shape), np.inf)
    for place, (colour, region) in enumerate(regions):
        away = _distance(region)
        closer = away < nearest[colour]
        owner[colour][closer] = place
        nearest[colour][closer] = away[closer]
    return owner, [colour for colour, _ in regions]


def _distance(region: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(H, W) pixels from the nearest one of a region."""
    return np.asarray(cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def _pictures(
    frame: NDArray[np.int64], pixel: NDArray[np.int64], place: NDArray[np.int64], frames: int, places: int
) -> NDArray[np.uint64]:
    """(places, frames) a number for what is shown, 0 for nothing: the sum of random numbers, one for each pixel."""
    marks = np.random.default_rng(0).integers(1 << 63, size=int(pixel.max()) + 1, dtype=np.uint64)
    order = np.argsort(place * frames + frame, kind="stable")
    key = (place * frames + frame)[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    pictures = np.zeros(places * frames, np.uint64)
    pictures[key[starts]] = np.add.reduceat(marks[pixel[order]], starts)
    return pictures.reshape(places, frames)


def _groups(pictures: NDArray[np.uint64]) -> tuple[list[int], list[int]]:
    """The group of each place, and how many different pictures each group has."""
    distinct = [len(np.unique(row)) for row in pictures]
    joint: list[NDArray[np.uint64]] = []  # pictures (frames,) of each group
    counts: list[int] = []
    group = []
    for row, count in zip(pictures, distinct, strict=True):
        for index, other in enumerate(joint):
            both = other * np.uint64(3) + row  # a number for the two side by side
            most = max(count, counts[index])
            together = len(np.unique(both))
            if together <= count + counts[index] and _REPEATED * most <= len(row):
                joint[index], counts[index] = both, together
                group.append(index)
                break
        else:
            group.append(len(joint))
            joint.append(row)
            counts.append(count)
    return group, counts


def _bits(pictures: list[int], pixels: list[int], max_bits: int) -> tuple[int, ...]:
    """Bits of each group, by its different pictures and the pixels it was ever seen at."""
    least = [max(2, min(pair)) for pair in zip(pictures, pixels, strict=True)]
    bits = [_OCTET * max(1, round(2.0 * np.log2(few) / _OCTET)) for few in least]
    while sum(bits) > max_bits:
        bits[int(np.argmax(bits))] -= _OCTET
    return tuple(bits)


def _rank(frame: NDArray[np.int64], pixel: NDArray[np.int64], shape: tuple[int, ...], config: CodecConfig) -> int:
    """Rows-by-columns rank that holds most of a place's pictures, in [rank, max_rank]."""
    present = np.unique(frame)
    shown = present[np.arange(min(_PICTURES, len(present))) * len(present) // min(_PICTURES, max(1, len(present)))]
    pictures = np.zeros((len(shown), *shape), np.float32)
    among = np.isin(frame, shown)
    pictures.reshape(len(shown), -1)[np.searchsorted(shown, frame[among]), pixel[among]] = 1.0
    rows, columns = pictures.any((0, 2)), pictures.any((0, 1))
    energies = np.linalg.svd(pictures[:, rows][:, :, columns], compute_uv=False) ** 2  # (pictures, min(H, W))
    held = np.cumsum(energies, 1) / energies.sum(1, keepdims=True)
    needed = int((held.mean(0) < _ENERGY).sum()) + 1
    return min(max(needed, config.rank), config.max_rank)
