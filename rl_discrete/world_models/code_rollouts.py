"""What the dynamics of codes is fitted on: rollouts of real steps, those before rare outcomes drawn more often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.code_dynamics import CodeDynamics
from rl_discrete.world_models.coded_replay import CodedReplay, Places
from rl_discrete.world_models.config import DynamicsFitConfig

_MOST_EXCESS = 20.0


@dataclass(frozen=True)
class RolloutStarts:
    """Where rollouts start, and how much more often than in the world those with rare first steps do."""

    places: Places
    """(N,) in the coded replay."""
    cumulative: NDArray[np.float64]
    """(N,) of the probabilities."""
    weights: dict[str, NDArray[np.float32]]
    """(N,) of the losses of the first `code`, `reward` and `end`, 1 on average over draws: the inverse of how much more
    often a start is drawn, but for what the head of rewards, or of ends, is told itself."""
    reward_excess: Tensor
    """(3,) how many times more often rewards below, at and above 0 are drawn, up to a common factor."""
    end_excess: float
    """The same of ends against other steps."""

    @classmethod
    def of(cls, replay: CodedReplay, back: int, config: DynamicsFitConfig) -> RolloutStarts:
        """Raises UsageError where there is no step to learn from."""
        places = replay.training_starts(back, config.unroll)
        if not len(places):
            raise UsageError(
                "the replay holds no step that the world model may learn from: collect more, or hold out less"
            )
        first = replay.following[places]
        signs, ends = np.sign(replay.rewards[first]).astype(np.int64) + 1, replay.ends[first]
        reward_excess = _excess(np.bincount(signs, minlength=3), config.rare_share)
        end_excess = _excess(np.bincount(ends, minlength=2), config.rare_share)
        of_reward, of_end = reward_excess[signs], end_excess[ends.astype(np.int64)]
        times = of_reward * of_end
        cumulative = np.cumsum(times) / times.sum()
        told = {"code": np.ones(len(times)), "reward": of_reward, "end": of_end}
        weights = {name: (times.sum() / own.sum() * own / times).astype(np.float32) for name, own in told.items()}
        ratio = float(end_excess[1] / end_excess[0])
        return cls(places, cumulative, weights, torch.from_numpy(reward_excess).float(), ratio)

    def draw(self, count: int, order: np.random.Generator) -> NDArray[np.int64]:
        """Positions (count,) in `places`."""
        found = np.searchsorted(self.cumulative, order.random(count), side="right")
        return np.minimum(found, len(self.places) - 1)


def _excess(counts: NDArray[Any], share: float) -> NDArray[np.float64]:
    """How many times more often each class is to be drawn, so that none there is falls far below `share`.

    At most `_MOST_EXCESS` times: a handful of rewards drawn in every batch would be learned by heart.
    """
    excess: NDArray[np.float64] = np.clip(share * counts.sum() / np.maximum(counts, 1), 1.0, _MOST_EXCESS)
    return np.where(counts > 0, excess, 1.0)


@dataclass(frozen=True)
class Rollout:
    """B real histories and the U steps that followed upon them."""

    seen: Tensor  # float32 (B, seen_dim)
    summary: Tensor | None  # float32 (B, recurrent)
    weights: dict[str, Tensor]  # float32 (B,), of the first step's losses
    there: Tensor  # bool (B, U), whether there was such a step
    actions: Tensor  # int64 (B, U)
    codes: Tensor  # int64 (B, U, L)
    soft: Tensor | None  # float32 (B, U, L)
    rewards: Tensor  # float32 (B, U)
    ends: Tensor  # bool (B, U)

    @classmethod
    def draw(
        cls,
        replay: CodedReplay,
        starts: RolloutStarts,
        dynamics: CodeDynamics,
        config: DynamicsFitConfig,
        order: np.random.Generator,
    ) -> Rollout:
        """A batch of rollouts."""
        chosen = starts.draw(config.batch_size, order)
        places = starts.places[chosen]
        codes, actions, valid = (torch.from_numpy(part) for part in replay.history(places, dynamics.context_frames))
        seen, summary = dynamics.look(codes.float(), actions, valid)
        ahead = replay.ahead(places, config.unroll)
        return cls(
            seen=seen,
            summary=summary,
            weights={name: torch.from_numpy(each[chosen]) for name, each in starts.weights.items()},
            there=torch.from_numpy(ahead >= 0),
            actions=torch.from_numpy(replay.actions[ahead]),
            codes=torch.from_numpy(replay.codes[ahead]).long(),
            soft=None if replay.soft is None else torch.from_numpy(replay.soft[ahead]).float(),
            rewards=torch.from_numpy(replay.rewards[ahead]),
            ends=torch.from_numpy(replay.ends[ahead]),
        )
