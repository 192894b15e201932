"""The contract of encoders, observations in and keys out, and the function that builds one by name."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.data.transition_batch import TransitionBatch
from rl_discrete.encoders.autoencoder import AutoencoderEncoder
from rl_discrete.encoders.config import ENCODERS, EncoderConfig
from rl_discrete.encoders.downsample import DownsampleEncoder
from rl_discrete.encoders.exact import ExactEncoder
from rl_discrete.encoders.networks import check_network
from rl_discrete.encoders.observations import Observations, check_shape
from rl_discrete.encoders.simhash import SimHashEncoder
from rl_discrete.encoders.vast import VastEncoder
from rl_discrete.latents.codes import Codes, Keys
from rl_discrete.runs.errors import UsageError


class Encoder(Protocol):
    """Turns observations into the keys of a table's rows.

    Contract (executable in `tests/contracts/test_encoders.py`): keys are deterministic, draw no noise, and do not
    depend on the rest of the batch (beyond float rounding at a boundary); all randomness comes from the seed given at
    construction and torch's global generator is never touched; an encoder restored by `load_state` goes on bit for
    bit; a frozen copy shares nothing with its origin, so that one thread may read it while another lets the origin
    learn.

    Attributes:
        num_latents: L.
        num_categories: K.
        key_words: uint64 words W of a key.
        trainable: whether `learn` does anything; controls and frozen copies refuse it.
    """

    @property
    def num_latents(self) -> int: ...
    @property
    def num_categories(self) -> int: ...
    @property
    def key_words(self) -> int: ...
    @property
    def trainable(self) -> bool: ...

    def codes(self, observations: Observations) -> Codes:
        """Codes int64 (B, L) in [0, K) of observations uint8 (B, C, H, W), newest frame first, or float32 (B, D).

        Raises:
            UsageError: observations of another shape or type.
            RunError: a vector that is not finite.
        """

    def encode(self, observations: Observations) -> Keys:
        """Keys uint64 (B, W): `pack(codes(observations), num_categories)`; errors as there."""

    def learn(self, batch: TransitionBatch) -> dict[str, float]:
        """One gradient step; what it cost, in nats per observation, under `loss` and the names of its summands.

        Raises:
            UsageError: the encoder learns nothing, or the batch does not fit.
            RunError: the loss is not finite; the weights are as they were.
        """

    def anneal(self, progress: float) -> None:
        """Sets every schedule (learning rate, temperature) to `progress` of the whole run, in [0, 1]."""

    def decode(self, keys: Keys) -> NDArray[np.uint8] | None:
        """Newest frames uint8 (B, C', H', W') that the keys stand for; None for controls and vectors."""

    def state(self) -> dict[str, Tensor]:
        """Everything that the configuration does not say: weights, optimiser, noise, schedules; all copies."""

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continues, exactly, from the `state()` of an encoder built with the same arguments.

        Raises:
            UsageError: the state of an encoder with other settings.
        """

    def frozen_copy(self) -> Encoder:
        """An encoder with the same codes now and for ever; it shares nothing with this one."""


def build_encoder(
    name: str,
    observation_shape: tuple[int, ...],
    num_actions: int,
    config: EncoderConfig | None = None,
    seed: int = 0,
    stack: int = 1,
) -> Encoder:
    """The encoder called `name`: vast, ish, gs, simhash, downsample or exact.

    Args:
        name: see `ENCODERS`.
        observation_shape: (C, H, W) with the frames of a stack in C, newest first, or (D,).
        num_actions: A >= 1.
        config: sizes and learning.
        seed: of weights, noise and projections.
        stack: frames in C.

    Raises:
        UsageError: an unknown name, a shape that is neither image nor vector, or a setting outside its range.
    """
    config = config or EncoderConfig()
    shape = tuple(observation_shape)
    if name not in ENCODERS:
        raise UsageError(f"the encoder must be one of {', '.join(ENCODERS)}, got {name!r}")
    check_shape(shape, stack)
    if num_actions < 1:
        raise UsageError(f"num_actions must be >= 1, got {num_actions}")
    check_network(config.network)
    if name == "vast":
        return VastEncoder(shape, num_actions, config, seed, stack)
    if name == "simhash":
        return SimHashEncoder(shape, config, seed)
    if name == "downsample":
        return DownsampleEncoder(shape, config, stack)
    if name == "exact":
        return ExactEncoder(shape)
    return AutoencoderEncoder(name, shape, num_actions, config, seed, stack)
