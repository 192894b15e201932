"""How codes are used, how they change and how they split true states; what they merge is in `aliasing`.

numpy only, natural logarithms, one pass over all observations given: none of these figures may be averaged over
batches. Keys are packed codes, uint64 (N, W), and wherever only their identity counts any integers (N,) or (N, W)
will do. How single latents are used is in `latents.usage`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rl_discrete.latents.usage import entropy
from rl_discrete.runs.errors import UsageError

Ids = npt.NDArray[np.int64]


def code_perplexity(keys: npt.ArrayLike) -> float:
    """The effective number of codes: exp of the entropy of their empirical distribution, from 1 to N.

    Raises:
        UsageError: no keys, or not integers (N,) or (N, W).
    """
    counts = np.bincount(labels("keys", keys))
    return float(np.exp(entropy(counts / counts.sum())))


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
