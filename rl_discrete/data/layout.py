"""The sizes of a replay: what its files and arrays look like, decided once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rl_discrete.runs.errors import UsageError

_SEGMENT_BYTES = 1 << 26  # of a large replay; a small one has shorter segments
_MAX_SEGMENTS = 128  # each costs an open file


@dataclass(frozen=True)
class ReplayLayout:
    """Sizes of a replay; `choose` finds the length of its segments."""

    frame_shape: tuple[int, ...]
    """Of one frame: (C, H, W), or (D,) for vectors."""
    dtype: str
    """Of the frames: `uint8` or `float32`."""
    stack: int
    """Frames in an observation, joined along the first axis."""
    num_envs: int
    """B, how many envs run side by side."""
    capacity_bytes: int
    """The cap on the bytes of all frames."""
    segment_rows: int
    """Rows in a file."""

    @classmethod
    def choose(
        cls,
        frame_shape: tuple[int, ...],
        dtype: str,
        stack: int,
        num_envs: int,
        capacity_bytes: int,
        segment_rows: int | None = None,
    ) -> ReplayLayout:
        """A layout whose segments take a thirty-second of the cap, at most 64 MiB; `segment_rows` overrides.

        Raises:
            UsageError: see the class.
        """
        least = 2 * max(num_envs, 1) * max(stack, 1)
        if segment_rows is None:
            wanted = max(min(capacity_bytes // 32, _SEGMENT_BYTES), capacity_bytes // _MAX_SEGMENTS)
            segment_rows = max(least, wanted // max(math.prod(frame_shape) * np.dtype(dtype).itemsize, 1))
        return cls(frame_shape, dtype, stack, num_envs, capacity_bytes, segment_rows)

    def __post_init__(self) -> None:
        """Raises UsageError for a size below 1, another dtype, short segments, or a cap below two segments."""
        if self.dtype not in ("uint8", "float32"):
            raise UsageError(f"dtype of frames must be uint8 or float32, got {self.dtype}")
        if len(self.frame_shape) < 1 or min(self.frame_shape) < 1:
            raise UsageError(f"frame_shape must be (C, H, W) or (D,) with sizes >= 1, got {self.frame_shape}")
        if self.stack < 1 or self.num_envs < 1:
            raise UsageError(f"stack and num_envs must be >= 1, got {self.stack} and {self.num_envs}")
        # When a segment has left, whatever an env needs for its next observation must still be there.
        least = 2 * self.num_envs * self.stack
        if self.segment_rows < least:
            raise UsageError(f"segment_rows must be >= 2 * num_envs * stack = {least}, got {self.segment_rows}")
        if self.max_segments < 2:
            raise UsageError(
                f"a replay of {self.capacity_bytes:,} bytes is too small for {self.num_envs} envs with frames of "
                f"{self.frame_bytes:,} bytes in stacks of {self.stack}: the smallest is "
                f"{2 * self.segment_rows * self.frame_bytes:,} bytes, two segments"
            )

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return math.prod(self.frame_shape) * np.dtype(self.dtype).itemsize

    @property
    def max_segments(self) -> int:
        """How many segments fit under the cap."""
        return self.capacity_bytes // (self.segment_rows * self.frame_bytes)

    @property
    def max_rows(self) -> int:
        """How many rows fit under the cap."""
        return self.max_segments * self.segment_rows

    def first_row(self, next_row: int) -> int:
        """The oldest row that may stay under the cap once all rows before `next_row` were appended."""
        last_segment = (next_row - 1) // self.segment_rows
        return max(last_segment - self.max_segments + 1, 0) * self.segment_rows
