"""What the explorer's page holds, as plain data: tables at moments of the training, and pictures of their codes."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.analysis.explorer_frames import Frames
from rl_discrete.analysis.table_layout import Places
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.errors import UsageError

MAX_CODES = 20_000
"""Codes of a checkpoint that the page holds: the most visited. Their transitions to the others are added up."""


@dataclass(frozen=True)
class Moment:
    """The table at one checkpoint."""

    step: int
    """Env steps so far."""
    transitions: Transitions
    """S codes."""
    values: NDArray[np.float64]
    """(S,): V of each."""
    q_values: NDArray[np.float64]
    """(S, A): Q, nan where untried."""
    frames: tuple[Frames, ...] = ()
    """Pictures of some of the codes, each kind once."""
    left_out: tuple[int, int] = (0, 0)
    """Codes that were left out because they were visited least, and their visits."""
    hidden: NDArray[np.int64] | None = None
    """(S, A): transitions to the codes left out; None: there are none."""

    def __post_init__(self) -> None:
        shape = self.transitions.counts.shape
        if self.values.shape != shape[:1] or self.q_values.shape != shape:
            raise UsageError(
                f"values and q_values must have shapes {shape[:1]} and {shape}, "
                f"got {self.values.shape} and {self.q_values.shape}"
            )

    @property
    def visits(self) -> NDArray[np.int64]:
        """(S,): how often each code was left, N(s)."""
        visits: NDArray[np.int64] = self.transitions.counts.sum(axis=1)
        return visits


def most_visited(moment: Moment, limit: int = MAX_CODES) -> Moment:
    """The moment with its `limit` most visited codes; what leads from them to the others is counted as hidden.

    Frames are dropped: they are made for the codes that are left.
    """
    table = moment.transitions
    if table.num_states <= limit:
        return moment
    kept = np.sort(np.argsort(-moment.visits, kind="stable")[:limit])
    numbers = np.full(table.num_states, -1, np.int64)
    numbers[kept] = np.arange(limit)
    states, actions = np.divmod(table.edge_source, table.num_actions)
    sources, targets = numbers[states], numbers[table.edge_target]
    inside, out = (sources >= 0) & (targets >= 0), (sources >= 0) & (targets < 0)
    pairs = sources * table.num_actions + actions
    hidden = np.bincount(pairs[out], table.edge_count[out], minlength=limit * table.num_actions)
    part = Transitions(
        keys=table.keys[kept],
        rows=table.rows[kept],
        counts=table.counts[kept],
        reward_sums=table.reward_sums[kept],
        edge_source=pairs[inside],
        edge_target=targets[inside],
        edge_count=table.edge_count[inside],
    )
    left_out = (table.num_states - limit, int(moment.visits.sum() - moment.visits[kept].sum()))
    hidden_counts = hidden.astype(np.int64).reshape(part.counts.shape)
    return Moment(
        moment.step, part, moment.values[kept], moment.q_values[kept], left_out=left_out, hidden=hidden_counts
    )


def page_data(
    moments: Sequence[Moment], places: Sequence[Places], about: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """What the page reads: a small JSON object, and for each moment its arrays in base64.

    Args:
        moments: at least one, in order of their steps.
        places: for each of them, where its codes lie, (S, 2).
        about: further entries of the JSON object, such as the names of run and env.

    Raises:
        UsageError: no moment, no code in any of them, or places of another shape.
    """
    if not any(moment.transitions.num_states for moment in moments):
        raise UsageError("there is no code to show: the table is empty at every checkpoint")
    for moment, where in zip(moments, places, strict=True):
        if where.shape != (moment.transitions.num_states, 2):
            raise UsageError(f"places must be ({moment.transitions.num_states}, 2), got {where.shape}")
    values = np.concatenate([moment.values for moment in moments])
    meta = {
        **about,
        "actions": moments[-1].transitions.num_actions,
        "maxCodes": MAX_CODES,
        "quantiles": np.quantile(values, np.linspace(0.0, 1.0, 129)).tolist(),
        "keyBits": max(_bits(moment.transitions) for moment in moments),
        "moments": [
            {
                "step": moment.step,
                "codes": moment.transitions.num_states,
                "visits": int(moment.visits.sum()),
                "leftOut": moment.left_out,
                "frames": [frames.describe() for frames in moment.frames],
            }
            for moment in moments
        ],
    }
    return meta, [packed(_arrays(moment, where)) for moment, where in zip(moments, places, strict=True)]


def packed(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Arrays for the page: base64 of a zlib stream of a JSON header, its length before it, and the raw values.

    The header names type, offset behind the header and length of each array; everything begins at a multiple of 8.
    """
    entries, parts, offset = {}, [], 0
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        padded = raw + bytes(-len(raw) % 8)
        entries[name] = [array.dtype.newbyteorder("<").str[1:], offset, array.size]
        parts.append(padded)
        offset += len(padded)
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    content = len(header).to_bytes(8, "little") + header + b"".join(parts)
    return base64.b64encode(zlib.compress(content, 6)).decode()


def _arrays(moment: Moment, places: Places) -> dict[str, NDArray[Any]]:
    table = moment.transitions
    hidden = np.zeros_like(table.counts) if moment.hidden is None else moment.hidden
    arrays: dict[str, NDArray[Any]] = {
        "keys": table.keys.astype("<u8"),
        "places": places.astype("<f4"),
        "values": moment.values.astype("<f4"),
        "q": moment.q_values.astype("<f4"),
        "counts": table.counts.astype("<u4"),
        "rewards": table.mean_rewards.astype("<f4"),
        "ends": (table.terminations - hidden).astype("<u4"),
        "hidden": hidden.astype("<u4"),
        "offsets": table.offsets.astype("<u4"),
        "targets": table.edge_target.astype("<u4"),
        "edgeCounts": table.edge_count.astype("<u4"),
    }
    for index, frames in enumerate(moment.frames):
        arrays[f"frame{index}"] = frames.numbers.astype("<i4")
    return arrays


def _bits(table: Transitions) -> int:
    """Bits that the keys need, whole words but for the last: what a key is written with."""
    used = np.bitwise_or.reduce(table.keys, axis=0) if table.num_states else np.zeros(table.key_words, np.uint64)
    words = [int(word) for word in used]
    while len(words) > 1 and words[-1] == 0:
        words.pop()
    return 64 * (len(words) - 1) + max(words[-1].bit_length(), 1)
