"""Images averaged over a grid of cells, in whole numbers: the same on every machine and in every batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PARTS = 16  # cell means are whole sixteenths of a grey level
BRIGHTEST = 255 * PARTS


def cell_means(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.int64]:
    """Means of the cells of a grid over images (B, C, H, W), int64 (B, C, h, w) in [0, BRIGHTEST].

    `size` is (rows, columns); an image with fewer pixels along an axis has one cell for each.
    """
    rows, columns = (min(wanted, there) for wanted, there in zip(size, images.shape[2:], strict=True))
    tops = np.arange(rows) * images.shape[2] // rows
    lefts = np.arange(columns) * images.shape[3] // columns
    sums = np.add.reduceat(np.add.reduceat(images.astype(np.int64), tops, axis=2), lefts, axis=3)
    heights, widths = np.diff([*tops, images.shape[2]]), np.diff([*lefts, images.shape[3]])
    means: NDArray[np.int64] = sums * PARTS // (heights[:, None] * widths)
    return means
