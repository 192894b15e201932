"""Which rows a replay keeps, what led to each, and how they are linked into episodes. In memory, without frames."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rl_discrete.data.columns import Columns
from rl_discrete.data.ring import Ring
from rl_discrete.runs.errors import UsageError

Ids: TypeAlias = npt.NDArray[np.int64]
Records: TypeAlias = npt.NDArray[np.void]

# back, ahead: the distance to the row before and after in the same episode, 0 for none.
ROW = np.dtype(
    [
        ("action", "<i4"),
        ("reward", "<f8"),
        ("terminated", "?"),
        ("truncated", "?"),
        ("start", "?"),
        ("kept", "?"),
        ("env", "<i4"),
        ("back", "<i4"),
        ("ahead", "<i4"),
    ]
)


def new_records(
    actions: npt.ArrayLike,
    rewards: npt.ArrayLike,
    terminated: npt.ArrayLike,
    truncated: npt.ArrayLike,
    starts: npt.ArrayLike,
    envs: Ids,
) -> Records:
    """Records of type `ROW` for N rows that are to be added, all but their links; zeros at a start.

    Raises:
        UsageError: arrays of other lengths, the same env twice, an action or a reward that no table could take.
    """
    given = [np.asarray(values) for values in (actions, rewards, terminated, truncated, starts)]
    if envs.ndim != 1 or any(values.shape != envs.shape for values in given):
        shapes = ", ".join(str(values.shape) for values in given)
        raise UsageError(f"actions, rewards and flags must have the shape {envs.shape} of envs, got {shapes}")
    if len(set(envs.tolist())) < len(envs):
        raise UsageError(f"an env can append one row at a time, got envs {envs.tolist()}")
    start = given[-1].astype(bool)
    action, reward, ended, cut = (np.where(start, values.dtype.type(0), values) for values in given[:-1])
    if action.dtype.kind not in "iu" or ((action < 0) | (action >= 2**31)).any():
        raise UsageError(f"actions must be whole numbers in [0, 2**31), got {given[0].tolist()}")
    if not np.isfinite(reward).all():
        raise UsageError(f"rewards must be finite, got {given[1].tolist()}")
    records = np.zeros(len(envs), ROW)
    records["action"], records["reward"], records["terminated"], records["truncated"] = action, reward, ended, cut
    records["start"], records["kept"], records["env"] = start, True, envs
    return records


class RowIndex:
    """Rows `first_row` to `next_row - 1`, one record of type `ROW` each.

    A row is kept while the `stack` frames of its observation can be found. When the frames before `first_row`
    go, the first `stack - 1` rows of each episode that is cut there are no longer kept, though their frames
    stay to serve the rows after them.
    """

    def __init__(self, num_envs: int, stack: int) -> None:
        self.first_row = 0
        self.next_row = 0
        self.latest: Ids = np.full(num_envs, -1, np.int64)  # the newest row of each env
        self._stack = stack
        self._ring = Ring((), ROW)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of what `from_state` needs."""
        ids = np.arange(self.first_row, self.next_row)
        return {"rows": self._at(ids), "latest": self.latest.copy()}

    @classmethod
    def from_state(cls, stack: int, first_row: int, rows: npt.NDArray[Any], latest: Ids) -> RowIndex:
        """The index whose `state` was `rows` and `latest`, and whose oldest row was `first_row`."""
        index = cls(len(latest), stack)
        index.first_row, index.next_row = first_row, first_row + len(rows)
        index.latest = latest.copy()
        index._ring.reserve(index.first_row, index.next_row)
        index._ring[np.arange(index.first_row, index.next_row)] = rows
        return index

    def kept(self) -> Ids:
        """All rows that are kept, oldest first."""
        ids: Ids = np.arange(self.first_row, self.next_row)
        kept: Ids = ids[self._at(ids)["kept"]]
        return kept

    def check(self, rows: npt.ArrayLike) -> Ids:
        """`rows` (N,) as ids; UsageError where one is not kept."""
        ids = np.asarray(rows, np.int64)
        bad = ~self._is_kept(ids)
        if bad.any():
            raise UsageError(
                f"row {ids[bad][0]} is not in the replay, which holds rows {self.first_row} to {self.next_row - 1} "
                "except those whose first frames have left; `rows` lists them"
            )
        return ids

    def columns(self, ids: Ids) -> Columns:
        """What is known of rows that are kept."""
        found = self._at(ids)
        return Columns(
            actions=found["action"].astype(np.int64),
            rewards=found["reward"],
            terminated=found["terminated"],
            truncated=found["truncated"],
            starts=found["start"],
            envs=found["env"].astype(np.int64),
            previous=self._linked(ids, -found["back"]),
            following=self._linked(ids, found["ahead"]),
        )

    def histories(self, ids: Ids, length: int) -> Ids:
        """(N, length): each row, the one before it in its episode, and so on; -1 before the episode's start."""
        rows = np.full((len(ids), length), -1, np.int64)
        rows[:, 0] = ids
        for depth in range(1, length):
            later = rows[:, depth - 1]
            back = np.where(later < 0, 0, self._at(later)["back"])
            rows[:, depth] = np.where(back > 0, later - back, -1)
        return rows

    def whole(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """(N,) whether each row between first and next is kept, and so is the row before it in its episode, if any."""
        found = self._at(ids)
        before = ids - found["back"]
        return found["kept"] & (found["start"] | self._is_kept(before))

    def leaving(self, first_row: int) -> Ids:
        """The rows that are no longer kept once the frames before `first_row` are gone, in order."""
        if first_row <= self.first_row:
            return np.empty(0, np.int64)
        gone = np.arange(self.first_row, first_row)
        cut = gone + self._at(gone)["ahead"]  # the next row of the episode, or the row itself
        cut = cut[cut >= first_row]
        rows = [gone]
        for _ in range(self._stack - 1):
            rows.append(cut)
            ahead = self._at(cut)["ahead"]
            cut = (cut + ahead)[ahead > 0]
        ids: Ids = np.sort(np.concatenate(rows))
        leaving: Ids = ids[self._at(ids)["kept"]]
        return leaving

    def forget(self, first_row: int) -> None:
        """Let the rows of `leaving(first_row)` go; `first_row` has grown."""
        self._ring.values["kept"][self._ring.places(self.leaving(first_row))] = False
        self.first_row = first_row

    def check_episodes(self, records: Records, first_row: int) -> None:
        """Raises UsageError where new records cannot be added once the rows before `first_row` are gone."""
        envs = records["env"]
        if ((envs < 0) | (envs >= len(self.latest))).any():
            raise UsageError(f"envs must be numbers in [0, {len(self.latest)}), got {envs.tolist()}")
        before = self.latest[envs]
        there = self._is_kept(before)
        if first_row > self.first_row:
            there &= ~np.isin(before, self.leaving(first_row))
        found = self._at(before)
        lost = ~records["start"] & (~there | found["terminated"] | found["truncated"])
        if lost.any():
            raise UsageError(
                f"env {envs[lost][0]} has no episode to go on with, since its last row ended one, has left the "
                "replay or was never there; append a start first"
            )

    def add(self, records: Records) -> Ids:
        """Append records that were checked, and link them; returns their ids."""
        envs, ids = records["env"], self.next_row + np.arange(len(records))
        distance = np.where(records["start"], 0, ids - self.latest[envs])
        going_on = distance > 0
        self._ring.reserve(self.first_row, self.next_row + len(records))
        self._ring.values["ahead"][self._ring.places((ids - distance)[going_on])] = distance[going_on]
        records["back"] = distance
        self._ring[ids] = records
        self.latest[envs] = ids
        self.next_row += len(records)
        return ids

    def _at(self, ids: Ids) -> Records:
        return self._ring[ids]

    def _is_kept(self, ids: Ids) -> npt.NDArray[np.bool_]:
        kept: npt.NDArray[np.bool_] = (ids >= self.first_row) & (ids < self.next_row) & self._at(ids)["kept"]
        return kept

    def _linked(self, ids: Ids, distance: npt.NDArray[np.int32]) -> Ids:
        target = ids + distance
        return np.where((distance != 0) & self._is_kept(target), target, -1)
