"""Chunks of latents as symbols: codes to symbols and back, and what latents say one by one said of whole chunks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rl_discrete.runs.errors import UsageError

MAX_SYMBOLS = 4096
_COMFORTABLE_SYMBOLS = 256


class Chunks(nn.Module):
    """Latents taken `size` at a time: a chunk is one symbol of K ** size; the last chunk may be short.

    The first latent of a chunk counts least. Symbols that a short last chunk lacks are the highest ones.

    Args:
        num_latents: L.
        num_categories: K.
        wanted: latents per chunk; None: as many as fit in 256 symbols.

    Raises:
        UsageError: a chunk below 1, or K ** chunk above 4,096.
    """

    _powers: Tensor

    def __init__(self, num_latents: int, num_categories: int, wanted: int | None) -> None:
        super().__init__()
        self.num_latents, self.num_categories = num_latents, num_categories
        self.size = _chunk_size(wanted, num_latents, num_categories)
        self.count = -(-num_latents // self.size)
        self.num_symbols: int = num_categories**self.size
        self.missing = self.count * self.size - num_latents
        self.last_symbols: int = num_categories ** (self.size - self.missing)
        powers = torch.tensor([num_categories**place for place in range(self.size)])
        self.register_buffer("_powers", powers, persistent=False)

    def symbols(self, codes: Tensor) -> Tensor:
        """Symbol per chunk, int64 (B, count), of codes (B, L)."""
        if codes.ndim != 2 or codes.shape[1] != self.num_latents:
            raise UsageError(f"codes must have shape (B, {self.num_latents}), got {tuple(codes.shape)}")
        padded = nn.functional.pad(codes, (0, self.missing))
        return (padded.view(len(codes), self.count, self.size) * self._powers).sum(-1)

    def codes(self, symbols: Tensor) -> Tensor:
        """Inverse of `symbols`."""
        latents = symbols.unsqueeze(-1) // self._powers % self.num_categories  # (B, count, size)
        return latents.flatten(1)[:, : self.num_latents]

    def digits(self) -> Tensor:
        """The latents of every symbol, int64 (num_symbols, size)."""
        symbols = torch.arange(self.num_symbols, device=self._powers.device)
        return symbols.unsqueeze(-1) // self._powers % self.num_categories

    def members(self) -> Tensor:
        """Whether a latent of a symbol has a category, bool (size * (K - 1), num_symbols); category 0 is left out."""
        categories = torch.arange(1, self.num_categories, device=self._powers.device)
        return (self.digits().T.unsqueeze(1) == categories.unsqueeze(1)).flatten(0, 1)

    def sums(self, logits: Tensor) -> Tensor:
        """Sums (count, B, num_symbols) of what each latent of a symbol contributes, (B, L, K): logits of a product."""
        return self._joint(nn.functional.pad(logits, (0, 0, 0, self.missing)), torch.add)

    def products(self, probabilities: Tensor) -> Tensor:
        """Probabilities (count, B, num_symbols) of symbols whose latents are independent, each with its (B, L, K).

        Symbols that a short last chunk lacks get 0.
        """
        padded = nn.functional.pad(probabilities, (0, 0, 0, self.missing))
        padded[:, self.num_latents :, 0] = 1.0
        return self._joint(padded, torch.mul)

    def _joint(self, padded: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Outer combination over the latents of each chunk, (count, B, num_symbols), of values (B, count * size, K)."""
        latents = (
            padded.reshape(len(padded), self.count, self.size, self.num_categories).transpose(0, 1).unbind(2)
        )  # size times (count, B, K)
        joint = latents[0]
        for latent in latents[1:]:
            joint = combine(latent.unsqueeze(-1), joint.unsqueeze(-2)).flatten(-2)
        return joint


def _chunk_size(wanted: int | None, num_latents: int, num_categories: int) -> int:
    largest = _largest_chunk(num_categories, MAX_SYMBOLS)
    if largest == 0:
        raise UsageError(f"the LSTM prior takes at most {MAX_SYMBOLS:,} categories, got {num_categories:,}")
    if wanted is None:
        return max(1, min(num_latents, _largest_chunk(num_categories, _COMFORTABLE_SYMBOLS)))
    if wanted < 1:
        raise UsageError(f"chunk must be >= 1, got {wanted}")
    if wanted > largest:
        raise UsageError(
            f"chunk {wanted} makes {num_categories}**{wanted} symbols, more than {MAX_SYMBOLS:,}: use a chunk of at "
            f"most {largest}"
        )
    return min(wanted, num_latents)


def _largest_chunk(num_categories: int, limit: int) -> int:
    chunk = 0
    while num_categories ** (chunk + 1) <= limit:
        chunk += 1
    return chunk
