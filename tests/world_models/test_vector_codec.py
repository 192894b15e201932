"""Codes of vectors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.runs.errors import RunError
from rl_discrete.world_models.codec_fit import begin_codec, codec_errors, fit_codec
from rl_discrete.world_models.config import CodecConfig
from rl_discrete.world_models.frame_source import FrameSource
from rl_discrete.world_models.vector_codec import VectorCodec

CONFIG = CodecConfig(vector_bits=24, vector_hidden=(64,), updates=400)


def vectors(count: int, seed: int) -> NDArray[np.float32]:
    """Three numbers of very different scale, their sum in units of each, and one that never changes."""
    rng = np.random.default_rng(seed)
    free = rng.uniform(-1.0, 1.0, (count, 3))
    scaled = free * (1e-3, 1.0, 1e3) + (0.0, 5.0, -2e3)
    return np.column_stack((scaled, free.sum(1), np.full(count, 7.0))).astype(np.float32)


def silent(name: str, value: float) -> None:
    """Nobody listens."""


def test_every_number_comes_back_whatever_its_scale() -> None:
    train, held_out = FrameSource.of_array(vectors(2000, 0)), FrameSource.of_array(vectors(500, 1))
    codec = begin_codec(train, CONFIG, 0)
    assert codec_errors(codec, held_out)["codec/worst_error"] > 0.8  # the control: nothing was learned
    fit_codec(codec, train, CONFIG.updates, 0, silent)
    assert codec_errors(codec, held_out)["codec/worst_error"] < 0.4
    assert codec.decode(codec.encode(vectors(9, 2)))[:, 4] == pytest.approx(7.0, abs=0.1)


def test_the_scale_is_that_of_the_data() -> None:
    data = vectors(3000, 0)
    codec = begin_codec(FrameSource.of_array(data), CONFIG, 0)
    assert isinstance(codec, VectorCodec)
    np.testing.assert_allclose(codec.mean, data.mean(0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(codec.deviation[:4], data.std(0, dtype=np.float64)[:4], rtol=1e-6)
    assert codec.deviation[4] == 1.0


def test_numbers_far_outside_say_no_more() -> None:
    data = vectors(100, 0)
    codec = begin_codec(FrameSource.of_array(data), CONFIG, 0)
    far = data[:1].copy()
    far[0, 1] = 1e6
    farther = far.copy()
    farther[0, 1] = 1e30
    assert np.array_equal(codec.encode(far), codec.encode(farther))


def test_a_vector_that_is_not_finite_is_named() -> None:
    data = vectors(100, 0)
    data[17, 2] = np.nan
    with pytest.raises(RunError, match="frame 17 of the batch holds a number that is not finite: repair the env"):
        begin_codec(FrameSource.of_array(data), CONFIG, 0)
    codec = begin_codec(FrameSource.of_array(vectors(100, 0)), CONFIG, 0)
    with pytest.raises(RunError, match="frame 17"):
        codec.encode(data)
