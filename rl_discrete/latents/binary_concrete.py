"""Binary concrete bottleneck: relaxed bits with logistic noise, and their KL divergence in logit space.

Sources: Maddison et al. 2017 (arXiv 1611.00712, appendix C) for the distribution and its density in logit space;
Corneil et al. 2018 (arXiv 1802.04325) for its use with a learned prior.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from rl_discrete.latents.bottleneck import BitBottleneck, BottleneckOutput
from rl_discrete.latents.config import BinaryConcreteConfig
from rl_discrete.runs.errors import UsageError

_SMALLEST_UNIFORM = 2.0**-24


def logistic_from_uniform(uniform: Tensor) -> Tensor:
    """Logistic(0, 1) noise log u - log(1 - u), float32, finite (within +-16.7) for every u in [0, 1]."""
    return torch.logit(uniform.float(), eps=_SMALLEST_UNIFORM)


def log_density(y: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """Log density, nats, of y = (logit + logistic noise) / temperature: the relaxed bit sigmoid(y) in logit space.

    Written with softplus, so that it is finite wherever its arguments are (log(1 + exp) would overflow).
    """
    centred = logits - temperature * y
    return math.log(temperature) + centred - 2.0 * F.softplus(centred)


class BinaryConcrete(BitBottleneck):
    """L bits from one logit each, the log-odds that the bit is 1.

    In training y = (logit + logistic noise) / temperature and the decoder sees (z, 1 - z) with z = sigmoid(y); the
    code is 1[y > 0], an exact sample of the bit. The regularizer is zero: the divergence needs a prior, which the
    model gives to `kl`.

    Raises:
        UsageError: a size or a setting outside its range; a number of categories other than 2.
    """

    def __init__(self, num_latents: int, num_categories: int = 2, config: BinaryConcreteConfig | None = None) -> None:
        super().__init__("binary concrete", num_latents, num_categories)
        self.config = config or BinaryConcreteConfig()
        _check(self.config)

    def kl(self, noisy_logits: Tensor, logits: Tensor, prior_logits: Tensor) -> Tensor:
        """KL(posterior || prior) estimated by the one sample that was drawn, (B,), nats, summed over bits.

        Both are binary concrete, the prior with its own temperature, and compared in logit space, where the densities
        stay finite. An estimate of a number >= 0 that may itself be below 0.

        Args:
            noisy_logits: the sample y (B, L), from `forward` in training mode.
            logits: log-odds (B, L) of the posterior that it was drawn from.
            prior_logits: log-odds of the prior, (B, L) or any shape that broadcasts to it.
        """
        posterior = log_density(noisy_logits, logits, self.config.temperature)
        prior = log_density(noisy_logits, prior_logits, self.config.prior_temperature)
        return (posterior - prior).sum(-1)

    def _train_forward(self, logits: Tensor, generator: torch.Generator | None) -> BottleneckOutput:
        uniform = torch.rand(logits.shape, generator=generator, device=logits.device)
        noisy = (logits + logistic_from_uniform(uniform)) / self.config.temperature
        codes = (noisy > 0).long()
        return BottleneckOutput(self._with_complement(noisy.sigmoid()), codes, noisy, logits.new_zeros(len(logits)))


def _check(config: BinaryConcreteConfig) -> None:
    for name in ("temperature", "prior_temperature"):
        value = getattr(config, name)
        if not (math.isfinite(value) and value > 0.0):
            raise UsageError(f"{name} must be > 0, got {value}")
