"""Networks between the active pixels of a place and its bits: separable tables of waves in, low rank out.

A small thing that moves is lost by convolutions in any affordable time. Here a place is the sum over its pixels of
(table of rows)[y] * (table of columns)[x]; the tables begin as waves (Rahimi and Recht 2007), in which a shift of one
pixel is a turn. A decoded place is a matrix of logits, rows by columns, of low rank, and its tables begin so, too.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SHORTEST = 13.0  # pixels: shortest wave of a table, for pictures that are large enough
_LONGEST = 4.0  # longest wave, as a multiple of the picture's longer side
_CONSTANT = 0.15  # share of a table that begins without a wave
_SPREAD = 1.5  # of a place's sum, and of the logits
_ABSENT = -3.0  # logit of a pixel at first
_MOST = 4.0  # multiple of its mean beyond which a number of pixels says no more


def waves(length: int, width: int, longer: int, generator: torch.Generator) -> Tensor:
    """cos(2 pi position / wavelength + phase), (length, width): wavelengths log-uniform, some infinite."""
    shortest, longest = min(_SHORTEST, longer / 3.0), _LONGEST * longer
    uniform = torch.rand(3, width, generator=generator)
    frequency = torch.exp(-math.log(shortest) - uniform[0] * math.log(longest / shortest))
    frequency = torch.where(uniform[1] < _CONSTANT, 0.0, frequency)
    return torch.cos(2.0 * math.pi * (torch.arange(length)[:, None] * frequency + uniform[2]))


class PlaceEncoder(nn.Module):
    """Active pixels of one place -> what it adds to the hidden layer of its group.

    Args:
        height, width: of a frame.
        features: width of the tables.
        hidden: width of the hidden layer.
        pixels: mean number of active pixels, where there are any.
        generator: of the initial weights.
    """

    def __init__(
        self,
        height: int,
        width: int,
        features: int,
        hidden: int,
        pixels: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        longer = max(height, width)
        self.width, self.pixels = width, pixels
        self.rows = nn.Parameter(waves(height, features, longer, generator))
        self.columns = nn.Parameter(waves(width, features, longer, generator))
        self.first = linear(features + 1, hidden, generator)

    def forward(self, example: Tensor, pixel: Tensor, batch: int) -> Tensor:
        """(batch, hidden) of `pixel` (M,) = y * width + x, each active in `example` (M,)."""
        waved = F.embedding(pixel // self.width, self.rows) * F.embedding(pixel % self.width, self.columns)
        count = torch.bincount(example, minlength=batch).float()[:, None]  # (batch, 1)
        mean = waved.new_zeros(batch, waved.shape[1]).index_add(0, example, waved) / count.clamp(min=1.0)
        seen = torch.cat((_SPREAD * mean, (count / self.pixels).clamp(max=_MOST)), 1)
        hidden: Tensor = self.first(seen)
        return hidden


def spread(logits: Tensor) -> Tensor:
    """Logits (B, n) brought to mean 0 and deviation 1.5 in every row: bits neither fade nor freeze."""
    return _SPREAD * F.layer_norm(logits, logits.shape[1:])


class PlaceDecoder(nn.Module):
    """Features of a place's bits -> logits of its pixels.

    Args:
        num_features: what the bottleneck gives for the bits of its group.
        height, width: of what it decodes.
        rank: of the logits, as a matrix rows by columns.
        hidden: width of the hidden layers.
        generator: of the initial weights.
    """

    def __init__(
        self, num_features: int, height: int, width: int, rank: int, hidden: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.rank = rank
        self.first = linear(num_features, hidden, generator)
        self.second = linear(hidden, hidden, generator)
        self.rows = linear(hidden, rank * height, generator)
        self.columns = linear(hidden, rank * width, generator)
        self.absent = nn.Parameter(torch.tensor(_ABSENT))
        scale = 2.0 / math.sqrt(hidden)
        for layer, length in ((self.rows, height), (self.columns, width)):
            start = [waves(length, hidden, max(height, width), generator) for _ in range(rank)]
            with torch.no_grad():
                layer.weight.copy_(scale * torch.cat(start))  # (rank * length, hidden)
                layer.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, height, width)."""
        hidden = F.relu(self.first(features))
        hidden = hidden + F.relu(self.second(hidden))
        rows = self.rows(hidden).unflatten(1, (self.rank, -1))  # (B, rank, H)
        columns = self.columns(hidden).unflatten(1, (self.rank, -1))  # (B, rank, W)
        return torch.bmm(rows.transpose(1, 2), columns) + self.absent


class PlaceEntropy(torch.autograd.Function):
    """Weighted cross-entropy of pixels of which few are active, (B,) nats, without a dense target.

    Every pixel counts as inactive, softplus(logit), but active ones, `weight` * softplus(-logit).
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, example: Tensor, position: Tensor, weight: float) -> Tensor:  # autograd's
        """Logits (B, P); `position` (M,) in [0, P), each active in `example` (M,), none twice."""
        ctx.save_for_backward(logits, example, position)
        ctx.weight = weight
        active = logits[example, position]
        correction = weight * F.softplus(-active) - F.softplus(active)
        return F.softplus(logits).sum(1).index_add(0, example, correction)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """Gradient of the logits alone."""
        logits, example, position = ctx.saved_tensors
        slope = torch.sigmoid(logits)
        slope[example, position] = ctx.weight * (slope[example, position] - 1.0)
        return slope * gradients[0][:, None], None, None, None


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with uniform weights and biases of bound 1 / sqrt(inputs), from the generator alone."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)
    bound = 1.0 / math.sqrt(inputs)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_((2.0 * torch.rand(parameter.shape, generator=generator) - 1.0) * bound)
    return layer
