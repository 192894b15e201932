"""Distributions over codes: the contract, and the two priors without memory."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rl_discrete.latents.codes import check_sizes
from rl_discrete.runs.errors import UsageError

LOWEST_TEMPERATURE = 1e-30  # two float32 logits of ordinary size differ by more


class Sampler(Protocol):
    """A prior whose weights stand still."""

    def __call__(self, noise: Tensor, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Codes int64 (B, L) of noise float32 (B, noise_dim), by inverse CDF; the rest as for `Prior.sample`."""


class Prior(nn.Module, ABC):
    """A distribution p(codes | context) over codes int64 (B, L) with K categories each.

    Contract (executable in `tests/contracts/test_priors.py`): probabilities sum to 1 over all K ** L codes;
    `sample` follows exp(log_prob) at temperature 1 and is a deterministic function of `noise`. A prior built without
    context ignores `context`.
    """

    noise_dim: int
    """Uniform numbers that one sample takes: one per chunk of latents drawn jointly."""

    def __init__(self, num_latents: int, num_categories: int) -> None:
        super().__init__()
        check_sizes(num_latents, num_categories)
        self.num_latents = num_latents
        self.num_categories = num_categories

    def log_prob(self, codes: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-probability (B,) of codes (B, L), in nats, summed over every position; without dropout in any mode.

        context: float32 (B, context_dim), one row per code, for a conditional prior.

        Raises:
            UsageError: codes of another shape or outside [0, K), or a context of another shape.
        """
        check_codes(codes, self.num_latents, self.num_categories)
        return self._log_prob(codes, context)

    @abstractmethod
    def _log_prob(self, codes: Tensor, context: Tensor | None) -> Tensor:
        """`log_prob` of codes that are known to be good."""

    @torch.no_grad()
    def sample(
        self,
        num_samples: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Codes int64 (num_samples, L), drawn by inverse CDF.

        Args:
            num_samples: how many; with a context, its number of rows.
            context: float32 (num_samples, context_dim) for a conditional prior.
            temperature: divides the logits of each chunk, >= 0; 0 takes the likeliest symbol of each chunk, the first
                of equals, whatever the noise.
            noise: float32 (num_samples, noise_dim), uniform in (0, 1); drawn from `generator` when not given.
            generator: source of the noise.

        Raises:
            UsageError: temperature < 0 or infinite, no samples, or noise or context of another size.
        """
        check_temperature(temperature)
        if num_samples < 1:
            raise UsageError(f"num_samples must be >= 1, got {num_samples}")
        if noise is None:
            device = self.device if generator is None else generator.device
            noise = torch.rand((num_samples, self.noise_dim), generator=generator, device=device)
        check_matrix("noise", noise, num_samples, self.noise_dim)
        if context is not None and len(context) != num_samples:
            raise UsageError(f"context must have {num_samples} rows, one per sample, got {len(context)}")
        return self._sample(noise, context, temperature)

    @abstractmethod
    def _sample(self, noise: Tensor, context: Tensor | None, temperature: float) -> Tensor:
        """Codes (N, L) of noise (N, noise_dim)."""

    def sampler(self) -> Sampler:
        """The samples of the prior with its present weights, without dropout and as fast as can be.

        Under the same noise its codes are those of `sample` except where a draw lies within 1e-5 of a boundary between
        two symbols. What becomes of the weights later does not reach it: take a new one after each change.
        """
        frozen = copy.deepcopy(self).requires_grad_(False)

        def sample(noise: Tensor, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
            return frozen.sample(len(noise), context, temperature, noise)

        return sample

    @property
    def device(self) -> torch.device:
        return next(iter([*self.parameters(), *self.buffers()]), torch.empty(0)).device


def check_temperature(temperature: float) -> None:
    """Raises UsageError unless a temperature is >= 0 and finite."""
    if not 0.0 <= temperature < math.inf:
        raise UsageError(f"temperature must be >= 0 and finite, got {temperature}")


def check_matrix(name: str, matrix: Tensor | None, num_rows: int | None, width: int) -> Tensor:
    """The matrix, if its shape is (num_rows, width), with any number of rows where `num_rows` is None.

    Raises:
        UsageError: none, or one of another shape.
    """
    rows = "B" if num_rows is None else num_rows
    if matrix is None or matrix.ndim != 2 or matrix.shape[1] != width or rows not in ("B", len(matrix)):
        got = None if matrix is None else tuple(matrix.shape)
        raise UsageError(f"{name} must have shape ({rows}, {width}), got {got}")
    return matrix


def check_codes(codes: Tensor, num_latents: int, num_categories: int) -> None:
    """Raises UsageError unless codes are integers (B, num_latents) in [0, num_categories)."""
    if codes.ndim != 2 or codes.shape[1] != num_latents or codes.is_floating_point():
        raise UsageError(f"codes must be integers (B, {num_latents}), got {codes.dtype} {tuple(codes.shape)}")
    if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < num_categories:
        raise UsageError(
            f"codes must be between 0 and {num_categories - 1}, got values from {int(codes.min())} to "
            f"{int(codes.max())}: check num_categories"
        )


def below_one(noise: Tensor) -> Tensor:
    """Noise in float32 and at most 1 - 2 ** -23: times a float32 total, it is below the total."""
    return noise.float().clamp(max=1.0 - 2.0**-23)


def invert_cdf(logits: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
    """Index int64 (...) of the category of softmax(logits (..., V) / temperature) where its CDF passes `uniform` (...).

    `uniform` 0 gives the first and 1 the last category whose probability is not 0. However low the temperature, the
    largest logit stays finite and so becomes the only category. At temperature 0 it is that, whatever `uniform`.
    """
    if temperature == 0.0:
        return logits.argmax(-1)
    below = logits - logits.amax(-1, keepdim=True)  # <= 0, so that a division by little cannot give inf - inf
    cdf = (below / max(temperature, LOWEST_TEMPERATURE)).softmax(-1).double().cumsum(-1)
    total = cdf[..., -1:]
    level = torch.minimum(uniform.double().unsqueeze(-1) * total, torch.nextafter(total, torch.zeros_like(total)))
    return (cdf <= level).sum(-1)


class UniformPrior(Prior):
    """Every code is equally likely: log p = -L ln K. The "fair coins" baseline."""

    def __init__(self, num_latents: int, num_categories: int) -> None:
        super().__init__(num_latents, num_categories)
        self.noise_dim = num_latents

    def _log_prob(self, codes: Tensor, context: Tensor | None) -> Tensor:
        return torch.full((len(codes),), -self.num_latents * math.log(self.num_categories), device=codes.device)

    def _sample(self, noise: Tensor, context: Tensor | None, temperature: float) -> Tensor:
        if temperature == 0.0:
            return torch.zeros(noise.shape, dtype=torch.int64, device=noise.device)
        return (noise * self.num_categories).long().clamp(max=self.num_categories - 1)


class IndependentPrior(Prior):
    """Independent latents with given marginals.

    Args:
        log_marginals: float32 (L, K), log-probabilities of each latent's categories; normalised on entry.
    """

    log_marginals: Tensor

    def __init__(self, log_marginals: Tensor) -> None:
        if log_marginals.ndim != 2:
            raise UsageError(f"log_marginals must have shape (L, K), got {tuple(log_marginals.shape)}")
        super().__init__(*log_marginals.shape)
        self.noise_dim = self.num_latents
        self.register_buffer("log_marginals", log_marginals.float().log_softmax(-1))

    @classmethod
    def from_codes(cls, codes: Tensor, num_categories: int) -> IndependentPrior:
        """Empirical marginals of codes (N, L), each category counted once more so that none has probability 0.

        Raises:
            UsageError: not integers (N, L) in [0, K), or no latent.
        """
        check_codes(codes, codes.shape[-1], num_categories)
        counts = F.one_hot(codes, num_categories).sum(0).double() + 1.0
        return cls(counts.log().float())

    def _log_prob(self, codes: Tensor, context: Tensor | None) -> Tensor:
        table = self.log_marginals.expand(len(codes), -1, -1)
        return table.gather(-1, codes.unsqueeze(-1)).squeeze(-1).sum(-1)

    def _sample(self, noise: Tensor, context: Tensor | None, temperature: float) -> Tensor:
        return invert_cdf(self.log_marginals.expand(len(noise), -1, -1), noise, temperature)
