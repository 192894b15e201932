"""Which colours make up the frames of an env: the background, and a few colours of the things before it.

Nothing here knows any game: the background is what a pixel shows most often, and what differs from it is a thing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.world_models.config import CodecConfig
from rl_discrete.world_models.frame_source import FrameSource

_SAMPLE = 2048  # frames that background and colours are found in
_CANDIDATES = 64  # colours, the most frequent, that are looked at at all
_PIXELS = 4096  # pixels whose background is found at once: bounds memory


@dataclass(frozen=True)
class Palette:
    """Background and colours of frames (C, H, W)."""

    background: NDArray[np.uint8]
    """(C, H, W)"""
    colours: NDArray[np.uint8]
    """(K, C) one for each class, the most frequent first."""

    def active(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Pixels that are no background, of frames (N, C, H, W), ordered by frame and place.

        A colour that is in no class counts as the nearest one, background included.

        Returns:
            Frame in [0, N), pixel `y * W + x` and class in [0, K) of each of them, all (M,).
        """
        flat = frames.reshape(len(frames), frames.shape[1], -1)
        still = self.background.reshape(frames.shape[1], -1)
        frame, pixel = np.nonzero((flat != still).any(1))
        shown = flat[frame, :, pixel].astype(np.int32)  # (M, C)
        colour, nearest = np.zeros(len(frame), np.int64), np.full(len(frame), np.iinfo(np.int64).max)
        for index, known in enumerate(self.colours.astype(np.int32)):
            away = _squared(shown - known)
            colour[away < nearest] = index
            np.minimum(nearest, away, out=nearest)
        kept = nearest < _squared(shown - still.T[pixel].astype(np.int32))
        return frame[kept], pixel[kept], colour[kept]


def find_palette(source: FrameSource, config: CodecConfig, max_classes: int) -> Palette:
    """Background and at most `max_classes` colours of collected frames.

    Every pixel's background is its mode. Of the colours that differ from it, those in less than `rare_share` of the
    frames are left out; then the two whose difference is the least loss, the rarer one's frames times the root of its
    distance from the other in colour, become one, until few enough are left. The root, because how often a colour is
    seen says more than how far it is from others: two things may differ by a single grey level, and blends at the
    edges of things are rare.

    Raises:
        UsageError: frames that are no images of 1 to 4 channels, or none at all.
        RunError: all frames are the same.
    """
    frames = np.concatenate(list(source.at_most(_SAMPLE).blocks()))
    if frames.dtype != np.uint8 or frames.ndim != 4 or not 1 <= frames.shape[1] <= 4:
        raise UsageError(
            f"images must be uint8 (N, C, H, W) with 1 to 4 channels, got {frames.dtype} {frames.shape}; "
            "give single frames, not stacks"
        )
    packed = _pack(frames)  # (N, H * W)
    background = _modes(packed)
    frame, pixel = np.nonzero(packed != background)
    if not len(frame):
        raise RunError(f"all of {len(frames)} frames are the same: there is nothing to code; collect other steps")
    seen = np.unique(frame << 32 | packed[frame, pixel].astype(np.int64)) & 0xFFFFFFFF
    values, counts = np.unique(seen, return_counts=True)  # in how many frames each colour is
    order = np.argsort(-counts, kind="stable")[:_CANDIDATES]
    values, counts = values[order], counts[order]
    common = counts >= config.rare_share * len(frames)
    if common.any():
        values, counts = values[common], counts[common]
    channels = frames.shape[1]
    colours = _merge(_unpack(values, channels), counts, max_classes)
    return Palette(_unpack(background, channels).T.reshape(frames.shape[1:]).copy(), colours)


def _merge(colours: NDArray[np.uint8], counts: NDArray[np.int64], limit: int) -> NDArray[np.uint8]:
    """At most `limit` of the colours (K, C); of two that become one, the more frequent one stays."""
    weights = counts.astype(np.float64)
    while len(colours) > limit:
        pairs = colours.astype(np.int32)
        distance = np.sqrt(_squared(pairs[:, None] - pairs[None]))
        cost = np.minimum(weights[:, None], weights[None]) * np.sqrt(distance)
        cost[np.tril_indices(len(colours))] = np.inf
        kept, gone = np.unravel_index(int(cost.argmin()), cost.shape)
        if weights[gone] > weights[kept]:
            kept, gone = gone, kept
        weights[kept] += weights[gone]
        colours, weights = np.delete(colours, gone, 0), np.delete(weights, gone)
    return colours


def _modes(packed: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The most frequent value of each column (N, P) -> (P,); the smallest of equals."""
    blocks = []
    for start in range(0, packed.shape[1], _PIXELS):
        values = np.sort(packed[:, start : start + _PIXELS].T, axis=1)  # (P, N), each row in runs
        pixels, frames = values.shape
        new = np.ones_like(values, np.bool_)
        new[:, 1:] = values[:, 1:] != values[:, :-1]
        starts = np.flatnonzero(new)
        lengths = np.diff(starts, append=values.size)
        row = starts // frames
        longest = np.maximum.reduceat(lengths, np.searchsorted(row, np.arange(pixels)))
        hits = np.flatnonzero(lengths == longest[row])
        first = hits[np.unique(row[hits], return_index=True)[1]]
        blocks.append(values.ravel()[starts[first]])
    return np.concatenate(blocks)


def _pack(frames: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Frames (N, C, H, W) as one number for each pixel, (N, H * W)."""
    packed = np.zeros((len(frames), frames.shape[2] * frames.shape[3]), np.uint32)
    for channel in range(frames.shape[1]):
        packed |= frames[:, channel].reshape(len(frames), -1).astype(np.uint32) << np.uint32(8 * channel)
    return packed


def _unpack(values: NDArray[np.integer], channels: int) -> NDArray[np.uint8]:
    """Numbers (M,) as colours (M, C)."""
    shifted = values.astype(np.uint32)[:, None] >> (8 * np.arange(channels, dtype=np.uint32))
    return (shifted & np.uint32(255)).astype(np.uint8)


def _squared(difference: NDArray[np.int32]) -> NDArray[np.int64]:
    return np.asarray((difference * difference).sum(-1), np.int64)
