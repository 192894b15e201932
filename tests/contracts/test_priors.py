"""The contract of `Prior`, for every prior: a new one joins by a line in `PRIORS`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rl_discrete.latents.config import ConditionalLSTMConfig, LSTMPriorConfig
from rl_discrete.latents.factorised_prior import FactorisedPrior
from rl_discrete.latents.lstm_prior import LSTMPrior
from rl_discrete.latents.prior import IndependentPrior, Prior, UniformPrior, invert_cdf
from rl_discrete.runs.errors import UsageError


@dataclass(frozen=True)
class Case:
    """A prior small enough that all of its codes can be listed.

    chunk: latents that one number of noise decides.
    """

    build: Callable[[], Prior]
    chunk: int = 1
    context_dim: int = 0
    is_uniform: bool = False

    def contexts(self, num_rows: int, seed: int = 5) -> Tensor | None:
        if self.context_dim == 0:
            return None
        return torch.randn(num_rows, self.context_dim, generator=generator(seed))

    def context(self, num_rows: int, seed: int = 5) -> Tensor | None:
        """One context for all rows."""
        one = self.contexts(1, seed)
        return None if one is None else one.expand(num_rows, -1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uneven(prior: Prior) -> Prior:
    """The prior with weights that make some codes much likelier than others."""
    draw = generator(7)
    with torch.no_grad():
        for name, parameter in prior.named_parameters():
            scale = 1.5 if name in ("heads", "biases") else 0.5
            parameter.copy_(scale * torch.randn(parameter.shape, generator=draw))
    return prior.eval()


def lstm(num_latents: int, num_categories: int, chunk: int, context_dim: int = 0, layers: int = 1) -> Case:
    config = LSTMPriorConfig(chunk=chunk, hidden=8, embedding=4, layers=layers, dropout=0.5)
    return Case(lambda: uneven(LSTMPrior(num_latents, num_categories, config, context_dim)), chunk, context_dim)


def corrected(num_latents: int, num_categories: int, chunk: int, context_dim: int = 0, layers: int = 1) -> Case:
    """An LSTM that corrects a factorised base."""
    config = ConditionalLSTMConfig(
        chunk=chunk, hidden=8, embedding=4, layers=layers, dropout=0.5, context_inputs=context_dim > 0
    )
    return Case(lambda: uneven(LSTMPrior(num_latents, num_categories, config, context_dim)), chunk, context_dim)


def factorised(num_latents: int, num_categories: int, context_dim: int = 0) -> Case:
    return Case(lambda: uneven(FactorisedPrior(num_latents, num_categories, context_dim)), 1, context_dim)


def independent(num_latents: int, num_categories: int) -> Case:
    table = 1.5 * torch.randn(num_latents, num_categories, generator=generator(3))
    return Case(lambda: IndependentPrior(table))


PRIORS: dict[str, Case] = {
    "uniform-5x2": Case(lambda: UniformPrior(5, 2), is_uniform=True),
    "uniform-2x10": Case(lambda: UniformPrior(2, 10), is_uniform=True),
    "independent-4x3": independent(4, 3),
    "independent-1x10": independent(1, 10),
    "lstm-5x2": lstm(5, 2, chunk=1),
    "lstm-4x2-chunk-2": lstm(4, 2, chunk=2),
    "lstm-5x2-chunk-2": lstm(5, 2, chunk=2),
    "lstm-7x2-chunk-3": lstm(7, 2, chunk=3),
    "lstm-4x3": lstm(4, 3, chunk=1),
    "lstm-5x3-chunk-2": lstm(5, 3, chunk=2),
    "lstm-2x10": lstm(2, 10, chunk=1),
    "lstm-2x10-chunk-2": lstm(2, 10, chunk=2),
    "lstm-3x10-chunk-2": lstm(3, 10, chunk=2),
    "lstm-1x2": lstm(1, 2, chunk=1),
    "lstm-1x10-chunk-3": lstm(1, 10, chunk=3),
    "lstm-4x2-layers": lstm(4, 2, chunk=1, layers=2),
    "lstm-5x2-context": lstm(5, 2, chunk=1, context_dim=3),
    "lstm-3x3-chunk-2-context": lstm(3, 3, chunk=2, context_dim=4),
    "lstm-2x10-context-layers": lstm(2, 10, chunk=1, context_dim=1, layers=2),
    "lstm-5x2-chunk-2-base": corrected(5, 2, chunk=2),
    "lstm-7x2-chunk-3-base-context": corrected(7, 2, chunk=3, context_dim=3),
    "lstm-3x3-chunk-2-base-context-layers": corrected(3, 3, chunk=2, context_dim=2, layers=2),
    "factorised-5x2": factorised(5, 2),
    "factorised-5x2-context": factorised(5, 2, context_dim=3),
    "factorised-3x4-context": factorised(3, 4, context_dim=2),
}

every_prior = pytest.mark.parametrize("case", PRIORS.values(), ids=PRIORS.keys())
every_lstm = pytest.mark.parametrize(
    "case", [case for name, case in PRIORS.items() if name.startswith("lstm")], ids=lambda case: ""
)
conditional = pytest.mark.parametrize(
    "case", [case for case in PRIORS.values() if case.context_dim], ids=lambda case: f"{case.context_dim}"
)


def all_codes(prior: Prior) -> Tensor:
    """Every code, (K ** L, L), in the order of its digits."""
    return torch.tensor(list(itertools.product(range(prior.num_categories), repeat=prior.num_latents)))


@torch.no_grad()
def probabilities(prior: Prior, case: Case, seed: int = 5) -> Tensor:
    """float64 (K ** L,), of `all_codes`."""
    codes = all_codes(prior)
    return prior.log_prob(codes, case.context(len(codes), seed)).double().exp()


def tempered(p: Tensor, prior: Prior, chunk: int, temperature: float) -> Tensor:
    """`p` over `all_codes` with each chunk's conditional distribution raised to 1 / temperature: the definition."""
    result = torch.ones(1, dtype=torch.float64)
    for start in range(0, prior.num_latents, chunk):
        stop = min(start + chunk, prior.num_latents)
        prefix = p.view(prior.num_categories**start, prior.num_categories ** (stop - start), -1).sum(-1)
        below = prefix.log() - prefix.log().amax(1, keepdim=True)
        result = (result.view(-1, 1) * (below / temperature).softmax(1)).flatten()
    return result


def index(codes: Tensor, num_categories: int) -> Tensor:
    """Position of each code in `all_codes`."""
    powers = num_categories ** torch.arange(codes.shape[1] - 1, -1, -1)
    return (codes * powers).sum(1)


def chi_square_excess(samples: Tensor, p: Tensor, num_categories: int) -> float:
    """Standard deviations by which Pearson's statistic exceeds its expectation; rare codes are counted together."""
    expected = p * len(samples)
    counts = torch.bincount(index(samples, num_categories), minlength=len(p)).double()
    common = expected >= 5.0
    rest_seen, rest_expected = counts[~common].sum(), expected[~common].sum()
    statistic = ((counts - expected)[common] ** 2 / expected[common]).sum()
    statistic = statistic + (rest_seen - rest_expected) ** 2 / rest_expected.clamp(min=5.0)
    freedom = max(1, int(common.sum()) - 1)
    return float((statistic - freedom) / math.sqrt(2.0 * freedom))


@every_prior
def test_probabilities_sum_to_one(case: Case) -> None:
    prior = case.build()
    for seed in (5, 6):
        assert probabilities(prior, case, seed).sum().item() == pytest.approx(1.0, abs=1e-5)


@every_prior
def test_log_prob_is_the_same_in_training_mode(case: Case) -> None:
    prior = case.build()
    codes = all_codes(prior)[:50]
    context = case.contexts(len(codes))
    everybody = torch.get_rng_state()
    with torch.no_grad():
        assert torch.equal(prior.train().log_prob(codes, context), prior.eval().log_prob(codes, context))
    assert torch.equal(torch.get_rng_state(), everybody)


@every_prior
def test_log_prob_of_each_row_is_its_own(case: Case) -> None:
    prior = case.build()
    codes = all_codes(prior)[::3][:40]
    context = case.contexts(len(codes))
    with torch.no_grad():
        whole = prior.log_prob(codes, context)
        rows = [prior.log_prob(codes[i : i + 1], None if context is None else context[i : i + 1]) for i in range(5)]
        assert prior.log_prob(codes[:0], None if context is None else context[:0]).shape == (0,)
    assert whole.shape == (len(codes),)
    assert whole.dtype == torch.float32
    assert (whole < 0.0).all()
    torch.testing.assert_close(whole[:5], torch.cat(rows), rtol=0.0, atol=1e-5)


@every_prior
def test_every_position_counts(case: Case) -> None:
    prior = case.build()
    codes = all_codes(prior)
    p = probabilities(prior, case)
    if case.is_uniform:
        torch.testing.assert_close(p, torch.full_like(p, 1.0 / len(codes)), rtol=1e-5, atol=0.0)
        return
    for latent in range(prior.num_latents):
        changed = codes.clone()
        changed[:, latent] = (changed[:, latent] + 1) % prior.num_categories
        assert ((p / p[index(changed, prior.num_categories)]).log().abs() > 1e-6).float().mean() > 0.99


@every_prior
@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_samples_follow_their_probabilities(case: Case, temperature: float) -> None:
    prior = case.build()
    samples = prior.sample(20_000, case.context(20_000), temperature, generator=generator(11))
    assert samples.dtype == torch.int64
    assert samples.shape == (20_000, prior.num_latents)
    p = probabilities(prior, case)
    at_one, expected = p, tempered(p, prior, case.chunk, temperature)
    assert chi_square_excess(samples, expected, prior.num_categories) < 5.0
    if temperature != 1.0 and not case.is_uniform:  # the control: the other distribution is told apart
        assert chi_square_excess(samples, at_one, prior.num_categories) > 5.0
    if not case.is_uniform:
        assert chi_square_excess((samples + 1) % prior.num_categories, expected, prior.num_categories) > 5.0


@conditional
def test_the_context_decides_the_distribution(case: Case) -> None:
    prior = case.build()
    samples = prior.sample(5000, case.context(5000, seed=5), generator=generator(11))
    assert chi_square_excess(samples, probabilities(prior, case, seed=5), prior.num_categories) < 5.0
    assert chi_square_excess(samples, probabilities(prior, case, seed=6), prior.num_categories) > 5.0


@every_prior
def test_a_prior_without_context_ignores_it(case: Case) -> None:
    prior = case.build()
    if case.context_dim:
        return
    codes, context = all_codes(prior)[:9], torch.randn(9, 3, generator=generator())
    count = len(codes)
    with torch.no_grad():
        assert torch.equal(prior.log_prob(codes), prior.log_prob(codes, context[:count]))
    noise = torch.rand(9, prior.noise_dim, generator=generator())
    assert torch.equal(prior.sample(9, noise=noise), prior.sample(9, context, noise=noise))


@every_prior
def test_samples_are_a_function_of_the_noise(case: Case) -> None:
    prior = case.build()
    context = case.contexts(40)
    noise = torch.rand(40, prior.noise_dim, generator=generator(2))
    everybody = torch.get_rng_state()
    first = prior.sample(40, context, noise=noise)
    assert torch.equal(first, prior.sample(40, context, noise=noise))
    assert torch.equal(first, prior.sample(40, context, noise=noise, generator=generator(99)))
    assert torch.equal(first, prior.train().sample(40, context, noise=noise))
    assert torch.equal(first, prior.sample(40, context, generator=generator(2)))
    assert torch.equal(torch.get_rng_state(), everybody)
    assert not torch.equal(first, prior.sample(40, context, generator=generator(3)))
    assert not first.requires_grad


@every_prior
def test_a_batch_is_its_single_samples(case: Case) -> None:
    prior = case.build()
    context = case.contexts(40)
    noise = torch.rand(40, prior.noise_dim, generator=generator(2))
    whole = prior.sample(40, context, noise=noise)
    for row in range(40):
        own = None if context is None else context[row : row + 1]
        assert torch.equal(prior.sample(1, own, noise=noise[row : row + 1]), whole[row : row + 1])


@every_prior
def test_noise_is_one_number_per_chunk_in_its_order(case: Case) -> None:
    prior = case.build()
    assert prior.noise_dim == -(-prior.num_latents // case.chunk)
    noise = torch.rand(200, prior.noise_dim, generator=generator(2))
    codes = prior.sample(200, case.context(200), noise=noise)
    for position in range(prior.noise_dim):
        other = noise.clone()
        other[:, position] = torch.rand(200, generator=generator(position + 50))
        changed = prior.sample(200, case.context(200), noise=other)
        start = position * case.chunk
        assert torch.equal(changed[:, :start], codes[:, :start])
        assert not torch.equal(changed[:, start : start + case.chunk], codes[:, start : start + case.chunk])


@every_prior
def test_both_ends_of_the_noise(case: Case) -> None:
    prior = case.build()
    top = prior.num_categories - 1
    for level, code in ((0.0, 0), (2.0**-149, 0), (1.0, top), (1.0 - 2.0**-24, top)):
        noise = torch.full((3, prior.noise_dim), level)
        assert (prior.sample(3, case.contexts(3), noise=noise) == code).all()
    nearly = torch.full((3, prior.noise_dim), 1.0 - 2.0**-53, dtype=torch.float64)
    assert (prior.sample(3, case.contexts(3), noise=nearly) == top).all()


@every_prior
@pytest.mark.parametrize("temperature", [1e-4, 1e-20, 1e-38, 5e-324])
def test_low_temperature_gives_the_mode_of_each_chunk(case: Case, temperature: float) -> None:
    prior = case.build()
    samples = prior.sample(50, case.context(50), temperature, generator=generator(4))
    if case.is_uniform:
        return
    greedy = all_codes(prior)[tempered(probabilities(prior, case), prior, case.chunk, 1e-9).argmax()]
    assert torch.equal(samples, greedy.expand(50, -1))


@every_prior
def test_temperature_zero_gives_the_first_mode_of_each_chunk_whatever_the_noise(case: Case) -> None:
    prior = case.build()
    samples = prior.sample(50, case.context(50), 0.0, generator=generator(4))
    if case.is_uniform:
        assert not samples.any()
        return
    assert torch.equal(
        samples, prior.sample(50, case.context(50), 1e-30, noise=torch.full((50, prior.noise_dim), 0.99))
    )
    assert len(prior.sample(50, case.context(50), 1.0, generator=generator(4)).unique(dim=0)) > 1  # the control


@every_prior
@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.0])
def test_a_sampler_gives_the_samples_but_for_draws_at_a_boundary(case: Case, temperature: float) -> None:
    prior = case.build().train()
    context, noise = case.contexts(4000), torch.rand(4000, prior.noise_dim, generator=generator(2))
    everybody = torch.get_rng_state()
    fast = prior.sampler()(noise, context, temperature)
    assert torch.equal(torch.get_rng_state(), everybody)
    exact = prior.sample(4000, context, temperature, noise)
    assert fast.dtype == torch.int64
    assert not fast.requires_grad
    differing = (fast != exact).any(1).nonzero()[:, 0].tolist()
    assert len(differing) < 10
    for row in differing:
        own = None if context is None else context[row : row + 1]
        chunk = int((fast[row] != exact[row]).nonzero()[0]) // case.chunk
        until = (chunk + 1) * case.chunk
        near = []
        for shift in (-1e-5, 1e-5):
            shifted = noise[row : row + 1].clone()
            shifted[0, chunk] += shift
            near.append(prior.sample(1, own, temperature, shifted)[0, :until].tolist())
        assert fast[row, :until].tolist() in near
    other = prior.sample(4000, context, temperature, noise.flip(0))  # the control: other noise, other samples
    assert temperature == 0.0 or (fast != other).any(1).sum() >= 10


@every_prior
def test_a_sampler_takes_each_row_for_itself(case: Case) -> None:
    sampler = case.build().sampler()
    context, noise = case.contexts(40), torch.rand(40, case.build().noise_dim, generator=generator(2))
    whole = sampler(noise, context)
    before = whole.clone()
    for row in range(40):
        own = None if context is None else context[row : row + 1]
        assert torch.equal(sampler(noise[row : row + 1], own), whole[row : row + 1])
    sampler(noise.flip(0), context)
    assert torch.equal(whole, before)  # the next call writes elsewhere


@every_prior
def test_both_ends_of_the_noise_of_a_sampler(case: Case) -> None:
    prior = case.build()
    sampler, top = prior.sampler(), prior.num_categories - 1
    for level, code in ((0.0, 0), (2.0**-149, 0), (1.0, top), (1.0 - 2.0**-24, top)):
        assert (sampler(torch.full((3, prior.noise_dim), level), case.contexts(3)) == code).all()


@every_prior
def test_a_sampler_keeps_its_weights(case: Case) -> None:
    prior = case.build()
    parameters = list(prior.parameters())
    noise = torch.rand(100, prior.noise_dim, generator=generator(2))
    sampler, context = prior.sampler(), case.contexts(100)
    before = sampler(noise, context)
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(-2.0 * parameter)
    assert torch.equal(sampler(noise, context), before)
    assert not parameters or not torch.equal(prior.sampler()(noise, context), before)


@every_prior
def test_wrong_arguments_of_a_sampler(case: Case) -> None:
    prior = case.build()
    sampler, noise = prior.sampler(), torch.zeros(3, prior.noise_dim)
    for temperature in (-1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="temperature must be >= 0 and finite"):
            sampler(noise, case.contexts(3), temperature)
    for wrong in (noise[0], torch.zeros(3, prior.noise_dim + 1)):
        with pytest.raises(UsageError, match="noise must have shape"):
            sampler(wrong, case.contexts(3))
    if case.context_dim:
        for context in (None, torch.zeros(3, case.context_dim + 1), torch.zeros(2, case.context_dim), torch.zeros(3)):
            with pytest.raises(UsageError, match="context must have"):
                sampler(noise, context)


@every_lstm
def test_teacher_forced_and_step_by_step_logits_agree(case: Case) -> None:
    prior = case.build()
    assert isinstance(prior, LSTMPrior)
    codes = all_codes(prior)[::3]
    context = case.contexts(len(codes))
    symbols = prior.symbols(codes)
    with torch.no_grad():
        forced = prior.logits(codes, context)
        assert forced.shape == (len(codes), prior.num_chunks, prior.num_symbols)
        state = prior.initial_state(len(codes), context)
        for position in range(prior.num_chunks):
            before = None if position == 0 else symbols[:, position - 1]
            logits, state = prior.step(position, before, state)
            torch.testing.assert_close(logits, forced[:, position], rtol=0.0, atol=1e-5)
        picked = forced.log_softmax(-1).gather(-1, symbols.unsqueeze(-1)).sum((1, 2))
        torch.testing.assert_close(picked, prior.log_prob(codes, context), rtol=0.0, atol=1e-4)


@every_lstm
def test_a_chunk_depends_on_earlier_chunks_only(case: Case) -> None:
    prior = case.build()
    assert isinstance(prior, LSTMPrior)
    codes = all_codes(prior)[:30]
    context = case.contexts(len(codes))
    with torch.no_grad():
        logits = prior.logits(codes, context)
        for latent in range(prior.num_latents):
            changed = codes.clone()
            changed[:, latent] = (changed[:, latent] + 1) % prior.num_categories
            different = (prior.logits(changed, context) - logits).nan_to_num(0.0).abs().amax((0, 2)) > 1e-6
            position = latent // case.chunk
            assert not different[: position + 1].any()
            assert different[position + 1 :].all()


@every_prior
def test_wrong_arguments(case: Case) -> None:
    prior = case.build()
    width, k = prior.num_latents, prior.num_categories
    for temperature in (-1.0, -5e-324, math.nan, math.inf):
        with pytest.raises(UsageError, match="temperature must be >= 0 and finite"):
            prior.sample(3, case.contexts(3), temperature, generator=generator())
    for shape in ((3, prior.noise_dim + 1), (2, prior.noise_dim), (prior.noise_dim,)):
        with pytest.raises(UsageError, match="noise must have shape"):
            prior.sample(3, case.contexts(3), noise=torch.zeros(shape))
    for count in (0, -1):
        with pytest.raises(UsageError, match=f"num_samples must be >= 1, got {count}"):
            prior.sample(count, generator=generator())
    with pytest.raises(UsageError, match="context must have 3 rows"):
        prior.sample(3, torch.zeros(2, max(1, case.context_dim)), generator=generator())
    context = case.contexts(2)
    zeros = torch.zeros(1, 2, width + 1, dtype=torch.int64)
    for codes in (zeros[0], zeros[0, :, 2:], zeros[0, 0, 1:], zeros[..., 1:]):
        with pytest.raises(UsageError, match=rf"codes must be integers \(B, {width}\)"):
            prior.log_prob(codes, context)
    with pytest.raises(UsageError, match="codes must be integers"):
        prior.log_prob(torch.zeros(2, width), context)
    for value in (-1, k):
        with pytest.raises(UsageError, match=f"codes must be between 0 and {k - 1}, got values from"):
            prior.log_prob(torch.full((2, width), value), context)


@conditional
def test_a_conditional_prior_needs_its_context(case: Case) -> None:
    prior = case.build()
    codes = all_codes(prior)[:2]
    wrong = (None, torch.zeros(2, case.context_dim + 1), torch.zeros(3, case.context_dim), torch.zeros(2))
    for context in wrong:
        with pytest.raises(UsageError, match="context must have shape"):
            prior.log_prob(codes, context)
    with pytest.raises(UsageError, match="context must have shape"):
        prior.sample(2, generator=generator())


@pytest.mark.parametrize(("num_latents", "num_categories", "words"), [(0, 2, "num_latents"), (3, 1, "num_categories")])
def test_sizes_that_cannot_work(num_latents: int, num_categories: int, words: str) -> None:
    table = torch.zeros(num_latents, num_categories)
    for build in (
        lambda: UniformPrior(num_latents, num_categories),
        lambda: LSTMPrior(num_latents, num_categories),
        lambda: FactorisedPrior(num_latents, num_categories),
        lambda: IndependentPrior(table),
    ):
        with pytest.raises(UsageError, match=words):
            build()


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 12),
    scale=st.floats(0.0, 1000.0),
    missing=st.integers(0, 11),
    uniform=st.sampled_from([0.0, 2.0**-149, 0.5, 1.0 - 2.0**-24, 1.0]) | st.floats(0.0, 1.0, width=32),
    temperature=st.sampled_from([1.0, 1e-38, 1e38]) | st.floats(1e-3, 1e3),
)
def test_inverse_cdf(seed: int, size: int, scale: float, missing: int, uniform: float, temperature: float) -> None:
    logits = scale * torch.randn(size, generator=generator(seed))
    absent = torch.randperm(size, generator=generator(seed + 1))[: min(missing, size - 1)]
    logits[absent] = -torch.inf
    picked = int(invert_cdf(logits, torch.tensor(uniform), temperature))
    assert 0 <= picked < size
    assert picked not in absent.tolist()
    below = (logits - logits.max()).double() / temperature
    p = below.softmax(0)
    assert p[:picked].sum() <= uniform + 1e-4
    assert p[: picked + 1].sum() >= uniform - 1e-4


def test_inverse_cdf_of_known_probabilities() -> None:
    p = torch.tensor([0.0, 0.25, 0.5, 0.0, 0.25, 0.0])
    uniform = torch.tensor([0.0, 0.24, 0.26, 0.74, 0.76, 1.0])
    assert invert_cdf(p.log().expand(6, -1), uniform).tolist() == [1, 1, 2, 2, 4, 4]


def test_empirical_marginals() -> None:
    codes = torch.tensor([[0, 2], [0, 2], [1, 2], [0, 1]])
    prior = IndependentPrior.from_codes(codes, 3)
    expected = torch.tensor([[4 / 7, 2 / 7, 1 / 7], [1 / 7, 2 / 7, 4 / 7]])
    torch.testing.assert_close(prior.log_marginals.exp(), expected)
    assert prior.log_prob(torch.tensor([[1, 0]])).item() == pytest.approx(math.log(2 / 49), abs=1e-5)
    for bad, words in ((codes + 1, "between 0 and 2"), (codes[0], "codes must be integers"), (codes.float(), "int")):
        with pytest.raises(UsageError, match=words):
            IndependentPrior.from_codes(bad, 3)
    with pytest.raises(UsageError, match=r"shape \(L, K\)"):
        IndependentPrior(torch.zeros(3))
