"""A replay as the dynamics learns from it: every frame a code, all of it in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl_discrete.data.replay import Replay
from rl_discrete.world_models.frame_codec import FrameCodec
from rl_discrete.world_models.frame_source import FrameSource
from rl_discrete.world_models.held_out import HeldOut

Places = NDArray[np.int64]
"""Positions in the arrays of a `CodedReplay`; -1 where there is no row."""


@dataclass(frozen=True)
class CodedReplay:
    """The N kept rows of a replay, oldest first; about 2 L + 40 bytes each."""

    codes: NDArray[np.uint8]
    """(N, L)"""
    soft: NDArray[np.float16] | None
    """(N, L) how sure each bit is; None where nobody asked."""
    actions: NDArray[np.int64]
    """(N,) that led to each row; 0, which means nothing, where none did."""
    rewards: NDArray[np.float32]
    """(N,) received on the way."""
    ends: NDArray[np.bool_]
    """(N,) whether the MDP ended there."""
    previous: Places
    """(N,) the place of the row before in the episode, -1 for none."""
    following: Places
    """(N,) the place of the row after, -1 for none."""
    held_out: NDArray[np.bool_]
    """(N,)"""

    @classmethod
    def of(cls, replay: Replay, codec: FrameCodec, held_out: HeldOut, soft: bool) -> CodedReplay:
        """All that is kept in a replay; `soft`: also how sure each bit is.

        Raises:
            RunError: frames cannot be read or are not finite.
        """
        rows = replay.rows()
        columns = replay.columns(rows)
        blocks = FrameSource(replay.frames, rows).blocks()
        if soft:
            sure = np.concatenate([codec.encode_soft(frames) for frames in blocks])
            codes = (sure > 0.5).astype(np.uint8)
        else:
            codes = np.concatenate([codec.encode(frames) for frames in blocks])
        previous = _places(rows, columns.previous)
        return cls(
            codes=codes,
            soft=sure.astype(np.float16) if soft else None,
            actions=np.where(previous < 0, 0, columns.actions),
            rewards=columns.rewards.astype(np.float32),
            ends=columns.terminated,
            previous=previous,
            following=_places(rows, columns.following),
            held_out=held_out.mask(rows),
        )

    def __len__(self) -> int:
        return len(self.codes)

    def back(self, places: Places, length: int) -> Places:
        """(N, length) places up to each of `places` (N,) in its episode, oldest first."""
        return _walk(self.previous, places, length)[:, ::-1]

    def ahead(self, places: Places, length: int) -> Places:
        """(N, length) places after each of `places` (N,) in its episode."""
        return _walk(self.following, places, length + 1)[:, 1:]

    def training_starts(self, back: int, ahead: int) -> Places:
        """Where a step leads on and nothing of the `back` rows up to it and `ahead` rows after it is held out."""
        begun = np.flatnonzero(self.following >= 0)
        window = np.concatenate((self.back(begun, back), self.ahead(begun, ahead)), 1)
        return begun[~(self.held_out[window] & (window >= 0)).any(1)]

    def held_out_starts(self, ahead: int) -> Places:
        """Where `ahead` steps lead on and the row and all of those are held out."""
        begun = np.flatnonzero(self.held_out & (self.following >= 0))
        window = self.ahead(begun, ahead)
        return begun[((window >= 0) & self.held_out[window]).all(1)]

    def history(self, places: Places, length: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
        """Codes (N, length, L), actions and whether there is a row, (N, length), of the rows up to `places` (N,)."""
        window = self.back(places, length)
        valid = window >= 0
        codes, actions = self.codes[window], self.actions[window]
        codes[~valid], actions[~valid] = 0, 0
        return codes, actions, valid


def _walk(link: Places, places: Places, length: int) -> Places:
    """(N, length): each place, the one it is linked with, and so on; -1 after the last."""
    found = np.full((len(places), length), -1, np.int64)
    found[:, 0] = places
    for depth in range(1, length):
        before = found[:, depth - 1]
        found[:, depth] = np.where(before >= 0, link[before], -1)
    return found


def _places(rows: NDArray[np.int64], wanted: NDArray[np.int64]) -> Places:
    """Where `wanted` stand in the sorted `rows`; -1 for those that do not."""
    places = np.searchsorted(rows, wanted)
    found = rows[np.minimum(places, len(rows) - 1)] == wanted
    return np.where(found, places, -1)
