"""Values of rows that are numbered one after the other, of which the oldest leave, in memory that grows with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_FIRST_PLACES = 1024


class Ring:
    """An array whose place p holds the row of the newest number that is p, modulo its length.

    It doubles when more rows are there at once than it has places, so what it takes follows what is kept, not what may
    ever be.

    Attributes:
        values: (places, *shape), changed in place and replaced by `reserve`.

    Args:
        shape: of one row's value.
        dtype: of the values.
    """

    values: npt.NDArray[Any]

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.values = np.zeros((_FIRST_PLACES, *shape), dtype)

    def reserve(self, first: int, following: int) -> None:
        """Makes room for the rows `first` to `following` - 1; those that had a place keep their values."""
        if following - first <= len(self.values):
            return
        places = len(self.values)
        while places < following - first:
            places *= 2
        grown = np.zeros((places, *self.values.shape[1:]), self.values.dtype)
        rows = np.arange(first, following)
        grown[rows % places] = self[rows]
        self.values = grown

    def places(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where the values of rows (N,) are."""
        return rows % len(self.values)

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        return self.values[self.places(rows)]

    def __setitem__(self, rows: npt.NDArray[np.int64], values: npt.ArrayLike) -> None:
        self.values[self.places(rows)] = values
