"""Many frames that need not fit into memory: read block by block, by their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.frame_codec import Frames

_BLOCK = 512  # frames read at once: bounds memory


@dataclass(frozen=True)
class FrameSource:
    """The frames of some ids, in order.

    `FrameSource(replay.frames, ids)` is rows of a replay, `FrameSource.of_array(frames)` an array.
    """

    read: Callable[[NDArray[np.int64]], Frames]
    """ids (N,) -> frames (N, *frame_shape)."""
    ids: NDArray[np.int64]
    """(N,) in reading order."""

    @classmethod
    def of_array(cls, frames: Frames) -> FrameSource:
        """All frames of an array (N, *frame_shape)."""
        return cls(lambda ids: frames[ids], np.arange(len(frames)))

    def __len__(self) -> int:
        return len(self.ids)

    def blocks(self) -> Iterator[Frames]:
        """The frames, (N, *frame_shape) with N at most some hundreds."""
        for start in range(0, len(self.ids), _BLOCK):
            yield self.read(self.ids[start : start + _BLOCK])

    def at_most(self, count: int) -> FrameSource:
        """`count` of the frames, spread evenly over all; all of them where there are no more.

        Raises:
            UsageError: there are no frames at all.
        """
        if not len(self.ids):
            raise UsageError("there are no frames to look at: collect some steps first")
        if len(self.ids) <= count:
            return self
        return FrameSource(self.read, self.ids[np.arange(count) * len(self.ids) // count])
