"""How the latents of codes are used: entropies, dead latents, and pairs that say the same.

numpy only, natural logarithms, one pass over all codes given: none of these figures may be averaged over batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rl_discrete.runs.errors import UsageError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LatentUsage:
    """How L latents of K categories are used."""

    entropy: Floats
    """(L,), nats: entropy of each latent's empirical distribution, in [0, ln K]; for bits "bit entropy"."""
    perplexity: Floats
    """(L,): exp(entropy), in [1, K]: how many categories the latent uses in effect."""
    dead: int
    """Latents that take one category throughout and so carry nothing."""
    correlation: Floats
    """(L, L): Cramer's V of each pair in [0, 1], for bits the absolute Pearson correlation. 0 for a dead latent."""

    def summary(self) -> dict[str, float]:
        """Mean entropy; mean and largest correlation over the pairs of latents that are not dead, nan without any."""
        live = np.flatnonzero(self.entropy > 0)
        pairs = self.correlation[np.ix_(live, live)][np.triu_indices(len(live), 1)]
        return {
            "entropy_mean": float(self.entropy.mean()),
            "correlation_mean": float(pairs.mean()) if len(pairs) else float("nan"),
            "correlation_max": float(pairs.max()) if len(pairs) else float("nan"),
        }


def latent_usage(codes: npt.ArrayLike, num_categories: int) -> LatentUsage:
    """Statistics of the latents of codes (N, L) in [0, K). Cramer's V of independent latents is about K / sqrt(N).

    Raises:
        UsageError: not integers (N, L) with N, L >= 1, K < 2, or a code outside [0, K).
    """
    checked = np.asarray(codes)
    if checked.ndim != 2 or checked.size == 0 or checked.dtype.kind not in "iu" or num_categories < 2:
        raise UsageError(
            f"codes must be integers (N, L) with num_categories >= 2, got {checked.dtype} {checked.shape} "
            f"and {num_categories}"
        )
    if checked.min() < 0 or checked.max() >= num_categories:
        raise UsageError(f"codes must lie in [0, {num_categories}), got values from {checked.min()} to {checked.max()}")
    count, num_latents = checked.shape
    one_hot = (checked[:, :, None] == np.arange(num_categories)).reshape(count, -1).astype(np.float64)  # (N, L K)
    share = one_hot.mean(0)
    entropies = entropy(share.reshape(num_latents, num_categories))
    joint = one_hot.T @ one_hot / count  # (L K, L K)
    expected = np.outer(share, share)
    deviation = np.divide((joint - expected) ** 2, expected, out=np.zeros_like(joint), where=expected > 0)
    pairs = (num_latents, num_categories, num_latents, num_categories)
    used = (share.reshape(num_latents, num_categories) > 0).sum(1)
    freedom = np.minimum.outer(used, used) - 1
    squared = deviation.reshape(pairs).sum((1, 3)) / np.maximum(freedom, 1)
    return LatentUsage(entropies, np.exp(entropies), int((used == 1).sum()), np.sqrt(squared.clip(0.0, 1.0)))


def entropy(shares: Floats) -> Floats:
    """Entropy in nats over the last axis."""
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    found: Floats = np.maximum(-(shares * logs).sum(-1), 0.0)
    return found
