"""The first eight defects of the original script, each with a check that the library passes and the defect fails.

The checks are functions of the part in question. Each is called on the library, where it must hold, and on the defect
written out here as the original had it, where it must not. So putting a defect back fails its test, and a check that
has gone blind fails it too.

1. Inception score: mean over images and classes, no exp.
2. LSTM sampling: no start token, everything shifted by one chunk.
3. LSTM loss: the first chunk is left out, chunks are averaged; with one chunk the mean of nothing.
4. Chunks: made with base 2 and taken apart with base K.
5. Chunks: K ** chunk symbols of any size (10 ** 8).
6. Chunks: a number of latents that the chunk does not divide mixes images.
7. Reconstruction loss: shapes that do not fit, and probabilities instead of logits.
8. Annealing: never reaches its end, and its step counter restarts in every epoch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rl_discrete.bench.metrics import inception_score, reconstruction_bce
from rl_discrete.latents.autoencoder import DiscreteAutoencoder, bernoulli_nats
from rl_discrete.latents.config import FitConfig, GumbelSoftmaxConfig, LSTMPriorConfig, NetworkConfig
from rl_discrete.latents.fit import Fit
from rl_discrete.latents.gumbel_softmax import GumbelSoftmax
from rl_discrete.latents.lstm_prior import LSTMPrior
from rl_discrete.latents.prior import Prior
from rl_discrete.latents.semantic_hashing import SemanticHashing
from rl_discrete.latents.train import begin_autoencoder, fit_prior
from rl_discrete.runs.errors import UsageError

CONFIG = LSTMPriorConfig(chunk=1, hidden=16, embedding=8)
TRAINING = FitConfig(epochs=25, batch_size=50, learning_rate=2e-2, warmup_steps=10)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class OriginalPredictor(Prior):
    """The original's LSTM (defects 2 and 3), one latent a chunk: it learns chunk t + 1 from the chunks up to t."""

    def __init__(self, num_latents: int, num_categories: int) -> None:
        super().__init__(num_latents, num_categories)
        self.noise_dim = num_latents
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.embedding = nn.Embedding(num_categories, 8)
            self.lstm = nn.LSTM(8, 16)
            self.head = nn.Linear(16, num_categories)

    def predictions(self, codes: Tensor) -> Tensor:
        """Logits (B, L - 1, K) of every latent but the first."""
        logits: Tensor = self.head(self.lstm(self.embedding(codes.T))[0])
        return logits.transpose(0, 1)[:, :-1]

    def loss(self, codes: Tensor) -> Tensor:
        nats = F.cross_entropy(self.predictions(codes).transpose(1, 2), codes[:, 1:], reduction="none")
        return nats.mean(1)

    def _log_prob(self, codes: Tensor, context: Tensor | None) -> Tensor:
        return -self.loss(codes)

    def _sample(self, noise: Tensor, context: Tensor | None, temperature: float) -> Tensor:
        previous, state = torch.zeros(len(noise), dtype=torch.int64), None
        drawn = []
        for position in range(self.num_latents):
            hidden, state = self.lstm(self.embedding(previous).unsqueeze(0), state)
            cdf = (self.head(hidden[0]) / temperature).softmax(-1).cumsum(-1)
            previous = (cdf < noise[:, position : position + 1]).sum(-1).clamp(max=self.num_categories - 1)
            drawn.append(previous)
        return torch.stack(drawn, dim=1)


# 1 ------------------------------------------------------------------------------------------------------------------


def scores_known_distributions(score: Callable[[Tensor], float]) -> bool:
    """Ten balanced sure classes score 10, one class 1, no knowledge 1, two halves each sure of its five classes 2."""
    sure = torch.eye(10).repeat(20, 1)
    halves = (torch.eye(2).repeat_interleave(5, 1) / 5.0).repeat(50, 1)
    known = [(sure, 10.0), (sure[:1].repeat(50, 1), 1.0), (torch.full((50, 10), 0.1), 1.0), (halves, 2.0)]
    return all(math.isclose(score(p.log()), value, rel_tol=1e-5) for p, value in known)


def original_score(log_probs: Tensor) -> float:
    p = log_probs.exp()
    divergence = torch.where(p > 0, p * (log_probs - p.mean(0).log()), 0.0)
    return float(divergence.mean())


def test_1_inception_score_sums_over_classes_and_takes_exp() -> None:
    assert scores_known_distributions(lambda log_probs: inception_score(log_probs)[0])
    assert not scores_known_distributions(original_score)
    assert not scores_known_distributions(lambda log_probs: math.exp(original_score(log_probs)))
    assert original_score(torch.eye(10).log()) == pytest.approx(0.2303, abs=1e-4)  # as measured on the original


# 2 ------------------------------------------------------------------------------------------------------------------


def share_of_samples_that_equal(prior: Prior, code: Tensor) -> float:
    samples = prior.sample(1000, generator=generator(1))
    return float((samples == code).all(1).double().mean())


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_2_a_prior_of_one_code_samples_it(chunk: int) -> None:
    code = torch.tensor([3, 1, 2, 0])
    codes = code.repeat(500, 1)
    prior = fit_prior(codes, 4, LSTMPriorConfig(chunk=chunk, hidden=16, embedding=8), TRAINING)
    assert share_of_samples_that_equal(prior, code) >= 0.99


def test_2_the_shifted_sampler_does_not() -> None:
    code = torch.tensor([3, 1, 2, 0])
    codes = code.repeat(500, 1)
    original = OriginalPredictor(4, 4)
    fit = Fit(original, lambda indices, _: original.loss(codes[indices]), 500, TRAINING, seed=0)
    assert fit.advance(fit.total_steps) < 0.2
    fit.close()
    assert float(original.loss(codes[:1]).detach()) < 0.01  # its training loss says that all is well
    assert share_of_samples_that_equal(original, code) < 0.5


# 3 ------------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def is_normalised(prior: Prior) -> bool:
    """The probabilities of all codes sum to 1, also while training."""
    codes = torch.tensor(list(itertools.product(range(prior.num_categories), repeat=prior.num_latents)))
    return abs(float(prior.log_prob(codes).double().exp().sum()) - 1.0) < 1e-5


@torch.no_grad()
def is_the_sum_of_its_chunks(loss: Callable[[Tensor], Tensor], prior: LSTMPrior) -> bool:
    """The loss trained on is -log p: the negative log-probabilities of all chunks, the first included, added up."""
    codes = torch.randint(prior.num_categories, (20, prior.num_latents), generator=generator())
    symbols = prior.symbols(codes)
    chunks = -prior.logits(codes).log_softmax(-1).gather(-1, symbols.unsqueeze(-1)).squeeze(-1)
    return torch.allclose(loss(codes), chunks.sum(1), atol=1e-4)


@pytest.mark.parametrize("num_latents", [1, 2, 4])
def test_3_every_chunk_counts(num_latents: int) -> None:
    prior = LSTMPrior(num_latents, 3, CONFIG)
    assert is_normalised(prior)
    assert is_the_sum_of_its_chunks(prior.loss, prior)
    codes = torch.randint(3, (50, num_latents), generator=generator())
    fitted = fit_prior(codes, 3, CONFIG, FitConfig(epochs=2))
    assert all(p.isfinite().all() for p in fitted.parameters())
    assert is_normalised(fitted)

    def without_the_first(codes: Tensor) -> Tensor:
        symbols = prior.symbols(codes)
        nats = -prior.logits(codes).log_softmax(-1).gather(-1, symbols.unsqueeze(-1)).squeeze(-1)
        return nats[:, 1:].mean(1)

    assert not is_the_sum_of_its_chunks(without_the_first, prior)
    assert not is_normalised(OriginalPredictor(num_latents, 3))


def test_3_a_single_chunk_has_a_loss() -> None:
    codes = torch.zeros(5, 1, dtype=torch.int64)
    assert LSTMPrior(1, 3, CONFIG).loss(codes).isfinite().all()
    assert LSTMPrior(4, 2, LSTMPriorConfig(chunk=4, hidden=4)).loss(codes.expand(-1, 4)).isfinite().all()
    assert OriginalPredictor(1, 3).loss(codes).isnan().all()


# 4 ------------------------------------------------------------------------------------------------------------------


def round_trips(to_symbols: Callable[[Tensor], Tensor], to_codes: Callable[[Tensor], Tensor], codes: Tensor) -> bool:
    symbols = to_symbols(codes)
    return len(symbols.unique(dim=0)) == len(codes) and torch.equal(to_codes(symbols), codes)


def test_4_chunks_are_made_and_taken_apart_with_the_same_base() -> None:
    prior = LSTMPrior(2, 10, LSTMPriorConfig(chunk=2, hidden=4, embedding=2))
    codes = torch.cartesian_prod(torch.arange(10), torch.arange(10))
    assert round_trips(prior.symbols, prior.codes, codes)

    def with_base_2(codes: Tensor) -> Tensor:
        return (codes * torch.tensor([1, 2])).sum(1, keepdim=True)

    assert not round_trips(with_base_2, prior.codes, codes)
    assert len(with_base_2(codes).unique()) == 28  # as derived for the original


# 5 ------------------------------------------------------------------------------------------------------------------


def refuses_or_stays_small(build: Callable[[int, int], int]) -> bool:
    """`build(K, chunk)` gives the number of symbols or a usage error: never more than 4,096, and all that fit work."""
    for num_categories, chunk in itertools.product((2, 3, 10, 100), (1, 2, 3, 8, 12, 30)):
        fits = num_categories**chunk <= 4096
        try:
            symbols = build(num_categories, chunk)
        except UsageError:
            if fits:
                return False
        else:
            if not fits or symbols != num_categories**chunk:
                return False
    return True


def test_5_symbols_stay_few() -> None:
    def build(num_categories: int, chunk: int) -> int:
        return LSTMPrior(30, num_categories, LSTMPriorConfig(chunk=chunk, hidden=2, embedding=1)).num_symbols

    assert refuses_or_stays_small(build)
    assert not refuses_or_stays_small(lambda num_categories, chunk: num_categories**chunk)
    for num_categories in (2, 5, 10, 16):
        assert LSTMPrior(30, num_categories).num_symbols <= 256  # the default


# 6 ------------------------------------------------------------------------------------------------------------------


def images_stay_apart(to_symbols: Callable[[Tensor], Tensor], num_latents: int) -> bool:
    """A batch of codes has a row of symbols for each, the same as it has alone."""
    codes = torch.randint(2, (100, num_latents), generator=generator())
    symbols = to_symbols(codes)
    return len(symbols) == 100 and all(torch.equal(to_symbols(codes[i : i + 1])[0], symbols[i]) for i in (0, 1, 50, 99))


@pytest.mark.parametrize("num_latents", [30, 9, 15, 33])
def test_6_a_chunk_that_does_not_divide_the_latents_keeps_images_apart(num_latents: int) -> None:
    prior = LSTMPrior(num_latents, 2, LSTMPriorConfig(chunk=8, hidden=4, embedding=2))
    assert images_stay_apart(prior.symbols, num_latents)
    codes = torch.randint(2, (100, num_latents), generator=generator())
    assert torch.equal(prior.codes(prior.symbols(codes)), codes)
    assert prior.sample(10, generator=generator()).shape == (10, num_latents)
    with torch.no_grad():
        torch.testing.assert_close(prior.log_prob(codes)[7:8], prior.log_prob(codes[7:8]))


def test_6_the_view_of_the_original_mixes_them() -> None:
    def as_one_long_row(codes: Tensor) -> Tensor:
        chunks = codes.flatten()[: codes.numel() // 8 * 8].view(-1, 8)
        symbols = (chunks * 2 ** torch.arange(8)).sum(1)
        return symbols[: len(symbols) // 3 * 3].view(-1, 3)

    codes = torch.randint(2, (100, 30), generator=generator())
    assert as_one_long_row(codes).shape == (125, 3)  # as measured on the original
    assert not images_stay_apart(as_one_long_row, 30)


# 7 ------------------------------------------------------------------------------------------------------------------


def takes_logits_of_whole_images(bce: Callable[[Tensor, Tensor], Tensor]) -> bool:
    """Nats summed over pixels, one per image, right where a sigmoid in float32 is exactly 0 or 1 and has no slope."""
    logits = torch.zeros(3, 784)
    logits[1], logits[2] = 150.0, -150.0
    logits.requires_grad_()
    images = torch.zeros(3, 28, 28)
    images[2, 14:] = 1.0
    try:
        nats = bce(logits, images)
    except (ValueError, RuntimeError):
        return False
    expected = torch.tensor([784 * math.log(2.0), 784 * 150.0, 392 * 150.0])
    if nats.shape != (3,) or not torch.allclose(nats, expected, rtol=1e-5):
        return False
    (slope,) = torch.autograd.grad(nats.sum(), logits)
    return torch.allclose(slope, logits.detach().sigmoid() - images.flatten(1), atol=1e-5)


def test_7_reconstruction_is_scored_in_logits_pixel_by_pixel() -> None:
    assert takes_logits_of_whole_images(reconstruction_bce)
    assert takes_logits_of_whole_images(lambda logits, images: bernoulli_nats(logits, images.flatten(1)))

    def of_probabilities(logits: Tensor, images: Tensor) -> Tensor:
        return F.binary_cross_entropy(logits.sigmoid(), images.flatten(1), reduction="none").sum(1)

    def of_another_shape(logits: Tensor, images: Tensor) -> Tensor:
        return F.binary_cross_entropy(logits.sigmoid().view(-1, 1, 28, 28), images.flatten(1), reduction="none")

    def mean_over_everything(logits: Tensor, images: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, images.flatten(1))

    assert not takes_logits_of_whole_images(of_probabilities)
    assert not takes_logits_of_whole_images(of_another_shape)
    assert not takes_logits_of_whole_images(mean_over_everything)


@pytest.mark.parametrize("shape", [(1, 28, 28), (28, 28), (784,)])
def test_7_the_autoencoder_takes_images_of_any_shape(shape: tuple[int, ...]) -> None:
    model = DiscreteAutoencoder(SemanticHashing(4), shape, NetworkConfig(hidden=(8,), residual_layers=0))
    loss = model.loss(torch.rand((5, *shape), generator=generator()), generator())
    assert loss.shape == (5,)
    assert loss.mean().item() == pytest.approx(784 * math.log(2.0), rel=0.1)


# 8 ------------------------------------------------------------------------------------------------------------------

Schedule = Callable[[int, int], list[float]]
"""The temperature of each step of a training of so many epochs with so many batches each."""


def reaches_its_end(schedule: Schedule, start: float, end: float) -> bool:
    """From `start` to exactly `end`, never up, however the steps fall into epochs and whatever the batch size."""
    for epochs, batches in ((1, 40), (4, 10), (40, 1), (2, 130)):
        seen = schedule(epochs, batches)
        if len(seen) != epochs * batches or seen[0] != start or seen[-1] != end:
            return False
        if any(after > before for before, after in itertools.pairwise(seen)):
            return False
        if len(set(seen)) < 30:  # it falls little by little
            return False
    return schedule(1, 40) == schedule(4, 10) == schedule(40, 1)


def by_fit(epochs: int, batches: int) -> list[float]:
    """The temperatures that a fit trains with."""
    images = torch.zeros(batches, 2)
    config = GumbelSoftmaxConfig(temperature_start=1.0, temperature_end=0.5)
    network = NetworkConfig(hidden=(1,), residual_layers=0)
    fit = begin_autoencoder(
        images, lambda: GumbelSoftmax(1, 2, config), network, FitConfig(epochs=epochs, batch_size=1)
    )
    bottleneck = fit.model.bottleneck
    assert isinstance(bottleneck, GumbelSoftmax)
    seen = []
    while not fit.finished:
        fit.advance(1)
        seen.append(bottleneck.temperature)
    return seen


def as_the_original(epochs: int, batches: int, counter_restarts: bool = True, rate: float = 3e-5) -> list[float]:
    """max(0.5, exp(-rate * step)), changed at every hundredth step by a counter that restarts in every epoch."""
    seen, temperature = [], 1.0
    for step in range(epochs * batches):
        count = step % batches if counter_restarts else step
        if count % 100 == 1:
            temperature = max(0.5, temperature * math.exp(-rate * 100))
        seen.append(temperature)
    return seen


def by_epoch(epochs: int, batches: int) -> list[float]:
    """The library's schedule, fed with the progress within the epoch."""
    bottleneck = GumbelSoftmax(1, 2, GumbelSoftmaxConfig(temperature_start=1.0, temperature_end=0.5))
    seen = []
    for step in range(epochs * batches):
        bottleneck.anneal((step % batches) / max(1, batches - 1))
        seen.append(bottleneck.temperature)
    return seen


def test_8_annealing_reaches_its_end_by_the_step_of_the_whole_run() -> None:
    assert reaches_its_end(by_fit, 1.0, 0.5)
    assert not reaches_its_end(as_the_original, 1.0, 0.5)
    assert not reaches_its_end(lambda epochs, batches: as_the_original(epochs, batches, False), 1.0, 0.5)
    assert not reaches_its_end(by_epoch, 1.0, 0.5)
    assert as_the_original(10, 600)[-1] == pytest.approx(0.835, abs=0.001)  # as derived for its 6,000 steps
