"""True states as cells, and how far apart the places of a code are."""

from __future__ import annotations

import numpy as np
import pytest

from rl_discrete.analysis.diagnostics_config import DiagnosticsConfig
from rl_discrete.analysis.state_map import state_map
from rl_discrete.analysis.true_states import read_states, spread_within_codes
from rl_discrete.runs.errors import RunError, UsageError

CONFIG = DiagnosticsConfig()


def test_a_cell_counts_exactly() -> None:
    truth = read_states(np.array([[2, 3, 0], [2, 3, 1], [2, 3, 0]]), CONFIG)
    assert truth.kind == "cell"
    assert len(np.unique(truth.cells, axis=0)) == 2, "the key is part of the state"
    assert truth.positions is not None
    assert truth.positions.tolist() == [[3.0, -2.0]] * 3, "rows count downwards"


def test_a_pose_is_put_into_cells() -> None:
    poses = np.array([[1.0, 31.0, 29.999], [30.0, 1.0, 30.001], [33.0, 1.0, 30.0], [1.0, 1.0, 359.999], [1, 1, 0.0]])
    cells = read_states(poses, CONFIG).cells
    assert np.array_equal(cells[0], cells[1]), "a heading is rounded to the nearest cell"
    assert not np.array_equal(cells[1], cells[2]), "32 units are a cell"
    assert np.array_equal(cells[3], cells[4]), "headings go round"
    wide = read_states(poses, DiagnosticsConfig(position_cell=64.0, heading_cell=90.0))
    assert len(np.unique(wide.cells, axis=0)) == 1
    assert wide.description == "cells of 64 units and 90 degrees"


def test_a_memory_counts_by_its_chosen_bytes() -> None:
    memory = np.zeros((3, 128), np.uint8)
    memory[:, 0] = range(3)  # a frame counter
    assert len(np.unique(read_states(memory, CONFIG).cells, axis=0)) == 3
    chosen = read_states(memory, DiagnosticsConfig(memory_bytes=(49, 50)))
    assert (chosen.kind, chosen.positions) == ("memory", None)
    assert len(np.unique(chosen.cells, axis=0)) == 1
    with pytest.raises(UsageError, match="memory_bytes must be below 128, got 200"):
        read_states(memory, DiagnosticsConfig(memory_bytes=(200,)))


def test_states_that_are_no_numbers() -> None:
    with pytest.raises(RunError, match="finite"):
        read_states(np.array([[np.nan, 0.0]]), CONFIG)


def test_spread_of_codes_that_are_places_and_of_random_codes() -> None:
    generator = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0], [100.0, 100.0]])
    codes = generator.integers(4, size=4000)
    places = centres[codes] + generator.normal(size=(4000, 2))
    headings = 90.0 * codes + generator.normal(size=4000)
    told = spread_within_codes(codes, places, headings)
    assert told.within == pytest.approx(np.sqrt(2.0), rel=0.05)
    assert told.overall == pytest.approx(np.sqrt(2.0 * 50.0**2), rel=0.05)
    assert told.heading is not None
    assert told.heading > 0.99
    many = generator.integers(2000, size=4000)  # two observations a code: a biased estimate would see half the variance
    random = spread_within_codes(many, places, headings)
    assert random.within == pytest.approx(random.overall, rel=0.05)
    assert random.shared < 0.9
    alone = spread_within_codes(np.arange(4000), places)
    assert np.isnan(alone.within)
    assert (alone.shared, alone.heading) == (0.0, None)


def test_a_map_needs_places() -> None:
    keys, values = np.arange(6, dtype=np.uint64)[:, None] // 2, np.linspace(-1.0, 1.0, 6)
    poses = np.random.default_rng(0).uniform(0.0, 300.0, (6, 3))
    assert state_map(keys, values, read_states(poses, CONFIG)) is not None
    assert state_map(keys, np.zeros(6), read_states(poses[:, :2], CONFIG)) is not None
    assert state_map(keys, values, read_states(np.arange(12).reshape(6, 2), CONFIG)) is not None
    assert state_map(keys, values, read_states(np.zeros((6, 128), np.uint8), CONFIG)) is None
