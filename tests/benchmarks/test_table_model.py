"""Imagined steps per second of the table model, one thread, beside a loop over dictionaries as the control.

Run: `pytest -m benchmark tests/benchmarks/test_table_model.py`. With RL_DISCRETE_RESULTS=DIR every figure is also
written to DIR/table_model.json. Rates are per second of the processor, so that other work on the machine counts little.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest

from rl_discrete.encoders.config import EncoderConfig
from rl_discrete.encoders.simhash import SimHashEncoder
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.world_models.tabular import TabularWorldModel
from tests.benchmarks.figures import keep

pytestmark = pytest.mark.benchmark

ROUNDS, STEPS, ACTIONS, LATENTS = 7, 200, 6, 32


def graph(states: int) -> Transitions:
    """Every action tried in every state, with about three distinct outcomes each, near and far."""
    rng = np.random.default_rng(1)
    targets = (np.arange(states)[:, None, None] + rng.integers(-1000, 1001, (states, ACTIONS, 3))) % states
    edges, counts = np.unique(
        np.repeat(np.arange(states * ACTIONS), 3) * states + targets.reshape(-1), return_counts=True
    )
    return Transitions(
        keys=rng.choice(2**LATENTS, states, replace=False).astype(np.uint64)[:, None],
        rows=np.arange(states, dtype=np.int32),
        counts=np.full((states, ACTIONS), 3),
        reward_sums=np.zeros((states, ACTIONS)),
        edge_source=edges // states,
        edge_target=edges % states,
        edge_count=counts.astype(np.int64),
    )


@pytest.mark.parametrize("states", [100, 100_000])
@pytest.mark.parametrize("batch", [64, 1024, 4096])
def test_imagined_steps_per_second(states: int, batch: int) -> None:
    transitions = graph(states)
    encoder = SimHashEncoder((4,), EncoderConfig(simhash_bits=LATENTS), seed=0)
    model, rng = TabularWorldModel(transitions, encoder), np.random.default_rng(0)
    state = rng.integers(states, size=batch)
    actions = rng.integers(ACTIONS, size=(STEPS, batch))
    noise = rng.random((STEPS, batch, 1), np.float32)
    model.step(state, actions[0], noise[0])  # compiles
    rates = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        for count in range(STEPS):
            state = model.step(state, actions[count], noise[count]).state
        rates.append(STEPS * batch / (time.process_time() - begin))
    control = _plain_rate(transitions) if states == 100 else None
    figures = {"median": statistics.median(rates), "min": min(rates), "max": max(rates), "rounds": ROUNDS}
    keep("table_model.json", f"{states} states, batch {batch}", {**figures, "plain loop": control})
    if batch >= 1024:
        assert statistics.median(rates) >= 1e6, figures


def _plain_rate(transitions: Transitions) -> float:
    """Steps per second of dictionaries of outcomes, one at a time."""
    outcomes: dict[int, tuple[list[int], list[int]]] = {}
    for source, target, count in zip(
        transitions.edge_source.tolist(), transitions.edge_target.tolist(), transitions.edge_count.tolist(), strict=True
    ):
        targets, counts = outcomes.setdefault(source, ([], []))
        targets.append(target)
        counts.append(count)
    import random

    draw, state = random.Random(0), 0
    begin = time.process_time()
    for _ in range(20_000):
        targets, counts = outcomes[state * ACTIONS + draw.randrange(ACTIONS)]
        state = draw.choices(targets, counts)[0]
    return 20_000 / (time.process_time() - begin)
