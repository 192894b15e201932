"""Known answers of the Gumbel-softmax bottleneck and its gradient estimators."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from rl_discrete.latents.bottleneck import BottleneckOutput
from rl_discrete.latents.config import Estimator, GumbelSoftmaxConfig
from rl_discrete.latents.gumbel_softmax import GumbelSoftmax, exponential_from_uniform, gumbel_from_uniform

THETA = (0.9, -0.4, 0.2)
"""Logits of the one categorical whose gradients are known exactly."""
WEIGHTS = torch.tensor([1.0, -1.0, 0.3])
TARGET = torch.tensor([0.7, 0.1, 0.2])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(
    num_latents: int,
    num_categories: int,
    estimator: Estimator = "straight_through",
    temperature: float = 1.0,
    rao_samples: int = 10,
    **others: Any,
) -> GumbelSoftmax:
    config = GumbelSoftmaxConfig(
        estimator=estimator,
        temperature_start=temperature,
        temperature_end=temperature,
        rao_samples=rao_samples,
        **others,
    )
    return GumbelSoftmax(num_latents, num_categories, config).train()


def quadratic(features: Tensor) -> Tensor:
    """A function (B,) of the features (B, K) of one latent whose slope changes between the codes."""
    return (WEIGHTS * (features - TARGET) ** 2).sum(-1) + (features * WEIGHTS).sum(-1) ** 2


def true_gradient() -> Tensor:
    """d/dtheta of E[quadratic(one-hot code)], by enumeration."""
    theta = torch.tensor(THETA, requires_grad=True)
    (gradient,) = torch.autograd.grad((theta.softmax(-1) * quadratic(torch.eye(3))).sum(), theta)
    return gradient


def sampled_gradients(bottleneck: GumbelSoftmax, count: int, seed: int) -> Tensor:
    """The estimator's gradient of `quadratic` at THETA, one row per draw, (count, K)."""
    theta = torch.tensor(THETA).repeat(count, 1).requires_grad_()
    features = bottleneck(theta, generator(seed)).features
    (gradient,) = torch.autograd.grad(quadratic(features).sum(), theta)
    return gradient


def standard_error(rows: Tensor) -> Tensor:
    return rows.std(0) / math.sqrt(len(rows))


@pytest.mark.parametrize("num_categories", [2, 5, 10])
def test_kl_is_that_of_torch_distributions(num_categories: int) -> None:
    bottleneck = build(3, num_categories, beta=0.7)
    logits = 3.0 * torch.randn(20, 3 * num_categories, generator=generator())
    expected = kl_divergence(
        Categorical(logits=logits.view(20, 3, num_categories)), Categorical(probs=torch.ones(num_categories))
    )
    torch.testing.assert_close(bottleneck.kl_to_uniform(bottleneck.log_probabilities(logits)), expected)
    torch.testing.assert_close(bottleneck(logits, generator()).regularizer, 0.7 * expected.sum(-1))


def test_kl_of_known_posteriors() -> None:
    bottleneck = build(1, 4, beta=1.0)
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1e4, 0.0, 0.0, 0.0], [5.0, 5.0, -1e4, -1e4]])
    expected = torch.tensor([0.0, math.log(4.0), math.log(2.0)])
    torch.testing.assert_close(bottleneck(logits, generator()).regularizer, expected, atol=1e-6, rtol=0.0)


def test_free_nats_cost_nothing_and_push_nothing() -> None:
    bottleneck = build(2, 2, beta=1.0, free_nats=0.3)
    logits = torch.tensor([[0.1, 0.0, 50.0, 0.0]], requires_grad=True)  # KL near 0, and ln 2
    regularizer = bottleneck(logits, generator()).regularizer
    assert regularizer.item() == pytest.approx(0.3 + math.log(2.0), abs=1e-4)
    (gradient,) = torch.autograd.grad(regularizer.sum(), logits)
    assert not gradient[0, :2].any()


def test_beta_rises_linearly() -> None:
    bottleneck = GumbelSoftmax(1, 2, GumbelSoftmaxConfig(beta=0.8, beta_until=0.5))
    seen = []
    for progress in (0.0, 0.125, 0.25, 0.5, 0.75, 1.0):
        bottleneck.anneal(progress)
        seen.append(bottleneck.beta)
    assert seen == pytest.approx([0.0, 0.2, 0.4, 0.8, 0.8, 0.8])


def test_beta_falls_linearly_and_ends_exactly() -> None:
    bottleneck = GumbelSoftmax(1, 2, GumbelSoftmaxConfig(beta_start=1.0, beta=0.1, beta_until=0.8))
    seen = []
    for progress in (0.0, 0.4, 0.8, 1.0):
        bottleneck.anneal(progress)
        seen.append(bottleneck.beta)
    assert seen[:2] == pytest.approx([1.0, 0.55])
    assert seen[2:] == [0.1, 0.1]


def test_beta_stands_without_a_schedule() -> None:
    assert GumbelSoftmax(1, 2, GumbelSoftmaxConfig(beta=0.8)).beta == 0.8


@settings(deadline=None, max_examples=100)
@given(start=st.floats(0.05, 5.0), end=st.floats(0.05, 5.0), until=st.floats(0.01, 1.0))
def test_temperature_goes_one_way_from_its_start_to_its_very_end(start: float, end: float, until: float) -> None:
    config = GumbelSoftmaxConfig(temperature_start=start, temperature_end=end, anneal_until=until)
    bottleneck = GumbelSoftmax(1, 2, config)
    assert bottleneck.temperature == start
    seen = []
    for progress in [i / 50 for i in range(51)]:
        bottleneck.anneal(progress)
        seen.append(bottleneck.temperature)
        if progress >= until:
            assert bottleneck.temperature == end
    assert seen[0] == start
    assert seen[-1] == end
    slack = 1e-12 * max(start, end)
    steps = [after - before for before, after in pairwise(seen)]
    assert all(step <= slack for step in steps) if end <= start else all(step >= -slack for step in steps)


def test_temperature_falls_geometrically() -> None:
    bottleneck = GumbelSoftmax(1, 2, GumbelSoftmaxConfig(temperature_start=1.0, temperature_end=0.25, anneal_until=0.8))
    bottleneck.anneal(0.4)
    assert bottleneck.temperature == pytest.approx(0.5)


def test_noise_of_known_uniform_draws() -> None:
    u = torch.tensor([0.0, math.exp(-1.0), 0.5, 1.0])
    exponential = exponential_from_uniform(u)
    assert exponential[1:3].tolist() == pytest.approx([1.0, math.log(2.0)], rel=1e-6)
    assert 87.0 < exponential[0] < 104.0
    assert 0.0 < exponential[3] < 1e-7
    gumbel = gumbel_from_uniform(u)
    assert gumbel[1:3].tolist() == pytest.approx([0.0, -math.log(math.log(2.0))], abs=1e-6)
    assert gumbel.isfinite().all()
    assert (gumbel.diff() > 0.0).all()


@pytest.mark.parametrize("estimator", ["relaxed", "straight_through", "gumbel_rao", "reinmax"])
@pytest.mark.parametrize("mix", [0.0, 0.3])
def test_codes_follow_the_softmax_whatever_the_estimator(estimator: Estimator, mix: float) -> None:
    logits = torch.tensor([1.0, -1.0, 0.0, 2.0])
    bottleneck = build(1, 4, estimator, temperature=0.4, rao_samples=1, uniform_mix=mix)
    codes = bottleneck(logits.repeat(40_000, 1), generator(1)).codes[:, 0]
    p = (1.0 - mix) * logits.softmax(-1) + mix / 4
    expected = 40_000 * p
    statistic = ((torch.bincount(codes, minlength=4) - expected) ** 2 / expected).sum()
    assert statistic < 21.1  # chi-square, 3 degrees of freedom: p = 1e-4
    torch.testing.assert_close(bottleneck.log_probabilities(logits[None])[0, 0].exp(), p)


@pytest.mark.parametrize("estimator", ["straight_through", "gumbel_rao", "reinmax"])
def test_hard_estimators_show_the_decoder_the_code(estimator: Estimator) -> None:
    bottleneck = build(5, 4, estimator, temperature=0.7)
    logits = torch.randn(30, 20, generator=generator())
    output = bottleneck(logits, generator(1))
    torch.testing.assert_close(output.features, bottleneck.embed(output.codes), atol=1e-6, rtol=0.0)


def test_relaxed_features_are_the_tempered_softmax() -> None:
    bottleneck = build(2, 3, "relaxed", temperature=0.5)
    logits = torch.randn(4, 6, generator=generator())
    output = bottleneck(logits, generator(1))
    gumbel = gumbel_from_uniform(torch.rand(4, 2, 3, generator=generator(1)))
    noisy = (logits.view(4, 2, 3).log_softmax(-1) + gumbel) / 0.5
    torch.testing.assert_close(output.noisy_logits.view(4, 2, 3), noisy)
    torch.testing.assert_close(output.features.view(4, 2, 3), noisy.softmax(-1))
    assert torch.equal(output.codes, output.features.view(4, 2, 3).argmax(-1))


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_straight_through_gradient_is_the_relaxed_one_at_the_same_noise(temperature: float) -> None:
    logits = torch.randn(8, 15, generator=generator()).requires_grad_()
    weights = torch.randn(8, 15, generator=generator(1))
    gradients = []
    for estimator in ("relaxed", "straight_through"):
        bottleneck = build(3, 5, estimator, temperature)
        output: BottleneckOutput = bottleneck(logits, generator(2))
        gradients.append(torch.autograd.grad((output.features * weights).sum(), logits)[0])
    torch.testing.assert_close(gradients[0], gradients[1])
    assert gradients[0].abs().max() > 0.01


def test_straight_through_gradient_of_known_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """K = 2, u = exp(-1) for both: no net noise, y = sigmoid(d / tau), dy/dlogit_0 = y (1 - y) / tau."""
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(tuple(shape), math.exp(-1.0)))
    bottleneck = build(1, 2, "straight_through", temperature=0.5)
    logits = torch.tensor([[0.8, 0.2]], requires_grad=True)
    output = bottleneck(logits, None)
    y = 1.0 / (1.0 + math.exp(-0.6 / 0.5))
    (gradient,) = torch.autograd.grad(output.features[0, 0], logits)
    assert output.features.detach().tolist() == [[1.0, 0.0]]
    assert gradient[0].tolist() == pytest.approx([y * (1 - y) / 0.5, -y * (1 - y) / 0.5], rel=1e-5)


def reinmax_by_hand(hard: Tensor, p: Tensor, slope: Tensor, p_at_temperature: Tensor) -> Tensor:
    """(2 J(m) - J(p) / 2) slope, J(q) = diag(q) - q q^T, m the mean of the code and the tempered posterior."""

    def through_softmax(q: Tensor) -> Tensor:
        return q * slope - q * (q * slope).sum()

    return 2.0 * through_softmax((hard + p_at_temperature) / 2.0) - 0.5 * through_softmax(p)


@pytest.mark.parametrize("temperature", [1.0, 1.5])
def test_reinmax_gradient_by_hand(temperature: float) -> None:
    theta = torch.tensor([THETA], requires_grad=True)
    bottleneck = build(1, 3, "reinmax", temperature)
    for seed in range(5):
        output = bottleneck(theta, generator(seed))
        (gradient,) = torch.autograd.grad((output.features * WEIGHTS).sum(), theta)
        with torch.no_grad():
            hard, p = torch.eye(3)[output.codes[0, 0]], theta[0].softmax(-1)
            tempered = (theta[0].log_softmax(-1) / temperature).softmax(-1)
        torch.testing.assert_close(gradient[0], reinmax_by_hand(hard, p, WEIGHTS, tempered), atol=1e-6, rtol=1e-5)


def expected_over_codes(bottleneck: GumbelSoftmax, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """E over the exact distribution of codes of the estimator's gradient, where it depends on the code alone."""
    p = torch.tensor(THETA).softmax(-1)
    total = torch.zeros(3)
    for code in range(3):
        draw = torch.full((1, 1, 3), 0.5)
        draw[..., code] = 1.0 - 1e-6
        with monkeypatch.context() as patch:
            patch.setattr(torch, "rand", lambda *_, draw=draw, **__: draw)
            theta = torch.tensor([THETA], requires_grad=True)
            output = bottleneck(theta, None)
        assert output.codes.item() == code
        (gradient,) = torch.autograd.grad(quadratic(output.features).sum(), theta)
        total += p[code] * gradient[0]
    return total


def test_reinmax_is_second_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact for a quadratic function; straight-through, first order, is not."""
    exact = true_gradient()
    reinmax = expected_over_codes(build(1, 3, "reinmax"), monkeypatch)
    straight = sampled_gradients(build(1, 3, "straight_through"), 200_000, seed=1).mean(0)
    torch.testing.assert_close(reinmax, exact, atol=1e-5, rtol=0.0)
    assert (straight - exact).norm() > 0.1
    assert (reinmax - exact).norm() < 0.01 * (straight - exact).norm()


def test_rao_noise_keeps_the_code() -> None:
    """At a low temperature the averaged relaxed sample is the code itself, for any probability of the winner."""
    bottleneck = build(6, 5, "gumbel_rao", temperature=1e-3)
    log_p = bottleneck.log_probabilities(4.0 * torch.randn(2000, 30, generator=generator()))
    codes = torch.randint(5, (2000, 6), generator=generator(1))
    hard = torch.nn.functional.one_hot(codes, 5).float()
    surrogate = bottleneck._rao_blackwellised(log_p, hard, generator(2))
    assert torch.equal(surrogate.argmax(-1), codes)
    assert ((surrogate * hard).sum(-1) > 0.9).float().mean() > 0.99


def test_rao_noise_has_the_law_of_gumbel_noise_given_the_code() -> None:
    """Drawn as code, then conditional noise, the relaxed sample has the moments of an unconditional one."""
    count = 100_000
    theta = torch.tensor(THETA).repeat(count, 1)
    relaxed = build(1, 3, "relaxed", temperature=0.7)(theta, generator(1)).features
    bottleneck = build(1, 3, "gumbel_rao", temperature=0.7, rao_samples=1)
    codes = bottleneck(theta, generator(2)).codes
    hard = torch.nn.functional.one_hot(codes, 3).float()
    conditional = bottleneck._rao_blackwellised(bottleneck.log_probabilities(theta), hard, generator(3))[:, 0]
    for moment in (1, 2):
        a, b = relaxed**moment, conditional**moment
        error = (standard_error(a) ** 2 + standard_error(b) ** 2).sqrt()
        assert ((a.mean(0) - b.mean(0)).abs() < 4.5 * error).all()
    a, b = relaxed[:, 0] * relaxed[:, 1], conditional[:, 0] * conditional[:, 1]
    assert (a.mean() - b.mean()).abs() < 4.5 * (a.var() + b.var()).div(count).sqrt()


def test_rao_has_the_mean_of_straight_through_and_less_variance() -> None:
    straight = sampled_gradients(build(1, 3, "straight_through", temperature=0.5), 50_000, seed=1)
    rao = sampled_gradients(build(1, 3, "gumbel_rao", temperature=0.5, rao_samples=20), 50_000, seed=2)
    error = (standard_error(straight) ** 2 + standard_error(rao) ** 2).sqrt()
    assert ((straight.mean(0) - rao.mean(0)).abs() < 4.5 * error).all()
    assert (rao.var(0) < 0.9 * straight.var(0)).all()
    few = sampled_gradients(build(1, 3, "gumbel_rao", temperature=0.5, rao_samples=1), 50_000, seed=3)
    assert (rao.var(0) < 0.9 * few.var(0)).all()


def test_uniform_mix_bounds_every_probability_from_below() -> None:
    bottleneck = build(1, 10, uniform_mix=0.01)
    logits = torch.full((1, 10), -1e4)
    logits[0, 3] = 1e4
    p = bottleneck.log_probabilities(logits)[0, 0].exp()
    assert p.sum().item() == pytest.approx(1.0, abs=1e-6)
    assert p.min().item() == pytest.approx(0.001, rel=1e-5)
    assert p[3].item() == pytest.approx(0.991, rel=1e-5)
