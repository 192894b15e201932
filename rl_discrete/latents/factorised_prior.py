"""Independent latents whose logits are linear in a context."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rl_discrete.latents.prior import (
    LOWEST_TEMPERATURE,
    Prior,
    Sampler,
    below_one,
    check_matrix,
    check_temperature,
    invert_cdf,
)
from rl_discrete.runs.errors import UsageError


class FactorisedPrior(Prior):
    """p(codes | context) = product over latents of p(latent | context), logits linear in the context.

    Its parameters are log-odds against category 0, whose logit is 0: a bit has one logit. Without a context the
    latents have fixed, fitted marginals.

    Args:
        num_latents: L.
        num_categories: K.
        context_dim: width of the context; 0 for an unconditional prior.

    Raises:
        UsageError: sizes outside their range.
    """

    def __init__(self, num_latents: int, num_categories: int, context_dim: int = 0) -> None:
        super().__init__(num_latents, num_categories)
        if context_dim < 0:
            raise UsageError(f"context_dim must be >= 0, got {context_dim}")
        self.noise_dim = num_latents
        self.context_dim = context_dim
        size = num_latents * (num_categories - 1)
        self.bias = nn.Parameter(torch.zeros(size))
        self.from_context = nn.Linear(context_dim, size, bias=False) if context_dim > 0 else None

    def log_odds(self, context: Tensor | None = None) -> Tensor:
        """Logits (B, L, K - 1) of categories 1 to K - 1 against category 0; one row (1, L, K - 1) without a context.

        context: float32 (B, context_dim).

        Raises:
            UsageError: a context of another shape.
        """
        odds = self.bias.unsqueeze(0)
        if self.from_context is not None:
            odds = F.linear(
                check_matrix("context", context, None, self.context_dim), self.from_context.weight, self.bias
            )
        return odds.view(len(odds), self.num_latents, self.num_categories - 1)

    def logits(self, context: Tensor | None = None) -> Tensor:
        """Logits (B, L, K), not normalised, that of category 0 being 0; rows and errors as for `log_odds`."""
        return F.pad(self.log_odds(context), (1, 0))

    def loss(
        self,
        codes: Tensor,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
        targets: Tensor | None = None,
    ) -> Tensor:
        """-log_prob (B,), nats; with `targets` the cross-entropy to them in place of the codes.

        Args:
            codes: int64 (B, L).
            context: float32 (B, context_dim) for a conditional prior.
            generator: not used: nothing here is random.
            targets: float32 (B, L, K - 1), probabilities of categories 1 to K - 1 (of a bit: that it is 1).
        """
        check_targets(targets, (len(codes), self.num_latents, self.num_categories - 1))
        if targets is None:
            targets = codes.unsqueeze(-1) == torch.arange(1, self.num_categories, device=codes.device)
        if self.from_context is not None:
            check_matrix("context", context, len(codes), self.context_dim)
        odds = self.log_odds(context)
        log_totals = F.softplus(odds[..., 0]) if self.num_categories == 2 else F.pad(odds, (1, 0)).logsumexp(-1)
        return (log_totals - (odds * targets).sum(-1)).sum(-1)

    def _log_prob(self, codes: Tensor, context: Tensor | None) -> Tensor:
        return -self.loss(codes, context)

    def _sample(self, noise: Tensor, context: Tensor | None, temperature: float) -> Tensor:
        if self.from_context is not None:
            check_matrix("context", context, len(noise), self.context_dim)
        return invert_cdf(self.logits(context).expand(len(noise), -1, -1), noise, temperature)

    def sampler(self) -> Sampler:
        """Fast sampling with the present weights, for imagined steps."""
        return _BitSampler(self) if self.num_categories == 2 else super().sampler()


class _BitSampler:
    """Bits by one comparison each, in float32: what `FactorisedPrior.sample` gives, but for draws at a boundary."""

    @torch.no_grad()
    def __init__(self, prior: FactorisedPrior) -> None:
        self._noise_dim, self._context_dim = prior.noise_dim, prior.context_dim
        self._bias = prior.bias.clone()
        self._map = (
            None
            if prior.from_context is None
            else prior.from_context.weight.T.clone(memory_format=torch.contiguous_format)
        )

    @torch.no_grad()
    def __call__(self, noise: Tensor, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        check_temperature(temperature)
        check_matrix("noise", noise, None, self._noise_dim)
        log_odds = self._bias.expand(len(noise), -1)
        if self._map is not None:
            log_odds = torch.addmm(
                self._bias, check_matrix("context", context, len(noise), self._context_dim), self._map
            )
        if temperature == 0.0:
            return (log_odds > 0.0).long()
        zeros = torch.sigmoid(log_odds * (-1.0 / max(temperature, LOWEST_TEMPERATURE)))
        return (below_one(noise) >= zeros).long()


def check_targets(targets: Tensor | None, shape: tuple[int, int, int]) -> None:
    """Raises UsageError unless soft targets are absent or have the shape (B, L, K - 1)."""
    if targets is not None and targets.shape != shape:
        raise UsageError(f"targets must have shape {shape}, got {tuple(targets.shape)}")
