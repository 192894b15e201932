"""Known answers of the binary concrete bottleneck: its distribution, and its divergence from a prior."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_discrete.latents.binary_concrete import BinaryConcrete, log_density, logistic_from_uniform
from rl_discrete.latents.config import BinaryConcreteConfig


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(num_latents: int, **settings: float) -> BinaryConcrete:
    bottleneck = BinaryConcrete(num_latents, config=BinaryConcreteConfig(**settings))
    bottleneck.train()
    return bottleneck


def test_noise_is_logistic() -> None:
    assert logistic_from_uniform(torch.tensor([0.25, 0.5, 0.75])).tolist() == pytest.approx(
        [-math.log(3.0), 0.0, math.log(3.0)]
    )
    ends = logistic_from_uniform(torch.tensor([0.0, 1.0]))
    assert ends.tolist() == pytest.approx([-16.64, 16.64], abs=0.01)
    noise = logistic_from_uniform(torch.rand(200_000, generator=generator()))
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(noise.var()) == pytest.approx(math.pi**2 / 3.0, rel=0.02)


def test_bits_are_drawn_with_the_probability_that_their_logit_says() -> None:
    logits = torch.tensor([-3.0, -0.5, 0.0, 1.0, 4.0]).repeat(40_000, 1)
    share = build(5)(logits, generator()).codes.float().mean(0)
    torch.testing.assert_close(share, logits[0].sigmoid(), atol=0.01, rtol=0.0)


@pytest.mark.parametrize("temperature", [0.5, 2.0 / 3.0, 2.0])
def test_density_integrates_to_one_and_gives_the_bit_its_probability(temperature: float) -> None:
    y = torch.linspace(-120.0, 120.0, 200_001, dtype=torch.float64)
    density = log_density(y, torch.tensor(0.7, dtype=torch.float64), temperature).exp()
    assert float(torch.trapezoid(density, y)) == pytest.approx(1.0, abs=1e-6)
    upper = y >= 0.0
    expected = 1.0 / (1.0 + math.exp(-0.7))
    assert float(torch.trapezoid(density[upper], y[upper])) == pytest.approx(expected, abs=1e-3)


def test_kl_equals_a_value_computed_by_hand() -> None:
    y, logit, prior = 0.9, 0.4, -1.1  # one bit, in logit space
    tau, prior_tau = 2.0 / 3.0, 0.5
    posterior = tau * math.exp(logit - tau * y) / (1.0 + math.exp(logit - tau * y)) ** 2
    under_prior = prior_tau * math.exp(prior - prior_tau * y) / (1.0 + math.exp(prior - prior_tau * y)) ** 2
    kl = build(1).kl(torch.tensor([[y]]), torch.tensor([[logit]]), torch.tensor([prior]))
    assert kl.tolist() == pytest.approx([math.log(posterior) - math.log(under_prior)], rel=1e-5)


def test_mean_kl_is_the_integral_and_vanishes_for_equal_distributions() -> None:
    bottleneck = build(1, temperature=0.6, prior_temperature=0.6)
    logits = torch.full((200_000, 1), 1.5)
    noisy = bottleneck(logits, generator()).noisy_logits
    assert bottleneck.kl(noisy, logits, torch.tensor([1.5])).abs().max() < 1e-4
    y = torch.linspace(-120.0, 120.0, 200_001, dtype=torch.float64)
    posterior, prior = (log_density(y, torch.tensor(logit, dtype=torch.float64), 0.6) for logit in (1.5, -1.0))
    exact = float(torch.trapezoid(posterior.exp() * (posterior - prior), y))
    estimate = bottleneck.kl(noisy, logits, torch.tensor([-1.0])).mean()
    assert float(estimate) == pytest.approx(exact, rel=0.01)


def test_kl_moves_posterior_and_prior_together() -> None:
    bottleneck = build(3)
    logits = torch.tensor([[2.0, -2.0, 0.0]]).repeat(5000, 1).requires_grad_()
    prior = torch.zeros(3, requires_grad=True)
    noisy = bottleneck(logits, generator()).noisy_logits
    to_logits, to_prior = torch.autograd.grad(bottleneck.kl(noisy, logits, prior).mean(), (logits, prior))
    assert torch.equal(to_prior.sign()[:2], torch.tensor([-1.0, 1.0]))  # descent moves the prior to the posterior
    assert torch.equal(to_logits.sum(0).sign()[:2], torch.tensor([1.0, -1.0]))  # and the posterior to the prior


@settings(deadline=None, max_examples=200)
@given(numbers=st.lists(st.floats(-1e4, 1e4, width=32), min_size=4, max_size=4), seed=st.integers(0, 1000))
def test_kl_is_finite_for_any_logits(numbers: list[float], seed: int) -> None:
    bottleneck = build(2)
    logits, prior = torch.tensor([numbers[:2]]).requires_grad_(), torch.tensor([numbers[2:]]).requires_grad_()
    noisy = bottleneck(logits, generator(seed)).noisy_logits
    kl = bottleneck.kl(noisy, logits, prior)
    assert kl.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(kl.sum(), (logits, prior)))


def test_log_of_one_plus_exp_would_overflow_where_softplus_does_not() -> None:
    logit, y = torch.tensor([200.0]), torch.tensor([-200.0])
    centred = logit - 0.5 * y
    assert (centred - 2.0 * torch.log(1.0 + torch.exp(centred))).isinf().all()  # as the original wrote it
    assert float(log_density(y, logit, 0.5)) == pytest.approx(math.log(0.5) - 300.0)
