"""Autoregressive prior: an LSTM over chunks of latents.

The idea is Tensor2Tensor's prediction of bits with an LSTM, 8 bits at a time (Kaiser and Bengio 2018, arXiv 1801.09797;
SimPLe, Kaiser et al. 2019, arXiv 1903.00374), with a learned start token, so that every chunk has its probability. The
factorised base is our own: an LSTM trained from nothing loses to independent bits in the same time, one that begins as
the independent bits and learns the difference does not.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rl_discrete.latents.chunks import Chunks
from rl_discrete.latents.config import ConditionalLSTMConfig, LSTMPriorConfig
from rl_discrete.latents.factorised_prior import FactorisedPrior, check_targets
from rl_discrete.latents.lstm_sampler import LSTMSampler
from rl_discrete.latents.prior import Prior, check_matrix, invert_cdf
from rl_discrete.runs.errors import UsageError


class State(NamedTuple):
    """What the chunks to come depend on, besides the chunk before them."""

    hidden: Tensor  # (layers, B, hidden)
    cell: Tensor  # (layers, B, hidden)
    drive: Tensor | None  # (B, embedding): what the context adds to every input
    base: Tensor | None  # (num_chunks, B or 1, num_symbols): logits of the factorised base


class LSTMPrior(Prior):
    """p(codes | context) = product over chunks of p(chunk | earlier chunks, context).

    A chunk of c latents is one symbol of K ** c; the last chunk may be short. Embeddings and output layers
    belong to a position, since latent i means the same in every code and something else than latent j. The first input
    is a learned start token; the initial state is learned or, with `context_dim` > 0, a linear map of the context.

    With a factorised base, the logit of a symbol is the sum of the base's logits of its latents and the LSTM's
    correction, which is 0 at first: a fresh prior equals its `base`. So `base` may be fitted alone (it is a
    `FactorisedPrior` with its own `loss`) before the whole is.

    Args:
        num_latents: L.
        num_categories: K.
        config: sizes; a `ConditionalLSTMConfig` also says whether there is a base, and where the context enters.
        context_dim: width of the context; 0 for an unconditional prior.

    Raises:
        UsageError: sizes outside their range, K ** chunk above 4,096, or `context_inputs` without a context.
    """

    forbidden: Tensor

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
        conditional = config if isinstance(config, ConditionalLSTMConfig) else None
        self.chunks = Chunks(num_latents, num_categories, config.chunk)
        self.chunk = self.chunks.size
        self.num_symbols = self.chunks.num_symbols
        self.last_symbols = self.chunks.last_symbols
        self.noise_dim = self.num_chunks = self.chunks.count
        self.dropout = config.dropout
        self.context_dim = context_dim
        self.embedding = nn.Embedding((self.num_chunks - 1) * self.num_symbols + 1, config.embedding)
        self.lstm = nn.LSTM(config.embedding, config.hidden, config.layers)
        self.heads = nn.Parameter(torch.empty(self.num_chunks, config.hidden, self.num_symbols))
        self.biases = nn.Parameter(torch.zeros(self.num_chunks, 1, self.num_symbols))
        nn.init.normal_(self.heads, std=0.5 / config.hidden**0.5)
        size = 2 * config.layers * config.hidden
        self.initial = nn.Parameter(torch.zeros(size))
        self.from_context = nn.Linear(context_dim, size, bias=False) if context_dim > 0 else None
        self.to_inputs: nn.Linear | None = None
        self.base: FactorisedPrior | None = None
        if conditional is not None and conditional.context_inputs:
            if context_dim == 0:
                raise UsageError("context_inputs needs a context, got context_dim 0: switch context_inputs off")
            self.to_inputs = nn.Linear(context_dim, config.embedding, bias=False)
        if conditional is not None and conditional.base == "factorised":
            self.base = FactorisedPrior(num_latents, num_categories, context_dim)
            nn.init.zeros_(self.heads)
        forbidden = torch.zeros(self.num_chunks, 1, self.num_symbols)
        forbidden[-1, :, self.last_symbols :] = -torch.inf
        self.register_buffer("forbidden", forbidden, persistent=False)

    def start_from(self, factorised: FactorisedPrior) -> None:
        """Takes the weights of a fitted factorised prior as the base; a fresh prior then equals it.

        Raises:
            UsageError: no base here, or a prior of other sizes.
        """
        if self.base is None:
            raise UsageError("start_from needs a prior with base = factorised, got base = none")
        ours, theirs = ((p.num_latents, p.num_categories, p.context_dim) for p in (self.base, factorised))
        if ours != theirs:
            raise UsageError(f"the base has (L, K, context_dim) {ours}, got a factorised prior of {theirs}")
        self.base.load_state_dict(factorised.state_dict())

    def _log_prob(self, codes: Tensor, context: Tensor | None) -> Tensor:
        symbols = self.symbols(codes)
        return -self._nats(*self._hidden(symbols, context), symbols)

    def loss(
        self,
        codes: Tensor,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
        targets: Tensor | None = None,
    ) -> Tensor:
        """-log_prob (B,), nats, with dropout drawn from `generator` in training mode.

        Args:
            codes: int64 (B, L): the earlier chunks that each chunk is given, and its target unless there are `targets`.
            context: float32 (B, context_dim) for a conditional prior.
            generator: source of the dropout.
            targets: float32 (B, L, K - 1), probabilities of categories 1 to K - 1 of independent latents (of a bit:
                that it is 1). The loss is then the cross-entropy to their product; `codes` should be drawn from it.
        """
        check_targets(targets, (len(codes), self.num_latents, self.num_categories - 1))
        symbols = self.symbols(codes)
        first, later, base = self._hidden(symbols, context)
        if self.training and self.dropout > 0.0:
            hidden = torch.cat((first.expand(1, len(symbols), -1), later))
            keep = torch.rand(hidden.shape, generator=generator, device=hidden.device) >= self.dropout
            first, later = (hidden * keep / (1.0 - self.dropout)).split((1, self.num_chunks - 1))
        if targets is None:
            return self._nats(first, later, base, symbols)
        hidden = torch.cat((first.expand(1, len(symbols), -1), later))
        log_probs = self._logits(hidden, slice(None), base).log_softmax(-1).masked_fill(self.forbidden < 0.0, 0.0)
        wanted = self.chunks.products(torch.cat((1.0 - targets.sum(-1, keepdim=True), targets), -1))
        return -(wanted * log_probs).sum((0, 2))

    def logits(self, codes: Tensor, context: Tensor | None = None) -> Tensor:
        """Teacher-forced logits (B, num_chunks, num_symbols); -inf for symbols that a short last chunk lacks."""
        first, later, base = self._hidden(self.symbols(codes), context)
        hidden = torch.cat((first.expand(1, len(codes), -1), later))
        return self._logits(hidden, slice(None), base).transpose(0, 1)

    def symbols(self, codes: Tensor) -> Tensor:
        """Symbol per chunk, int64 (B, num_chunks), of codes (B, L); the first latent of a chunk counts least."""
        return self.chunks.symbols(codes)

    def codes(self, symbols: Tensor) -> Tensor:
        """Inverse of `symbols`."""
        return self.chunks.codes(symbols)

    def initial_state(self, num_rows: int, context: Tensor | None = None) -> State:
        """The state before the first chunk."""
        flat = self.initial.expand(num_rows, -1)
        drive = None
        if self.from_context is None:
            context = None
        else:
            context = check_matrix("context", context, num_rows, self.context_dim)
            flat = flat + self.from_context(context)
            drive = None if self.to_inputs is None else self.to_inputs(context)
        shape = (num_rows, 2, self.lstm.num_layers, self.lstm.hidden_size)
        hidden, cell = flat.view(shape).permute(1, 2, 0, 3)
        base = None if self.base is None else self.chunks.sums(self.base.logits(context))
        return State(hidden.contiguous(), cell.contiguous(), drive, base)

    def step(self, position: int, previous: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Logits (B, num_symbols) of the chunk at `position` given the symbol (B,) before it, and the next state."""
        if previous is None:
            index = torch.zeros(state.hidden.shape[1], dtype=torch.int64, device=self.device)
        else:
            index = previous + 1 + (position - 1) * self.num_symbols
        inputs = _driven(self.embedding(index), state.drive)
        hidden, (after, cell) = self.lstm(inputs.unsqueeze(0), (state.hidden, state.cell))
        bias = self.biases[position] + self.forbidden[position]
        if state.base is not None:
            bias = bias + state.base[position]
        return torch.addmm(bias, hidden[0], self.heads[position]), state._replace(hidden=after, cell=cell)

    def sampler(self) -> LSTMSampler:
        """Fast sampling with the present weights, for imagined steps; see `LSTMSampler`."""
        return LSTMSampler(self)

    def _sample(self, noise: Tensor, context: Tensor | None, temperature: float) -> Tensor:
        state = self.initial_state(len(noise), context)
        symbols: list[Tensor] = []
        for position in range(self.num_chunks):
            logits, state = self.step(position, symbols[-1] if symbols else None, state)
            symbols.append(invert_cdf(logits, noise[:, position], temperature))
        return self.codes(torch.stack(symbols, dim=1))

    def _hidden(self, symbols: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Teacher-forced output of the LSTM before the first chunk, (1, B, hidden), and each later one; the base.

        Without a context every row starts alike, so the first step is computed once: (1, 1, hidden).
        """
        num_rows = len(symbols) if self.from_context is not None else 1
        begun = self.initial_state(num_rows, context)
        start = torch.zeros((1, num_rows), dtype=torch.int64, device=symbols.device)
        first, state = self.lstm(_driven(self.embedding(start), begun.drive), (begun.hidden, begun.cell))
        if self.num_chunks == 1:
            return first, first[:0].expand(0, len(symbols), -1), begun.base
        offsets = 1 + torch.arange(self.num_chunks - 1, device=symbols.device) * self.num_symbols
        inputs = _driven(self.embedding((symbols[:, :-1] + offsets).T), begun.drive)  # (num_chunks - 1, B, embedding)
        later, _ = self.lstm(inputs, tuple(part.expand(-1, len(symbols), -1).contiguous() for part in state))
        return first, later, begun.base

    def _logits(self, hidden: Tensor, chunks: slice, base: Tensor | None) -> Tensor:
        """Logits (chunks, B, num_symbols) of the hidden states (chunks, B, hidden) before those chunks."""
        bias = (self.biases + self.forbidden)[chunks]
        return torch.baddbmm(bias if base is None else bias + base[chunks], hidden, self.heads[chunks])

    def _nats(self, first: Tensor, later: Tensor, base: Tensor | None, symbols: Tensor) -> Tensor:
        """-log p (B,) of symbols (B, num_chunks), summed over chunks; `first`, `later`, `base` as from `_hidden`."""
        log_probs = self._logits(first, slice(0, 1), base)[0].log_softmax(-1).expand(len(symbols), -1)
        nats = -log_probs.gather(1, symbols[:, :1])[:, 0]
        if self.num_chunks == 1:
            return nats
        logits = self._logits(later, slice(1, None), base).flatten(0, 1)
        later_nats = nn.functional.cross_entropy(logits, symbols[:, 1:].T.flatten(), reduction="none")
        return nats + later_nats.view(self.num_chunks - 1, -1).sum(0)


def _driven(inputs: Tensor, drive: Tensor | None) -> Tensor:
    return inputs if drive is None else inputs + drive


def _check(config: LSTMPriorConfig) -> None:
    if config.hidden < 1 or config.embedding < 1 or config.layers < 1:
        raise UsageError(
            f"hidden, embedding and layers must be >= 1, got {config.hidden}, {config.embedding}, {config.layers}"
        )
    if not 0.0 <= config.dropout < 1.0:
        raise UsageError(f"dropout must be in [0, 1), got {config.dropout}")
    if isinstance(config, ConditionalLSTMConfig) and config.base not in ("none", "factorised"):
        raise UsageError(f"base must be none or factorised, got {config.base!r}")
