"""Known answers of the semantic hashing bottleneck."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rl_discrete.latents.config import SemanticHashingConfig
from rl_discrete.latents.semantic_hashing import SemanticHashing, saturating_sigmoid

EDGE = math.log(11.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(num_latents: int, progress: float = 1.0, **settings: float) -> SemanticHashing:
    bottleneck = SemanticHashing(num_latents, config=SemanticHashingConfig(**settings)).train()
    bottleneck.anneal(progress)
    return bottleneck


def bits(features: Tensor) -> Tensor:
    """What the decoder sees of each bit itself, (B, L), without the complement."""
    return features.view(len(features), -1, 2)[..., 0]


def test_saturating_sigmoid() -> None:
    x = torch.tensor([-EDGE - 1e-3, EDGE + 1e-3, -1e4, 1e4, 0.0, 1.0, -1.0], requires_grad=True)
    y = saturating_sigmoid(x)
    assert y[:4].tolist() == [0.0, 1.0, 0.0, 1.0]
    sigmoid = 1.0 / (1.0 + math.exp(-1.0))
    assert y[4:].tolist() == pytest.approx([0.5, 1.2 * sigmoid - 0.1, 1.1 - 1.2 * sigmoid], abs=1e-6)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient[:4].tolist() == [0.0] * 4
    slope = 1.2 * sigmoid * (1.0 - sigmoid)
    assert gradient[4:].tolist() == pytest.approx([0.3, slope, slope], abs=1e-6)
    inside = saturating_sigmoid(torch.tensor([-EDGE + 1e-2, EDGE - 1e-2]))
    assert ((inside > 0.0) & (inside < 1.0)).all()


@settings(deadline=None, max_examples=100)
@given(a=st.floats(-50.0, 50.0, width=32), b=st.floats(-50.0, 50.0, width=32))
def test_saturating_sigmoid_is_monotone_and_even(a: float, b: float) -> None:
    low, high = saturating_sigmoid(torch.tensor([min(a, b), max(a, b)])).tolist()
    assert 0.0 <= low <= high <= 1.0
    assert float(saturating_sigmoid(torch.tensor(-a))) == pytest.approx(
        1.0 - float(saturating_sigmoid(torch.tensor(a))), abs=1e-6
    )


def test_gradient_of_rounded_bits_is_that_of_the_saturating_sigmoid() -> None:
    logits = 2.0 * torch.randn(50, 8, generator=generator()).requires_grad_()
    weights = torch.randn(50, 16, generator=generator(1))
    rounded, soft = build(8, hard_share=1.0), build(8, hard_share=0.0)
    gradients, shown = [], []
    for bottleneck in (rounded, soft):
        output = bottleneck(logits, generator(2))
        gradients.append(torch.autograd.grad((output.features * weights).sum(), logits, retain_graph=True)[0])
        shown.append(bits(output.features.detach()))
    torch.testing.assert_close(gradients[0], gradients[1])
    assert gradients[0].abs().max() > 0.1
    noisy = rounded(logits, generator(2)).noisy_logits.detach()
    torch.testing.assert_close(shown[0], (noisy > 0).float(), atol=1e-6, rtol=0.0)
    torch.testing.assert_close(shown[1], saturating_sigmoid(noisy))
    assert not gradients[0][(noisy.abs() > EDGE + 1e-3)].any()


def test_codes_are_the_rounded_noisy_logits() -> None:
    bottleneck = build(5, noise=0.7, flip_probability=0.2)
    logits = torch.randn(40, 5, generator=generator())
    output = bottleneck(logits, generator(3))
    assert torch.equal(output.codes, (output.noisy_logits > 0).long())
    noise = (output.noisy_logits - logits) / 0.7
    torch.testing.assert_close(noise, torch.randn(40, 5, generator=generator(3)), atol=1e-6, rtol=1e-5)
    assert torch.equal(bottleneck.discretize(logits), (logits > 0).long())


@pytest.mark.parametrize(("hard_share", "progress"), [(0.5, 1.0), (0.2, 1.0), (0.8, 0.25), (1.0, 0.0), (0.5, 0.1)])
def test_share_of_rounded_bits(hard_share: float, progress: float) -> None:
    bottleneck = build(20, progress, hard_share=hard_share, hard_warmup=0.5, noise=0.0)
    expected = hard_share * min(1.0, progress / 0.5)
    shown = bits(bottleneck(torch.full((2000, 20), 0.3), generator(1)).features)
    share = (shown == 1.0).float().mean().item()  # the rest shows sat(0.3) = 0.59
    assert share == pytest.approx(expected, abs=4.5 * math.sqrt(max(expected * (1 - expected), 0.0) / 40_000) + 1e-9)
    assert bottleneck.hard_share == pytest.approx(expected)


def test_rounding_is_drawn_per_bit() -> None:
    shown = bits(build(20, noise=0.0)(torch.full((200, 20), 0.3), generator(1)).features) == 1.0
    assert 0.3 < shown.float().mean(0).min() < shown.float().mean(0).max() < 0.7
    assert not (shown.all(1) | (~shown).all(1)).any()


def test_warm_up_is_linear_and_reaches_its_share() -> None:
    bottleneck = SemanticHashing(3, config=SemanticHashingConfig(hard_share=0.6, hard_warmup=0.4))
    shares = []
    for progress in (0.0, 0.1, 0.2, 0.4, 0.7, 1.0):
        bottleneck.anneal(progress)
        shares.append(bottleneck.hard_share)
    assert shares == pytest.approx([0.0, 0.15, 0.3, 0.6, 0.6, 0.6])
    assert all(before <= after for before, after in pairwise(shares))
    assert SemanticHashing(3, config=SemanticHashingConfig(hard_share=0.6)).hard_share == 0.6


@pytest.mark.parametrize("probability", [0.05, 0.3])
def test_flips(probability: float) -> None:
    logits = 10.0 * (2.0 * torch.randint(2, (2000, 20), generator=generator()) - 1.0)
    output = build(20, flip_probability=probability)(logits, generator(1))
    flipped = bits(output.features) != output.codes
    error = 4.5 * math.sqrt(probability * (1 - probability) / 40_000)
    assert flipped.float().mean().item() == pytest.approx(probability, abs=error)
    assert torch.equal(output.codes, (logits > 0).long())
    assert not (bits(build(20)(logits, generator(1)).features) != output.codes).any()


def test_a_flipped_bit_turns_its_gradient_around() -> None:
    logits = 0.5 * torch.randn(200, 4, generator=generator()).requires_grad_()
    bottleneck = build(4, flip_probability=0.3, hard_share=0.0, noise=0.0)
    shown = bits(bottleneck(logits, generator(1)).features)
    (gradient,) = torch.autograd.grad(shown.sum(), logits, retain_graph=True)
    flipped = (shown - saturating_sigmoid(logits)).abs() > 1e-6
    assert flipped.any()
    assert (gradient[flipped] < 0.0).all()
    assert (gradient[~flipped] > 0.0).all()


@pytest.mark.parametrize("training", [True, False])
def test_the_decoder_sees_each_bit_and_its_complement(training: bool) -> None:
    bottleneck = build(6, flip_probability=0.1).train(training)
    features = bottleneck(torch.randn(30, 6, generator=generator()), generator(1)).features.unflatten(1, (6, 2))
    torch.testing.assert_close(features.sum(-1), torch.ones(30, 6))
    assert bottleneck.embed(torch.tensor([[1, 0, 0, 1, 1, 0]])).tolist() == [[1, 0, 0, 1, 0, 1, 1, 0, 1, 0, 0, 1]]
