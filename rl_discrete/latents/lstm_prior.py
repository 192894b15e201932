"""Autoregressive prior: an LSTM over chunks of latents.

The idea is Tensor2Tensor's prediction of bits with an LSTM, 8 bits at a time (Kaiser and Bengio 2018, arXiv 1801.09797;
SimPLe, Kaiser et al. 2019, arXiv 1903.00374), with a learned start token, so that every chunk has its probability.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_discrete.latents.config import LSTMPriorConfig
from rl_discrete.latents.prior import Prior, invert_cdf
from rl_discrete.runs.errors import UsageError

MAX_SYMBOLS = 4096
_COMFORTABLE_SYMBOLS = 256

State = tuple[Tensor, Tensor]


class LSTMPrior(Prior):
    """p(codes | context) = product over chunks of p(chunk | earlier chunks, context).

    A chunk of c latents is one symbol of K ** c; the last chunk may be short. Embeddings and output layers
    belong to a position, since latent i means the same in every code and something else than latent j. The first input
    is a learned start token; the initial state is learned or, with `context_dim` > 0, a linear map of the context.

    Args:
        num_latents: L.
        num_categories: K.
        config: sizes.
        context_dim: width of the context; 0 for an unconditional prior.

    Raises:
        UsageError: sizes outside their range, or K ** chunk above 4,096.
    """

    def __init__(
        self,
        num_latents: int,
        num_categories: int,
        config: LSTMPriorConfig | None = None,
        context_dim: int = 0,
    ) -> None:
        super().__init__(num_latents, num_categories)
        config = config or LSTMPriorConfig()
        _check(config)
        self.chunk = _chunk_size(config.chunk, num_latents, num_categories)
        self.num_symbols: int = num_categories**self.chunk
        self.noise_dim = self.num_chunks = -(-num_latents // self.chunk)
        self.dropout = config.dropout
        self.context_dim = context_dim
        last = num_latents - (self.num_chunks - 1) * self.chunk
        self.last_symbols: int = num_categories**last
        self.embedding = nn.Embedding((self.num_chunks - 1) * self.num_symbols + 1, config.embedding)
        self.lstm = nn.LSTM(config.embedding, config.hidden, config.layers)
        self.heads = nn.Parameter(torch.empty(self.num_chunks, config.hidden, self.num_symbols))
        self.biases = nn.Parameter(torch.zeros(self.num_chunks, 1, self.num_symbols))
        nn.init.normal_(self.heads, std=0.5 / config.hidden**0.5)
        size = 2 * config.layers * config.hidden
        self.initial = nn.Parameter(torch.zeros(size))
        self.from_context = nn.Linear(context_dim, size, bias=False) if context_dim > 0 else None
        powers = torch.tensor([num_categories**place for place in range(self.chunk)])
        self.register_buffer("_powers", powers, persistent=False)
        forbidden = torch.zeros(self.num_chunks, 1, self.num_symbols)
        forbidden[-1, :, self.last_symbols :] = -torch.inf
        self.register_buffer("_forbidden", forbidden, persistent=False)

    _powers: Tensor
    _forbidden: Tensor

    def _log_prob(self, codes: Tensor, context: Tensor | None) -> Tensor:
        symbols = self.symbols(codes)
        return -self._nats(*self._hidden(symbols, context), symbols)

    def loss(self, codes: Tensor, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """-log_prob (B,), nats, with dropout drawn from `generator` in training mode."""
        symbols = self.symbols(codes)
        first, later = self._hidden(symbols, context)
        if self.training and self.dropout > 0.0:
            hidden = torch.cat((first.expand(1, len(symbols), -1), later))
            keep = torch.rand(hidden.shape, generator=generator, device=hidden.device) >= self.dropout
            first, later = (hidden * keep / (1.0 - self.dropout)).split((1, self.num_chunks - 1))
        return self._nats(first, later, symbols)

    def logits(self, codes: Tensor, context: Tensor | None = None) -> Tensor:
        """Teacher-forced logits (B, num_chunks, num_symbols); -inf for symbols that a short last chunk lacks."""
        first, later = self._hidden(self.symbols(codes), context)
        hidden = torch.cat((first.expand(1, len(codes), -1), later))
        return self._logits(hidden, slice(None)).transpose(0, 1)

    def symbols(self, codes: Tensor) -> Tensor:
        """Symbol per chunk, int64 (B, num_chunks), of codes (B, L); the first latent of a chunk counts least."""
        if codes.ndim != 2 or codes.shape[1] != self.num_latents:
            raise UsageError(f"codes must have shape (B, {self.num_latents}), got {tuple(codes.shape)}")
        missing = self.num_chunks * self.chunk - self.num_latents
        padded = nn.functional.pad(codes, (0, missing))
        return (padded.view(len(codes), self.num_chunks, self.chunk) * self._powers).sum(-1)

    def codes(self, symbols: Tensor) -> Tensor:
        """Inverse of `symbols`."""
        latents = symbols.unsqueeze(-1) // self._powers % self.num_categories  # (B, num_chunks, chunk)
        return latents.flatten(1)[:, : self.num_latents]

    def initial_state(self, num_rows: int, context: Tensor | None = None) -> State:
        """LSTM state (layers, num_rows, hidden) before the first chunk."""
        flat = self.initial.expand(num_rows, -1)
        if self.from_context is not None:
            if context is None or context.shape != (num_rows, self.context_dim):
                got = None if context is None else tuple(context.shape)
                raise UsageError(f"context must have shape {(num_rows, self.context_dim)}, got {got}")
            flat = flat + self.from_context(context)
        shape = (num_rows, 2, self.lstm.num_layers, self.lstm.hidden_size)
        hidden, cell = flat.view(shape).permute(1, 2, 0, 3)
        return hidden.contiguous(), cell.contiguous()

    def step(self, position: int, previous: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Logits (B, num_symbols) of the chunk at `position` given the symbol (B,) before it, and the next state."""
        if previous is None:
            index = torch.zeros(state[0].shape[1], dtype=torch.int64, device=self.device)
        else:
            index = previous + 1 + (position - 1) * self.num_symbols
        hidden, state = self.lstm(self.embedding(index).unsqueeze(0), state)
        logits = torch.addmm(self.biases[position] + self._forbidden[position], hidden[0], self.heads[position])
        return logits, state

    def _sample(self, noise: Tensor, context: Tensor | None, temperature: float) -> Tensor:
        state = self.initial_state(len(noise), context)
        symbols: list[Tensor] = []
        for position in range(self.num_chunks):
            logits, state = self.step(position, symbols[-1] if symbols else None, state)
            symbols.append(invert_cdf(logits, noise[:, position], temperature))
        return self.codes(torch.stack(symbols, dim=1))

    def _hidden(self, symbols: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Teacher-forced output of the LSTM before the first chunk, (1, B, hidden), and before each later one.

        Without a context every row starts alike, so the first step is computed once: (1, 1, hidden).
        """
        num_rows = len(symbols) if self.from_context is not None else 1
        start = torch.zeros((1, num_rows), dtype=torch.int64, device=symbols.device)
        first, state = self.lstm(self.embedding(start), self.initial_state(num_rows, context))
        if self.num_chunks == 1:
            return first, first[:0].expand(0, len(symbols), -1)
        offsets = 1 + torch.arange(self.num_chunks - 1, device=symbols.device) * self.num_symbols
        inputs = self.embedding((symbols[:, :-1] + offsets).T)  # (num_chunks - 1, B, embedding)
        later, _ = self.lstm(inputs, tuple(part.expand(-1, len(symbols), -1).contiguous() for part in state))
        return first, later

    def _logits(self, hidden: Tensor, chunks: slice) -> Tensor:
        """Logits (chunks, B, num_symbols) of the hidden states (chunks, B, hidden) before those chunks."""
        return torch.baddbmm((self.biases + self._forbidden)[chunks], hidden, self.heads[chunks])

    def _nats(self, first: Tensor, later: Tensor, symbols: Tensor) -> Tensor:
        """-log p (B,) of symbols (B, num_chunks), summed over chunks; `first` and `later` as from `_hidden`."""
        log_probs = self._logits(first, slice(0, 1))[0].log_softmax(-1).expand(len(symbols), -1)
        nats = -log_probs.gather(1, symbols[:, :1])[:, 0]
        if self.num_chunks == 1:
            return nats
        logits = self._logits(later, slice(1, None)).flatten(0, 1)
        later_nats = nn.functional.cross_entropy(logits, symbols[:, 1:].T.flatten(), reduction="none")
        return nats + later_nats.view(self.num_chunks - 1, -1).sum(0)


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


def _check(config: LSTMPriorConfig) -> None:
    if config.hidden < 1 or config.embedding < 1 or config.layers < 1:
        raise UsageError(
            f"hidden, embedding and layers must be >= 1, got {config.hidden}, {config.embedding}, {config.layers}"
        )
    if not 0.0 <= config.dropout < 1.0:
        raise UsageError(f"dropout must be in [0, 1), got {config.dropout}")
