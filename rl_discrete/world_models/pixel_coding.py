"""Frames as the small integers that a network predicts: values of each channel, or colours of a palette."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rl_discrete.runs.errors import UsageError

Bytes: TypeAlias = NDArray[np.uint8]


class PixelCoding:
    """Frames uint8 (..., C, H, W) and their symbols uint8 (..., P, H, W) in [0, V).

    Without colours a symbol is a channel's value: P = C, V = 256. With colours a symbol names one: P = 1, V = how many
    there are; any other colour is the nearest of them.

    Args:
        shape: of a frame, (C, H, W).
        colours: uint8 (V, C); None: 256 values of every channel.

    Raises:
        UsageError: frames that are no images, or with colours of more than 3 channels.
    """

    def __init__(self, shape: tuple[int, ...], colours: Bytes | None = None) -> None:
        if len(shape) != 3:
            raise UsageError(f"the world model of pixels takes images, got frames of shape {shape}: use the code model")
        self.channels, self.height, self.width = shape
        self.colours = colours
        self.planes, self.values = (self.channels, 256) if colours is None else (1, len(colours))
        if colours is None:
            return
        if self.channels > 3:
            raise UsageError(f"a palette takes frames of 1 to 3 channels, got {self.channels}: set palette to 0")
        self._nearest = np.zeros(256**self.channels, np.uint16)  # by packed colour, symbol + 1; 0: not met yet

    @classmethod
    def find(cls, frames: Bytes, palette: int) -> PixelCoding:
        """The coding of `frames` (N, C, H, W) with up to `palette` of their colours; 0: every value.

        The most frequent colour comes first; each next one has the largest product of distance from those before it
        and logarithm of its frequency, so that a rare, small object keeps its own where shades of a background share.

        Raises:
            UsageError: a palette of another size than 0 or 2 to 256, or frames that are no images.
        """
        if palette != 0 and not 2 <= palette <= 256:
            raise UsageError(f"palette must be 0 or between 2 and 256, got {palette}")
        plain = cls(frames.shape[1:])
        if palette == 0:
            return plain
        if plain.channels > 3:
            raise UsageError(f"a palette takes frames of 1 to 3 channels, got {plain.channels}: set palette to 0")
        packed, counts = np.unique(_packed(frames), return_counts=True)
        colours = _unpacked(packed, plain.channels)
        weights = np.log1p(counts)
        chosen = [int(counts.argmax())]
        distances = _distances(colours, colours[chosen])[:, 0]
        while len(chosen) < min(palette, len(colours)):
            chosen.append(int((weights * distances).argmax()))
            distances = np.minimum(distances, _distances(colours, colours[chosen[-1:]])[:, 0])
        return cls(frames.shape[1:], colours[chosen])

    def symbols(self, frames: Bytes) -> Bytes:
        """Symbols (..., P, H, W) of frames (..., C, H, W)."""
        if self.colours is None:
            return frames
        packed = _packed(frames)
        found = self._nearest[packed]
        if not found.all():
            new = np.unique(packed[found == 0])
            nearest = _distances(_unpacked(new, self.channels), self.colours).argmin(1)
            self._nearest[new] = nearest + 1
            found = self._nearest[packed]
        return (found - 1).astype(np.uint8)[..., None, :, :]

    def frames(self, symbols: Bytes) -> Bytes:
        """Frames (..., C, H, W) of symbols (..., P, H, W)."""
        if self.colours is None:
            return symbols
        return np.moveaxis(self.colours[symbols[..., 0, :, :]], -1, -3)


def _packed(frames: Bytes) -> NDArray[np.int64]:
    """Colours (..., H, W) of frames (..., C, H, W), each as one number, the first channel counting most."""
    packed = np.zeros((*frames.shape[:-3], *frames.shape[-2:]), np.int64)
    for channel in range(frames.shape[-3]):
        packed = packed * 256 + frames[..., channel, :, :]
    return packed


def _unpacked(packed: NDArray[np.int64], channels: int) -> Bytes:
    """Colours (N, C) of numbers (N,)."""
    places = 8 * np.arange(channels)[::-1]
    return (packed[:, None] >> places & 255).astype(np.uint8)


def _distances(colours: Bytes, others: Bytes) -> NDArray[np.float64]:
    """Euclidean distances (N, M) of colours (N, C) from (M, C)."""
    difference = colours[:, None].astype(np.float64) - others[None]
    return np.asarray(np.sqrt((difference**2).sum(-1)))
