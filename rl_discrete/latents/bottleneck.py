"""The contract between an encoder's logits and discrete codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rl_discrete.latents.codes import check_sizes
from rl_discrete.runs.errors import UsageError


@dataclass(frozen=True)
class BottleneckOutput:
    """What a bottleneck makes of a batch of logits (B images, L latents).

    Attributes:
        features: float32 (B, L * feature_dim), what the decoder sees; differentiable in the logits.
        codes: int64 (B, L) in [0, K), without gradient. In training they are drawn with the bottleneck's noise, in
            evaluation they equal `discretize(logits)`.
        noisy_logits: float32 (B, L * logits_per_latent) after noise and temperature; in evaluation the logits.
        regularizer: float32 (B,), nats, to be added to the loss as it is; zeros where the method has none.
    """

    features: Tensor
    codes: Tensor
    noisy_logits: Tensor
    regularizer: Tensor


class Bottleneck(nn.Module, ABC):
    """Maps logits to codes and to decoder features, with gradients through both.

    Contract (executable in `tests/contracts/test_bottlenecks.py`), for every bottleneck, seed and logit in
    [-1e4, 1e4]:
    in evaluation mode `forward(logits).features == embed(discretize(logits))` and no noise is drawn; in training mode
    noise comes from `generator` alone, so the same generator state gives the same output; everything is finite.
    """

    feature_dim: int
    """Numbers per latent that the decoder sees."""
    logits_per_latent: int
    """Numbers per latent that the encoder emits."""

    def __init__(self, num_latents: int, num_categories: int) -> None:
        super().__init__()
        check_sizes(num_latents, num_categories)
        self.num_latents = num_latents
        self.num_categories = num_categories

    @property
    def num_logits(self) -> int:
        """Width of the encoder's output: L * logits_per_latent."""
        return self.num_latents * self.logits_per_latent

    @property
    def num_features(self) -> int:
        """Width of the decoder's input: L * feature_dim."""
        return self.num_latents * self.feature_dim

    def forward(self, logits: Tensor, generator: torch.Generator | None = None) -> BottleneckOutput:
        """Codes and features of a batch of logits (B, L * logits_per_latent).

        With noise in training mode (drawn from `generator`), without any in evaluation mode.
        """
        self._check_logits(logits)
        logits = logits.float()
        if self.training:
            return self._train_forward(logits, generator)
        codes = self.discretize(logits)
        return BottleneckOutput(self.embed(codes), codes, logits, logits.new_zeros(len(logits)))

    @abstractmethod
    def _train_forward(self, logits: Tensor, generator: torch.Generator | None) -> BottleneckOutput:
        """`forward` in training mode; logits float32 (B, L * logits_per_latent)."""

    @abstractmethod
    def discretize(self, logits: Tensor) -> Tensor:
        """Most likely codes, int64 (B, L), of logits (B, L * logits_per_latent): deterministic, no noise.

        Raises:
            UsageError: logits of another shape.
        """

    @abstractmethod
    def embed(self, codes: Tensor) -> Tensor:
        """Decoder features, float32 (B, L * feature_dim), of codes int64 (B, L) in [0, K).

        Raises:
            UsageError: codes of another shape, or no integers.
        """

    def anneal(self, progress: float) -> None:
        """Sets every schedule to `progress` of the training, in [0, 1]; nothing to do by default."""

    def _check_logits(self, logits: Tensor) -> None:
        if logits.ndim != 2 or logits.shape[1] != self.num_logits:
            raise UsageError(f"logits must have shape (B, {self.num_logits}), got {tuple(logits.shape)}")

    def _check_codes(self, codes: Tensor) -> None:
        if codes.ndim != 2 or codes.shape[1] != self.num_latents or codes.is_floating_point():
            raise UsageError(f"codes must be integers (B, {self.num_latents}), got {codes.dtype} {tuple(codes.shape)}")


class BitBottleneck(Bottleneck):
    """Bits from one logit each, 1 where it is > 0; the decoder sees (h, 1 - h), so that a zero bit is a signal too.

    Args:
        title: what the method is called in errors.
        num_latents: L.
        num_categories: 2, or the error that says so.

    Raises:
        UsageError: a size outside its range; a number of categories other than 2.
    """

    def __init__(self, title: str, num_latents: int, num_categories: int) -> None:
        super().__init__(num_latents, num_categories)
        if num_categories != 2:
            raise UsageError(f"{title} has 2 categories (bits), got {num_categories}: use Gumbel-softmax")
        self.feature_dim, self.logits_per_latent = 2, 1

    def discretize(self, logits: Tensor) -> Tensor:
        self._check_logits(logits)
        return (logits > 0).long()

    def embed(self, codes: Tensor) -> Tensor:
        self._check_codes(codes)
        return self._with_complement(codes.float())

    @staticmethod
    def _with_complement(bits: Tensor) -> Tensor:
        """(B, L) -> (B, L * 2) with (h, 1 - h) side by side."""
        return torch.stack((bits, 1.0 - bits), dim=-1).flatten(1)
