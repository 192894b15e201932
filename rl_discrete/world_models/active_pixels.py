"""The active pixels of many frames, in memory: what an epoch over frames needs, without the frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl_discrete.world_models.frame_source import FrameSource
from rl_discrete.world_models.places import Places


@dataclass(frozen=True)
class ActivePixels:
    """Compressed rows: the pixels of frame n and place g are `pixels[starts[n * G + g] : starts[n * G + g + 1]]`."""

    num_frames: int
    num_places: int
    starts: NDArray[np.int64]
    """(N * G + 1,)"""
    pixels: NDArray[np.int32]
    """(M,) y * W + x"""

    @classmethod
    def of(cls, places: Places, source: FrameSource) -> ActivePixels:
        """Those of all frames of a source."""
        total = len(places.each)
        pixels, counts, frames = [], [], 0
        for block in source.blocks():
            frame, pixel, place = places.active(np.asarray(block, np.uint8))
            key = frame * total + place
            pixels.append(pixel[np.argsort(key, kind="stable")].astype(np.int32))
            counts.append(np.bincount(key, minlength=len(block) * total))
            frames += len(block)
        starts = np.concatenate(([0], np.cumsum(np.concatenate(counts)))).astype(np.int64)
        return cls(frames, total, starts, np.concatenate(pixels))

    def of_place(self, rows: NDArray[np.int64], place: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Position in `rows` (B,) and pixel of each active pixel of one place in these frames, both (M,)."""
        first = self.starts[rows * self.num_places + place]
        counts = self.starts[rows * self.num_places + place + 1] - first
        example = np.repeat(np.arange(len(rows)), counts)
        before = np.cumsum(counts) - counts
        index = np.arange(len(example)) + np.repeat(first - before, counts)
        return example, self.pixels[index].astype(np.int64)
