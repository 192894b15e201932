"""The observation itself as the code: a row of the table for every distinct one. For small or already discrete envs."""

from __future__ import annotations

import math

import numpy as np

from rl_discrete.encoders.fixed import FixedEncoder
from rl_discrete.encoders.observations import Observations, check_observations
from rl_discrete.latents.codes import Codes

_FLOAT_BITS = 32


class ExactEncoder(FixedEncoder):
    """Nothing is merged: two observations share a code where they are equal.

    An image's bytes are its latents, with 256 categories; a vector's numbers give the 32 bits of their float32 each.
    Hamming distances between such codes mean little, so `planner.lookup_radius` 0 suits them.

    Args:
        shape: of one observation, (C, H, W) or (D,).
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        image = len(shape) == 3
        super().__init__(math.prod(shape) * (1 if image else _FLOAT_BITS), 256 if image else 2)

    def codes(self, observations: Observations) -> Codes:
        check_observations(observations, self._shape)
        flat = observations.reshape(len(observations), math.prod(self._shape))
        if len(self._shape) == 3:
            return flat.astype(np.int64)
        words = np.ascontiguousarray(flat + np.float32(0.0)).view(np.uint32)  # -0.0 + 0.0 is 0.0
        bits = words[:, :, None] >> np.arange(_FLOAT_BITS, dtype=np.uint32) & 1
        return bits.reshape(len(flat), self.num_latents).astype(np.int64)

    def frozen_copy(self) -> ExactEncoder:
        return ExactEncoder(self._shape)
