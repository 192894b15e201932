"""Gumbel-softmax bottleneck with four gradient estimators.

Sources: Jang et al. 2016 (arXiv 1611.01144) for `relaxed` and `straight_through`, Paulus et al. 2020 (arXiv
2010.04838) for `gumbel_rao`, Liu et al. 2023 (arXiv 2304.08612) for `reinmax`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from rl_discrete.latents.bottleneck import Bottleneck, BottleneckOutput
from rl_discrete.latents.config import GumbelSoftmaxConfig
from rl_discrete.runs.errors import UsageError

_SMALLEST = torch.finfo(torch.float32).tiny
_LARGEST = 1.0 - 2.0**-24  # the float32 below 1


def exponential_from_uniform(uniform: Tensor) -> Tensor:
    """Exp(1) noise -log(u), finite and > 0 for every u in [0, 1], float32."""
    return -torch.log(uniform.float().clamp(_SMALLEST, _LARGEST))


def gumbel_from_uniform(uniform: Tensor) -> Tensor:
    """Gumbel(0, 1) noise -log(-log(u)), finite for every u in [0, 1], float32."""
    return -torch.log(exponential_from_uniform(uniform))


class GumbelSoftmax(Bottleneck):
    """L categorical latents of K categories each, sampled by the Gumbel-max trick.

    The encoder emits K logits per latent, the decoder sees (relaxed) one-hot vectors. Codes in training are exact
    samples of the posterior, whatever the estimator. The regularizer is beta * sum over latents of
    max(KL(q || uniform), free_nats).

    Raises:
        UsageError: a size or a setting outside its range, among them a temperature <= 0.
    """

    def __init__(self, num_latents: int, num_categories: int, config: GumbelSoftmaxConfig | None = None) -> None:
        super().__init__(num_latents, num_categories)
        self.config = config or GumbelSoftmaxConfig()
        _check(self.config)
        self.feature_dim = self.logits_per_latent = num_categories
        self.anneal(0.0)

    def anneal(self, progress: float) -> None:
        """Temperature start * (end / start) ** (progress / anneal_until), exactly `end` from there on.

        Beta moves linearly from `beta_start` to `beta`, exactly `beta` from `beta_until` on.
        """
        config = self.config
        share = min(progress / config.anneal_until, 1.0)
        ratio = config.temperature_end / config.temperature_start
        self.temperature = config.temperature_end if share >= 1.0 else config.temperature_start * ratio**share
        moved = min(progress / config.beta_until, 1.0) if config.beta_until > 0.0 else 1.0
        self.beta = config.beta_start + (config.beta - config.beta_start) * moved if moved < 1.0 else config.beta

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Posterior log-probabilities, float32 (B, L, K), in nats, with the uniform mix."""
        log_p = logits.float().view(-1, self.num_latents, self.num_categories).log_softmax(-1)
        mix = self.config.uniform_mix
        if mix == 0.0:
            return log_p
        uniform = torch.full_like(log_p, math.log(mix / self.num_categories))
        return torch.logaddexp(log_p + math.log1p(-mix), uniform)

    def kl_to_uniform(self, log_p: Tensor) -> Tensor:
        """KL(q || uniform) per latent, (B, L), in nats, in [0, ln K], of log-probabilities (B, L, K)."""
        return (log_p.exp() * log_p).sum(-1) + math.log(self.num_categories)

    def discretize(self, logits: Tensor) -> Tensor:
        self._check_logits(logits)
        return logits.view(-1, self.num_latents, self.num_categories).argmax(-1)

    def embed(self, codes: Tensor) -> Tensor:
        self._check_codes(codes)
        return F.one_hot(codes, self.num_categories).float().flatten(1)  # (B, L * K)

    def _train_forward(self, logits: Tensor, generator: torch.Generator | None) -> BottleneckOutput:
        log_p = self.log_probabilities(logits)
        uniform = torch.rand(log_p.shape, generator=generator, device=log_p.device)
        noisy = log_p + gumbel_from_uniform(uniform)
        codes = noisy.argmax(-1).detach()
        features = self._features(log_p, noisy, codes, generator)
        kl = self.kl_to_uniform(log_p).clamp(min=self.config.free_nats)
        scaled = noisy / self.temperature
        return BottleneckOutput(features.flatten(1), codes, scaled.flatten(1), self.beta * kl.sum(-1))

    def _features(self, log_p: Tensor, noisy: Tensor, codes: Tensor, generator: torch.Generator | None) -> Tensor:
        """What the decoder sees, (B, L, K): relaxed, or hard with the estimator's gradient."""
        estimator = self.config.estimator
        if estimator == "relaxed":
            return (noisy / self.temperature).softmax(-1)
        hard = F.one_hot(codes, self.num_categories).float()
        if estimator == "straight_through":
            surrogate = (noisy / self.temperature).softmax(-1)
        elif estimator == "gumbel_rao":
            surrogate = self._rao_blackwellised(log_p, hard, generator)
        else:
            surrogate = self._reinmax(log_p, hard)
        return hard + (surrogate - surrogate.detach())

    def _rao_blackwellised(self, log_p: Tensor, hard: Tensor, generator: torch.Generator | None) -> Tensor:
        """Mean relaxed sample given that the argmax is `hard` (Paulus et al. 2020, equation 11), (B, L, K).

        With probabilities that sum to 1, the winner's Gumbel is -log E_w and a loser's -log(E_j / p_j + E_w), E
        exponential; written with logaddexp so that it is finite for p_j = exp(-1e4).
        """
        shape = (self.config.rao_samples, *log_p.shape)
        uniform = torch.rand(shape, generator=generator, device=log_p.device)
        log_e = exponential_from_uniform(uniform).log()
        winner = (log_e * hard).sum(-1, keepdim=True)
        fixed = log_p.detach()
        conditional = torch.where(hard.bool(), -winner, -torch.logaddexp(log_e - fixed, winner))
        noisy = log_p + (conditional - fixed)
        return (noisy / self.temperature).softmax(-1).mean(0)

    def _reinmax(self, log_p: Tensor, hard: Tensor) -> Tensor:
        """Second-order surrogate (Liu et al. 2023, algorithm 2), (B, L, K)."""
        mean = 0.5 * (hard + (log_p / self.temperature).softmax(-1))
        shift = (mean.clamp(min=_SMALLEST).log() - log_p).detach()
        return 2.0 * (shift + log_p).softmax(-1) - 0.5 * log_p.softmax(-1)


def _check(config: GumbelSoftmaxConfig) -> None:
    for name in ("temperature_start", "temperature_end"):
        value = getattr(config, name)
        if not (math.isfinite(value) and value > 0.0):
            raise UsageError(f"{name} must be > 0, got {value}")
    if not 0.0 < config.anneal_until <= 1.0:
        raise UsageError(f"anneal_until must be in (0, 1], got {config.anneal_until}")
    if not 0.0 <= config.beta_until <= 1.0:
        raise UsageError(f"beta_until must be in [0, 1], got {config.beta_until}")
    for name in ("beta", "beta_start", "free_nats"):
        value = getattr(config, name)
        if not 0.0 <= value < math.inf:
            raise UsageError(f"{name} must be >= 0 and finite, got {value}")
    if not 0.0 <= config.uniform_mix < 1.0:
        raise UsageError(f"uniform_mix must be in [0, 1), got {config.uniform_mix}")
    if config.rao_samples < 1:
        raise UsageError(f"rao_samples must be >= 1, got {config.rao_samples}")
    if config.estimator not in ("relaxed", "straight_through", "gumbel_rao", "reinmax"):
        raise UsageError(
            f"estimator must be relaxed, straight_through, gumbel_rao or reinmax, got {config.estimator!r}"
        )
