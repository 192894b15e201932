"""SimHash: the signs of random projections of the image. A control: what codes do without learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.encoders.cells import cell_means
from rl_discrete.encoders.config import EncoderConfig
from rl_discrete.encoders.fixed import FixedEncoder
from rl_discrete.encoders.observations import Observations, check_observations
from rl_discrete.encoders.restoring import check_state
from rl_discrete.latents.codes import Codes
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.seeding import derive_seed

_RESOLUTION = 2**10  # projections are whole multiples of 1 / 1,024


class SimHashEncoder(FixedEncoder):
    """Bits 1[w . x > 0] with Gaussian w (Charikar 2002; as keys of counts: Tang et al. 2017, arXiv 1611.04717).

    x is the image averaged to `simhash_size` less its mean in each channel, so that brightness does not decide every
    bit, or the vector as it is. On images everything is computed in whole numbers, exactly.

    Args:
        shape: of one observation, (C, H, W) or (D,).
        config: `simhash_bits` and `simhash_size`.
        seed: of the projections.
    """

    def __init__(self, shape: tuple[int, ...], config: EncoderConfig, seed: int) -> None:
        if min(config.simhash_bits, *config.simhash_size) < 1:
            raise UsageError(
                f"simhash_bits and simhash_size must be >= 1, got {config.simhash_bits} and {config.simhash_size}"
            )
        super().__init__(config.simhash_bits, 2)
        self._shape, self._config, self._seed = shape, config, seed
        rng = np.random.default_rng(derive_seed(seed, "encoder", "simhash"))
        inputs = self._inputs(np.zeros((1, *shape), np.uint8 if len(shape) == 3 else np.float32)).shape[1]
        self._projections = np.rint(rng.standard_normal((inputs, self.num_latents)) * _RESOLUTION)

    def codes(self, observations: Observations) -> Codes:
        check_observations(observations, self._shape)
        return (self._inputs(observations) @ self._projections > 0.0).astype(np.int64)

    def _inputs(self, observations: NDArray[Any]) -> NDArray[np.float64]:
        """What is projected, float64 (B, inputs); for images whole numbers whose products are exact."""
        if len(self._shape) == 1:
            return observations.astype(np.float64)
        means = cell_means(observations, self._config.simhash_size)
        pixels = means.shape[2] * means.shape[3]
        centred = means * pixels - means.sum((2, 3), keepdims=True)  # (B, C, h, w)
        inputs: NDArray[np.float64] = centred.reshape(len(centred), means.shape[1] * pixels).astype(np.float64)
        return inputs

    def state(self) -> dict[str, Tensor]:
        return {"projections": torch.from_numpy(self._projections.copy())}

    def load_state(self, state: dict[str, Tensor]) -> None:
        check_state(self.state(), state)
        self._projections = state["projections"].numpy().copy()

    def frozen_copy(self) -> SimHashEncoder:
        copy = SimHashEncoder(self._shape, self._config, self._seed)
        copy.load_state(self.state())
        return copy
