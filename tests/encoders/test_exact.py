"""Known answers of the encoder that merges nothing."""

from __future__ import annotations

import numpy as np

from rl_discrete.encoders.exact import ExactEncoder


def test_a_vector_gives_the_bits_of_its_numbers() -> None:
    codes = ExactEncoder((2,)).codes(np.array([[1.0, -2.0]], np.float32))
    assert codes.shape == (1, 64)
    values = (codes.reshape(2, 32) << np.arange(32)).sum(1)
    assert [hex(value) for value in values] == ["0x3f800000", "0xc0000000"]  # IEEE 754


def test_zeros_of_either_sign_are_equal() -> None:
    keys = ExactEncoder((1,)).encode(np.array([[0.0], [-0.0], [1e-45]], np.float32))
    assert np.array_equal(keys[0], keys[1])
    assert not np.array_equal(keys[0], keys[2])


def test_an_image_gives_its_bytes_and_one_grey_level_tells_two_apart() -> None:
    encoder = ExactEncoder((1, 2, 3))
    images = np.arange(12, dtype=np.uint8).reshape(2, 1, 2, 3)
    images[1] = images[0]
    images[1, 0, 1, 2] += 1
    assert encoder.codes(images).tolist() == [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 6]]
    assert len(np.unique(encoder.encode(images), axis=0)) == 2
