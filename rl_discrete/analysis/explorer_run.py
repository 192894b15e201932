"""The moments of a VaST run for the explorer: the table at its checkpoints, decoded frames, true frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.agents.config import VastConfig
from rl_discrete.agents.tabulation import load_planner
from rl_discrete.agents.vast_policy import restore_policy
from rl_discrete.agents.vast_run import TABLE, WEIGHTS
from rl_discrete.analysis.explorer_data import Moment, most_visited
from rl_discrete.analysis.explorer_frames import Frames, pack_frames
from rl_discrete.data.replay import Replay
from rl_discrete.encoders.base import Encoder
from rl_discrete.latents.codes import Keys
from rl_discrete.mdp.sweeping import PrioritizedSweeping
from rl_discrete.runs.checkpoint import CheckpointError, list_checkpoints, read_checkpoint
from rl_discrete.runs.errors import RunError, UsageError

MAX_MOMENTS = 24
"""Checkpoints that the page holds: the first, the last, and others at even distances between them."""
MAX_FRAMES = 24_000
"""Pictures of each kind that the page holds, as many for each checkpoint: those of the most visited codes."""
_AT_A_TIME = 256


@dataclass(frozen=True)
class History:
    """A run as the explorer shows it."""

    moments: list[Moment]
    """In order of time, at least one."""
    same_meaning: bool
    """Whether a key stands for the same observations in all of them: the encoder never changed."""
    checkpoints: int
    """How many the run has."""


def read_history(
    run: Path,
    config: VastConfig,
    warn: Callable[[str], None] = print,
    report: Callable[[float], None] | None = None,
) -> History:
    """The tables of a run at its checkpoints, with values and pictures.

    Args:
        run: the run folder.
        config: that of the run.
        warn: receives a line for each checkpoint that is damaged, and where true frames cannot be read.
        report: called with the share of the checkpoints that are read.

    Raises:
        UsageError: the run has no checkpoint yet.
        RunError: no checkpoint can be read.
    """
    paths = list_checkpoints(run / "checkpoints")
    if not paths:
        raise UsageError(f"{run} has no checkpoint yet: continue it with --resume")
    moments: list[Moment] = []
    seen, newest, same_meaning = _Seen.none(), None, True
    chosen = _spread(len(paths), MAX_MOMENTS)
    for done, index in enumerate(reversed(chosen)):
        if report is not None:
            report(done / len(chosen))
        try:
            checkpoint = read_checkpoint(paths[index], (WEIGHTS, TABLE))
        except CheckpointError as error:
            warn(f"{error}; the explorer leaves it out")
            continue
        if newest is None:
            newest, seen = checkpoint.tensors[WEIGHTS], _Seen.read(run, paths[index], warn)
        same = _equal(newest, checkpoint.tensors[WEIGHTS])
        same_meaning &= same
        planner = load_planner(checkpoint.arrays[TABLE], warn)
        moment = _moment(checkpoint.step, planner)
        encoder = restore_policy(config, checkpoint, planner=planner).encoder
        frames = [_decoded(encoder, moment, MAX_FRAMES // len(chosen))]
        if same:
            frames.append(seen.frames(moment, MAX_FRAMES // len(chosen)))
        moments.append(replace(moment, frames=tuple(found for found in frames if found is not None)))
    if not moments:
        raise RunError(f"no checkpoint of {run} can be read: start again with another --out")
    return History(moments[::-1], same_meaning, len(paths))


def _spread(count: int, most: int) -> list[int]:
    """At most `most` of the numbers below `count`, the last always among them, at even distances."""
    return [round(place) for place in np.linspace(0, count - 1, min(count, most)).tolist()]


def _equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(left[name].equal(right[name]) for name in left)


def _moment(step: int, planner: PrioritizedSweeping) -> Moment:
    transitions = planner.table.transitions()
    keys = transitions.keys
    return most_visited(Moment(step, transitions, planner.values(keys), planner.q_values(keys)))


def _decoded(encoder: Encoder, moment: Moment, most: int) -> Frames | None:
    """Pictures that the encoder makes of the most visited codes; None where it decodes nothing."""
    codes = _first(moment, np.arange(moment.transitions.num_states), most)
    if len(codes) == 0:
        return None
    parts = []
    for part in np.array_split(codes, -(-len(codes) // _AT_A_TIME)):
        pictures = encoder.decode(moment.transitions.keys[part])
        if pictures is None:
            return None
        parts.append(pictures)
    return pack_frames("decoded", np.concatenate(parts), codes, moment.transitions.num_states)


def _first(moment: Moment, codes: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """The `most` most visited among `codes`."""
    return codes[np.argsort(-moment.visits[codes], kind="stable")[:most]]


@dataclass(frozen=True)
class _Seen:
    """True frames by key, from the replay of a checkpoint that still has one."""

    keys: Keys
    """(N, W), each once."""
    rows: NDArray[np.int64]
    """(N,): the newest row of the replay with that key."""
    replay: Replay | None

    @classmethod
    def none(cls) -> _Seen:
        return cls(np.zeros((0, 1), np.uint64), np.zeros(0, np.int64), None)

    @classmethod
    def read(cls, run: Path, checkpoint: Path, warn: Callable[[str], None]) -> _Seen:
        """Nothing where the checkpoint is an older one, the replay is damaged, or observations are vectors."""
        try:
            found = read_checkpoint(checkpoint, parts=("keys", "replay"))
            replay = Replay.restore(run / "replay", found.meta["replay"], found.arrays["replay"], read_only=True)
        except RunError as error:
            warn(f"{error}; the explorer goes without true frames")
            return cls.none()
        part = found.arrays["keys"]
        if len(replay.layout.frame_shape) != 3 or len(part["rows"]) == 0:
            return cls.none()
        states = ~replay.columns(part["rows"]).terminated
        rows, keys = part["rows"][states][::-1], part["keys"][states][::-1]
        keys, first = np.unique(keys, axis=0, return_index=True)
        return cls(keys, rows[first], replay)

    def frames(self, moment: Moment, most: int) -> Frames | None:
        """True frames of the most visited codes that the replay still knows."""
        table = moment.transitions
        if self.replay is None or table.num_states == 0:
            return None
        place = {key.tobytes(): index for index, key in enumerate(self.keys)}
        found = np.array([place.get(key.tobytes(), -1) for key in table.keys])
        codes = _first(moment, np.flatnonzero(found >= 0), most)
        if len(codes) == 0:
            return None
        rows = self.rows[found[codes]]
        channels = self.replay.layout.frame_shape[0]
        shown = channels if channels in (1, 3) else 1
        parts = np.array_split(rows, -(-len(rows) // _AT_A_TIME))
        pictures = [self.replay.observations(part)[:, :shown] for part in parts]
        return pack_frames("seen", np.concatenate(pictures), codes, table.num_states)
