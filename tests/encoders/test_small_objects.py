"""A thing of a few pixels that moves before a busy background decides the codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rl_discrete.data.transition_batch import TransitionBatch
from rl_discrete.encoders.base import build_encoder
from rl_discrete.encoders.config import EncoderConfig

PLACES = 16


def pictures() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """One bright square of 4x4 pixels in each of 16 places, before the same noise of 40x40: 1 % of the picture."""
    background = np.random.default_rng(0).integers(0, 200, (3, 40, 40), dtype=np.uint8)
    frames = np.repeat(background[None], PLACES, axis=0)
    for place in range(PLACES):
        row, column = 10 * (place // 4) + 3, 10 * (place % 4) + 3
        frames[place, :, row : row + 4, column : column + 4] = 255
    return frames


@pytest.mark.parametrize("name", ["ish", "gs", "vast"])
def test_a_small_thing_that_moves_is_in_the_code(name: str) -> None:
    torch.set_num_threads(1)
    frames, generator = pictures(), np.random.default_rng(1)
    encoder = build_encoder(name, frames.shape[1:], 2, EncoderConfig(learning_rate=2e-3), seed=0)
    for _ in range(200):
        rows = generator.integers(PLACES, size=32)
        zeros = np.zeros(32, np.float32)
        encoder.learn(TransitionBatch(frames[rows], zeros.astype(np.int64), frames[rows], np.ones(32, np.bool_), zeros))
    codes = len(np.unique(encoder.encode(frames), axis=0))
    assert codes > PLACES // 2  # without the mean frame taken out: 1 for ish after twice as many steps
    encoded = encoder.decode(encoder.encode(frames))
    assert encoded is not None
    assert encoded.dtype == np.uint8
