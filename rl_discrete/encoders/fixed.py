"""Encoders that learn nothing: what the controls and a frozen copy have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.data.transition_batch import TransitionBatch
from rl_discrete.encoders.code_network import CodeNetwork
from rl_discrete.encoders.observations import Observations
from rl_discrete.encoders.restoring import check_state
from rl_discrete.latents.codes import Codes, Keys, key_width, pack
from rl_discrete.runs.errors import UsageError


class FixedEncoder(ABC):
    """An encoder whose codes depend on nothing that it sees.

    Args:
        num_latents: L.
        num_categories: K.
    """

    trainable = False

    def __init__(self, num_latents: int, num_categories: int) -> None:
        self.num_latents, self.num_categories = num_latents, num_categories
        self.key_words = key_width(num_latents, num_categories)

    @abstractmethod
    def codes(self, observations: Observations) -> Codes:
        """Codes int64 (B, L)."""

    def encode(self, observations: Observations) -> Keys:
        return pack(self.codes(observations), self.num_categories)

    def learn(self, batch: TransitionBatch) -> NoReturn:
        raise UsageError(f"{type(self).__name__} learns nothing: train vast, ish or gs")

    def anneal(self, progress: float) -> None:  # noqa: B027 - nothing to do, and nothing to override
        """Nothing to do."""

    def decode(self, keys: Keys) -> NDArray[np.uint8] | None:
        return None

    def state(self) -> dict[str, Tensor]:
        """Where nothing is learned or drawn: the sizes alone, so that another encoder's state is refused."""
        return {"sizes": torch.zeros(self.num_latents, self.num_categories, dtype=torch.uint8)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        check_state(self.state(), state)


class FrozenEncoder(FixedEncoder):
    """A learned encoder as it was when it was copied."""

    def __init__(self, network: CodeNetwork) -> None:
        super().__init__(network.bottleneck.num_latents, network.bottleneck.num_categories)
        self._network = network

    def logits(self, observations: Observations) -> Tensor:
        """Logits float32 (B, L * logits_per_latent) that the codes are read from."""
        return self._network.logits(observations)

    def codes(self, observations: Observations) -> Codes:
        return self._network.codes(observations)

    def decode(self, keys: Keys) -> NDArray[np.uint8] | None:
        return self._network.decode(keys)

    def state(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self._network.state_dict().items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        check_state(self.state(), state)
        self._network.load_state_dict(state)

    def frozen_copy(self) -> FrozenEncoder:
        return FrozenEncoder(deepcopy(self._network))
