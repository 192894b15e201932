"""The last frames of running episodes, as a world model is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class History:
    """The last T frames of B running episodes, oldest first; young episodes have fewer, at the end."""

    frames: NDArray[Any]
    """(B, T, *frame_shape) uint8 (C, H, W) or float32 (D,); zeros where not `valid`."""
    actions: NDArray[np.int64]
    """(B, T) the action that led to each frame; 0, which means nothing, at an episode's first frame and before."""
    valid: NDArray[np.bool_]
    """(B, T) whether there is such a frame; the last one always is."""

    def __len__(self) -> int:
        return len(self.frames)

    @classmethod
    def of_first(cls, frames: NDArray[Any], length: int) -> Self:
        """Histories of `length` for the first frames (B, *frame_shape) of episodes."""
        blank = np.zeros((len(frames), length, *frames.shape[1:]), frames.dtype)
        blank[:, -1] = frames
        valid = np.zeros((len(frames), length), np.bool_)
        valid[:, -1] = True
        return cls(blank, np.zeros((len(frames), length), np.int64), valid)

    def push(self, actions: NDArray[np.int64], frames: NDArray[Any]) -> Self:
        """One step further: each `actions` (B,) led to `frames` (B, *frame_shape)."""
        return type(self)(
            np.concatenate((self.frames[:, 1:], frames[:, None]), axis=1),
            np.concatenate((self.actions[:, 1:], actions[:, None]), axis=1),
            np.concatenate((self.valid[:, 1:], np.ones((len(frames), 1), np.bool_)), axis=1),
        )

    def __getitem__(self, rows: NDArray[Any]) -> Self:
        """The histories of some rows: indices, or a mask bool (B,)."""
        return type(self)(self.frames[rows], self.actions[rows], self.valid[rows])


class CodedHistory(History):
    """A history whose `frames` are codes of them, uint8 (B, T, L), for a model of these codes."""
