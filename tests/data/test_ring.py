"""Rows that come and go in a ring keep their values while it grows."""

from __future__ import annotations

import numpy as np
import pytest

from rl_discrete.data.ring import Ring


@pytest.mark.parametrize("step", [1, 7, 900, 5000])
def test_values_stay_while_rows_come_and_go(step: int) -> None:
    ring, generator = Ring((2,), np.int64), np.random.default_rng(0)
    first = following = 0
    for _ in range(60):
        added = np.arange(following, following + step)
        following += step
        ring.reserve(first, following)
        ring[added] = np.stack((added, -added), 1)
        kept = np.arange(first, following)
        assert (ring[kept] == np.stack((kept, -kept), 1)).all()
        first += int(generator.integers(0, 2 * step))
        first = min(first, following)


def test_memory_follows_the_rows_that_are_there_at_once() -> None:
    ring = Ring((), np.int64)
    for row in range(0, 100_000, 10):
        ring.reserve(row, row + 10)
    assert ring.values.nbytes == Ring((), np.int64).values.nbytes
    ring.reserve(100_000, 105_000)
    assert ring.values.nbytes < 2 * 8 * 5000
