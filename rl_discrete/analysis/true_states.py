"""What an env's `diagnostic_state` says, as cells that can be counted and as places on a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rl_discrete.analysis.code_statistics import check_lengths, labels
from rl_discrete.analysis.diagnostics_config import DiagnosticsConfig
from rl_discrete.runs.errors import RunError, UsageError

Floats = npt.NDArray[np.float64]
_MEMORY = 16  # more integers than this are a memory, not a place and a few flags


@dataclass(frozen=True, eq=False)
class TrueStates:
    """The true states of N observations."""

    kind: Literal["cell", "pose", "memory"]
    """cell: integers, taken exactly; pose: real numbers, put into cells; memory: bytes."""
    description: str
    """What counts as one state, in words."""
    cells: npt.NDArray[np.int64]
    """(N, D): equal rows are the same state."""
    positions: Floats | None
    """(N, 2), to the right and up: tiles or units of the env. None where nothing is known of places."""
    headings: Floats | None
    """(N,), degrees from the right to the left; None where there is none."""


def read_states(raw: npt.NDArray[Any], config: DiagnosticsConfig) -> TrueStates:
    """Makes sense of what `diagnostic_state` returned, by its type and size.

    Integers, up to 16 of them, are a cell: row and column first, then whatever else there is. More are a memory, of
    which the chosen bytes count. Real numbers are x and y, and a third one is a heading in degrees.

    Args:
        raw: (N, D), or (N,) for D = 1.
        config: sizes of cells, and the bytes that count.

    Raises:
        UsageError: a byte that the memory does not have.
        RunError: states that are no finite numbers.
    """
    states = raw[:, None] if raw.ndim == 1 else raw.reshape(len(raw), -1)
    size = states.shape[1]
    if states.dtype.kind in "iub":
        if size <= _MEMORY:
            cells = states.astype(np.int64)
            positions = np.stack([cells[:, 1], -cells[:, 0]], 1).astype(np.float64) if size > 1 else None
            return TrueStates("cell", "the cell exactly", cells, positions, None)
        if max(config.memory_bytes, default=0) >= size:
            raise UsageError(f"memory_bytes must be below {size}, got {max(config.memory_bytes)}")
        chosen = list(config.memory_bytes) or list(range(size))
        text = f"bytes {', '.join(map(str, chosen))}" if config.memory_bytes else f"all {size} bytes of memory"
        return TrueStates("memory", text, states[:, chosen].astype(np.int64), None, None)
    if states.dtype.kind != "f" or not np.isfinite(states).all():
        raise RunError(f"the env's diagnostic_state must be finite numbers, got {states.dtype}: mend the env")
    cells = np.floor(states / config.position_cell).astype(np.int64)
    text, headings = f"cells of {config.position_cell:g} units", None
    if size == 3:
        headings = states[:, 2].astype(np.float64)
        turns = round(360.0 / config.heading_cell)
        # To the nearest: headings are often multiples of a step, and rounding errors must not part them.
        cells[:, 2] = np.rint(headings / 360.0 * turns).astype(np.int64) % turns
        text += f" and {360.0 / turns:g} degrees"
    return TrueStates("pose", text, cells, states[:, :2].astype(np.float64) if size > 1 else None, headings)


@dataclass(frozen=True)
class Spread:
    """How far apart the places are that share a code."""

    within: float
    """Root mean square distance from the mean place of the code, in units of the env: pooled over the codes with two
    observations or more, each mean costing a degree of freedom. nan where there is no such code."""
    overall: float
    """The same about the mean of all places: what `within` would be if codes said nothing of the place."""
    shared: float
    """Share of the observations that share their code with another one."""
    heading: float | None
    """Mean length of the resultant of the headings of a code, in [0, 1], over the same observations: 1 if all look in
    the same direction. None without headings."""


def spread_within_codes(keys: npt.ArrayLike, positions: Floats, headings: Floats | None = None) -> Spread:
    """The spread of places within codes, beside the spread of all places.

    Args:
        keys: (N, W) or (N,), the codes of N observations.
        positions: (N, 2).
        headings: (N,), degrees.

    Raises:
        UsageError: no observations, or two lengths.
    """
    codes = labels("keys", keys)
    check_lengths(keys=codes, positions=positions)
    counts = np.bincount(codes)
    shared = counts[codes] > 1
    nan = float("nan")
    means = np.stack([np.bincount(codes, axis) for axis in positions.T], 1) / counts[:, None]
    squares = ((positions - means[codes]) ** 2).sum()
    freedom = int((counts - 1).sum())
    everywhere = ((positions - positions.mean(0)) ** 2).sum()
    resultant = None
    if headings is not None:
        turned = np.exp(1j * np.deg2rad(headings))
        sums = np.bincount(codes, turned.real) + 1j * np.bincount(codes, turned.imag)
        lengths = np.abs(sums) / counts
        resultant = float(lengths[codes][shared].mean()) if shared.any() else nan
    return Spread(
        within=float(np.sqrt(squares / freedom)) if freedom else nan,
        overall=float(np.sqrt(everywhere / (len(codes) - 1))) if len(codes) > 1 else nan,
        shared=float(shared.mean()),
        heading=resultant,
    )
