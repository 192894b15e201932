"""How well a classifier's probabilities mean what they say, and the one number that repairs them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rl_discrete.runs.errors import UsageError

GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def expected_calibration_error(log_probs: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy, in [0, 1].

    Images are put into `bins` equal intervals of the probability of the predicted class; the error is the
    mean over images of |accuracy - mean confidence| of their interval (Guo et al. 2017, arXiv 1706.04599,
    equation 3).

    Args:
        log_probs: (N, C) log probabilities, N >= 1.
        labels: int64 (N,).
        bins: number of intervals of (0, 1].

    Raises:
        UsageError: no image, or bins < 1.
    """
    if len(log_probs) == 0 or bins < 1:
        raise UsageError(f"calibration needs an image and a bin, got {len(log_probs)} images and {bins} bins")
    log_confidence, predicted = log_probs.double().max(dim=1)
    confidence = log_confidence.exp()
    interval = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gap = torch.zeros(bins, dtype=torch.float64)  # summed over the images of each interval
    gap.index_add_(0, interval, (predicted == labels).double() - confidence)
    return float(gap.abs().sum()) / len(log_probs)


def negative_log_likelihood(log_probs: Tensor, labels: Tensor) -> float:
    """Return the mean of -log p(label), nats per image, of log probabilities (N, C) and labels int64 (N,)."""
    return float(-log_probs.double().gather(1, labels[:, None]).mean())


def fit_temperature(log_probs: Tensor, labels: Tensor) -> float:
    """Return the temperature in [0.2, 5] that minimises the negative log-likelihood of log_probs /
    temperature.

    Temperature scaling (Guo et al. 2017, section 4.2): it changes no prediction. The likelihood is convex in
    1 / temperature, so a golden-section search finds its only minimum.

    Args:
        log_probs: (N, C) log probabilities or logits of images that were not trained on.
        labels: int64 (N,).
    """
    scores = log_probs.double()

    def loss(inverse: float) -> float:
        return negative_log_likelihood((scores * inverse).log_softmax(dim=1), labels)

    low, high = 0.2, 5.0  # of 1 / temperature
    inner, outer = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    inner_loss, outer_loss = loss(inner), loss(outer)
    while high - low > 1e-6:
        if inner_loss <= outer_loss:
            high, outer, outer_loss = outer, inner, inner_loss
            inner = high - GOLDEN * (high - low)
            inner_loss = loss(inner)
        else:
            low, inner, inner_loss = inner, outer, outer_loss
            outer = low + GOLDEN * (high - low)
            outer_loss = loss(outer)
    return 2.0 / (low + high)
