"""Reward and end of an imagined step, read from what predicted the next code and from that code.

Rewards that are all -1, 0 or 1 are three classes; others are a distribution over fixed values, dense at 0 and ever
sparser (two-hot targets on exponentially spaced values: Hafner et al. 2023, arXiv 2301.04104, "Symlog predictions").
Training data may hold rare outcomes more often than the world does: the loss is told how much more often, so that the
logits stay those of the world.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rl_discrete.data.replay import Replay
from rl_discrete.latents.prior import invert_cdf

RewardKind: TypeAlias = Literal["signs", "values"]

_LOG_RANGE = 12.0  # values end at e ** 12 - 1, about 163,000
_NUM_VALUES = 97  # odd: the middle one is 0


class OutcomeHeads(nn.Module):
    """p(reward | context, next code) and p(end | context, next code), independent of each other.

    Args:
        context_dim: width of the context.
        num_latents: L, bits of the next code.
        kind: `signs` for rewards that are -1, 0 or 1; `values` for any, clipped at 163,000 either way.
        hidden: width of the one hidden layer.
    """

    values: Tensor

    def __init__(self, context_dim: int, num_latents: int, kind: RewardKind, hidden: int) -> None:
        super().__init__()
        logarithms = torch.linspace(-_LOG_RANGE, _LOG_RANGE, _NUM_VALUES)
        values = torch.tensor([-1.0, 0.0, 1.0]) if kind == "signs" else logarithms.sign() * logarithms.abs().expm1()
        self.register_buffer("values", values, persistent=False)
        self.kind = kind
        self.from_context = nn.Linear(context_dim, hidden)
        self.from_code = nn.Linear(num_latents, hidden, bias=False)
        self.outputs = nn.Linear(hidden, len(values) + 1)
        nn.init.zeros_(self.outputs.weight)
        nn.init.zeros_(self.outputs.bias)

    def forward(self, context: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, V) of the reward's values and (B,) of an end, given context (B, C) and next codes float (B, L)."""
        hidden = (self.from_context(context) + self.from_code(2.0 * codes - 1.0)).relu()
        outputs = self.outputs(hidden)
        return outputs[:, :-1], outputs[:, -1]

    def reward_nats(self, logits: Tensor, rewards: Tensor, excess: Tensor) -> Tensor:
        """-log p (B,) of rewards (B,), nats; for values between two of ours the cross-entropy to the nearest two.

        excess: (3,) how many times more often than in the world the data hold rewards below, at and above 0.
        """
        shifted = logits + excess.log()[self.values.sign().long() + 1]
        return -(self._two_hot(rewards) * shifted.log_softmax(-1)).sum(-1)

    def end_nats(self, logits: Tensor, ends: Tensor, excess: float) -> Tensor:
        """-log p (B,) of ends bool (B,), nats, in data that hold ends `excess` times more often than the world."""
        shifted = logits + torch.tensor(excess, dtype=torch.float64).log().float()
        return F.binary_cross_entropy_with_logits(shifted, ends.float(), reduction="none")

    def _two_hot(self, rewards: Tensor) -> Tensor:
        """Weights (B, V), at most two of them not 0, with which the values have the mean `rewards` (B,)."""
        clipped = rewards.clamp(float(self.values[0]), float(self.values[-1]))
        above = torch.searchsorted(self.values, clipped.contiguous()).clamp(1, len(self.values) - 1)
        low, high = self.values[above - 1], self.values[above]
        share = (clipped - low) / (high - low)
        weights = torch.zeros(len(rewards), len(self.values), device=rewards.device)
        weights.scatter_(1, above.unsqueeze(1), share.unsqueeze(1))
        return weights.scatter_(1, above.unsqueeze(1) - 1, 1.0 - share.unsqueeze(1))


def reward_kind_of(replay: Replay) -> RewardKind:
    """`signs` where all rewards so far are -1, 0 or 1."""
    return "signs" if np.isin(replay.columns(replay.rows()).rewards, (-1.0, 0.0, 1.0)).all() else "values"


def likeliest_outcomes(logits: Tensor, end: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Rewards (B,) and ends bool (B,): the likeliest of three classes, the mean of any other values."""
    if len(values) == 3:
        rewards = values[logits.argmax(-1)]
    else:
        rewards = logits.softmax(-1) @ values
    return rewards, end > 0.0


def drawn_outcomes(logits: Tensor, end: Tensor, values: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Rewards (B,) and ends bool (B,), drawn by inverse CDF from noise (B, 2), uniform in (0, 1)."""
    return values[invert_cdf(logits, noise[:, 0])], noise[:, 1] > torch.sigmoid(-end)
