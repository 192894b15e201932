"""What the benchmark measures: pure functions of tensors, natural logarithms throughout.

Anything that is a mean over images is returned per image, or computed over the whole split at once: a mean of
batch means is wrong when the last batch is short, and a perplexity averaged over batches depends on the batch
size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rl_discrete.latents.autoencoder import bernoulli_nats
from rl_discrete.runs.errors import RunError, UsageError

IMAGES_AT_A_TIME = 1000  # bounds the memory of passes over uint8 images


def reconstruction_bce(logits: Tensor, images: Tensor) -> Tensor:
    """Return the binary cross-entropy of each image, float32 (B,), in nats summed over its pixels.

    Grey values x in [0, 1] are the targets: sum over pixels of -x log p - (1 - x) log(1 - p), p =
    sigmoid(logits). For b ~ Bernoulli(x) drawn per pixel this is the expectation of -log p(b). It cannot fall
    below `grey_entropy_floor`. Average it over images, never over batches.

    Args:
        logits: floating point, (B, 784) or (B, 28, 28) (any number of pixels); taken as float32.
        images: (B, 28, 28), uint8 in 0..255, or floating point in [0, 1].

    Raises:
        UsageError: the numbers of images or pixels differ.
    """
    targets = images.flatten(1).float() / 255.0 if images.dtype == torch.uint8 else images.flatten(1).float()
    flat = logits.flatten(1).float()  # (B, pixels)
    if flat.shape != targets.shape:
        raise UsageError(f"logits of shape {tuple(logits.shape)} do not fit images of shape {tuple(images.shape)}")
    return bernoulli_nats(flat, targets)


def grey_entropy_floor(images: Tensor) -> float:
    """Return the least `reconstruction_bce` that any reconstruction can reach, in nats per image.

    Mean over images of the sum over pixels of -x log x - (1 - x) log(1 - x), with 0 log 0 = 0: reached
    exactly by p = x. MNIST: 45.534 on the test images, 45.757 on the training images.

    Args:
        images: uint8 (N, ...), N >= 1.

    Raises:
        UsageError: no image, or not uint8.
    """
    counts = torch.zeros(256, dtype=torch.int64)
    for part in torch.split(_checked(images), IMAGES_AT_A_TIME):
        counts += torch.bincount(part.flatten().cpu().int(), minlength=256)
    grey = torch.arange(256, dtype=torch.float64) / 255.0
    entropy = -torch.special.xlogy(grey, grey) - torch.special.xlogy(1.0 - grey, 1.0 - grey)
    return float((counts * entropy).sum()) / len(images)


def factorial_bce(train_images: Tensor, images: Tensor) -> float:
    """Return the BCE, in nats per image, of the best model without a code: each pixel's training mean.

    What a reconstruction must beat for its code to carry anything. Means are kept half a grey level of one
    training image away from 0 and 1, so that ink on a pixel that is blank in training costs a finite amount.
    MNIST with the means of the 60,000 training images: 205.80 on the test images, 206.03 on the training
    images themselves. (205.65 is what the test images' own means would score on them: the least of any
    factorial model, but fitted on them.)

    Args:
        train_images: uint8 (N, ...), whose pixel means are the model.
        images: uint8 (M, ...), on which it is scored; the same shape but for the number of images.

    Raises:
        UsageError: no image, not uint8, or images of different sizes.
    """
    if train_images.shape[1:] != images.shape[1:]:
        raise UsageError(f"training images {tuple(train_images.shape)} and images {tuple(images.shape)} differ in size")
    margin = 0.5 / (255.0 * len(_checked(train_images)))
    model = _pixel_means(train_images).clamp(margin, 1.0 - margin)
    target = _pixel_means(_checked(images))
    return float(-(target * model.log() + (1.0 - target) * (-model).log1p()).sum())


def inception_score(log_probs: Tensor, splits: int = 1) -> list[float]:
    """Return the Inception score, in [1, C], of each of `splits` equal consecutive parts of the images.

    exp( mean_x sum_y p(y|x) (log p(y|x) - log p(y)) ) with p(y) the mean of p(y|x) over the same part: summed
    over classes, averaged over images, then exp (Salimans et al. 2016, arXiv 1606.03498, section 4; Barratt
    and Sharma 2018 on the exp and the parts). With the benchmark's judge it is a classifier score of MNIST
    digits, not comparable with scores from an Inception network. The result depends on the number of images
    (a perfect sampler of ten classes scores 9.26 with 64, 9.996 with 10,000); its logarithm is the mean KL in
    nats. Computed in float64 from log probabilities, so that a p that underflows to 0 counts as 0 log 0 = 0.

    Args:
        log_probs: (N, C) log probabilities of a classifier, as from `log_softmax`; not logits.
        splits: number of parts, each N // splits images or one more; the caller shuffles if the order
            matters.

    Raises:
        UsageError: not (N, C), splits < 1 or more parts than images, or rows that are no log probabilities.
    """
    if log_probs.ndim != 2 or not 1 <= splits <= len(log_probs):
        raise UsageError(
            f"splits must be in 1..images for (images, classes), got {splits} for {tuple(log_probs.shape)}"
        )
    log_p = log_probs.double()
    if not bool((log_p.logsumexp(dim=1).abs() < 1e-3).all()):
        raise UsageError("inception_score takes log probabilities (log_softmax), got rows whose exp does not sum to 1")
    log_p = log_p - log_p.logsumexp(dim=1, keepdim=True)  # float32 rows sum to 1 only up to rounding
    scores = []
    for part in log_p.tensor_split(splits):
        log_marginal = part.logsumexp(dim=0) - math.log(len(part))  # (C,)
        p = part.exp()
        divergence = torch.where(p > 0, p * (part - log_marginal), 0.0).sum(dim=1)  # (N / splits,)
        scores.append(math.exp(float(divergence.mean())))
    return scores


class _Identity(nn.Module):
    """Hands features through torchmetrics, which wants a network that makes them."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def judge_frechet_distance(features_a: Tensor, features_b: Tensor) -> float:
    """Return the Fréchet distance between two sets of the judge's features, which is no Inception FID.

    |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) of the Gaussians with the sets' means and unbiased
    covariances (Heusel et al. 2017, arXiv 1706.08500), by torchmetrics in float64. Units: squared units of
    the features, so it means something only beside other distances by the same judge. It is biased upwards
    for small sets.

    Args:
        features_a: (N, F), N >= 2.
        features_b: (M, F), M >= 2.

    Raises:
        UsageError: shapes that do not fit or too few images.
        RunError: a feature that is not finite.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    if features_a.ndim != 2 or features_b.ndim != 2 or features_a.shape[1] != features_b.shape[1]:
        raise UsageError(
            f"features must be (N, F) and (M, F), got {tuple(features_a.shape)} and {tuple(features_b.shape)}"
        )
    if len(features_a) < 2 or len(features_b) < 2:
        raise UsageError(f"a covariance needs two images at least, got {len(features_a)} and {len(features_b)}")
    metric = FrechetInceptionDistance(feature=_Identity(features_a.shape[1]), normalize=True)
    for features, real in ((features_a, True), (features_b, False)):
        if not bool(features.isfinite().all()):
            raise RunError("a feature is not finite: the images hold NaN or infinite pixels")
        metric.update(features.detach().cpu().double(), real=real)
    return max(0.0, float(metric.compute()))


@dataclass(frozen=True, eq=False)
class CodeStatistics:
    """How the codes of a whole split use their latents. Natural logarithms.

    Attributes:
        entropy: float64 (L,), nats: entropy of each latent's empirical distribution, in [0, ln K].
        perplexity: float64 (L,): exp(entropy), in [1, K].
        usage: float64 (L,): share of the K categories that occur, in [1 / K, 1].
        dead: number of latents that take one category throughout and so carry nothing.
        sum_entropy: nats: sum of `entropy`, the code length under the best independent prior.
    """

    entropy: Tensor
    perplexity: Tensor
    usage: Tensor
    dead: int
    sum_entropy: float


def code_statistics(codes: Tensor, num_categories: int) -> CodeStatistics:
    """Return the statistics of each latent over all the codes at once.

    Args:
        codes: integers (N, L) in [0, K), N >= 1: the codes of the whole split, not of a batch.
        num_categories: K >= 2.

    Raises:
        UsageError: not (N, L), no code, K < 2 or a code outside [0, K).
    """
    if codes.ndim != 2 or codes.numel() == 0 or codes.is_floating_point() or num_categories < 2:
        raise UsageError(
            f"codes must be integers (N, L) with num_categories >= 2, got {codes.dtype} {tuple(codes.shape)} "
            f"and {num_categories}"
        )
    low, high = int(codes.min()), int(codes.max())
    if low < 0 or high >= num_categories:
        raise UsageError(f"codes must lie in [0, {num_categories}), got values from {low} to {high}")
    num_latents = codes.shape[1]
    offsets = torch.arange(num_latents, device=codes.device) * num_categories
    counts = torch.bincount((codes + offsets).flatten(), minlength=num_latents * num_categories)
    counts = counts.view(num_latents, num_categories).cpu()
    p = counts.double() / len(codes)
    entropy = (-torch.special.xlogy(p, p)).sum(dim=1).clamp(min=0.0)  # (L,)
    used = (counts > 0).sum(dim=1)
    return CodeStatistics(
        entropy=entropy,
        perplexity=entropy.exp(),
        usage=used.double() / num_categories,
        dead=int((used == 1).sum()),
        sum_entropy=float(entropy.sum()),
    )


def total_correlation_bound(sum_entropy: float, code_length: float) -> float:
    """Return a lower bound, in nats, on the total correlation of the codes: sum_i H(z_i) - code length.

    Total correlation is sum_i H(z_i) - H(z), and the mean code length -log p(z) under any prior is at least
    H(z). So it is what the prior gains over independent marginals. A negative value means that the prior is
    the worse of the two, and bounds nothing that 0 does not.

    Args:
        sum_entropy: nats, from `code_statistics` of the same codes.
        code_length: mean of -log p(z) over these codes, nats per image.
    """
    return sum_entropy - code_length


def bits_per_dim(total_nats: float, num_pixels: int = 784) -> float:
    """Return bits per pixel of `total_nats` (code length + BCE, nats per image): nats / (pixels ln 2)."""
    if num_pixels < 1:
        raise UsageError(f"num_pixels must be >= 1, got {num_pixels}")
    return total_nats / (num_pixels * math.log(2.0))


def _checked(images: Tensor) -> Tensor:
    if images.dtype != torch.uint8 or len(images) == 0:
        raise UsageError(f"images must be uint8 and at least one, got {images.dtype} {tuple(images.shape)}")
    return images


def _pixel_means(images: Tensor) -> Tensor:
    """Return the mean of each pixel over uint8 images (N, ...), float64, in [0, 1]."""
    total = torch.zeros(images.shape[1:], dtype=torch.int64, device=images.device)
    for part in torch.split(images, IMAGES_AT_A_TIME):  # a reduction of uint8 to int64 copies its input
        total += part.sum(dim=0, dtype=torch.int64)
    return total.cpu().double() / (255.0 * len(images))
