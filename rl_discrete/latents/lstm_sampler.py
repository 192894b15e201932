"""Fast sampling from an LSTM prior, for imagined steps: small batches, many of them, one thread.

There the cost is less the arithmetic than the number of tensor operations. So what does not change is prepared: the
input's share of the gates for every symbol, one matrix for all that the context decides, the factorised base as further
rows of the output layer. What changes is written into buffers that stay. torch's sigmoid takes a quarter of the time of
its tanh, so tanh(x) is 2 sigmoid(2x) - 1 here: hidden states are kept as halves and cells as doubles, candidates come
doubled, and the weights make up for it. Factors of two cost no precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from rl_discrete.latents.prior import LOWEST_TEMPERATURE, below_one, check_matrix, check_temperature

if TYPE_CHECKING:
    from rl_discrete.latents.lstm_prior import LSTMPrior


class LSTMSampler:
    """The samples of an `LSTMPrior` with its present weights; what becomes of them later does not reach it.

    Probabilities and their cumulative sums are float32 here and the arithmetic is done in another order: under the same
    noise, codes are those of `LSTMPrior.sample` except where a draw lies within 1e-5 of a boundary between two symbols.
    Making one takes about as long as one small sample. It holds buffers: not for two threads at once.
    """

    @torch.no_grad()
    def __init__(self, prior: LSTMPrior) -> None:
        self._num_latents, self._num_chunks = prior.num_latents, prior.num_chunks
        self._context_dim = prior.context_dim
        self._digits = prior.chunks.digits()
        self._cells = [_Cell.of(prior.lstm, layer) for layer in range(prior.lstm.num_layers)]
        first = self._cells[0]
        table = torch.addmm(first.bias, prior.embedding.weight, first.from_below)
        self._gates_of_start = table[:1]
        self._gates_of_symbol = table[1:].split(prior.num_symbols)  # (num_symbols, 4 * hidden) for each later chunk
        heads = 2.0 * prior.heads
        if prior.base is not None:
            members = prior.chunks.members().to(heads.dtype)
            heads = torch.cat((heads, members.expand(prior.num_chunks, -1, -1)), 1)
        self._heads = heads.unbind()  # (hidden + odds of a chunk, num_symbols) for each chunk
        self._biases = (prior.biases + prior.forbidden)[:, 0].unbind()
        self._start_bias, self._start = _start(prior)
        self._widths = _Widths(
            hidden=prior.lstm.hidden_size,
            layers=prior.lstm.num_layers,
            odds=0 if prior.base is None else prior.chunk * (prior.num_categories - 1),
            drive=0 if prior.to_inputs is None else prior.to_inputs.out_features,
        )
        self._buffers = self._buffers_for(1)

    @torch.no_grad()
    def __call__(self, noise: Tensor, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Codes int64 (B, L) of noise float32 (B, num_chunks); the rest as for `LSTMPrior.sample`.

        Raises:
            UsageError: temperature < 0 or infinite, or noise or context of another size.
        """
        check_temperature(temperature)
        check_matrix("noise", noise, None, self._num_chunks)
        if self._buffers.num_rows != len(noise):
            self._buffers = self._buffers_for(len(noise))
        buffers, first = self._buffers, self._cells[0]
        self._begin(buffers, context)
        drive = buffers.drive @ first.from_below if self._widths.drive else None
        scale = 1.0 / max(temperature, LOWEST_TEMPERATURE) if temperature > 0.0 else 1.0
        levels = below_one(noise).T.unsqueeze(-1)  # (num_chunks, B, 1)
        for position, symbol in enumerate(buffers.symbols):
            if position == 0:
                buffers.gates.copy_(self._gates_of_start)
            else:
                before = buffers.symbols[position - 1][:, 0]
                torch.index_select(self._gates_of_symbol[position - 1], 0, before, out=buffers.gates)
            if drive is not None:
                buffers.gates.add_(drive)
            self._advance(buffers)
            if self._widths.odds:
                buffers.slot.copy_(buffers.odds[position])
            bias, heads = self._biases[position], self._heads[position]
            torch.addmm(bias, buffers.features, heads, beta=scale, alpha=scale, out=buffers.logits)
            if temperature == 0.0:
                torch.argmax(buffers.logits, 1, keepdim=True, out=symbol)
            else:
                torch.softmax(buffers.logits, 1, out=buffers.cdf)
                torch.cumsum(buffers.cdf, 1, out=buffers.cdf)
                torch.mul(levels[position], buffers.total, out=buffers.level)
                torch.searchsorted(buffers.cdf, buffers.level, right=True, out=symbol)
        latents = self._digits.index_select(0, torch.cat(buffers.symbols, 1).flatten())  # (B * num_chunks, chunk)
        return latents.view(len(noise), -1)[:, : self._num_latents].contiguous()

    def _begin(self, buffers: _Buffers, context: Tensor | None) -> None:
        """Sets everything that stands before the first chunk."""
        if self._start is None:
            buffers.start.copy_(self._start_bias)
        else:
            context = check_matrix("context", context, buffers.num_rows, self._context_dim)
            torch.addmm(self._start_bias, context, self._start, out=buffers.start)
        for layer, hidden in enumerate(buffers.hidden):
            hidden.copy_(buffers.first_hidden[layer])

    def _advance(self, buffers: _Buffers) -> None:
        """One step of every layer; the share of the gates that comes from the first one's input is there."""
        for layer, cell in enumerate(self._cells):
            hidden, memory = buffers.hidden[layer], buffers.cell[layer]
            if layer > 0:
                torch.addmm(cell.bias, buffers.hidden[layer - 1], cell.from_below, out=buffers.gates)
            buffers.gates.addmm_(hidden, cell.from_hidden)
            buffers.gates.sigmoid_()
            buffers.candidate.sub_(0.5)
            memory.mul_(buffers.forget).addcmul_(buffers.enter, buffers.candidate, value=4.0)
            torch.sigmoid(memory, out=hidden)
            hidden.sub_(0.5).mul_(buffers.leave)

    def _buffers_for(self, num_rows: int) -> _Buffers:
        return _Buffers(num_rows, self._num_chunks, self._widths, self._start_bias, self._biases[0])


class _Cell(NamedTuple):
    """Weights of one layer for halves of hidden states; those of the candidates are doubled."""

    from_below: Tensor  # (width of the input, 4 * hidden)
    from_hidden: Tensor  # (hidden, 4 * hidden)
    bias: Tensor  # (4 * hidden,)

    @classmethod
    def of(cls, lstm: nn.LSTM, layer: int) -> _Cell:
        def doubled(weights: Tensor) -> Tensor:
            enter, forget, candidate, leave = weights.chunk(4)
            return torch.cat((enter, forget, 2.0 * candidate, leave))

        below, hidden = (getattr(lstm, f"weight_{kind}_l{layer}") for kind in ("ih", "hh"))
        bias = getattr(lstm, f"bias_ih_l{layer}") + getattr(lstm, f"bias_hh_l{layer}")
        below = below if layer == 0 else 2.0 * below
        return cls(doubled(below).T.contiguous(), doubled(2.0 * hidden).T.contiguous(), doubled(bias))


class _Widths(NamedTuple):
    hidden: int
    layers: int
    odds: int  # log-odds of the base for one chunk
    drive: int  # width of what the context adds to every input


class _Buffers:
    """What sampling a batch of one size writes into, and the parts of it by name."""

    def __init__(self, num_rows: int, num_chunks: int, widths: _Widths, start: Tensor, logits: Tensor) -> None:
        def empty(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=start.dtype, device=start.device)

        width, layers = widths.hidden, widths.layers
        self.num_rows = num_rows
        self.start = empty(num_rows, len(start))
        states, odds, self.drive = self.start.split((2 * layers * width, num_chunks * widths.odds, widths.drive), dim=1)
        parts = states.split(width, dim=1)
        self.first_hidden, self.cell = parts[:layers], parts[layers:]  # cells are updated where they began
        self.odds = odds.split(widths.odds, dim=1) if widths.odds else ()
        self.features = empty(num_rows, width + widths.odds)
        top, self.slot = self.features.split((width, widths.odds), dim=1)
        self.hidden = [*(empty(num_rows, width) for _ in range(layers - 1)), top]
        self.gates = empty(num_rows, 4 * width)
        self.enter, self.forget, self.candidate, self.leave = self.gates.split(width, dim=1)
        self.logits, self.cdf = empty(num_rows, len(logits)), empty(num_rows, len(logits))
        self.total = self.cdf[:, -1:]
        self.level = empty(num_rows, 1)
        symbols = torch.empty((num_chunks, num_rows, 1), dtype=torch.int64, device=start.device)
        self.symbols = symbols.unbind()


def _start(prior: LSTMPrior) -> tuple[Tensor, Tensor | None]:
    """Bias (W,) and, with a context, matrix (context_dim, W) of all that stands before the first chunk.

    Its columns: initial states, log-odds of the base for every chunk, what is added to every input.
    """
    size = prior.lstm.num_layers * prior.lstm.hidden_size
    scale = prior.initial.new_tensor([0.5, 2.0]).repeat_interleave(size)  # hidden states as halves, cells as doubles
    biases = [scale * prior.initial]
    blocks = [] if prior.from_context is None else [scale.unsqueeze(1) * prior.from_context.weight]
    if prior.base is not None:
        padding = prior.chunks.missing * (prior.num_categories - 1)
        biases.append(nn.functional.pad(prior.base.bias, (0, padding)))
        if prior.base.from_context is not None:
            blocks.append(nn.functional.pad(prior.base.from_context.weight, (0, 0, 0, padding)))
    if prior.to_inputs is not None:
        biases.append(prior.initial.new_zeros(prior.to_inputs.out_features))
        blocks.append(prior.to_inputs.weight)
    return torch.cat(biases), torch.cat(blocks).T.contiguous() if blocks else None
