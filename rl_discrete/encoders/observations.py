"""What encoders accept as observations: images uint8 (C, H, W) or vectors float32 (D,), in batches."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rl_discrete.runs.errors import RunError, UsageError

Observations: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]
"""uint8 (B, C, H, W), stacks with the newest frame first, or float32 (B, D)."""


def check_shape(shape: tuple[int, ...], stack: int) -> None:
    """Raises UsageError for a shape that is neither (C, H, W) nor (D,), or that `stack` does not divide."""
    if len(shape) not in (1, 3) or min(shape, default=0) < 1:
        raise UsageError(f"observations must be images (C, H, W) or vectors (D,), got the shape {shape}")
    if stack < 1 or shape[0] % stack:
        raise UsageError(f"a stack of {stack} frames needs a multiple of {stack} as the first size, got {shape}")


def check_observations(observations: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raises UsageError for another shape or type, RunError for a vector that is not finite."""
    dtype = np.uint8 if len(shape) == 3 else np.float32
    if observations.dtype != dtype or observations.shape[1:] != shape or observations.ndim != len(shape) + 1:
        wanted = ", ".join(map(str, ("B", *shape)))
        raise UsageError(
            f"observations must be {np.dtype(dtype)} ({wanted}), got {observations.dtype} {observations.shape}"
        )
    if dtype is np.float32 and not np.isfinite(observations).all():
        row = int(np.argwhere(~np.isfinite(observations))[0][0])
        raise RunError(f"observation {row} of the batch holds a number that is not finite: repair the env")
