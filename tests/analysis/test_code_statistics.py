"""Figures about codes: known answers, and controls that a plainer figure would fail."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rl_discrete.analysis.code_statistics import churn, code_perplexity, fragmentation
from rl_discrete.runs.errors import UsageError


def test_the_effective_number_of_codes() -> None:
    assert code_perplexity(np.arange(8).repeat(3)) == pytest.approx(8)
    assert code_perplexity(np.zeros((5, 2), np.uint64)) == pytest.approx(1)
    skewed = np.array([[0, 1]] * 3 + [[0, 2]], np.uint64)
    assert code_perplexity(skewed) == pytest.approx(math.exp(0.75 * math.log(4 / 3) + 0.25 * math.log(4)))
    per_batch = [code_perplexity(part) for part in np.split(np.arange(8).repeat(3), 4)]
    assert np.mean(per_batch) < 4  # an average over batches is another figure


def test_churn_is_the_share_of_probes_with_another_key() -> None:
    before = np.arange(8, dtype=np.uint64).reshape(4, 2)
    after = before.copy()
    after[2, 1] += 1  # in the second word alone
    assert churn(before, after) == 0.25
    assert churn(before, before) == 0.0
    assert churn(before, before[::-1]) == 1.0  # a shuffle of the same keys is a change


def test_fragmentation_counts_codes_of_a_state() -> None:
    states = np.arange(6).repeat(20)
    one = fragmentation(states * 7, states)
    assert (one.distinct, one.num_states) == (1.0, 6)
    assert one.effective == pytest.approx(1.0)
    two = fragmentation(np.stack([states, np.arange(120) % 2], 1), states)
    assert two.distinct == 2.0
    assert two.effective == pytest.approx(2.0)
    merged = fragmentation(states // 2, states)
    assert merged.effective == pytest.approx(1.0)
    assert fragmentation(states, states // 2).effective == pytest.approx(2.0)  # exchanged: states of a code


def test_rare_codes_hardly_count_as_fragments() -> None:
    draw = np.random.default_rng(0)
    states = draw.integers(0, 10, 20_000)
    flips = np.where(draw.random(20_000) < 0.01, draw.integers(1, 1000, 20_000), 0)
    found = fragmentation(states + 10 * flips, states)
    assert found.distinct > 15  # grows with visits
    assert found.effective < 1.2
    shuffled = fragmentation(draw.permutation(states), states)
    assert shuffled.effective > 9.9  # the control: codes that know nothing of the state


def test_keys_that_do_not_fit() -> None:
    keys = np.zeros((3, 1), np.uint64)
    with pytest.raises(UsageError, match=r"got \(3, 1\) and \(2, 1\)"):
        churn(keys, keys[:2])
    with pytest.raises(UsageError, match="churn compares keys"):
        churn(keys[:0], keys[:0])
    with pytest.raises(UsageError, match=r"keys must be integers .* got float64 \(3, 1\)"):
        code_perplexity(keys.astype(float))
    with pytest.raises(UsageError, match="at least one of them"):
        code_perplexity(keys[:0])
    with pytest.raises(UsageError, match=r"lengths {'keys': 3, 'states': 2}"):
        fragmentation(keys, [0, 1])
