"""What turns single frames into bits and back, whatever a frame is."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.runs.errors import RunError, UsageError

Frames: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]
"""Single frames without stacking: images uint8 (N, C, H, W) or vectors float32 (N, D)."""

CodecState: TypeAlias = tuple[dict[str, Tensor], dict[str, Any]]
"""Everything that a codec is: tensors for safetensors, and what JSON holds."""


class FrameCodec(Protocol):
    """Bits of single frames; it remembers nothing between calls.

    Contract (executable in `tests/contracts/test_frame_codecs.py`): equal frames have equal codes, whatever else is in
    the batch; `encode` is 1 exactly where `encode_soft` is above one half; `decode` gives frames of the same shape and
    type; a codec restored from its state codes and decodes bit for bit like it.
    """

    frame_shape: tuple[int, ...]
    """(C, H, W) or (D,)."""
    num_latents: int
    """L, bits of a frame."""
    num_categories: int
    """2."""
    groups: tuple[int, ...]
    """Consecutive bits that describe one thing each: sizes that sum to L. Chunks of a prior should not straddle them;
    in images each is a multiple of 8."""

    def encode(self, frames: Frames) -> NDArray[np.uint8]:
        """Bits uint8 (N, L), deterministic.

        Raises:
            UsageError: frames of another shape or type.
            RunError: a vector that is not finite.
        """

    def encode_soft(self, frames: Frames) -> NDArray[np.float32]:
        """How sure each bit is: probability float32 (N, L), in [0, 1], that it is 1. Soft targets of a dynamics."""

    def decode(self, codes: NDArray[np.uint8]) -> Frames:
        """Frames (N, *frame_shape) of codes (N, L), those that never were in the data included."""

    def state(self) -> CodecState:
        """What `restore_codec` makes the same codec of."""


def check_frames(frames: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raises UsageError for another shape or type, RunError for a vector that is not finite."""
    dtype = np.dtype(np.uint8 if len(shape) == 3 else np.float32)
    if frames.dtype != dtype or frames.shape[1:] != shape or frames.ndim != len(shape) + 1:
        wanted = ", ".join(map(str, ("N", *shape)))
        raise UsageError(f"frames must be {dtype} ({wanted}), got {frames.dtype} {frames.shape}")
    if len(shape) == 1 and not np.isfinite(frames).all():
        row = int(np.argwhere(~np.isfinite(frames))[0][0])
        raise RunError(f"frame {row} of the batch holds a number that is not finite: repair the env")


def check_bits(codes: NDArray[Any], num_latents: int) -> None:
    """Raises UsageError for anything but integers (N, num_latents) that are 0 or 1."""
    if codes.ndim != 2 or codes.shape[1] != num_latents or not np.issubdtype(codes.dtype, np.integer):
        raise UsageError(f"codes must be integers (N, {num_latents}), got {codes.dtype} {codes.shape}")
    if codes.size and not 0 <= codes.min() <= codes.max() <= 1:
        raise UsageError(f"codes must be bits, 0 or 1, got {codes.min()} to {codes.max()}")
