"""How well a codec of images keeps the things in them: measured on frames it was not fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rl_discrete.world_models.frame_source import FrameSource

if TYPE_CHECKING:
    from rl_discrete.world_models.sprite_codec import SpriteCodec

_NEAR = 2.0  # pixels, down and across, within which a thing is where it should be


def sprite_errors(codec: SpriteCodec, source: FrameSource) -> dict[str, float]:
    """Errors of decoded frames, for each place and for the worst of them.

    Returns:
        `pixels`: share of pixels, all frames together, that are exactly right. For each place `placeN`, and as
        `worst` over places: `..._lost`, share of the frames with something there of which nothing comes back;
        `..._away`, share with something there whose centre is lost or more than 2 pixels off, down or across;
        `..._ghost`, share of the frames with nothing there that get something. Shares of no frames are left out.
    """
    width, places = codec.frame_shape[2], len(codec.places.each)
    right, seen, present, lost, away, ghost = 0, 0, *np.zeros((4, places))
    for block in source.blocks():
        frames = np.asarray(block, np.uint8)
        decoded = codec.decode(codec.encode(frames))
        right += int((frames == decoded).all(1).sum())
        seen += len(frames)
        true, made = (_centres(codec.active(images), len(frames), places, width) for images in (frames, decoded))
        there, found = true[2] > 0, made[2] > 0
        off = np.maximum(np.abs(true[0] - made[0]), np.abs(true[1] - made[1])) > _NEAR
        present += there.sum(0)
        lost += (there & ~found).sum(0)
        away += (there & (~found | off)).sum(0)
        ghost += (~there & found).sum(0)
    errors = {"pixels": right / (seen * codec.frame_shape[1] * width)}
    rates: list[tuple[str, NDArray[np.float64]]] = [
        ("lost", _share(lost, present)),
        ("away", _share(away, present)),
        ("ghost", _share(ghost, seen - present)),
    ]
    for name, rate in rates:
        errors |= {f"place{index}_{name}": float(value) for index, value in enumerate(rate) if np.isfinite(value)}
        errors[f"worst_{name}"] = float(np.max(rate, initial=0.0, where=np.isfinite(rate)))
    return errors


def _centres(
    lists: tuple[NDArray[np.int64], ...], frames: int, places: int, width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean row, mean column and number of active pixels of each frame and place, all (frames, places)."""
    frame, pixel, place = lists
    key, size = frame * places + place, frames * places
    count = np.bincount(key, minlength=size)
    rows = np.bincount(key, pixel // width, size) / np.maximum(count, 1)
    columns = np.bincount(key, pixel % width, size) / np.maximum(count, 1)
    shape = (frames, places)
    return rows.reshape(shape), columns.reshape(shape), count.reshape(shape)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares, nan of nothing."""
    return np.asarray(np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0), np.float64)
