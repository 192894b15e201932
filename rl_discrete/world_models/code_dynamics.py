"""The dynamics in the space of codes: last bits and action to a context, context to the next bits, reward and end.

Only the prior over bits and the heads say anything about the world; the trunk gives them a context. That the action
scales and shifts two layers decided everything in Pong: as a few inputs among hundreds of bits it is ignored, the
player's own paddle is mispredicted, and an agent trained inside exploits it.

A fresh dynamics expects every bit to stay as it is, and has to learn what changes: of the bits of a frame most do stay.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rl_discrete.encoders.seeded import seeded
from rl_discrete.latents.factorised_prior import FactorisedPrior
from rl_discrete.latents.lstm_prior import LSTMPrior
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.config import DynamicsConfig
from rl_discrete.world_models.outcome_heads import OutcomeHeads, RewardKind

_GAIN = 2.0  # of everything that stands for an action: it is one input among hundreds
_STAYING = 2.0  # log-odds, at first, that a bit stays as it is
_QUIET = 0.3  # of what the fresh trunk has to say besides


class Injection(nn.Module):
    """hidden * (1 + scale[action]) + shift[action]: an action that multiplies as well as adds."""

    def __init__(self, num_actions: int, width: int) -> None:
        super().__init__()
        self.scales = nn.Parameter(torch.randn(num_actions, width) * 0.25)
        self.shifts = nn.Parameter(torch.randn(num_actions, width) * 0.25)

    def tables(self) -> tuple[Tensor, Tensor]:
        """What each action multiplies by, and what it adds: (A, width) each."""
        return 1.0 + _GAIN * self.scales, _GAIN * self.shifts

    def forward(self, hidden: Tensor, actions: Tensor) -> Tensor:
        """hidden (B, width), actions (B,) -> (B, width)."""
        scales = 1.0 + _GAIN * F.embedding(actions, self.scales)
        return hidden * scales + _GAIN * F.embedding(actions, self.shifts)


class CodeDynamics(nn.Module):
    """What follows from what was seen and an action.

    What was seen is one float row of zeros and ones: the bits of the last k frames, oldest first, then the k - 1
    actions between them, one-hot, oldest first (all zero where there was none). Frames before an episode's start are
    its first frame again.

    Args:
        num_latents: L, bits of a frame.
        num_actions: A.
        reward_kind: what rewards look like.
        config: sizes.
        seed: of the weights.

    Raises:
        UsageError: a setting outside its range.
    """

    _bits: Tensor

    def __init__(
        self, num_latents: int, num_actions: int, reward_kind: RewardKind, config: DynamicsConfig, seed: int
    ) -> None:
        super().__init__()
        check_dynamics(config)
        self.num_latents, self.num_actions, self.config = num_latents, num_actions, config
        self.reward_kind = reward_kind
        self.history = config.history
        self.seen_dim = self.history * num_latents + (self.history - 1) * num_actions
        bits = torch.zeros(self.seen_dim)
        bits[: self.history * num_latents] = 1.0
        self.register_buffer("_bits", bits, persistent=False)
        seeded(seed, self._build)

    def _build(self) -> None:
        config, width = self.config, self.config.hidden
        self.enter = nn.Linear(self.seen_dim, width)
        self.enter_action = nn.Embedding(self.num_actions, width)
        nn.init.normal_(self.enter_action.weight, std=self.seen_dim**-0.5)
        self.from_summary = nn.Linear(config.recurrent, width, bias=False) if config.recurrent else None
        self.middle, self.last = nn.Linear(width, width), nn.Linear(width, width)
        injected = config.inject_actions
        self.injections = nn.ModuleList([Injection(self.num_actions, width) for _ in range(2 if injected else 0)])
        inputs = self.num_latents + self.num_actions
        self.memory = nn.GRUCell(inputs, config.recurrent) if config.recurrent else None
        self.prior: LSTMPrior | FactorisedPrior
        context_dim = width + self.num_latents
        if config.prior == "lstm":
            self.prior = LSTMPrior(self.num_latents, 2, config.lstm, context_dim)
        else:
            self.prior = FactorisedPrior(self.num_latents, 2, context_dim)
        if self.independent is not None and self.independent.from_context is not None:
            with torch.no_grad():
                weights = self.independent.from_context.weight  # (L, context_dim)
                weights[:, :width] *= _QUIET
                weights[:, width:] = _STAYING * torch.eye(self.num_latents)
        self.heads = OutcomeHeads(context_dim, self.num_latents, self.reward_kind, config.outcome_hidden)

    @property
    def independent(self) -> FactorisedPrior | None:
        """The prior of independent bits inside, or itself; None where there is none."""
        return self.prior if isinstance(self.prior, FactorisedPrior) else self.prior.base

    @property
    def context_frames(self) -> int:
        """Frames that a state is made of at the start."""
        return self.history + (self.config.burn_in if self.config.recurrent else 0)

    def inputs(self, seen: Tensor) -> Tensor:
        """What the first layer gets of `seen` (B, seen_dim): bits as -1 and 1, actions as 0 and 2."""
        return _GAIN * seen - self._bits

    def action_inputs(self, actions: Tensor) -> Tensor:
        """What actions (B,) add to the output of the first layer, (B, hidden)."""
        return _GAIN * self.enter_action(actions)  # type: ignore[no-any-return]

    def context(
        self, seen: Tensor, actions: Tensor, summary: Tensor | None, noise: torch.Generator | None = None
    ) -> Tensor:
        """Context float32 (B, hidden + L) of what comes next: what the layers say, and the newest bits, -1 and 1.

        Args:
            seen: float32 (B, seen_dim) of zeros and ones.
            actions: int64 (B,), the action taken now.
            summary: float32 (B, recurrent); None where there is none.
            noise: source of the dropout; None for none of it.
        """
        hidden = self.enter(self.inputs(seen)) + self.action_inputs(actions)
        if self.from_summary is not None and summary is not None:
            hidden = hidden + self.from_summary(summary)
        hidden = self._inject(0, hidden, actions).relu()
        hidden = self._drop(hidden + self._inject(1, self.middle(hidden), actions).relu(), noise)
        hidden = self._drop(hidden + self.last(hidden).relu(), noise)
        return torch.cat((hidden, 2.0 * self.newest(seen) - 1.0), 1)

    def newest(self, seen: Tensor) -> Tensor:
        """The bits (B, L) of the newest frame of what was seen."""
        end = self.history * self.num_latents
        return seen[:, end - self.num_latents : end]

    def _drop(self, hidden: Tensor, noise: torch.Generator | None) -> Tensor:
        dropout = self.config.dropout
        if noise is None or dropout == 0.0:
            return hidden
        kept = torch.rand(hidden.shape, generator=noise) >= dropout
        return hidden * kept / (1.0 - dropout)

    def _inject(self, which: int, hidden: Tensor, actions: Tensor) -> Tensor:
        return self.injections[which](hidden, actions) if self.injections else hidden

    def look(self, codes: Tensor, actions: Tensor, valid: Tensor) -> tuple[Tensor, Tensor | None]:
        """What was seen, and the summary, after real frames.

        Args:
            codes: float32 (B, T, L) of zeros and ones, oldest first, T = `context_frames`.
            actions: int64 (B, T), that led to each frame.
            valid: bool (B, T), whether there is such a frame; the last one always is.

        Returns:
            float32 (B, seen_dim) and (B, recurrent), the latter None where there is none.
        """
        followed = torch.cat((torch.zeros_like(valid[:, :1]), valid[:, 1:] & valid[:, :-1]), 1)  # an action led there
        taken = F.one_hot(actions, self.num_actions) * followed.unsqueeze(-1).float()  # (B, T, A)
        first = valid.long().argmax(1)  # (B,) the first frame there is
        padded = torch.where(valid.unsqueeze(-1), codes, codes[torch.arange(len(codes)), first].unsqueeze(1))
        recent = slice(len(valid[0]) - self.history, None)
        seen = torch.cat((padded[:, recent].flatten(1), taken[:, recent][:, 1:].flatten(1)), 1)
        summary = None
        if self.memory is not None:
            summary = codes.new_zeros(len(codes), self.config.recurrent)
            for place in range(codes.shape[1]):
                told = self.memory(self._memorable(codes[:, place], taken[:, place]), summary)
                summary = torch.where(valid[:, place : place + 1], told, summary)
        return seen, summary

    def remember(self, summary: Tensor | None, codes: Tensor, taken: Tensor) -> Tensor | None:
        """The summary once codes float32 (B, L) were seen after actions one-hot (B, A)."""
        if self.memory is None:
            return None
        return self.memory(self._memorable(codes, taken), summary)  # type: ignore[no-any-return]

    @staticmethod
    def _memorable(codes: Tensor, taken: Tensor) -> Tensor:
        return torch.cat((2.0 * codes - 1.0, _GAIN * taken), 1)

    def advance(self, seen: Tensor, codes: Tensor, taken: Tensor) -> Tensor:
        """What was seen once codes float32 (B, L) follow upon actions one-hot (B, A)."""
        split = self.history * self.num_latents
        if self.history == 1:
            return codes
        return torch.cat((seen[:, self.num_latents : split], codes, seen[:, split + self.num_actions :], taken), 1)


def check_dynamics(config: DynamicsConfig) -> None:
    """Raises UsageError for settings outside their ranges."""
    for name in ("history", "hidden", "outcome_hidden", "disagreement"):
        if getattr(config, name) < 1:
            raise UsageError(f"{name} must be >= 1, got {getattr(config, name)}")
    if config.recurrent < 0 or config.burn_in < 0:
        raise UsageError(f"recurrent and burn_in must be >= 0, got {config.recurrent} and {config.burn_in}")
    if not 0.0 <= config.dropout < 1.0:
        raise UsageError(f"dropout must be in [0, 1), got {config.dropout}")
    if not 0.0 <= config.temperature < float("inf"):
        raise UsageError(f"temperature must be >= 0 and finite, got {config.temperature}")
    if not 1 <= config.ensemble <= 3:
        raise UsageError(f"ensemble must be 1, 2 or 3, got {config.ensemble}")
    if config.prior not in ("lstm", "factorised"):
        raise UsageError(f"prior must be lstm or factorised, got {config.prior!r}")
    if config.outcomes not in ("likeliest", "sampled"):
        raise UsageError(f"outcomes must be likeliest or sampled, got {config.outcomes!r}")
