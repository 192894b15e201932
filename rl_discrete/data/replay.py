"""Replay of single frames on disk, from which observation stacks and transitions are rebuilt.

Row j holds one frame of one env, and the action, reward and flags of the step that led to it (the convention
of Corneil, Gerstner, Brea 2018). B envs interleave; links lead from row to row of the same episode, so neither
a stack nor a transition ever mixes envs or episodes. The first row of an episode has no previous one, however
the episode before it ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rl_discrete.data.columns import Columns
from rl_discrete.data.history import History
from rl_discrete.data.layout import ReplayLayout
from rl_discrete.data.row_index import ROW, Ids, RowIndex, new_records
from rl_discrete.data.segments import FrameSegments
from rl_discrete.data.transition_batch import TransitionBatch
from rl_discrete.runs.errors import RunError, UsageError

__all__ = ["Columns", "Replay", "TransitionBatch"]


class Replay:
    """Append-only replay with a byte cap: when it is full, the oldest segment leaves as a whole.

    With it go the first `stack - 1` rows of each episode that it cuts, since their observations could not be
    rebuilt; the row after them stays, and its `previous` is -1. `leaving` tells before it happens.

    A run saves `commit()` and `state()` in each checkpoint, calls `release` once that is safe, and goes on from
    `Replay.restore` exactly as if it had never stopped.

    Attributes:
        layout: the sizes: frame shape, stack, B, the cap in bytes, `max_rows`.
    """

    def __init__(
        self,
        folder: Path,
        frame_shape: tuple[int, ...],
        stack: int,
        num_envs: int,
        capacity_bytes: int,
        dtype: npt.DTypeLike = np.uint8,
        segment_rows: int | None = None,
    ) -> None:
        """Begin an empty replay in `folder`. Segments that an earlier one left there are deleted.

        Args:
            folder: where the segments are written.
            frame_shape: of one frame: (C, H, W), or (D,) for vectors.
            stack: frames in an observation.
            num_envs: B, how many envs run side by side.
            capacity_bytes: the cap on the bytes of all frames that are kept. On disk there may be more, while a
                kept checkpoint refers to segments that have left.
            dtype: of the frames: uint8 or float32.
            segment_rows: rows in a file; None: a thirty-second of the cap, at most 64 MiB.

        Raises:
            UsageError: a size below 1, another dtype, or a cap below two segments, the smallest there can be.
            RunError: the disk refused.
        """
        name = np.dtype(dtype).name
        self.layout = ReplayLayout.choose(tuple(frame_shape), name, stack, num_envs, capacity_bytes, segment_rows)
        self._segments = FrameSegments.create(folder, self.layout)
        self._index = RowIndex(num_envs, stack)

    @classmethod
    def restore(
        cls,
        folder: Path,
        meta: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],
        *,
        capacity_bytes: int | None = None,
        read_only: bool = False,
    ) -> Replay:
        """The replay as it was at `commit`, which returned `meta` while `state` returned `arrays`.

        Frames appended after that commit are cut off the files.

        Args:
            folder: where the segments are.
            meta: what `commit` returned.
            arrays: what `state` returned.
            capacity_bytes: another cap; a smaller one is reached at the next append.
            read_only: change no file; nothing can be appended, committed or released.

        Raises:
            UsageError: a cap below two segments.
            RunError: a segment is missing or too short, `meta` and `arrays` do not belong together, or the disk
                refused.
        """
        sizes = dict(meta["layout"]) | ({} if capacity_bytes is None else {"capacity_bytes": capacity_bytes})
        replay = cls.__new__(cls)
        replay.layout = layout = ReplayLayout(**sizes | {"frame_shape": tuple(sizes["frame_shape"])})
        first, following = int(meta["first_row"]), int(meta["next_row"])
        rows, latest = arrays["rows"], arrays["latest"]
        if (len(rows), len(latest)) != (following - first, layout.num_envs):
            raise RunError(f"the checkpoint's rows and its replay in {folder} do not belong together; load another one")
        replay._segments = FrameSegments.open(folder, layout, meta["segments"], read_only=read_only)
        replay._index = RowIndex.from_state(layout.stack, first, rows, latest)
        return replay

    @property
    def first_row(self) -> int:
        """The oldest row whose frame is there; `rows` lists those that are kept."""
        return self._index.first_row

    @property
    def next_row(self) -> int:
        """The id that the next row gets: how many rows were ever appended."""
        return self._index.next_row

    @property
    def num_bytes(self) -> int:
        """Bytes of the frames that are there."""
        return (self.next_row - self.first_row) * self.layout.frame_bytes

    @property
    def summary(self) -> str:
        """The sizes and the cap in one line."""
        layout = self.layout
        return (
            f"replay: at most {layout.max_rows:,} frames of {'x'.join(map(str, layout.frame_shape))} {layout.dtype}, "
            f"{layout.max_rows * layout.frame_bytes / 1e6:,.1f} MB on disk (cap {layout.capacity_bytes / 1e6:,.1f} MB) "
            f"and {layout.max_rows * ROW.itemsize / 1e6:,.1f} MB in memory"
        )

    def latest(self) -> Ids:
        """(B,) the newest row of each env; -1 before its first."""
        return self._index.latest.copy()

    def rows(self) -> Ids:
        """All rows that are kept, oldest first: those whose observations can be rebuilt."""
        return self._index.kept()

    def columns(self, rows: npt.ArrayLike) -> Columns:
        """What is known of `rows` (N,) besides their frames.

        Raises:
            UsageError: a row is not kept.
        """
        return self._index.columns(self._index.check(rows))

    def observations(self, rows: npt.ArrayLike) -> npt.NDArray[Any]:
        """Observations (N, stack * C, H, W) of `rows` (N,), newest frame first, zeros before the episode's start.

        Raises:
            UsageError: a row is not kept.
            RunError: a segment cannot be read.
        """
        return self._stacks(self._index.check(rows), self.layout.stack)

    def windows(self, rows: npt.ArrayLike, length: int) -> Ids:
        """(N, length) the rows up to each of `rows` (N,) in its episode, oldest first; -1 where there is none.

        Raises:
            UsageError: a row is not kept, or `length` is below 1.
        """
        if length < 1:
            raise UsageError(f"length must be >= 1, got {length}")
        found = self._index.histories(self._index.check(rows), length)
        return np.where(found >= self.first_row, found, -1)[:, ::-1]

    def frames(self, rows: npt.ArrayLike) -> npt.NDArray[Any]:
        """Single frames (N, *frame_shape) of `rows` (N,); zeros for -1.

        Raises:
            RunError: a segment cannot be read.
        """
        return self._segments.read(np.asarray(rows, np.int64))

    def history(self, rows: npt.ArrayLike, length: int) -> History:
        """What a world model is told of the `length` frames up to each of `rows` (N,).

        Raises:
            UsageError: a row is not kept, or `length` is below 1.
            RunError: a segment cannot be read.
        """
        windows = self.windows(rows, length)
        valid = windows >= 0
        actions = np.zeros(windows.shape, np.int64)
        actions[valid] = self._index.columns(windows[valid]).actions
        frames = self.frames(windows.ravel()).reshape(*windows.shape, *self.layout.frame_shape)
        return History(frames, actions, valid)

    def batch(self, rows: npt.ArrayLike) -> TransitionBatch:
        """The transitions into `rows` (N,). `previous` and `current` are views of the same memory.

        Raises:
            UsageError: a row is not kept, or the row before it in its episode is not.
            RunError: a segment cannot be read.
        """
        ids = self._index.check(rows)
        whole = self._index.whole(ids)
        if not whole.all():
            raise UsageError(f"no transition leads to row {ids[~whole][0]}: the row before it has left the replay")
        columns = self._index.columns(ids)
        frames = self._stacks(ids, self.layout.stack + 1)
        channels = self.layout.frame_shape[0]
        return TransitionBatch(
            previous=frames[:, channels:],
            actions=columns.actions,
            current=frames[:, :-channels],
            starts=columns.starts,
            rewards=columns.rewards.astype(np.float32),
        )

    def sample(self, batch_size: int, generator: np.random.Generator) -> tuple[Ids, TransitionBatch]:
        """Rows (batch_size,) drawn uniformly with replacement, and the transitions into them.

        Every kept row can be drawn, starts and ends included, but for those whose previous row has left.

        Raises:
            UsageError: `batch_size` is below 1, or the replay is empty.
            RunError: a segment cannot be read.
        """
        if batch_size < 1 or self.next_row == 0:
            raise UsageError(f"a sample needs batch_size >= 1 and rows, got {batch_size} and {self.next_row} rows")
        ids = generator.integers(self.first_row, self.next_row, batch_size)
        while len(again := np.flatnonzero(~self._index.whole(ids))) > 0:  # few: at most stack rows of each env
            ids[again] = generator.integers(self.first_row, self.next_row, len(again))
        return ids, self.batch(ids)

    def leaving(self, num_rows: int) -> Ids:
        """The kept rows that the next append of `num_rows` rows will drop, oldest first; mostly none."""
        return self._index.leaving(self.layout.first_row(self.next_row + num_rows))

    def append(
        self,
        frames: npt.NDArray[Any],
        actions: npt.ArrayLike,
        rewards: npt.ArrayLike,
        terminated: npt.ArrayLike,
        truncated: npt.ArrayLike,
        starts: npt.ArrayLike,
        envs: npt.ArrayLike | None = None,
    ) -> Ids:
        """Append one row for each of N envs.

        Args:
            frames: (N, *frame_shape), the newest frame of each.
            actions: (N,) that led there, in [0, 2**31); ignored at a start, as are rewards and ends.
            rewards: (N,), finite.
            terminated: (N,) whether the MDP ended with this frame.
            truncated: (N,) whether the episode was cut after it.
            starts: (N,) whether it is the first of an episode.
            envs: (N,) which envs, each at most once; None: all of them in order.

        Returns:
            The ids of the rows, (N,).

        Raises:
            UsageError: an argument does not fit, or a row that is no start has no episode to go on with.
            RunError: the disk refused (it is full, say). Either way nothing has changed.
        """
        which = np.arange(self.layout.num_envs) if envs is None else np.asarray(envs, np.int64)
        records = new_records(actions, rewards, terminated, truncated, starts, which)
        shape = (len(records), *self.layout.frame_shape)
        if frames.shape != shape or frames.dtype != self.layout.dtype:
            raise UsageError(f"frames must be {self.layout.dtype} {shape}, got {frames.dtype} {frames.shape}")
        first_row = self.layout.first_row(self.next_row + len(records))
        self._index.check_episodes(records, first_row)
        self._segments.append(frames)
        if first_row > self.first_row:
            self._index.forget(first_row)
            self._segments.forget(first_row)
        return self._index.add(records)

    def commit(self) -> dict[str, Any]:
        """Put all frames safely on the disk; the JSON for a checkpoint, which goes with `state()`.

        From now on the files it names stay, whatever leaves, until `release`.

        Raises:
            RunError: the disk refused.
        """
        return {
            "layout": asdict(self.layout) | {"frame_shape": list(self.layout.frame_shape)},
            "first_row": self.first_row,
            "next_row": self.next_row,
            "segments": self._segments.commit(),  # file name -> bytes
        }

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays for a checkpoint, which go with `commit()`: copies, 32 bytes a row."""
        return self._index.state()

    def release(self, kept: Iterable[Mapping[str, Any]]) -> None:
        """Delete the files that have left and that none of the `kept` results of `commit` refers to.

        Args:
            kept: those in all checkpoints from which the run may still be resumed, the newest included.

        Raises:
            RunError: the disk refused.
        """
        self._segments.release(meta["segments"] for meta in kept)

    def _stacks(self, ids: Ids, length: int) -> npt.NDArray[Any]:
        frames = self._segments.read(self._index.histories(ids, length).ravel())
        return frames.reshape(len(ids), length * self.layout.frame_shape[0], *self.layout.frame_shape[1:])
