"""The downsampled image itself as the code. A control: what codes do without learning."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.encoders.cells import BRIGHTEST, cell_means
from rl_discrete.encoders.config import EncoderConfig
from rl_discrete.encoders.fixed import FixedEncoder
from rl_discrete.encoders.observations import Observations, check_observations
from rl_discrete.latents.codes import Codes
from rl_discrete.runs.errors import UsageError


class DownsampleEncoder(FixedEncoder):
    """A latent per pixel of the small grey image, a category per grey level (as cells of Go-Explore, arXiv 1901.10995).

    Every frame of a stack is averaged to `downsample_size`, its channels together. A vector's numbers x become the
    levels of (1 + tanh x) / 2.

    Args:
        shape: of one observation, (C, H, W) or (D,).
        config: `downsample_size` and `downsample_levels`.
        stack: frames in the channel axis of an image.
    """

    def __init__(self, shape: tuple[int, ...], config: EncoderConfig, stack: int = 1) -> None:
        if min(config.downsample_size) < 1 or not 2 <= config.downsample_levels <= BRIGHTEST:
            raise UsageError(
                f"downsample_size must be >= 1 and downsample_levels between 2 and {BRIGHTEST}, got "
                f"{config.downsample_size} and {config.downsample_levels}"
            )
        self._shape, self._config, self._stack = shape, config, stack
        blank = np.zeros((1, *shape), np.uint8 if len(shape) == 3 else np.float32)
        super().__init__(self._levels(blank).shape[1], config.downsample_levels)

    def codes(self, observations: Observations) -> Codes:
        check_observations(observations, self._shape)
        return self._levels(observations)

    def _levels(self, observations: NDArray[Any]) -> Codes:
        levels = self._config.downsample_levels
        if len(self._shape) == 1:
            unit = 0.5 + 0.5 * np.tanh(observations.astype(np.float64))
            return np.minimum(unit * levels, levels - 1).astype(np.int64)
        means = cell_means(observations, self._config.downsample_size)
        channels = means.shape[1] // self._stack
        frames = means.reshape(len(means), self._stack, channels, *means.shape[2:])  # (B, stack, C, h, w)
        grey: Codes = frames.sum(2) * levels // (channels * (BRIGHTEST + 1))
        return grey.reshape(len(grey), self._stack * means.shape[2] * means.shape[3])

    def frozen_copy(self) -> DownsampleEncoder:
        return DownsampleEncoder(self._shape, self._config, self._stack)
