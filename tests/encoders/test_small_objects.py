"""A thing of a few pixels that moves before a busy background decides the codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rl_discrete.data.transition_batch import TransitionBatch
from rl_discrete.encoders.base import build_encoder
from rl_discrete.encoders.config import EncoderConfig, EncoderNetworkConfig

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


def told_apart(foresight: float) -> int:
    """How many of the 16 pairs of place and way of a dot that runs round a ring of 8 places have codes of their own."""
    frames = 255 * np.eye(8, dtype=np.uint8).repeat(4, axis=0).reshape(8, 4, 8)
    place, way = (each.ravel() for each in np.meshgrid(np.arange(8), [-1, 1]))
    before, now, after = (frames[(place + shift * way) % 8] for shift in (-1, 0, 1))
    first, second = np.stack((now, before), 1), np.stack((after, now), 1)  # newest frame first
    network = EncoderNetworkConfig(
        channels=(), kernels=(), strides=(), hidden=(32,), decoder="dense", decoder_channels=(), half_resolution=False
    )
    config = EncoderConfig(num_latents=6, network=network, learning_rate=5e-3, foresight=foresight, average_decay=0.9)
    encoder = build_encoder("ish", first.shape[1:], 1, config, seed=0, stack=2)
    generator = np.random.default_rng(1)
    for _ in range(400):
        rows = generator.integers(16, size=32)
        nothing = np.zeros(32, np.float32)
        encoder.learn(
            TransitionBatch(first[rows], nothing.astype(np.int64), second[rows], np.zeros(32, np.bool_), nothing)
        )
    return int((np.unique(encoder.encode(first), axis=0, return_counts=True)[1] == 1).sum())


def test_codes_that_foresee_the_next_frame_tell_which_way_a_thing_moves() -> None:
    torch.set_num_threads(1)
    assert told_apart(foresight=1.0) >= 12
    assert told_apart(foresight=0.0) <= 8
