"""Windows of consecutive frames of one episode, drawn from a replay for the world model of pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.data.replay import Replay
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.pixel_coding import PixelCoding


@dataclass(frozen=True)
class Windows:
    """N windows of T frames, oldest first: the context, of which young episodes have less, then what is predicted."""

    symbols: Tensor
    """(N, T, P, H, W) uint8"""
    valid: Tensor
    """(N, T) bool, whether there is such a frame; all but the first `context - 1` always are."""
    actions: Tensor
    """(N, T) int64, the action that led to each frame."""
    rewards: Tensor
    """(N, T) float32, received on the way."""
    ended: Tensor
    """(N, T) bool, whether the MDP ended there; then the frame is no state. Only ever the last."""

    def to(self, device: torch.device) -> Windows:
        """The same on a device."""
        return Windows(*(part.to(device) for part in vars(self).values()))


@dataclass(frozen=True)
class Excess:
    """How many times more often windows hold what is rare than the replay does."""

    rewards: Tensor
    """(3,) rewards below, at and above 0."""
    ends: float

    @classmethod
    def none(cls, device: torch.device | str = "cpu") -> Excess:
        """Windows drawn alike."""
        return cls(torch.ones(3, device=device), 1.0)

    def to(self, device: torch.device) -> Excess:
        """The same on a device."""
        return Excess(self.rewards.to(device), self.ends)


class WindowSampler:
    """Draws windows uniformly over the frames they end with, and a share of them among those that tell of rewards.

    A window never crosses the end of an episode. It may begin before its episode does, so that young episodes are
    learned from as well.

    Args:
        replay: where frames come from.
        rows: ids (N,) of rows that may be predicted; the context may be any.
        coding: of the frames.
        context: frames that are looked at.
        predicted: frames after them.
        telling_share: share of windows, in [0, 1), drawn among those that predict a reward or an end.

    Raises:
        UsageError: no episode has `predicted + 1` frames, or a share outside its range.
    """

    def __init__(
        self,
        replay: Replay,
        rows: NDArray[np.int64],
        coding: PixelCoding,
        context: int,
        predicted: int,
        telling_share: float = 0.0,
    ) -> None:
        if not 0.0 <= telling_share < 1.0:
            raise UsageError(f"reward_share must be in [0, 1), got {telling_share}")
        targets = replay.windows(rows, predicted + 1)
        whole = (targets[:, 0] >= 0) & np.isin(targets[:, 1:], rows).all(1)
        if not whole.any():
            raise UsageError(
                f"a window takes {predicted + 1} frames of one episode, and none has as many: collect more, or set "
                "`predicted` lower"
            )
        self.ends, targets = rows[whole], targets[whole, 1:]
        self._replay, self._coding, self._length = replay, coding, context + predicted
        columns = replay.columns(targets.ravel())
        self._signs = np.sign(columns.rewards).reshape(targets.shape)  # (M, predicted)
        self._ended = columns.terminated.reshape(targets.shape)
        self._telling = np.flatnonzero(((self._signs != 0.0) | self._ended).any(1))
        self._share = telling_share if len(self._telling) else 0.0

    @property
    def weights(self) -> NDArray[np.float64]:
        """(M,) how often each window is drawn, as a multiple of how often it would be if all were alike."""
        weights = np.full(len(self.ends), 1.0 - self._share)
        if self._share > 0.0:
            weights[self._telling] += self._share * len(self.ends) / len(self._telling)
        return weights

    def excess(self) -> Excess:
        """Of the draws; 1 for what is nowhere in the replay."""
        rewards = [self._excess(self._signs == sign) for sign in (-1.0, 0.0, 1.0)]
        return Excess(torch.tensor(rewards), self._excess(self._ended))

    def _excess(self, found: NDArray[np.bool_]) -> float:
        shares = found.mean(1)
        return float((shares * self.weights).mean() / shares.mean()) if shares.any() else 1.0

    def draw(self, number: int, generator: np.random.Generator) -> Windows:
        """`number` windows, with replacement."""
        chosen = generator.integers(0, len(self.ends), number)
        telling = generator.random(number) < self._share
        if telling.any():
            chosen[telling] = generator.choice(self._telling, int(telling.sum()))
        return self.windows(self.ends[chosen])

    def windows(self, ends: NDArray[np.int64]) -> Windows:
        """The windows that end with the rows `ends` (N,)."""
        ids = self._replay.windows(ends, self._length)
        valid = ids >= 0
        frames = self._replay.frames(ids.ravel()).reshape(*ids.shape, *self._replay.layout.frame_shape)
        columns = self._replay.columns(ids[valid])
        actions, rewards = np.zeros(ids.shape, np.int64), np.zeros(ids.shape, np.float32)
        ended = np.zeros(ids.shape, np.bool_)
        actions[valid], rewards[valid], ended[valid] = columns.actions, columns.rewards, columns.terminated
        symbols = self._coding.symbols(frames)
        return Windows(*map(torch.from_numpy, (symbols, valid, actions, rewards, ended)))
