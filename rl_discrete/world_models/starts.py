"""Where imagined episodes start: at real frames out of a replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from rl_discrete.data.history import History
from rl_discrete.data.replay import Replay
from rl_discrete.data.row_index import Ids
from rl_discrete.runs.errors import UsageError

Histories: TypeAlias = Callable[[Ids, int], History]
"""The histories of rows (N,) of a replay, of so many frames each."""


class Starts(Protocol):
    """Draws the histories that imagined episodes start from: a deterministic function of the numbers it is given."""

    def draw(self, uniform: npt.NDArray[np.float64]) -> History:
        """N histories for `uniform` (N, 2), two numbers in [0, 1) for each.

        Raises:
            UsageError: there is nothing to start from.
        """


class ReplayStarts:
    """Any moment of any real episode, from its first frame to the last that a step leads on from.

    Rows are drawn one by one, so an episode comes up in proportion to its length; a young one has a short history, and
    none reaches across an episode's start. Rows that the replay drops meanwhile are no longer drawn, new ones are.

    Args:
        replay: of real episodes.
        history_length: frames of a history, at least those that the model looks at.
        half_life: rows of the replay after which a row is drawn half as often; None: all alike. A row is one frame of
            one env, so this counts real steps.
        rows: those that may be drawn, of all that are kept; None: every one, also those that are still to come.
        histories: what a model is told of rows (N,) and so many frames up to each; None: `replay.history`, frames as
            they are.

    Raises:
        UsageError: `history_length` < 1, or `half_life` not above 0.
    """

    def __init__(
        self,
        replay: Replay,
        history_length: int,
        half_life: float | None = None,
        rows: npt.ArrayLike | None = None,
        histories: Histories | None = None,
    ) -> None:
        if history_length < 1:
            raise UsageError(f"history_length must be >= 1, got {history_length}")
        if half_life is not None and not half_life > 0:
            raise UsageError(f"half_life must be > 0 rows, or None for no preference, got {half_life}")
        self._replay, self._length, self._half_life = replay, history_length, half_life
        self._histories = replay.history if histories is None else histories
        self._allowed = None if rows is None else np.unique(np.asarray(rows, np.int64))
        self._seen: tuple[int, int] | None = None
        self._rows: Ids = np.empty(0, np.int64)
        self._cumulative: npt.NDArray[np.float64] = np.empty(0)

    def draw(self, uniform: npt.NDArray[np.float64]) -> History:
        """N histories for `uniform` (N, 2); the first number of each chooses the row, the second is not needed here.

        Raises:
            UsageError: there is no row to start from.
            RunError: a segment of the replay cannot be read.
        """
        self._look()
        if len(self._rows) == 0:
            raise UsageError("no imagined episode can start: the replay holds no row that a step leads on from")
        places = np.searchsorted(self._cumulative, uniform[:, 0] * self._cumulative[-1], side="right")
        return self._histories(self._rows[np.minimum(places, len(self._rows) - 1)], self._length)

    def _look(self) -> None:
        """Weigh the rows anew where the replay has changed."""
        seen = (self._replay.first_row, self._replay.next_row)
        if seen == self._seen:
            return
        rows = self._replay.rows()
        if self._allowed is not None:
            rows = rows[np.isin(rows, self._allowed)]
        columns = self._replay.columns(rows)
        rows = rows[~(columns.terminated | columns.truncated)]
        ages = seen[1] - rows  # in rows; the newest is 1
        weights = np.ones(len(rows)) if self._half_life is None else np.exp2(-(ages - ages[-1:]) / self._half_life)
        self._seen, self._rows, self._cumulative = seen, rows, weights.cumsum()
