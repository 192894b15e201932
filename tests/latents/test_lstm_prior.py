"""The LSTM prior: chunks, symbols, and what it learns."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rl_discrete.latents.config import FitConfig, LSTMPriorConfig
from rl_discrete.latents.lstm_prior import LSTMPrior
from rl_discrete.latents.prior import IndependentPrior, Prior
from rl_discrete.latents.train import begin_prior, fit_prior
from rl_discrete.runs.errors import UsageError

SMALL = LSTMPriorConfig(hidden=16, embedding=8)
TRAINING = FitConfig(epochs=6, batch_size=200, learning_rate=1e-2, warmup_steps=20)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sized(num_latents: int, num_categories: int, chunk: int | None) -> LSTMPrior:
    return LSTMPrior(num_latents, num_categories, LSTMPriorConfig(chunk=chunk, hidden=4, embedding=2))


@settings(deadline=None, max_examples=80)
@given(data=st.data(), num_categories=st.integers(2, 70), num_latents=st.integers(1, 40), seed=st.integers(0, 999))
def test_symbols_and_codes_are_each_other_s_inverse(
    data: st.DataObject, num_categories: int, num_latents: int, seed: int
) -> None:
    chunk = data.draw(st.integers(1, min(num_latents, int(math.log(4096, num_categories) + 1e-9))))
    prior = sized(num_latents, num_categories, chunk)
    codes = torch.randint(num_categories, (5, num_latents), generator=generator(seed))
    codes[0] = num_categories - 1
    before = codes.clone()
    symbols = prior.symbols(codes)
    assert symbols.shape == (5, prior.num_chunks) == (5, -(-num_latents // chunk))
    assert symbols.min() >= 0
    assert symbols.max() < prior.num_symbols == num_categories**chunk
    assert symbols[:, -1].max() < prior.last_symbols
    assert torch.equal(prior.codes(symbols), codes)
    assert torch.equal(codes, before)
    plain = [sum(int(v) * num_categories**i for i, v in enumerate(codes[0, s : s + chunk])) for s in (0,)]
    assert symbols[0, 0].item() == plain[0]


@pytest.mark.parametrize(("num_categories", "chunk"), [(2, 3), (3, 4), (10, 2), (64, 2), (4096, 1)])
def test_every_symbol_is_a_code(num_categories: int, chunk: int) -> None:
    prior = sized(chunk, num_categories, chunk)
    symbols = torch.arange(num_categories**chunk).unsqueeze(1)
    codes = prior.codes(symbols)
    assert len(codes.unique(dim=0)) == num_categories**chunk
    assert torch.equal(prior.symbols(codes), symbols)


@pytest.mark.parametrize(
    ("num_categories", "chunk", "fits"), [(2, 13, 12), (10, 8, 3), (10, 4, 3), (3, 8, 7), (64, 3, 2), (4096, 2, 1)]
)
def test_a_chunk_that_is_too_large_names_one_that_fits(num_categories: int, chunk: int, fits: int) -> None:
    words = rf"chunk {chunk} makes {num_categories}\*\*{chunk} symbols, more than 4,096: use a chunk of at most {fits}$"
    with pytest.raises(UsageError, match=words):
        sized(30, num_categories, chunk)
    prior = sized(30, num_categories, fits)
    assert prior.num_symbols == num_categories**fits <= 4096


def test_too_many_categories_for_any_chunk() -> None:
    for chunk in (None, 1):
        with pytest.raises(UsageError, match="at most 4,096 categories, got 4,097"):
            sized(3, 4097, chunk)


@pytest.mark.parametrize(
    ("num_latents", "num_categories", "chunk"),
    [(32, 2, 8), (96, 2, 8), (5, 2, 5), (30, 10, 2), (30, 16, 2), (30, 17, 1), (30, 300, 1), (1, 2, 1)],
)
def test_the_default_chunk_always_fits(num_latents: int, num_categories: int, chunk: int) -> None:
    prior = sized(num_latents, num_categories, None)
    assert prior.chunk == chunk
    assert prior.noise_dim == prior.num_chunks == -(-num_latents // chunk)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (LSTMPriorConfig(chunk=0), "chunk must be >= 1, got 0"),
        (LSTMPriorConfig(chunk=-2), "chunk must be >= 1, got -2"),
        (LSTMPriorConfig(hidden=0), "hidden, embedding and layers must be >= 1"),
        (LSTMPriorConfig(embedding=0), "hidden, embedding and layers must be >= 1"),
        (LSTMPriorConfig(layers=0), "hidden, embedding and layers must be >= 1"),
        (LSTMPriorConfig(dropout=1.0), r"dropout must be in \[0, 1\)"),
        (LSTMPriorConfig(dropout=-0.1), r"dropout must be in \[0, 1\)"),
        (LSTMPriorConfig(dropout=math.nan), r"dropout must be in \[0, 1\)"),
    ],
)
def test_settings_outside_their_range(config: LSTMPriorConfig, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        LSTMPrior(4, 2, config)


def test_a_short_last_chunk_has_no_further_symbols() -> None:
    prior = sized(5, 3, 2)
    logits = prior.logits(torch.randint(3, (4, 5), generator=generator()))
    assert logits[:, :-1].isfinite().all()
    assert logits[:, -1, :3].isfinite().all()
    assert (logits[:, -1, 3:] == -torch.inf).all()
    loss = prior.loss(torch.randint(3, (4, 5), generator=generator())).sum()
    gradients = torch.autograd.grad(loss, list(prior.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)
    with pytest.raises(UsageError, match=r"codes must have shape \(B, 5\)"):
        prior.logits(torch.zeros(4, 6, dtype=torch.int64))


def test_loss_is_minus_log_prob_with_dropout_from_the_generator() -> None:
    prior = LSTMPrior(6, 2, LSTMPriorConfig(chunk=2, hidden=8, embedding=4, dropout=0.4))
    codes = torch.randint(2, (50, 6), generator=generator())
    with torch.no_grad():
        exact = -prior.log_prob(codes)
        everybody = torch.get_rng_state()
        dropped = [prior.train().loss(codes, generator=generator(seed)) for seed in (1, 1, 2)]
        assert torch.equal(torch.get_rng_state(), everybody)
        assert torch.equal(dropped[0], dropped[1])
        assert not torch.equal(dropped[0], dropped[2])
        assert not torch.equal(dropped[0], exact)
        assert torch.equal(prior.eval().loss(codes), exact)


def test_the_first_code_length_is_near_that_of_the_uniform_prior() -> None:
    prior = begin_prior(torch.zeros(1, 32, dtype=torch.int64), 2).model
    codes = torch.randint(2, (200, 32), generator=generator())
    with torch.no_grad():
        assert -prior.log_prob(codes).mean().item() == pytest.approx(32 * math.log(2.0), rel=0.03)


class MarkovChain:
    """A stationary start and a sticky transition: every figure of it is exact."""

    def __init__(self, num_latents: int, num_categories: int, stay: float) -> None:
        away = (1.0 - stay) / (num_categories - 1)
        transition = torch.full((num_categories, num_categories), away, dtype=torch.float64)
        transition.fill_diagonal_(stay)
        self.codes = torch.tensor(list(itertools.product(range(num_categories), repeat=num_latents)))
        p = torch.full((len(self.codes),), 1.0 / num_categories, dtype=torch.float64)
        for before, after in itertools.pairwise(self.codes.T):
            p = p * transition[before, after]
        self.p = p

    def entropy(self) -> float:
        return -float((self.p * self.p.log()).sum())

    def draw(self, count: int) -> Tensor:
        return self.codes[torch.multinomial(self.p, count, replacement=True, generator=generator(1))]

    @torch.no_grad()
    def code_length(self, prior: Prior) -> float:
        """Exact expectation of -log prior(code) under the chain, nats."""
        return -float((self.p * prior.log_prob(self.codes).double()).sum())


@pytest.mark.parametrize(("num_latents", "num_categories", "chunk"), [(6, 2, 1), (7, 2, 2), (4, 3, 1)])
def test_it_reaches_the_entropy_of_a_markov_chain(num_latents: int, num_categories: int, chunk: int) -> None:
    chain = MarkovChain(num_latents, num_categories, stay=0.9)
    codes = chain.draw(20_000)
    config = LSTMPriorConfig(chunk=chunk, hidden=16, embedding=8)
    prior = fit_prior(codes, num_categories, config, TRAINING)
    assert not prior.training
    gap = chain.code_length(prior) - chain.entropy()
    assert -1e-4 < gap < 0.02
    independent = IndependentPrior.from_codes(codes, num_categories)
    assert chain.code_length(independent) - chain.entropy() > 1.0  # the control: it cannot
    samples = prior.sample(5000, generator=generator(2))
    repeats = (samples[:, 1:] == samples[:, :-1]).double().mean().item()
    assert repeats == pytest.approx(0.9, abs=0.02)


def test_the_context_decides_the_code() -> None:
    names = torch.tensor([[0, 1, 1, 0, 2], [2, 2, 0, 1, 0], [1, 0, 2, 2, 1], [0, 0, 0, 0, 0]])
    which = torch.randint(4, (4000,), generator=generator())
    contexts = torch.eye(4)
    longer = replace(TRAINING, epochs=25)
    config = LSTMPriorConfig(chunk=2, hidden=16, embedding=8)
    prior = fit_prior(names[which], 3, config, longer, context=contexts[which])
    samples = prior.sample(4000, contexts[which], generator=generator(1))
    assert (samples == names[which]).all(1).float().mean() > 0.99
    with torch.no_grad():
        assert (prior.log_prob(names, contexts).exp() > 0.95).all()
        assert (prior.log_prob(names, contexts.roll(1, 0)).exp() < 0.05).all()


def test_training_data_that_do_not_fit() -> None:
    codes = torch.zeros(8, 4, dtype=torch.int64)
    for bad, words in (
        (codes[:0], "N >= 1"),
        (codes[0], r"shape \(N, L\)"),
        (codes + 2, "codes must be between 0 and 1, got values from 2 to 2"),
        (codes - 1, "codes must be between 0 and 1"),
        (codes.float(), "codes must be integers"),
    ):
        with pytest.raises(UsageError, match=words):
            begin_prior(bad, 2, SMALL)
    for context in (torch.zeros(9, 3), torch.zeros(7, 3), torch.zeros(8)):
        with pytest.raises(UsageError, match=r"context must have shape \(8, context_dim\)"):
            begin_prior(codes, 2, SMALL, context=context)
