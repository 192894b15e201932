"""Small pictures of codes, many in one image, so that a page can hold thousands of them."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from rl_discrete.runs.errors import RunError, UsageError

Kind = Literal["decoded", "seen"]

MAX_SIDE = 48
"""Pixels: a frame with a longer side is shrunk by a whole number until it fits."""
QUALITY = 85
"""Of WebP, in [0, 100], where it loses something."""
_LOSSLESS = 101  # as OpenCV says it; taken where it is not larger, as in drawn worlds
_SAMPLE = 64  # frames that this is tried on: it takes long
_MARGIN = 2  # pixels around a frame, like its rim: WebP smooths over the edges of frames that touch
_MAX_IMAGE = 16383  # pixels: the largest side that WebP knows


@dataclass(frozen=True, eq=False)
class Frames:
    """Pictures of some codes of a table, in rows of equal tiles.

    Attributes:
        kind: decoded from the code, or seen: a true frame that had this code.
        numbers: (S,) which picture shows the code; -1: none does.
        image: the tiles as base64 of a WebP image.
        size: width and height of a picture, pixels.
        margin: pixels around it, on each side.
        columns: tiles in a row.
    """

    kind: Kind
    numbers: NDArray[np.int64]
    image: str
    size: tuple[int, int]
    margin: int
    columns: int

    def describe(self) -> dict[str, Any]:
        """All but the image and the numbers, for the page."""
        return {"kind": self.kind, "size": self.size, "margin": self.margin, "columns": self.columns}


def pack_frames(kind: Kind, images: NDArray[np.uint8], codes: NDArray[np.int64], num_codes: int) -> Frames:
    """One image of many.

    Args:
        kind: what they are.
        images: uint8 (N, C, H, W) with 1 or 3 channels, N >= 1.
        codes: (N,) which code each shows, none twice.
        num_codes: S.

    Raises:
        UsageError: images of another shape, or more of them than an image can hold.
        RunError: they cannot be compressed.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.dtype != np.uint8 or len(images) != len(codes):
        raise UsageError(f"frames must be uint8 ({len(codes)}, 1 or 3, H, W), got {images.dtype} {images.shape}")
    small = _shrunk(images)
    count, _, height, width = small.shape
    tiles = np.pad(small, ((0, 0), (0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN)), mode="edge")
    columns = math.ceil(math.sqrt(count * tiles.shape[2] / tiles.shape[3]))
    if max(columns * tiles.shape[3], -(-count // columns) * tiles.shape[2]) > _MAX_IMAGE:
        raise UsageError(f"{count} frames of {width} x {height} do not fit into one image; take fewer")
    sample = _sheet(tiles[:_SAMPLE], 8)
    quality = min((_LOSSLESS, QUALITY), key=lambda quality: len(_encoded(sample, quality)))
    content = _encoded(_sheet(tiles, columns), quality)
    numbers = np.full(num_codes, -1, np.int64)
    numbers[codes] = np.arange(count)
    return Frames(kind, numbers, base64.b64encode(content).decode(), (width, height), _MARGIN, columns)


def _sheet(tiles: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Tiles (N, C, H, W) in rows of `columns`, as one picture (rows * H, columns * W, C)."""
    count, channels, height, width = tiles.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, channels, height, width), np.uint8)
    sheet[:count] = tiles
    ordered = sheet.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)  # (rows, H, columns, W, C)
    return ordered.reshape(rows * height, columns * width, channels)


def _encoded(picture: NDArray[np.uint8], quality: int) -> bytes:
    """WebP of a picture (H, W, C)."""
    colored = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.shape[2] == 3 else picture
    done, encoded = cv2.imencode(".webp", colored, [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise RunError("the frames cannot be compressed: this build of OpenCV writes no WebP")
    return encoded.tobytes()


def _shrunk(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (N, C, H, W) whose longer side has at most MAX_SIDE pixels: means of squares, the rim cut off."""
    count, channels, height, width = images.shape
    factor = -(-max(height, width) // MAX_SIDE)
    if factor == 1:
        return images
    high, wide = max(height // factor, 1), max(width // factor, 1)
    cut = images[:, :, : high * factor, : wide * factor]
    squares = cut.reshape(count, channels, high, -(-cut.shape[2] // high), wide, -(-cut.shape[3] // wide))
    means: NDArray[np.uint8] = squares.mean(axis=(3, 5)).round().astype(np.uint8)
    return means
