"""Which weights a fit of the dynamics ends with: those that told held-out steps best."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from rl_discrete.latents.factorised_prior import FactorisedPrior
from rl_discrete.latents.lstm_prior import LSTMPrior
from rl_discrete.world_models.code_dynamics import CodeDynamics
from rl_discrete.world_models.coded_replay import CodedReplay, Places

_MOST_STEPS, _BATCH = 2048, 512


class HeldOutChoice:
    """Looks at a dynamics now and then, and keeps the weights whose nats on held-out steps were fewest.

    A replay of some thousand steps is seen a hundred times in a fit of some thousand gradient steps: in Pong the code
    of a step it had learned from then took 0.01 nats, that of another 9. Where nothing is held out, nothing is kept.

    Args:
        dynamics: that is being fitted.
        replay: its held-out steps are looked at, spread evenly over all of them.
        patience: looks in a row that may be no better, >= 1.
    """

    def __init__(self, dynamics: CodeDynamics, replay: CodedReplay, patience: int) -> None:
        self._dynamics, self._replay, self._patience = dynamics, replay, patience
        self._places = replay.held_out_starts(1)
        if len(self._places) > _MOST_STEPS:
            self._places = self._places[torch.linspace(0, len(self._places) - 1, _MOST_STEPS).long().numpy()]
        self._fewest, self._worse = math.inf, 0
        self._kept: dict[str, Tensor] | None = None

    def look(self, prior: FactorisedPrior | LSTMPrior) -> bool:
        """Looks at the weights as they are, with `prior` telling the codes; whether patience has run out."""
        if not len(self._places):
            return False
        nats = held_out_nats(self._dynamics, prior, self._replay, self._places)
        if nats < self._fewest:
            self._fewest, self._worse = nats, 0
            self._kept = copy.deepcopy(self._dynamics.state_dict())
        else:
            self._worse += 1
        return self._worse >= self._patience

    def restore(self) -> None:
        """Puts back the weights that were kept, if any were."""
        if self._kept is not None:
            self._dynamics.load_state_dict(self._kept)


@torch.no_grad()
def held_out_nats(
    dynamics: CodeDynamics, prior: FactorisedPrior | LSTMPrior, replay: CodedReplay, places: Places
) -> float:
    """Mean -log p of the next code, reward and end after each of `places`, nats per step."""
    total, plain = 0.0, torch.ones(3)
    for begin in range(0, len(places), _BATCH):
        part = places[begin : begin + _BATCH]
        after = replay.following[part]
        codes, actions, valid = (torch.from_numpy(each) for each in replay.history(part, dynamics.context_frames))
        seen, summary = dynamics.look(codes.float(), actions, valid)
        context = dynamics.context(seen, torch.from_numpy(replay.actions[after]), summary)
        following = torch.from_numpy(replay.codes[after])
        logits, end = dynamics.heads(context, following.float())
        nats = -prior.log_prob(following.long(), context)
        nats = nats + dynamics.heads.reward_nats(logits, torch.from_numpy(replay.rewards[after]), plain)
        nats = nats + dynamics.heads.end_nats(end, torch.from_numpy(replay.ends[after]), 1.0)
        total += float(nats.sum())
    return total / len(places)
