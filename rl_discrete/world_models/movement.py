"""Pictures of places moved about, so that a codec knows a thing wherever it comes, not only where it has been."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from rl_discrete.world_models.active_pixels import ActivePixels

_FRAMES = 4096  # in which the movement of each place is looked at


@dataclass(frozen=True)
class Movement:
    """How far the pictures of each place move along both axes, and where the place may be."""

    spread: NDArray[np.float64]
    """(G, 2) standard deviation of the middle of a place, rows and columns, in pixels: 0 for what stands still."""
    near: NDArray[np.bool_]
    """(G, H, W) pixels of a place no further than `reach` from one at which it was ever seen."""

    @classmethod
    def of(cls, pixels: ActivePixels, owned: NDArray[np.bool_], reach: int = 0) -> Movement:
        """That of all frames in `pixels`, of which `owned` (G, H, W) belong to each place."""
        height, width = owned.shape[1:]
        rows = np.unique(np.linspace(0, pixels.num_frames - 1, _FRAMES).astype(np.int64))
        spread = np.zeros((pixels.num_places, 2))
        near = np.zeros((pixels.num_places, height, width), np.bool_)
        window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        everything = np.arange(pixels.num_frames)
        for place in range(pixels.num_places):
            ever = np.zeros(height * width, np.uint8)
            ever[pixels.of_place(everything, place)[1]] = 1
            near[place] = (cv2.dilate(ever.reshape(height, width), window) > 0) & owned[place]
            example, pixel = pixels.of_place(rows, place)
            count = np.bincount(example, minlength=len(rows))
            for axis, places in enumerate((pixel // width, pixel % width)):
                middle = np.bincount(example, places, len(rows))[count > 0] / count[count > 0]
                spread[place, axis] = middle.std() if len(middle) else 0.0
        return cls(spread, near)

    def moved(
        self,
        place: int,
        example: NDArray[np.int64],
        pixel: NDArray[np.int64],
        batch: int,
        share: float,
        noise: torch.Generator,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Active pixels of a place with some of the pictures moved as a whole, by as much as the place moves.

        Args:
            place: which one.
            example: (M,) which picture in [0, batch) each pixel belongs to.
            pixel: (M,) y * W + x.
            batch: number of pictures.
            share: of the pictures that are to be moved, in [0, 1]; those that would then be where the place may not be
                stay where they are.
            noise: source of chance.

        Returns:
            `example` and the new `pixel`.
        """
        if share == 0.0:
            return example, pixel
        steps = torch.randn(batch, 2, generator=noise).double().numpy() * self.spread[place]
        chosen = torch.rand(batch, generator=noise).numpy() < share
        by = np.rint(steps * chosen[:, None]).astype(np.int64)
        _, height, width = self.near.shape
        row, column = pixel // width + by[example, 0], pixel % width + by[example, 1]
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        inside[inside] = self.near[place][row[inside], column[inside]]
        outside = np.bincount(example, ~inside, batch) > 0
        return example, np.where(outside[example], pixel, row * width + column)
