"""Episodes as files that a browser plays: animated WebP, lossless, without a video codec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rl_discrete.runs import durable
from rl_discrete.runs.errors import UsageError

SUFFIX = ".webp"
_LOSSLESS = 101  # OpenCV's word for it: a quality above 100


def write_video(path: Path, frames: Sequence[NDArray[np.uint8]], fps: float) -> None:
    """Write frames as an animation that repeats for ever; the file is there as a whole or not at all.

    Args:
        path: a name that ends in `.webp`; its folder is made if need be.
        frames: uint8 (H, W, 3) RGB or (H, W) grey, all of one shape, at least one.
        fps: frames a second, in (0, 1000].

    Raises:
        UsageError: another suffix, speed, shape or type.
        RunError: the disk refused.
    """
    if path.suffix != SUFFIX:
        raise UsageError(f"a video is named *{SUFFIX}, got {path}")
    if not 0.0 < fps <= 1000.0:
        raise UsageError(f"fps must be in (0, 1000], got {fps}")
    shapes = {(frame.shape, frame.dtype.name) for frame in frames}
    if len(shapes) != 1 or not all(_is_picture(frame) for frame in frames):
        raise UsageError(f"frames must be uint8 (H, W, 3) or (H, W), all alike, got {sorted(shapes) or 'none'}")
    animation = cv2.Animation()
    animation.frames = [cv2.cvtColor(f, cv2.COLOR_RGB2BGR if f.ndim == 3 else cv2.COLOR_GRAY2BGR) for f in frames]
    animation.durations = [round(1000.0 / fps)] * len(frames)
    _, encoded = cv2.imencodeanimation(SUFFIX, animation, [cv2.IMWRITE_WEBP_QUALITY, _LOSSLESS])
    with durable.disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.replace_file(path, encoded.tobytes())


def _is_picture(frame: NDArray[np.uint8]) -> bool:
    return frame.dtype == np.uint8 and frame.size > 0 and (frame.ndim == 2 or frame.shape[2:] == (3,))
