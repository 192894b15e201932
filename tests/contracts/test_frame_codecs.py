"""The contract of `FrameCodec`: every kind of frame, both bottlenecks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.codec_fit import begin_codec, restore_codec
from rl_discrete.world_models.config import CodecConfig
from rl_discrete.world_models.frame_codec import FrameCodec, Frames
from rl_discrete.world_models.frame_source import FrameSource
from tests.world_models.scenes import scenes

CONFIG = CodecConfig(features=16, hidden=16, vector_bits=12, vector_hidden=(8,))


def grey() -> Frames:
    return scenes(80, 0)[0]


def colour() -> Frames:
    return np.random.default_rng(0).integers(0, 3, (40, 3, 11, 14), dtype=np.uint8) * np.uint8(90)


def vector() -> Frames:
    return np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)


Bottleneck = Literal["ish", "gs"]

every_frame = pytest.mark.parametrize("make", [grey, colour, vector])
every_bottleneck = pytest.mark.parametrize("bottleneck", ["ish", "gs"])


def build(make: Callable[[], Frames], bottleneck: Bottleneck) -> tuple[FrameCodec, Frames]:
    frames = make()
    return begin_codec(FrameSource.of_array(frames), replace(CONFIG, bottleneck=bottleneck), 0), frames


def is_like(array: npt.NDArray[Any], dtype: npt.DTypeLike, shape: tuple[int, ...]) -> bool:
    return array.dtype == dtype and array.shape == shape


@every_bottleneck
@every_frame
def test_codes_and_frames(make: Callable[[], Frames], bottleneck: Bottleneck) -> None:
    codec, frames = build(make, bottleneck)
    assert codec.frame_shape == frames.shape[1:]
    assert codec.num_categories == 2
    assert sum(codec.groups) == codec.num_latents
    assert len(frames.shape) == 2 or all(bits % 8 == 0 for bits in codec.groups)
    codes, sure = codec.encode(frames), codec.encode_soft(frames)
    assert is_like(codes, np.uint8, (len(frames), codec.num_latents))
    assert is_like(sure, np.float32, codes.shape)
    assert ((sure >= 0.0) & (sure <= 1.0)).all()
    clear = np.abs(sure - 0.5) > 1e-6
    assert clear.mean() > 0.99
    assert np.array_equal(codes[clear], (sure > 0.5)[clear])
    assert len(np.unique(codes, axis=0)) > 1
    decoded = codec.decode(codes)
    assert is_like(decoded, frames.dtype, frames.shape)


@every_bottleneck
@every_frame
def test_equal_frames_have_equal_codes_in_any_batch(make: Callable[[], Frames], bottleneck: Bottleneck) -> None:
    codec, frames = build(make, bottleneck)
    whole = codec.encode_soft(frames)
    np.testing.assert_allclose(codec.encode_soft(frames[::-1])[::-1], whole, atol=1e-5)
    np.testing.assert_allclose(codec.encode_soft(frames[7:8]), whole[7:8], atol=1e-5)
    assert np.array_equal(codec.encode(frames), codec.encode(frames))
    codes = codec.encode(frames)
    codec.encode(frames[:3])
    assert np.array_equal(codec.encode(frames), codes)
    assert np.array_equal(codec.decode(codes), codec.decode(codes))


@every_bottleneck
@every_frame
def test_a_restored_codec_is_the_same(make: Callable[[], Frames], bottleneck: Bottleneck) -> None:
    codec, frames = build(make, bottleneck)
    tensors, meta = codec.state()
    again = restore_codec(tensors, json.loads(json.dumps(meta)))
    assert (again.frame_shape, again.groups, again.num_latents) == (codec.frame_shape, codec.groups, codec.num_latents)
    assert np.array_equal(again.encode_soft(frames), codec.encode_soft(frames))
    codes = np.random.default_rng(1).integers(0, 2, (9, codec.num_latents), dtype=np.uint8)
    assert np.array_equal(again.decode(codes), codec.decode(codes))


@every_frame
def test_no_frames_and_no_codes(make: Callable[[], Frames]) -> None:
    codec, frames = build(make, "ish")
    assert codec.encode(frames[:0]).shape == codec.encode_soft(frames[:0]).shape == (0, codec.num_latents)
    assert codec.decode(np.zeros((0, codec.num_latents), np.uint8)).shape == (0, *codec.frame_shape)


@every_frame
def test_frames_and_codes_of_another_kind(make: Callable[[], Frames]) -> None:
    codec, frames = build(make, "ish")
    for wrong in (frames[:, 1:], frames[0], frames.astype(np.float64)):
        with pytest.raises(UsageError, match=r"frames must be (uint8|float32) \(N, .*\), got"):
            codec.encode(wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"codes must be integers \(N, \d+\), got"):
        codec.decode(np.zeros((2, codec.num_latents + 1), np.uint8))
    with pytest.raises(UsageError, match="codes must be bits, 0 or 1, got 0 to 2"):
        codec.decode(np.eye(2, codec.num_latents, dtype=np.uint8) * np.uint8(2))
