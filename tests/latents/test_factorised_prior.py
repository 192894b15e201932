"""Factorised bits given a context, and the LSTM that begins as them."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rl_discrete.latents.chunks import Chunks
from rl_discrete.latents.config import ConditionalLSTMConfig
from rl_discrete.latents.factorised_prior import FactorisedPrior
from rl_discrete.latents.lstm_prior import LSTMPrior
from rl_discrete.runs.errors import UsageError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(prior: FactorisedPrior | LSTMPrior, scale: float = 0.5) -> None:
    """Puts weights of some size, the same in every run, in the place of the fresh ones."""
    draw = generator(7)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype))


def lstm(num_latents: int, num_categories: int, context_dim: int, chunk: int | None = 2) -> LSTMPrior:
    config = ConditionalLSTMConfig(chunk=chunk, hidden=16, embedding=8, context_inputs=context_dim > 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LSTMPrior(num_latents, num_categories, config, context_dim)


def all_codes(num_latents: int, num_categories: int) -> Tensor:
    return torch.tensor(list(itertools.product(range(num_categories), repeat=num_latents)))


def test_a_bit_is_one_logistic_unit() -> None:
    prior = FactorisedPrior(4, 2, context_dim=3)
    assert sum(parameter.numel() for parameter in prior.parameters()) == 4 * 3 + 4
    drawn(prior)
    codes = torch.randint(2, (50, 4), generator=generator())
    context = torch.randn(50, 3, generator=generator(1))
    assert prior.from_context is not None
    odds = context @ prior.from_context.weight.T + prior.bias
    expected = F.binary_cross_entropy_with_logits(odds, codes.float(), reduction="none").sum(1)
    torch.testing.assert_close(prior.loss(codes, context), expected)
    torch.testing.assert_close(prior.logits(context)[..., 1] - prior.logits(context)[..., 0], odds)
    soft = torch.rand(50, 4, generator=generator(2))
    expected = F.binary_cross_entropy_with_logits(odds, soft, reduction="none").sum(1)
    torch.testing.assert_close(prior.loss(codes, context, targets=soft.unsqueeze(-1)), expected)


def test_categories_are_a_softmax() -> None:
    prior = FactorisedPrior(3, 5, context_dim=2)
    drawn(prior)
    codes = torch.randint(5, (50, 3), generator=generator())
    context = torch.randn(50, 2, generator=generator(1))
    logits = prior.logits(context)
    assert logits.shape == (50, 3, 5)
    expected = F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none").view(50, 3).sum(1)
    torch.testing.assert_close(prior.loss(codes, context), expected)
    certain = F.one_hot(codes, 5)[..., 1:].float()
    torch.testing.assert_close(prior.loss(codes.roll(1, 0), context, targets=certain), expected)


@pytest.mark.parametrize(("num_latents", "num_categories", "size"), [(6, 2, 3), (5, 2, 3), (5, 3, 2), (3, 4, 1)])
def test_what_chunks_say_of_their_latents(num_latents: int, num_categories: int, size: int) -> None:
    chunks = Chunks(num_latents, num_categories, size)
    codes = all_codes(num_latents, num_categories)
    symbols = chunks.symbols(codes)  # (N, count)
    logits = torch.randn(4, num_latents, num_categories, generator=generator(), dtype=torch.float64)
    every = torch.arange(chunks.count)
    sums = chunks.sums(logits)
    assert sums.shape == (chunks.count, 4, chunks.num_symbols)
    picked = logits[:, torch.arange(num_latents), codes].sum(-1)  # (4, N)
    torch.testing.assert_close(sums[every, :, symbols].sum(1).T, picked)
    products = chunks.products(logits.softmax(-1))
    torch.testing.assert_close(products.sum(-1), torch.ones(chunks.count, 4, dtype=torch.float64))
    picked = logits.softmax(-1)[:, torch.arange(num_latents), codes].prod(-1)
    torch.testing.assert_close(products[every, :, symbols].prod(1).T, picked)
    assert not products[-1, :, chunks.last_symbols :].any()
    pinned = logits[:, :size] - logits[:, :size, :1]
    through = pinned[..., 1:].flatten(1) @ chunks.members().double()
    if chunks.count > 1:
        torch.testing.assert_close(through, chunks.sums(logits - logits[..., :1])[0])


@pytest.mark.parametrize(("num_latents", "num_categories", "context_dim"), [(7, 2, 5), (5, 3, 4), (6, 2, 0)])
def test_a_fresh_lstm_equals_its_base(num_latents: int, num_categories: int, context_dim: int) -> None:
    factorised = FactorisedPrior(num_latents, num_categories, context_dim).double()
    drawn(factorised, 1.5)
    prior = lstm(num_latents, num_categories, context_dim).double()
    codes = torch.randint(num_categories, (200, num_latents), generator=generator())
    context = torch.randn(200, context_dim, generator=generator(1), dtype=torch.float64) if context_dim else None
    with torch.no_grad():
        assert not torch.allclose(prior.log_prob(codes, context), factorised.log_prob(codes, context), atol=1e-2)
        prior.start_from(factorised)
        torch.testing.assert_close(
            prior.log_prob(codes, context), factorised.log_prob(codes, context), rtol=0.0, atol=1e-6
        )
        soft = torch.rand(200, num_latents, num_categories - 1, generator=generator(2), dtype=torch.float64)
        soft = soft / num_categories
        torch.testing.assert_close(
            prior.loss(codes, context, targets=soft), factorised.loss(codes, context, targets=soft), rtol=0.0, atol=1e-6
        )
        prior.heads.add_(0.1 * torch.randn(prior.heads.shape, generator=generator()))  # the control
        assert not torch.allclose(prior.log_prob(codes, context), factorised.log_prob(codes, context), atol=1e-3)
    factorised.bias.data.zero_()
    assert prior.base is not None
    assert prior.base.bias.any()  # a copy, not the same weights


def test_the_gradient_reaches_base_and_correction() -> None:
    prior = lstm(6, 2, 3)
    prior.loss(torch.ones(4, 6, dtype=torch.int64), torch.randn(4, 3, generator=generator())).sum().backward()
    assert prior.base is not None
    for parameter in (prior.heads, prior.biases, *prior.base.parameters()):
        assert parameter.grad is not None
        assert parameter.grad.any()


@pytest.mark.parametrize(("num_latents", "num_categories"), [(5, 2), (3, 3)])
def test_soft_targets_with_prefixes_of_their_own_are_a_cross_entropy(num_latents: int, num_categories: int) -> None:
    prior = lstm(num_latents, num_categories, 0).double()
    drawn(prior)
    codes = all_codes(num_latents, num_categories)
    q = torch.randn(num_latents, num_categories, generator=generator(), dtype=torch.float64).softmax(-1)
    weights = q[torch.arange(num_latents), codes].prod(-1)
    targets = q[:, 1:].expand(len(codes), -1, -1)
    with torch.no_grad():
        expected = -(weights * prior.log_prob(codes)).sum()
        torch.testing.assert_close((weights * prior.loss(codes, targets=targets)).sum(), expected)
        others = (weights.flip(0) * prior.loss(codes, targets=targets)).sum()  # the control: prefixes not drawn from q
    assert abs(float(others - expected)) > 1e-3
    gradients = torch.autograd.grad(prior.loss(codes, targets=targets).sum(), list(prior.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_switched_on_late_it_learns_what_bits_have_in_common() -> None:
    """Six copies of a fair coin where the context says so, zeros elsewhere: half a bit, of which bits alone see six."""
    draw = generator(3)
    which = torch.randint(2, (512, 1), generator=draw).float()
    coins = torch.randint(2, (512, 1), generator=draw)
    codes = (coins * which.long()).expand(-1, 6)
    context = torch.cat((which, 1.0 - which), 1)
    entropy = float(which.mean()) * math.log(2.0)

    def fit(prior: FactorisedPrior | LSTMPrior, steps: int, rate: float) -> float:
        optimiser = torch.optim.Adam(prior.parameters(), lr=rate)
        for _ in range(steps):
            optimiser.zero_grad()
            prior.loss(codes, context).mean().backward()
            optimiser.step()
        with torch.no_grad():
            return -float(prior.log_prob(codes, context).mean())

    factorised = FactorisedPrior(6, 2, 2)
    alone = fit(factorised, 150, 0.1)
    assert alone == pytest.approx(6.0 * entropy, abs=0.05)
    prior = lstm(6, 2, 2)
    prior.start_from(factorised)
    assert fit(prior, 0, 0.1) == pytest.approx(alone, abs=1e-5)
    assert entropy - 0.03 < fit(prior, 120, 0.02) < entropy + 0.1


def test_settings_and_sizes_that_do_not_fit() -> None:
    for bad, words in (
        (ConditionalLSTMConfig(), "context_inputs needs a context, got context_dim 0"),
        (ConditionalLSTMConfig(base="linear", context_inputs=False), "base must be none or factorised, got 'linear'"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError, match=words):
            LSTMPrior(4, 2, bad)
    with pytest.raises(UsageError, match="start_from needs a prior with base = factorised"):
        LSTMPrior(4, 2).start_from(FactorisedPrior(4, 2))
    prior = lstm(4, 2, 3)
    for other in (FactorisedPrior(5, 2, 3), FactorisedPrior(4, 3, 3), FactorisedPrior(4, 2)):
        with pytest.raises(UsageError, match=r"the base has \(L, K, context_dim\) \(4, 2, 3\), got"):
            prior.start_from(other)
    with pytest.raises(UsageError, match="context_dim must be >= 0, got -1"):
        FactorisedPrior(4, 2, -1)
    codes, context = torch.zeros(2, 4, dtype=torch.int64), torch.zeros(2, 3)
    for model in (prior, FactorisedPrior(4, 2, 3)):
        for shape in ((2, 4), (2, 4, 2), (1, 4, 1)):
            with pytest.raises(UsageError, match=r"targets must have shape \(2, 4, 1\), got"):
                model.loss(codes, context, targets=torch.zeros(shape))
