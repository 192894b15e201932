from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rl_discrete.bench.metrics import (
    bits_per_dim,
    code_statistics,
    factorial_bce,
    grey_entropy_floor,
    inception_score,
    judge_frechet_distance,
    reconstruction_bce,
    total_correlation_bound,
)
from rl_discrete.data.mnist import ImageDataset, load_images
from rl_discrete.runs.errors import RunError, UsageError


@pytest.fixture(scope="module")
def mnist() -> ImageDataset:
    return load_images()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grey(count: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (count, 28, 28), dtype=torch.uint8, generator=seeded(seed))


# ---------------------------------------------------------------- binary cross-entropy


def test_bce_is_summed_over_pixels_in_nats_per_image() -> None:
    images = grey(3)
    assert reconstruction_bce(torch.zeros(3, 784), images).tolist() == pytest.approx([784 * math.log(2)] * 3, rel=1e-5)
    x = images.double().flatten(1) / 255
    logits = torch.randn(3, 784, generator=seeded())
    p = logits.double().sigmoid()
    by_hand = -(x * p.log() + (1 - x) * (1 - p).log()).sum(dim=1)
    assert reconstruction_bce(logits, images).tolist() == pytest.approx(by_hand.tolist(), rel=1e-5)
    assert torch.equal(reconstruction_bce(logits.view(3, 28, 28), images), reconstruction_bce(logits, images))


def test_bce_takes_extreme_and_half_precision_logits_in_float32() -> None:
    white, black = torch.full((1, 28, 28), 255, dtype=torch.uint8), torch.zeros(1, 28, 28, dtype=torch.uint8)
    assert reconstruction_bce(torch.full((1, 784), 1e4), white).item() == 0.0
    assert reconstruction_bce(torch.full((1, 784), 1e4), black).item() == pytest.approx(784e4)
    half = reconstruction_bce(torch.zeros(1, 784, dtype=torch.float16), white)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(784 * math.log(2), rel=1e-5)


def test_a_short_last_batch_does_not_bias_the_mean() -> None:
    images, logits = grey(103), torch.randn(103, 784, generator=seeded())
    logits[100:] *= 10  # the three images of the short batch are reconstructed far worse
    batches = [reconstruction_bce(a, b) for a, b in zip(torch.split(logits, 25), torch.split(images, 25), strict=True)]
    whole = reconstruction_bce(logits, images).mean().item()
    assert torch.cat(batches).mean().item() == pytest.approx(whole, rel=1e-6)
    mean_of_means = torch.stack([batch.mean() for batch in batches]).mean().item()
    assert abs(mean_of_means - whole) > 10  # the original's way of averaging is off here


def test_bce_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match=r"\(2, 784\).*\(3, 28, 28\)"):
        reconstruction_bce(torch.zeros(2, 784), grey(3))


def test_grey_entropy_floor_of_mnist(mnist: ImageDataset) -> None:
    assert grey_entropy_floor(mnist.test_images) == pytest.approx(45.534, abs=1e-3)
    assert grey_entropy_floor(mnist.train_images) == pytest.approx(45.757, abs=1e-3)


def test_the_floor_is_reached_by_the_images_themselves_and_by_nothing_else(mnist: ImageDataset) -> None:
    images = mnist.test_images[:200]
    exact = torch.logit(images.double().flatten(1) / 255).clamp(-1e4, 1e4)
    floor = grey_entropy_floor(images)
    assert reconstruction_bce(exact, images).mean().item() == pytest.approx(floor, abs=1e-3)
    assert reconstruction_bce(exact * 1.05, images).mean().item() > floor + 0.01
    assert grey_entropy_floor((images > 127).to(torch.uint8) * 255) == 0.0


def test_factorial_bce_of_mnist(mnist: ImageDataset) -> None:
    train, test = mnist.train_images, mnist.test_images
    assert factorial_bce(train, test) == pytest.approx(205.805, abs=5e-3)
    assert factorial_bce(train, train) == pytest.approx(206.03, abs=5e-3)
    assert factorial_bce(test, test) == pytest.approx(205.65, abs=5e-3)


def test_factorial_bce_is_the_bce_of_constant_mean_logits() -> None:
    train, images = grey(50, 1), grey(7, 2)
    means = train.double().flatten(1).mean(dim=0) / 255
    logits = torch.logit(means).expand(7, -1)
    assert factorial_bce(train, images) == pytest.approx(reconstruction_bce(logits, images).mean().item(), rel=1e-5)


def test_factorial_bce_is_finite_on_ink_where_training_is_blank() -> None:
    blank = torch.zeros(10, 28, 28, dtype=torch.uint8)
    inked = blank.clone()
    inked[0, 0, 0] = 255
    margin = 0.5 / 2550  # of the one pixel with ink in one image of ten, and of the other 783 without
    assert factorial_bce(blank, inked) == pytest.approx(-0.1 * math.log(margin) + 783.9 * margin, rel=1e-3)


@pytest.mark.parametrize("images", [torch.zeros(0, 28, 28, dtype=torch.uint8), torch.zeros(2, 28, 28)])
def test_floors_refuse_no_image_and_floating_point(images: Tensor) -> None:
    with pytest.raises(UsageError, match="uint8"):
        grey_entropy_floor(images)
    with pytest.raises(UsageError, match="uint8"):
        factorial_bce(images, images)


# ---------------------------------------------------------------- Inception score

Score = Callable[[Tensor], float]


def full_score(log_probs: Tensor) -> float:
    return inception_score(log_probs)[0]


def original_score(log_probs: Tensor) -> float:
    """The origin's: mean over images and classes, no exp."""
    p = log_probs.double().exp()
    return float((p * (log_probs.double() - p.mean(dim=0).log())).mean())


def one_hot(labels: Tensor, confidence: float = 1.0) -> Tensor:
    rest = (1 - confidence) / 9
    return torch.log(F.one_hot(labels, 10).double() * (confidence - rest) + rest)


def check_known_scores(score: Score) -> None:
    balanced = torch.arange(1000) % 10
    constant = torch.log_softmax(torch.randn(10, generator=seeded()), dim=0).expand(50, 10)
    assert score(constant) == pytest.approx(1.0, abs=1e-6)
    assert score(one_hot(balanced)) == pytest.approx(10.0, rel=1e-6)
    assert score(one_hot(balanced % 5)) == pytest.approx(5.0, rel=1e-6)
    weights = torch.tensor([0.5, 0.25, 0.25])  # a mixture of three pure classes: exp of its entropy
    labels = torch.repeat_interleave(torch.arange(3), (weights * 400).long())
    assert score(one_hot(labels)) == pytest.approx(math.exp(1.5 * math.log(2)), rel=1e-6)
    noise = 0.1 / 9  # balanced classes, each image 90 % sure: ln 10 - H(0.9, 0.1/9, ...)
    expected = 10 * math.exp(0.9 * math.log(0.9) + 9 * noise * math.log(noise))
    assert score(one_hot(balanced, 0.9)) == pytest.approx(expected, rel=1e-6)


def test_inception_score_of_known_distributions() -> None:
    check_known_scores(full_score)


@pytest.mark.filterwarnings("ignore")
def test_the_original_score_fails_the_same_test() -> None:
    with pytest.raises(AssertionError):
        check_known_scores(original_score)
    assert original_score(one_hot(torch.arange(1000) % 10, 0.999999)) < 0.2303  # its maximum: ln 10 / 10


def test_inception_score_agrees_with_torchmetrics() -> None:
    from torchmetrics.image.inception import InceptionScore

    logits = 4 * torch.randn(1000, 10, generator=seeded())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*InceptionScore.*buffer.*")  # it says that it keeps the features
        metric = InceptionScore(feature=nn.Identity(), splits=1)
    metric.update(logits)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*std.*degrees of freedom.*")  # of its single split
        theirs = float(metric.compute()[0])
    assert full_score(logits.log_softmax(dim=1)) == pytest.approx(theirs, abs=1e-5)


def test_underflowing_probabilities_count_nothing() -> None:
    logits = torch.full((20, 10), -1e4)
    logits[torch.arange(20), torch.arange(20) % 2] = 1e4
    log_probs = logits.log_softmax(dim=1)
    assert log_probs.exp().eq(0).any()
    assert full_score(log_probs) == pytest.approx(2.0, rel=1e-6)
    assert full_score(one_hot(torch.arange(20) % 10)) == pytest.approx(10.0, rel=1e-6)  # log 0 = -inf itself
    with pytest.raises(AssertionError):  # the naive formula gives NaN
        assert math.isfinite(original_score(log_probs))


def test_splits_are_consecutive_and_nothing_is_left_out() -> None:
    log_probs = one_hot(torch.tensor([0] * 10 + [0, 1] * 5))
    assert inception_score(log_probs, splits=2) == pytest.approx([1.0, 2.0], rel=1e-6)
    whole = torch.log_softmax(3 * torch.randn(103, 10, generator=seeded()), dim=1)
    parts = inception_score(whole, splits=10)
    assert len(parts) == 10
    assert parts == pytest.approx([full_score(part) for part in whole.tensor_split(10)], rel=1e-9)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.0, 200.0), count=st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_inception_score_lies_between_one_and_the_number_of_classes(seed: int, scale: float, count: int) -> None:
    log_probs = (scale * torch.randn(count, 10, generator=seeded(seed))).log_softmax(dim=1)
    assert 1.0 - 1e-9 <= full_score(log_probs) <= min(10.0, count) + 1e-9
    shuffled = log_probs[torch.randperm(count, generator=seeded(seed))]
    assert full_score(shuffled) == pytest.approx(full_score(log_probs), rel=1e-9)


def test_inception_score_refuses_logits_and_impossible_splits() -> None:
    with pytest.raises(UsageError, match="log_softmax"):
        inception_score(torch.randn(5, 10, generator=seeded()))
    with pytest.raises(UsageError, match="log_softmax"):
        inception_score(torch.full((5, 10), math.nan))
    for splits in (0, 6):
        with pytest.raises(UsageError, match="splits"):
            inception_score(one_hot(torch.arange(5)), splits=splits)


# ---------------------------------------------------------------- Fréchet distance


def with_moments(mean: Tensor, covariance: Tensor, count: int, seed: int) -> Tensor:
    """Points whose sample mean and unbiased covariance are exactly these."""
    noise = torch.randn(count, len(mean), generator=seeded(seed), dtype=torch.float64)
    noise = noise - noise.mean(dim=0)
    whitened = noise @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(noise.T))).T
    return torch.add(whitened @ torch.linalg.cholesky(covariance).T, mean)


def test_frechet_distance_of_known_gaussians() -> None:
    a, b = torch.tensor([1.0, 4.0, 9.0]).double(), torch.tensor([4.0, 1.0, 1.0]).double()
    shift = torch.tensor([1.0, -2.0, 0.5]).double()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=seeded(), dtype=torch.float64)).Q
    one = with_moments(torch.zeros(3).double(), turn @ a.diag() @ turn.T, 200, 1)
    two = with_moments(shift, turn @ b.diag() @ turn.T, 90, 2)
    expected = float(shift.square().sum() + (a.sqrt() - b.sqrt()).square().sum())  # commuting covariances
    assert expected == pytest.approx(5.25 + 1 + 1 + 4)
    assert judge_frechet_distance(one, two) == pytest.approx(expected, rel=1e-9)
    assert judge_frechet_distance(two, one) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_general_gaussians_against_a_matrix_square_root() -> None:
    first = torch.randn(3, 3, generator=seeded(3), dtype=torch.float64)
    second = torch.randn(3, 3, generator=seeded(4), dtype=torch.float64)
    cov_a, cov_b = first @ first.T + torch.eye(3).double(), second @ second.T + torch.eye(3).double()

    def root(matrix: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        return torch.matmul(vectors @ values.sqrt().diag(), vectors.T)

    expected = torch.trace(cov_a + cov_b - 2 * root(root(cov_a) @ cov_b @ root(cov_a)))
    zero = torch.zeros(3).double()
    distance = judge_frechet_distance(with_moments(zero, cov_a, 50, 1), with_moments(zero, cov_b, 60, 2))
    assert distance == pytest.approx(float(expected), rel=1e-9)


def test_frechet_distance_of_a_set_to_itself_is_zero_even_with_dead_features() -> None:
    features = torch.randn(100, 8, generator=seeded()) * torch.tensor([1.0] * 5 + [0.0] * 3)
    assert 0.0 <= judge_frechet_distance(features, features) < 1e-4
    assert judge_frechet_distance(features, features + 1) == pytest.approx(8.0, abs=1e-4)


def test_frechet_distance_refuses_what_has_no_covariance() -> None:
    features = torch.randn(5, 4, generator=seeded())
    with pytest.raises(UsageError, match="two images"):
        judge_frechet_distance(features[:1], features)
    with pytest.raises(UsageError, match=r"\(5, 4\) and \(5, 3\)"):
        judge_frechet_distance(features, features[:, :3])
    with pytest.raises(RunError, match="not finite"):
        judge_frechet_distance(features, features * math.nan)


# ---------------------------------------------------------------- codes


def test_code_statistics_of_known_codes() -> None:
    codes = torch.tensor([[0, 0, 3, 0], [0, 1, 3, 1], [0, 0, 3, 2], [0, 1, 3, 0]])
    statistics = code_statistics(codes, num_categories=4)
    assert statistics.entropy.tolist() == pytest.approx([0.0, math.log(2), 0.0, 1.5 * math.log(2)])
    assert statistics.perplexity.tolist() == pytest.approx([1.0, 2.0, 1.0, 2**1.5])
    assert statistics.usage.tolist() == [0.25, 0.5, 0.25, 0.75]
    assert statistics.dead == 2
    assert statistics.sum_entropy == pytest.approx(2.5 * math.log(2))


@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 80),
    num_latents=st.integers(1, 7),
    num_categories=st.integers(2, 9),
)
@settings(max_examples=50, deadline=None)
def test_code_statistics_against_a_loop(seed: int, count: int, num_latents: int, num_categories: int) -> None:
    codes = torch.randint(0, num_categories, (count, num_latents), generator=seeded(seed))
    statistics = code_statistics(codes, num_categories)
    for latent in range(num_latents):
        p = torch.tensor([float((codes[:, latent] == k).sum()) / count for k in range(num_categories)])
        entropy = -float(torch.xlogy(p.double(), p.double()).sum())
        assert statistics.entropy[latent].item() == pytest.approx(entropy, abs=1e-6)
        assert statistics.usage[latent].item() == pytest.approx(int((p > 0).sum()) / num_categories)


def test_perplexity_of_the_split_is_not_the_mean_over_batches() -> None:
    codes = torch.arange(8).repeat_interleave(10)[:, None]
    whole = code_statistics(codes, 8).perplexity.item()
    batches = [code_statistics(batch, 8).perplexity.item() for batch in torch.split(codes, 10)]
    assert whole == pytest.approx(8.0)
    assert sum(batches) / len(batches) == pytest.approx(1.0)


def test_code_statistics_refuses_codes_outside_the_categories() -> None:
    for bad in (torch.tensor([[0, 2]]), torch.tensor([[-1, 0]])):
        with pytest.raises(UsageError, match=r"\[0, 2\)"):
            code_statistics(bad, 2)
    for shape in (torch.zeros(0, 3).long(), torch.zeros(3).long(), torch.zeros(2, 3)):
        with pytest.raises(UsageError, match="codes must be integers"):
            code_statistics(shape, 2)


def test_total_correlation_bound_is_tight_for_a_perfect_prior() -> None:
    codes = torch.tensor([[0, 0], [1, 1]]).repeat(50, 1)  # two copies of one fair bit
    statistics = code_statistics(codes, 2)
    assert total_correlation_bound(statistics.sum_entropy, math.log(2)) == pytest.approx(math.log(2))
    assert total_correlation_bound(statistics.sum_entropy, 2 * math.log(2)) == pytest.approx(0.0)


def test_bits_per_dim() -> None:
    assert bits_per_dim(784 * math.log(2)) == pytest.approx(1.0)
    assert bits_per_dim(10.0, num_pixels=100) == pytest.approx(0.1 / math.log(2))
    with pytest.raises(UsageError, match="num_pixels"):
        bits_per_dim(1.0, num_pixels=0)
