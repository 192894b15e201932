"""Known answers of the two controls and of the cell means they are made from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rl_discrete.encoders.cells import BRIGHTEST, PARTS, cell_means
from rl_discrete.encoders.config import EncoderConfig
from rl_discrete.encoders.downsample import DownsampleEncoder
from rl_discrete.encoders.simhash import SimHashEncoder


def images(batch: int, shape: tuple[int, ...] = (3, 12, 16), seed: int = 0, high: int = 256) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, high, (batch, *shape), dtype=np.uint8)


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    rows=st.integers(1, 8),
    columns=st.integers(1, 8),
    seed=st.integers(0, 100),
)
def test_cells_cover_the_image_once(height: int, width: int, rows: int, columns: int, seed: int) -> None:
    seen = images(2, (2, height, width), seed)
    means = cell_means(seen, (rows, columns))
    rows, columns = min(rows, height), min(columns, width)
    assert means.shape == (2, 2, rows, columns)
    for row in range(rows):
        for column in range(columns):
            cell = seen[
                :,
                :,
                row * height // rows : (row + 1) * height // rows,
                column * width // columns : (column + 1) * width // columns,
            ].astype(int)
            assert np.array_equal(means[:, :, row, column], cell.sum((2, 3)) * PARTS // (cell.shape[2] * cell.shape[3]))


def simhash(bits: int = 16, seed: int = 0, shape: tuple[int, ...] = (3, 12, 16)) -> SimHashEncoder:
    return SimHashEncoder(shape, EncoderConfig(simhash_bits=bits, simhash_size=(6, 8)), seed)


def test_brightness_changes_no_bit_and_the_negative_changes_all() -> None:
    encoder = simhash()
    dark = images(20, high=100)
    codes = encoder.codes(dark)
    assert np.array_equal(encoder.codes(dark + np.array([50, 100, 150], np.uint8)[:, None, None]), codes)
    mirrored = encoder.codes(dark.max() - dark)
    assert (mirrored != codes).mean() > 0.99


def test_every_bit_is_used_and_bits_do_not_agree() -> None:
    means = simhash(32).codes(images(500)).mean(0)
    assert (np.abs(means - 0.5) < 0.1).all()


def test_the_share_of_equal_bits_tells_the_angle() -> None:
    """Charikar 2002: two inputs differ in a bit with probability angle / pi."""
    encoder = simhash(4000, shape=(1, 6, 8))
    rng = np.random.default_rng(0)
    left, right = 60.0 * rng.standard_normal((2, 48))
    right = 0.6 * left + 0.8 * right
    pair = np.clip(np.stack((left, right)) + 128.0, 0, 255).astype(np.uint8).reshape(2, 1, 6, 8)
    x, y = (picture.ravel() - picture.mean() for picture in pair.astype(float))
    angle = np.arccos(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
    first, second = encoder.codes(pair)
    assert (first != second).mean() == pytest.approx(angle / np.pi, abs=0.03)


def test_projections_stay_exact_on_large_images() -> None:
    encoder = SimHashEncoder((3, 480, 640), EncoderConfig(), 0)
    bright = np.full((1, 3, 480, 640), 255, np.uint8)
    bright[:, :, :240] = 0
    largest = np.abs(encoder._inputs(bright)).sum() * np.abs(encoder._projections).max()
    assert largest < 2.0**53  # whole numbers up to here are exact in float64


def downsample(shape: tuple[int, ...], stack: int = 1, levels: int = 4) -> DownsampleEncoder:
    return DownsampleEncoder(shape, EncoderConfig(downsample_size=(1, 2), downsample_levels=levels), stack)


def test_codes_are_grey_levels() -> None:
    seen = np.zeros((4, 3, 2, 4), np.uint8)
    seen[1] = 255
    seen[2, :, :, 2:] = 255  # the right half
    seen[3, 0] = 255  # one channel of three: a third as bright
    assert downsample((3, 2, 4)).codes(seen).tolist() == [[0, 0], [3, 3], [0, 3], [1, 1]]
    assert downsample((3, 2, 4), levels=BRIGHTEST).codes(seen)[1].tolist() == [BRIGHTEST - 1] * 2


def test_every_frame_of_a_stack_counts() -> None:
    seen = np.zeros((2, 2, 2, 4), np.uint8)
    seen[1, 1] = 255  # the older frame
    encoder = downsample((2, 2, 4), stack=2)
    assert encoder.num_latents == 4
    assert encoder.codes(seen).tolist() == [[0, 0, 0, 0], [0, 0, 3, 3]]


def test_levels_of_vectors() -> None:
    seen = np.array([[-1e30, -1.0, 0.0, 1.0, 1e30]], np.float32)
    assert downsample((5,)).codes(seen).tolist() == [[0, 0, 2, 3, 3]]


def test_small_noise_changes_few_cells_and_another_picture_many() -> None:
    encoder = DownsampleEncoder((3, 12, 16), EncoderConfig(downsample_size=(3, 4)))
    blocks = np.kron(images(20, (3, 3, 4)), np.ones((4, 4), np.uint8)).astype(np.uint8)
    noisy = np.clip(blocks.astype(int) + np.random.default_rng(1).integers(-5, 6, blocks.shape), 0, 255)
    codes = encoder.codes(blocks)
    assert (encoder.codes(noisy.astype(np.uint8)) == codes).mean() > 0.9
    assert (encoder.codes(np.roll(blocks, 1, axis=0)) == codes).mean() < 0.7
