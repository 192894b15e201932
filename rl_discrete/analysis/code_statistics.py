"""How codes are used, how they change and how they split true states; what they merge is in `aliasing`.

numpy only, natural logarithms, one pass over all observations given: none of these figures may be averaged over
batches. Codes are integers (N, L), one column per latent; keys are packed codes, uint64 (N, W), and wherever only
their identity counts any integers (N,) or (N, W) will do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rl_discrete.runs.errors import UsageError

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


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
    entropy = _entropy(share.reshape(num_latents, num_categories))
    joint = one_hot.T @ one_hot / count  # (L K, L K)
    expected = np.outer(share, share)
    deviation = np.divide((joint - expected) ** 2, expected, out=np.zeros_like(joint), where=expected > 0)
    pairs = (num_latents, num_categories, num_latents, num_categories)
    used = (share.reshape(num_latents, num_categories) > 0).sum(1)
    freedom = np.minimum.outer(used, used) - 1
    squared = deviation.reshape(pairs).sum((1, 3)) / np.maximum(freedom, 1)
    return LatentUsage(entropy, np.exp(entropy), int((used == 1).sum()), np.sqrt(squared.clip(0.0, 1.0)))


def code_perplexity(keys: npt.ArrayLike) -> float:
    """The effective number of codes: exp of the entropy of their empirical distribution, from 1 to N.

    Raises:
        UsageError: no keys, or not integers (N,) or (N, W).
    """
    counts = np.bincount(labels("keys", keys))
    return float(np.exp(_entropy(counts / counts.sum())))


def churn(before: npt.ArrayLike, after: npt.ArrayLike) -> float:
    """The share of a probe set whose key changed: reassigned observations, in [0, 1].

    Args:
        before: keys (N, W) of the probes under one encoder.
        after: keys of the same probes, in the same order, under a later one.

    Raises:
        UsageError: two shapes, or no probes.
    """
    old, new = np.asarray(before), np.asarray(after)
    if old.shape != new.shape or old.ndim != 2 or len(old) == 0:
        raise UsageError(f"churn compares keys (N, W) of the same probes, got {old.shape} and {new.shape}")
    return float((old != new).any(1).mean())


@dataclass(frozen=True)
class Fragmentation:
    """How many codes there are for one true state."""

    distinct: float
    """Different codes of a state, mean over states; grows with the number of visits."""
    effective: float
    """exp(H(code | state)), visits weighted: 1 if the state decides the code, whatever the number of visits."""
    num_states: int
    """How many true states were seen."""


def fragmentation(keys: npt.ArrayLike, states: npt.ArrayLike) -> Fragmentation:
    """Codes per true state. With the arguments exchanged: true states per code, what the codes merge.

    Args:
        keys: (N, W) or (N,), the codes of N observations.
        states: (N,) or (N, D) integers, the true states; a continuous state must be put into cells first.

    Raises:
        UsageError: no observations, two lengths, or other than integers.
    """
    codes, cells = labels("keys", keys), labels("states", states)
    check_lengths(keys=codes, states=cells)
    pairs, counts = np.unique(np.stack([cells, codes], 1), axis=0, return_counts=True)
    visits = np.bincount(cells)
    conditional = -(counts / len(cells) * np.log(counts / visits[pairs[:, 0]])).sum()
    return Fragmentation(len(pairs) / len(visits), float(np.exp(max(conditional, 0.0))), len(visits))


def bytes_per_edge(num_bytes: int, num_edges: int) -> float:
    """Bytes of a table for each of its edges; nan without edges."""
    return num_bytes / num_edges if num_edges > 0 else float("nan")


def _entropy(shares: Floats) -> Floats:
    """Entropy in nats over the last axis."""
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropy: Floats = np.maximum(-(shares * logs).sum(-1), 0.0)
    return entropy


def labels(name: str, values: npt.ArrayLike) -> Ids:
    """(N,) numbers from 0, equal where the integers (N,) or (N, W) are."""
    array = np.asarray(values)
    if array.ndim not in (1, 2) or array.size == 0 or array.dtype.kind not in "iu":
        raise UsageError(
            f"{name} must be integers (N,) or (N, W), at least one of them, got {array.dtype} {array.shape}"
        )
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    inverse = np.unique(array, return_inverse=True, axis=0 if array.ndim == 2 else None)[1]
    return inverse.reshape(-1).astype(np.int64)


def check_lengths(**arrays: Any) -> None:
    """Raises UsageError unless all arrays have the same length."""
    lengths = {name: len(np.asarray(array)) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise UsageError(f"one value for each transition is needed, got lengths {lengths}")
