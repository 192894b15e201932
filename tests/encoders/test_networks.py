"""Sizes of the networks, the likelihoods of images and vectors, and the statistics of vectors."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rl_discrete.agents.config import VastConfig
from rl_discrete.cli.flags import layered, shipped
from rl_discrete.encoders.config import EncoderConfig, EncoderNetworkConfig
from rl_discrete.encoders.networks import DeconvDecoder, Doubling, image_decoder, image_encoder
from rl_discrete.encoders.observation_model import ImageModel, VectorModel
from rl_discrete.encoders.transition_prior import TransitionPrior

SMALL = EncoderNetworkConfig(channels=(4, 6), kernels=(8, 4), strides=(4, 2), hidden=(8,), decoder_channels=(4,))


PAPER_DOOM = layered(VastConfig, [shipped("vast", "paper")]).model
PAPER_ATARI = layered(VastConfig, [shipped("vast", "paper"), shipped("vast", "paper-atari")]).model
PAPER_NETWORK = PAPER_DOOM.network


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("shape", "flat", "bits", "decoder", "prior"),
    [((3, 60, 80), 5120, 32, 0.77, 0.94), ((4, 84, 84), 7744, 64, 1.65, 1.09)],
    ids=["doom", "atari"],
)
def test_the_paper_preset_has_the_paper_s_sizes(
    shape: tuple[int, int, int], flat: int, bits: int, decoder: float, prior: float
) -> None:
    encoder = image_encoder(shape, bits, PAPER_NETWORK)
    first = next(module for module in encoder.modules() if isinstance(module, nn.Linear))
    assert (first.in_features, first.out_features) == (flat, 512)
    frame = (3, *shape[1:]) if shape[0] == 3 else (1, *shape[1:])
    made = image_decoder(2 * bits, frame, PAPER_NETWORK)
    assert isinstance(made, DeconvDecoder)
    assert num_parameters(made) == pytest.approx(decoder * 1e6, abs=6e3)
    sizes = [doubling.size for doubling in made.doublings if isinstance(doubling, Doubling)]
    doom, atari = [(8, 10), (15, 20), (30, 40), (60, 80)], [(11, 11), (21, 21), (42, 42), (84, 84)]
    assert sizes == (doom if bits == 32 else atari)
    assert num_parameters(TransitionPrior(2 * bits, bits, 3, PAPER_NETWORK.prior_hidden)) == pytest.approx(
        prior * 1e6, abs=6e3
    )


def test_the_paper_presets_differ_where_the_paper_does() -> None:
    assert (PAPER_DOOM.num_latents, PAPER_DOOM.gradient_clip) == (32, 5000.0)
    assert (PAPER_ATARI.num_latents, PAPER_ATARI.gradient_clip) == (64, 100.0)
    assert PAPER_ATARI.network == PAPER_NETWORK
    assert PAPER_ATARI.learning_rate * PAPER_ATARI.final_learning_rate == 2e-4


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.integers(1, 3),
    deconv=st.booleans(),
)
def test_any_image_size_is_encoded_and_rebuilt(height: int, width: int, channels: int, deconv: bool) -> None:
    network = replace(SMALL, decoder="deconv", decoder_channels=(4, 3, 3, 2)) if deconv else SMALL
    shape = (channels, height, width)
    encoder = image_encoder(shape, 5, network)
    convolutions = [module for module in encoder.modules() if isinstance(module, nn.Conv2d)]
    assert encoder(torch.zeros(2, *shape)).shape == (2, 5)
    first = convolutions[0](torch.zeros(1, *shape))
    assert first.shape[2:] == (math.ceil(height / 4), math.ceil(width / 4))
    assert image_decoder(10, shape, network)(torch.zeros(2, 10)).shape == (2, *shape)


def test_every_pixel_of_a_decoder_can_be_reached() -> None:
    for network in (SMALL, replace(SMALL, decoder="deconv", decoder_channels=(4, 3, 3, 2))):
        decoder = image_decoder(6, (2, 13, 18), network)
        features = torch.randn(1, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
        pixels: Tensor = decoder(features)
        assert pixels.flatten(1).std() > 0.0
        (gradient,) = torch.autograd.grad(pixels.sum(), features)
        assert (gradient != 0.0).all()


def image_model(shape: tuple[int, int, int], stack: int, half: bool) -> ImageModel:
    config = EncoderConfig(network=replace(SMALL, half_resolution=half))
    return ImageModel(shape, stack, 5, 10, config)


def test_reconstruction_is_bernoulli_in_nats() -> None:
    model = image_model((1, 2, 2), 1, half=False)
    prepared = model.prepare(torch.tensor([[[[0, 255], [51, 102]]]], dtype=torch.uint8))
    assert prepared.flatten().tolist() == pytest.approx([0.0, 1.0, 0.2, 0.4])
    logit = 0.7
    p = 1.0 / (1.0 + math.exp(-logit))
    by_hand = -sum(x * math.log(p) + (1.0 - x) * math.log(1.0 - p) for x in (0.0, 1.0, 0.2, 0.4))
    assert model.nats(torch.full((1, 1, 2, 2), logit), prepared).tolist() == pytest.approx([by_hand])


@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_half_resolution_counts_every_pixel_and_averages_the_target(size: tuple[int, int]) -> None:
    images = torch.full((2, 3, *size), 100, dtype=torch.uint8)
    losses = []
    for half in (False, True):
        model = image_model((3, *size), 1, half)
        target = tuple(math.ceil(length / 2) for length in size) if half else size
        losses.append(model.nats(torch.full((2, 3, *target), 0.3), model.prepare(images)))
    torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize("half", [False, True])
def test_standard_counts_every_pixel_in_its_own_deviations(half: bool) -> None:
    config = EncoderConfig(network=replace(SMALL, half_resolution=half, likelihood="standard"))
    model = ImageModel((1, 4, 4), 1, 5, 10, config)
    rng = np.random.default_rng(0)
    seen = np.full((400, 1, 4, 4), 90, np.uint8)
    seen[:, 0, :2, :2] = np.where(rng.random(400) < 0.02, 250, 90)[:, None, None]  # seldom and strong
    seen[:, 0, 2:, 2:] = np.where(rng.random(400) < 0.5, 100, 90)[:, None, None]  # often and faint
    for part in np.array_split(seen, 7):
        model.observe(torch.tensor(part))
    decoded = torch.zeros(400, 1, 2, 2) if half else torch.zeros(400, 1, 4, 4)
    prepared = model.prepare(torch.tensor(seen))
    # The mean frame itself leaves half a squared deviation, over a variance of 1/4, for each of the pixels that change:
    # four of them by 0.5 each, four by no more than 6 deviations where they had 7.
    rate = (seen[:, 0, 0, 0] == 250).mean()
    seldom, usual = min(((1 - rate) / rate) ** 0.5, 6.0), (rate / (1 - rate)) ** 0.5
    expected = 2.0 * 4 * (1.0 + rate * seldom**2 + (1 - rate) * usual**2)
    assert model.nats(decoded, prepared).mean().item() == pytest.approx(expected, rel=1e-3)
    exact = (torch.tensor(seen[:1]) / 255.0 - model.mean).float()
    scaled = model._reduced(exact) / model._pixel_deviations()
    assert model.nats(scaled, prepared[:1]).item() == pytest.approx(0.0, abs=1e-4)
    shown = model.pictures(scaled)
    assert torch.equal(shown, torch.tensor(seen[:1, :, ::2, ::2] if half else seen[:1]))


def test_only_the_newest_frame_is_reconstructed() -> None:
    model = image_model((6, 8, 8), 2, half=True)
    decoded = torch.zeros(1, 3, 4, 4)
    images = torch.randint(0, 256, (1, 6, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    older, newest = images.clone(), images.clone()
    older[:, 3:] = 0
    newest[:, :3] = 0
    decoded = decoded + 0.5
    same, other, original = (model.nats(decoded, model.prepare(seen)) for seen in (older, newest, images))
    assert torch.equal(same, original)
    assert not torch.equal(other, original)


def vector_model(size: int = 3, **settings: float) -> VectorModel:
    return VectorModel(size, 5, 10, EncoderConfig(network=SMALL, **settings))  # type: ignore[arg-type]


def test_vectors_are_brought_to_mean_zero_and_deviation_one() -> None:
    rng = np.random.default_rng(0)
    seen = (rng.normal(size=(200, 3)) * [1e3, 1e-3, 1.0] + [5.0, -2.0, 1e4]).astype(np.float32)
    seen[:, 2] = 7.0
    model = vector_model()
    for part in np.array_split(seen, [1, 3, 90]):
        model.observe(torch.tensor(part))
    prepared = model.prepare(torch.tensor(seen))
    expected = (seen[:, :2] - seen[:, :2].astype(np.float64).mean(0)) / seen[:, :2].astype(np.float64).std(0)
    np.testing.assert_allclose(prepared[:, :2], expected, atol=1e-4)
    assert not prepared[:, 2].any()  # a number that never changes
    assert model.prepare(torch.full((1, 3), 3e38)).isfinite().all()


def test_reconstruction_of_vectors_is_gaussian_in_nats() -> None:
    model = vector_model(2, vector_noise=0.5)
    prepared = model.prepare(torch.tensor([[1.0, -1.0]]))
    assert model.nats(torch.tensor([[0.5, 1.0]]), prepared).tolist() == pytest.approx([(0.25 + 4.0) / 0.5])
    assert model.pictures(prepared) is None
