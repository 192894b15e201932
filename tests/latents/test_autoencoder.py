"""The discrete autoencoder: pixels in, codes between, pixels out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rl_discrete.data.mnist import load_images
from rl_discrete.latents.autoencoder import DiscreteAutoencoder, bernoulli_nats, build_bottleneck
from rl_discrete.latents.config import FitConfig, GumbelSoftmaxConfig, NetworkConfig
from rl_discrete.latents.gumbel_softmax import GumbelSoftmax
from rl_discrete.latents.networks import build_encoder
from rl_discrete.latents.semantic_hashing import SemanticHashing
from rl_discrete.latents.train import begin_autoencoder, encode, fit_autoencoder
from rl_discrete.runs.errors import RunError, UsageError

SMALL = NetworkConfig(hidden=(16,), residual_layers=1)
DECK = NetworkConfig(kind="plain", hidden=(24, 12), residual_layers=0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randint(256, (count, *shape), generator=generator(seed)).to(torch.uint8)


def build(method: str, shape: tuple[int, ...], network: NetworkConfig = SMALL) -> DiscreteAutoencoder:
    return DiscreteAutoencoder(build_bottleneck(method, 5, 2 if method == "ish" else 4), shape, network)


@pytest.mark.parametrize("method", ["gs", "ish"])
@pytest.mark.parametrize("network", [SMALL, DECK], ids=["residual", "plain"])
@pytest.mark.parametrize("shape", [(28, 28), (3, 8, 8), (6,)])
def test_shapes(method: str, network: NetworkConfig, shape: tuple[int, ...]) -> None:
    model = build(method, shape, network)
    batch = images(7, shape)
    pixels = math.prod(shape)
    output = model(batch, generator())
    assert output.pixel_logits.shape == (7, pixels)
    assert output.bottleneck.codes.shape == (7, 5)
    loss = model.loss(batch, generator())
    assert loss.shape == (7,)
    assert loss.isfinite().all()
    model.eval()
    codes = model.encode(batch)
    assert codes.shape == (7, 5)
    assert codes.dtype == torch.int64
    decoded = model.decode(codes)
    assert decoded.shape == (7, *shape)
    assert decoded.dtype == torch.float32
    assert ((decoded >= 0.0) & (decoded <= 1.0)).all()
    for empty in (model.encode(batch[:0]), model.decode(codes[:0]), model.loss(batch[:0])):
        assert len(empty) == 0


@pytest.mark.parametrize("method", ["gs", "ish"])
def test_in_evaluation_the_reconstruction_is_the_decoded_code(method: str) -> None:
    model = build(method, (3, 8, 8)).eval()
    batch = images(6, (3, 8, 8))
    output = model(batch)
    assert torch.equal(output.bottleneck.codes, model.encode(batch))
    assert torch.equal(output.pixel_logits.sigmoid().view(-1, 3, 8, 8), model.decode(model.encode(batch)))
    assert torch.equal(model.encode(batch), model.train().encode(batch))  # encoding draws no noise in any mode


@pytest.mark.parametrize("method", ["gs", "ish"])
def test_bytes_and_numbers_are_the_same_image(method: str) -> None:
    model = build(method, (3, 8, 8))
    batch = images(6, (3, 8, 8))
    numbers = batch.float() / 255.0
    assert torch.equal(model.pixels(batch), model.pixels(numbers))
    assert torch.equal(model.loss(batch, generator()), model.loss(numbers, generator()))
    assert torch.equal(model.encode(batch), model.encode(numbers))
    assert torch.equal(model.encode(batch), model.encode(batch.flatten(1)))
    assert torch.equal(batch, images(6, (3, 8, 8)))


def test_loss_is_nats_of_the_pixels_plus_the_regularizer() -> None:
    config = GumbelSoftmaxConfig(beta=0.5)
    model = DiscreteAutoencoder(GumbelSoftmax(4, 3, config), (2, 3), SMALL)
    batch = images(5, (2, 3))
    output = model(batch, generator(3))
    p, x = output.pixel_logits.double().sigmoid(), model.pixels(batch).double()
    nats = -(x * p.log() + (1 - x) * (1 - p).log()).sum(1)
    expected = nats + output.bottleneck.regularizer
    torch.testing.assert_close(model.loss(batch, generator(3)).double(), expected, rtol=1e-5, atol=1e-5)
    assert (output.bottleneck.regularizer > 0.0).any()


def test_bernoulli_nats_of_known_pixels() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [200.0, -200.0, 200.0], [math.log(3.0), 0.0, 0.0]])
    pixels = torch.tensor([[0.0, 1.0, 0.5], [1.0, 1.0, 0.5], [1.0, 0.0, 0.0]])
    expected = [3 * math.log(2.0), 300.0, math.log(4 / 3) + 2 * math.log(2.0)]
    assert bernoulli_nats(logits, pixels).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("method", ["gs", "ish"])
def test_the_first_reconstruction_is_the_mean_image(method: str) -> None:
    """The first BCE on MNIST is near that of the best model without a code, far from 784 ln 2 = 543 nats."""
    train = load_images().train_images[:2000]
    bottleneck = build_bottleneck(method, 16, 2)
    fit = begin_autoencoder(train, lambda: bottleneck, NetworkConfig(hidden=(64,)), FitConfig(epochs=1))
    pixels = train.flatten(1).double() / 255.0
    mean = pixels.mean(0).clamp(1e-6, 1 - 1e-6)
    factorial = -(pixels * mean.log() + (1 - pixels) * (1 - mean).log()).sum(1).mean().item()
    assert 195.0 < factorial < 215.0
    with torch.no_grad():
        first = bernoulli_nats(fit.model(train, generator()).pixel_logits, fit.model.pixels(train)).mean().item()
        assert first < 1.05 * factorial
        unbiased = DiscreteAutoencoder(bottleneck, (28, 28), NetworkConfig(hidden=(64,)))
        start = unbiased.loss(train, generator()).mean().item()
    assert start == pytest.approx(784 * math.log(2.0), rel=0.05)  # the control
    output = fit.model.decoder[-1]
    assert isinstance(output, nn.Linear)
    torch.testing.assert_close(output.bias.detach().sigmoid().double(), mean, atol=2e-3, rtol=0.0)


def test_a_plain_network_keeps_the_size_of_its_signal() -> None:
    torch.manual_seed(0)
    layers = build_encoder(784, 4, NetworkConfig(kind="plain", hidden=(512,) * 6))
    signal = torch.randn(64, 784)
    for layer in layers[:-1]:
        signal = layer(signal)
        if isinstance(layer, nn.ReLU):
            assert 0.7 < signal.square().mean().sqrt().item() < 1.4  # torch's default: 0.4, then 0.4 squared ...


def test_weights_depend_on_the_seed_alone() -> None:
    batch = images(6, (3, 8, 8))
    everybody = torch.get_rng_state()
    first, again, other = (
        begin_autoencoder(batch, lambda: SemanticHashing(4), SMALL, seed=seed).model.state_dict() for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), everybody)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_encode_in_parts_is_encode_at_once() -> None:
    batch = images(25, (3, 8, 8))
    model = build("gs", (3, 8, 8)).eval()
    codes = encode(model, batch, batch=10)
    assert torch.equal(codes, model.encode(batch))
    assert not codes.requires_grad


@pytest.mark.parametrize("method", ["gs", "ish"])
def test_it_learns_to_name_a_few_images(method: str) -> None:
    """Eight random binary images need three bits: with six every one gets its own code and is decoded exactly."""
    distinct = torch.randint(2, (8, 5, 5), generator=generator(4)).float()
    model = fit_autoencoder(
        distinct.repeat(40, 1, 1),
        lambda: build_bottleneck(method, 6, 2, gs=GumbelSoftmaxConfig(beta=0.01)),
        NetworkConfig(hidden=(48,), residual_layers=1),
        FitConfig(epochs=40, batch_size=32, learning_rate=5e-3, warmup_steps=20),
    )
    assert not model.training
    with torch.no_grad():
        codes = model.encode(distinct)
        assert len(codes.unique(dim=0)) == 8
        assert torch.equal(model.decode(codes).round(), distinct)


def test_images_that_do_not_fit() -> None:
    model = build("ish", (3, 8, 8))
    for bad in (
        torch.zeros(2, 8, 8, 3),
        torch.zeros(3, 8, 8),
        torch.zeros(2, 191),
        torch.zeros(192),
        torch.tensor(0.0),
    ):
        for use in (model.encode, model.loss, model):
            with pytest.raises(UsageError, match=r"images must have shape \(B, 3, 8, 8\), got"):
                use(bad)
    with pytest.raises(UsageError, match=r"uint8 or floating point in \[0, 1\], got torch.int64"):
        model.encode(torch.zeros(2, 3, 8, 8, dtype=torch.int64))


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (torch.zeros(0, 4, 4), UsageError, "N >= 1"),
        (torch.zeros(4), UsageError, r"images must have shape \(N, ...\)"),
        (torch.full((3, 4), 255.0), UsageError, r"pixels must be in \[0, 1\], got values from 255 to 255"),
        (torch.full((3, 4), -0.5), UsageError, r"pixels must be in \[0, 1\]"),
        (torch.zeros(3, 4, dtype=torch.int64), UsageError, "got torch.int64"),
        (torch.tensor([[0.0, 1.0], [0.5, torch.nan]]), RunError, "image 1 holds pixels that are NaN"),
        (torch.tensor([[0.0, torch.inf]]), UsageError, r"pixels must be in \[0, 1\]"),
    ],
)
def test_data_that_cannot_be_fitted(bad: Tensor, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        begin_autoencoder(bad, lambda: SemanticHashing(4), SMALL)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden": ()}, "hidden must hold widths >= 1"),
        ({"hidden": (16, 0)}, "hidden must hold widths >= 1"),
        ({"residual_layers": -1}, "residual_layers be >= 0"),
        ({"kind": "convolutional"}, "kind must be plain or residual, got 'convolutional'"),
    ],
)
def test_networks_that_cannot_be_built(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build("ish", (4,), NetworkConfig(**settings))


def test_unknown_method() -> None:
    with pytest.raises(UsageError, match="must be gs or ish, got 'vq'"):
        build_bottleneck("vq", 4, 2)
