"""A fixed set of observations whose codes are watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.encoders.base import Encoder
from rl_discrete.mdp.tabular import Keys

ENCODED_AT_A_TIME = 512
NUM_PROBES = 500


@dataclass
class Probes:
    """Observations kept aside from the end of the burn-in on, and the keys they had last: how much codes change."""

    observations: NDArray[Any]
    """(P, ...)."""
    keys: Keys
    """uint64 (P, W)."""

    def update(self, encoder: Encoder) -> float:
        """Encodes them again; the share whose key changed."""
        before, self.keys = self.keys, encode(encoder, self.observations)
        return float((before != self.keys).any(axis=1).mean())


def encode(encoder: Encoder, observations: NDArray[Any]) -> Keys:
    """Keys (N, W) of many observations, part by part."""
    parts = range(0, len(observations), ENCODED_AT_A_TIME)
    return np.concatenate([encoder.encode(observations[start : start + ENCODED_AT_A_TIME]) for start in parts])
