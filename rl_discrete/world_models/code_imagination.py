"""The dynamics as it is needed in imagination: fixed weights, few operations, no gradients.

The same numbers as `CodeDynamics` up to float rounding: that bits are looked at as -1 and 1 is folded into the first
layer, and all that an action scales and adds there into one table each.
"""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor

from rl_discrete.world_models.code_dynamics import CodeDynamics, Injection
from rl_discrete.world_models.outcome_heads import drawn_outcomes, likeliest_outcomes

_OUTCOME_NOISE = 2  # reward, end


class Imagined(NamedTuple):
    """One imagined step of B episodes."""

    codes: Tensor  # float32 (B, L) of zeros and ones
    rewards: Tensor  # float32 (B,)
    ends: Tensor  # bool (B,)


class FrozenDynamics:
    """One step of imagination with the weights of a dynamics as they are now; later changes do not reach it.

    Attributes:
        dynamics: the copy that it works with.
        noise_dim: uniform numbers that one step takes; 0 where nothing is random.
    """

    def __init__(self, dynamics: CodeDynamics) -> None:
        self.dynamics = deepcopy(dynamics).eval().requires_grad_(False)
        config = dynamics.config
        self._temperature, self._drawn = config.temperature, config.outcomes == "sampled"
        self._code_noise = dynamics.prior.noise_dim if config.temperature > 0.0 else 0
        self._unused = torch.full((1, dynamics.prior.noise_dim), 0.5)
        self.noise_dim = self._code_noise + (_OUTCOME_NOISE if self._drawn else 0)
        with torch.no_grad():
            self._prepare(self.dynamics)

    def _prepare(self, dynamics: CodeDynamics) -> None:
        self._sampler = dynamics.prior.sampler()
        origin = dynamics.inputs(torch.zeros(1, dynamics.seen_dim))
        steps = dynamics.inputs(torch.eye(dynamics.seen_dim)) - origin  # how each entry of `seen` moves the inputs
        self._enter = (steps @ dynamics.enter.weight.T).contiguous()  # (seen_dim, hidden)
        added = dynamics.enter(origin) + dynamics.action_inputs(torch.arange(dynamics.num_actions))  # (A, hidden)
        plain = (torch.ones_like(added), torch.zeros_like(added))
        tables = [each.tables() for each in dynamics.injections if isinstance(each, Injection)] or [plain, plain]
        scales, shifts = tables[0]
        self._first = (scales, added * scales + shifts)
        self._second = tables[1]
        self._from_summary = None if dynamics.from_summary is None else dynamics.from_summary.weight.T.contiguous()
        self._middle = (dynamics.middle.bias, dynamics.middle.weight.T.contiguous())
        self._last = (dynamics.last.bias, dynamics.last.weight.T.contiguous())

    @torch.no_grad()
    def context(self, seen: Tensor, actions: Tensor, summary: Tensor | None) -> Tensor:
        """As `CodeDynamics.context`."""
        hidden = seen @ self._enter
        if self._from_summary is not None and summary is not None:
            hidden.addmm_(summary, self._from_summary)
        hidden = _inject(self._first, hidden, actions).relu_()
        hidden.add_(_inject(self._second, torch.addmm(self._middle[0], hidden, self._middle[1]), actions).relu_())
        hidden.add_(torch.addmm(self._last[0], hidden, self._last[1]).relu_())
        return torch.cat((hidden, 2.0 * self.dynamics.newest(seen) - 1.0), 1)

    @torch.no_grad()
    def step(self, seen: Tensor, actions: Tensor, summary: Tensor | None, noise: Tensor) -> Imagined:
        """What follows upon `seen` float32 (B, seen_dim) and actions int64 (B,), drawn with noise (B, noise_dim)."""
        context = self.context(seen, actions, summary)
        drawn = noise[:, : self._code_noise] if self._code_noise else self._unused.expand(len(seen), -1)
        codes = self._sampler(drawn, context, self._temperature).float()
        heads = self.dynamics.heads
        logits, end = heads(context, codes)
        if self._drawn:
            return Imagined(codes, *drawn_outcomes(logits, end, heads.values, noise[:, self._code_noise :]))
        return Imagined(codes, *likeliest_outcomes(logits, end, heads.values))


def _inject(tables: tuple[Tensor, Tensor], hidden: Tensor, actions: Tensor) -> Tensor:
    scales, shifts = tables
    return torch.addcmul(shifts.index_select(0, actions), hidden, scales.index_select(0, actions))
