"""Speed and memory of the planner beside a C++ loop over static arrays, on the same graph in the same run.

Run: `pytest -m benchmark tests/benchmarks/test_planner.py`; it needs g++. With RL_DISCRETE_RESULTS=DIR every figure is
also written to DIR/planner.json. The C++ loop keeps float32 arrays and cannot change its graph: that is its privilege.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.mdp.sweeping import PrioritizedSweeping
from rl_discrete.mdp.tabular import TabularMDP, TransitionArrays
from tests.benchmarks.figures import keep

pytestmark = pytest.mark.benchmark

STATES, ACTIONS, SUCCESSORS = 100_000, 6, 2
DISCOUNT, CUTOFF = 0.99, 1e-4
SECONDS, ROUNDS = 4.0, 3
SOURCE = Path(__file__).with_name("sweep_reference.cpp")
FIRST_PLAN = """
import numpy as np
from rl_discrete.mdp.sweeping import PrioritizedSweeping
from rl_discrete.mdp.tabular import TabularMDP
planner = PrioritizedSweeping(TabularMDP(6), 0.99)
keys = np.arange(3, dtype=np.uint64)[:, None]
planner.observe(keys[:2], np.array([0, 1]), np.array([0.0, 1.0]), keys[1:], np.array([False, True]))
assert planner.plan(100) == 2
"""


@pytest.fixture(scope="module")
def graph() -> TransitionArrays:
    """The reference's graph, from the same Mersenne twister, as 1.2 million transitions in the order of its loops."""
    twister = np.random.MT19937()
    twister._legacy_seeding(1)
    source = np.repeat(np.arange(STATES * ACTIONS), SUCCESSORS)
    steps = _draw(twister, len(source)) % 2001 - 1000
    target = (source // ACTIONS + steps) % STATES
    chosen = _draw(twister, 2 * (STATES // 100))
    rewards = np.zeros(STATES * ACTIONS)
    np.add.at(rewards, chosen[::2] % STATES * ACTIONS + chosen[1::2] % ACTIONS, 1.0)
    keys = np.random.default_rng(0).integers(2**63, size=(STATES, 1)).astype(np.uint64)
    return TransitionArrays(
        keys[source // ACTIONS], source % ACTIONS, rewards[source], keys[target], np.zeros(len(source), np.bool_)
    )


def _draw(twister: np.random.MT19937, num: int) -> NDArray[np.int64]:
    return np.asarray(twister.random_raw(num)).astype(np.int64)


def test_small_backups_per_second(graph: TransitionArrays, tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    reference = tmp_path / "sweep_reference"
    subprocess.run(["g++", "-O3", "-march=native", str(SOURCE), "-o", str(reference)], check=True)
    PrioritizedSweeping(TabularMDP(ACTIONS), DISCOUNT).plan(1)  # compiles
    ours, theirs = [], []
    for _ in range(ROUNDS):
        planner = PrioritizedSweeping(TabularMDP(ACTIONS), DISCOUNT, CUTOFF)
        planner.observe(*graph)
        begin = time.perf_counter()
        while time.perf_counter() - begin < SECONDS and planner.plan(2000):
            pass
        ours.append(planner.backups / (time.perf_counter() - begin))
        assert planner.drift() <= 1e-9
        line = subprocess.run([str(reference), str(STATES), str(SECONDS)], check=True, capture_output=True, text=True)
        found = re.search(r"small backups/s ([\d.]+)M", line.stdout)
        assert found is not None, line.stdout
        theirs.append(1e6 * float(found[1]))
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    keep(
        "planner.json",
        "small backups per second",
        {"ours": _spread(ours), "reference": _spread(theirs), "ratio": _spread(ratios)},
    )
    assert statistics.median(ratios) >= 0.3


def test_adds_per_second(graph: TransitionArrays) -> None:
    """One batch into an empty table, growing included; a random order misses the cache at every add."""
    order = np.random.default_rng(1).permutation(len(graph.actions))
    shuffled = TransitionArrays._make(array[order] for array in graph)
    rates: dict[str, list[float]] = {}
    for _ in range(ROUNDS + 1):
        for name, batch, planned in (("table", graph, False), ("planner", graph, True), ("shuffled", shuffled, False)):
            table = TabularMDP(ACTIONS)
            add = PrioritizedSweeping(table, DISCOUNT, CUTOFF).observe if planned else table.add_many
            begin = time.perf_counter()
            assert add(*batch) == len(batch.actions)
            rates.setdefault(name, []).append(len(batch.actions) / (time.perf_counter() - begin))
    figures = {name: _spread(values[1:]) for name, values in rates.items()}  # the first round may compile
    keep("planner.json", "adds per second", figures)
    assert figures["table"]["median"] >= 1e6


def test_memory(graph: TransitionArrays) -> None:
    """Allocated bytes of table and planner together, room to spare included."""
    table = TabularMDP(ACTIONS)
    planner = PrioritizedSweeping(table, DISCOUNT, CUTOFF)
    planner.observe(*graph)
    of_edges = table.store.arrays.entries.nbytes
    per_edge = of_edges / table.num_edges
    per_pair = (table.num_bytes - of_edges + planner.num_bytes) / (table.num_states * ACTIONS)
    keep("planner.json", "bytes", {"per edge": round(per_edge, 2), "per state-action": round(per_pair, 2)})
    assert per_edge <= 40
    assert per_pair <= 48


def test_import_to_first_plan() -> None:
    """Whole process, in seconds, with a warm cache."""
    times = []
    for _ in range(ROUNDS + 1):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", FIRST_PLAN], check=True)
        times.append(time.perf_counter() - begin)
    keep("planner.json", "seconds from import to first plan", _spread(times[1:]))
    assert statistics.median(times[1:]) <= 4


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": len(values)}
