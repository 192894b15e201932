"""Improved semantic hashing bottleneck (Kaiser and Bengio 2018, arXiv 1801.09797, section 2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rl_discrete.latents.bottleneck import BitBottleneck, BottleneckOutput
from rl_discrete.latents.config import SemanticHashingConfig
from rl_discrete.runs.errors import UsageError


def saturating_sigmoid(x: Tensor) -> Tensor:
    """max(0, min(1, 1.2 * sigmoid(x) - 0.1)): exactly 0 or 1, and flat, beyond |x| = ln 11."""
    return (1.2 * torch.sigmoid(x) - 0.1).clamp(0.0, 1.0)


class SemanticHashing(BitBottleneck):
    """L bits from one logit each: noise, saturating sigmoid, and rounding of a random half of the bits.

    In training each bit is seen by the decoder either as sat(v) or, with probability `hard_share`, as 1[v > 0] with
    the gradient of sat(v), where v = logit + noise. The mix is drawn per bit as in Tensor2Tensor (the paper draws it
    per batch). The decoder sees (h, 1 - h), so that a zero bit is a signal too (the paper's e1[h] + e2[1 - h]).

    Raises:
        UsageError: a size or a setting outside its range; a number of categories other than 2.
    """

    def __init__(self, num_latents: int, num_categories: int = 2, config: SemanticHashingConfig | None = None) -> None:
        super().__init__("semantic hashing", num_latents, num_categories)
        self.config = config or SemanticHashingConfig()
        _check(self.config)
        self.anneal(0.0)

    def anneal(self, progress: float) -> None:
        """Share of rounded bits: 0 at the start, `hard_share` from `hard_warmup` of the training on."""
        warm = min(progress / self.config.hard_warmup, 1.0) if self.config.hard_warmup > 0.0 else 1.0
        self.hard_share = self.config.hard_share * warm

    def _train_forward(self, logits: Tensor, generator: torch.Generator | None) -> BottleneckOutput:
        noise = torch.randn(logits.shape, generator=generator, device=logits.device)
        noisy = logits + self.config.noise * noise
        soft = saturating_sigmoid(noisy)
        hard = (noisy > 0).float()
        rounded = self._bernoulli(self.hard_share, logits, generator)
        bits = torch.where(rounded, hard + (soft - soft.detach()), soft)
        if self.config.flip_probability > 0.0:
            flipped = self._bernoulli(self.config.flip_probability, logits, generator)
            bits = torch.where(flipped, 1.0 - bits, bits)
        return BottleneckOutput(self._with_complement(bits), hard.long(), noisy, logits.new_zeros(len(logits)))

    @staticmethod
    def _bernoulli(probability: float, like: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.rand(like.shape, generator=generator, device=like.device) < probability


def _check(config: SemanticHashingConfig) -> None:
    if not 0.0 <= config.noise < math.inf:
        raise UsageError(f"noise must be >= 0 and finite, got {config.noise}")
    if not 0.0 <= config.hard_share <= 1.0:
        raise UsageError(f"hard_share must be in [0, 1], got {config.hard_share}")
    if not 0.0 <= config.hard_warmup <= 1.0:
        raise UsageError(f"hard_warmup must be in [0, 1], got {config.hard_warmup}")
    if not 0.0 <= config.flip_probability < 0.5:
        raise UsageError(f"flip_probability must be in [0, 0.5), got {config.flip_probability}")
