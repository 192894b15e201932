"""Codes of images: small things that move are kept, where the same codec without its waves loses them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from rl_discrete.runs.seeding import make_generator
from rl_discrete.world_models.codec_fit import Codec, begin_codec, codec_errors, fit_codec
from rl_discrete.world_models.config import CodecConfig
from rl_discrete.world_models.frame_source import FrameSource
from rl_discrete.world_models.sprite_codec import SpriteCodec
from rl_discrete.world_models.sprite_network import PlaceEncoder, PlaceEntropy, waves
from tests.world_models.scenes import BALL, HEIGHT, WIDTH, scenes

CONFIG = CodecConfig(features=64, hidden=96, learning_rate=4e-3, warmup_steps=20, moved_share=0.0)
UPDATES = 600


def balls(count: int, seed: int) -> NDArray[np.uint8]:
    """A ball of 2x2 pixels before a background of stripes, uint8 (N, 1, 28, 32)."""
    rng = np.random.default_rng(seed)
    frames = np.zeros((count, 1, 28, 32), np.uint8)
    frames[:] = np.arange(28, dtype=np.uint8)[:, None]
    for frame, (row, column) in zip(frames[:, 0], rng.integers(0, (27, 31), (count, 2)), strict=True):
        frame[row : row + 2, column : column + 2] = BALL
    return frames


def source(frames: NDArray[np.uint8]) -> FrameSource:
    return FrameSource.of_array(frames)


def silent(name: str, value: float) -> None:
    """Nobody listens."""


def sprites(codec: Codec) -> SpriteCodec:
    assert isinstance(codec, SpriteCodec)
    return codec


def kept(codec: SpriteCodec) -> dict[str, float]:
    """Errors on held-out balls after a short fit."""
    fit_codec(codec, source(balls(1500, 0)), UPDATES, 0, silent)
    return codec_errors(codec, source(balls(300, 1)))


@pytest.mark.parametrize("bottleneck", ["ish", "gs"])
def test_a_small_moving_thing_is_kept(bottleneck: Literal["ish", "gs"]) -> None:
    config = replace(CONFIG, bottleneck=bottleneck)
    errors = kept(sprites(begin_codec(source(balls(1500, 0)), config, 0)))
    assert errors["codec/worst_lost"] <= 0.08
    assert errors["codec/worst_away"] <= 0.1


def test_a_small_moving_thing_is_lost_without_waves() -> None:
    control = sprites(begin_codec(source(balls(1500, 0)), CONFIG, 0))
    generator = make_generator(0, "control")
    for encoder in control.network.encoders:
        assert isinstance(encoder, PlaceEncoder)
        with torch.no_grad():
            encoder.rows.normal_(generator=generator)
            encoder.columns.normal_(generator=generator)
    assert kept(control)["codec/worst_away"] >= 0.2


def test_pictures_are_not_moved_beyond_their_place() -> None:
    """Two balls of one colour in courts side by side: the nearer edge of the other court is within reach."""
    rng, frames = np.random.default_rng(0), np.zeros((200, 1, 12, 40), np.uint8)
    for frame, rows in zip(frames[:, 0], rng.integers(0, 11, (200, 2)), strict=True):
        for row, left in zip(rows, (0, 22), strict=True):
            column = left + rng.integers(17)
            frame[row : row + 2, column : column + 2] = BALL
    config = replace(CONFIG, moved_share=1.0, region_gap=3)
    codec = sprites(begin_codec(source(frames), config, 0))
    assert len(codec.places.each) == 2
    loss = codec.objective(source(frames))(torch.arange(200), make_generator(0))
    assert torch.isfinite(loss).all()


def test_waves_turn_with_the_position() -> None:
    table = waves(50, 400, 50, make_generator(0))
    frequencies = torch.fft.rfft(table, dim=0).abs().argmax(0) / 50.0
    assert table.abs().max() <= 1.0
    assert frequencies.max() <= 1.0 / 13.0 + 0.02
    assert 0.1 < (table.std(0) < 1e-6).float().mean() < 0.2
    assert torch.equal(table, waves(50, 400, 50, make_generator(0)))
    assert not torch.equal(table, waves(50, 400, 50, make_generator(1)))


def test_the_loss_is_the_weighted_cross_entropy() -> None:
    logits = (3.0 * torch.randn(4, 30, generator=make_generator(0))).double().requires_grad_()
    example, position = torch.tensor([0, 0, 1, 3, 3, 3]), torch.tensor([4, 7, 7, 0, 1, 29])
    target = torch.zeros(4, 30, dtype=torch.float64)
    target[example, position] = 1.0
    weight = torch.tensor(7.0, dtype=torch.float64)
    wanted = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none").sum(1)
    got = PlaceEntropy.apply(logits, example, position, 7.0)
    torch.testing.assert_close(got, wanted)
    factors = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    gradients = [torch.autograd.grad((loss * factors).sum(), logits, retain_graph=True)[0] for loss in (got, wanted)]
    torch.testing.assert_close(*gradients)


def test_codes_do_not_depend_on_the_rest_of_the_batch() -> None:
    frames, _ = scenes(60, 0)
    codec = sprites(begin_codec(source(frames), CONFIG, 0))
    order = np.random.default_rng(0).permutation(60)
    whole, shuffled = codec.encode_soft(frames), codec.encode_soft(frames[order])
    np.testing.assert_allclose(shuffled, whole[order], atol=1e-5)
    singles = np.concatenate([codec.encode_soft(frame[None]) for frame in frames[:5]])
    np.testing.assert_allclose(singles, whole[:5], atol=1e-5)


def test_bits_of_one_place_do_not_change_with_another() -> None:
    frames, positions = scenes(200, 0)
    codec = sprites(begin_codec(source(frames), CONFIG, 0))
    without = frames.copy()
    court = without[:, :, 8:-1, 5:-5]
    court[court == BALL] = 87
    changed = (codec.encode_soft(frames) != codec.encode_soft(without)).any(0)
    starts = np.cumsum((0, *codec.groups))
    groups = [bool(changed[first:last].any()) for first, last in pairwise(starts)]
    assert sum(groups) == 1
    there = positions[:, 0] >= 0
    same = (codec.encode_soft(frames) == codec.encode_soft(without)).all(1)
    assert same[~there].all()
    assert not same[there].any()


def test_decoding_paints_colours_of_the_palette_only() -> None:
    frames, _ = scenes(200, 0)
    codec = sprites(begin_codec(source(frames), CONFIG, 0))
    codes = np.random.default_rng(0).integers(0, 2, (20, codec.num_latents), dtype=np.uint8)
    decoded = codec.decode(codes)
    assert decoded.shape == (20, 1, HEIGHT, WIDTH)
    painted = decoded != codec.places.palette.background
    assert set(np.unique(decoded[painted])) <= set(codec.places.palette.colours.ravel())


def test_errors_of_known_mistakes() -> None:
    """A codec that always decodes to the middle of the picture, and one that decodes to nothing."""
    frames = balls(100, 0)
    codec = sprites(begin_codec(source(frames), CONFIG, 0))

    class Fixed(SpriteCodec):
        shown = np.broadcast_to(codec.places.palette.background, (1, *codec.frame_shape)).copy()

        def decode(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return self.shown.repeat(len(codes), 0)

    blind = Fixed(codec.places, CONFIG, 0)
    assert blind.errors(source(frames)) == {
        "pixels": pytest.approx(1.0 - 4.0 / (28 * 32)),
        "place0_lost": 1.0,
        "place0_away": 1.0,
        "worst_lost": 1.0,
        "worst_away": 1.0,
        "worst_ghost": 0.0,
    }
    Fixed.shown[0, 0, 13:15, 15:17] = BALL
    rows, columns = np.nonzero(frames[:, 0] == BALL)[1:]
    near = (np.abs(rows[::4] - 13) <= 2) & (np.abs(columns[::4] - 15) <= 2)
    errors = blind.errors(source(frames))
    assert errors["place0_lost"] == 0.0
    assert errors["place0_away"] == pytest.approx(1.0 - near.mean())
    without = frames.copy()
    without[without == BALL] = 0
    assert blind.errors(source(without))["place0_ghost"] == 1.0
