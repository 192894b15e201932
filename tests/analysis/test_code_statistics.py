"""Figures about codes: known answers, and controls that a plainer figure would fail."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl_discrete.analysis.code_statistics import (
    Floats,
    bytes_per_edge,
    churn,
    code_perplexity,
    fragmentation,
    latent_usage,
)
from rl_discrete.bench import metrics
from rl_discrete.runs.errors import UsageError


def test_the_usage_of_known_bits() -> None:
    first, second = np.meshgrid([0, 1], [0, 0, 1, 0])
    codes = np.stack([first, second, np.zeros_like(first), 1 - first], -1).reshape(-1, 4)
    usage = latent_usage(codes, 2)
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    np.testing.assert_allclose(usage.entropy, [math.log(2), quarter, 0, math.log(2)], atol=1e-12)
    np.testing.assert_allclose(usage.perplexity, [2, math.exp(quarter), 1, 2])
    assert usage.dead == 1
    expected = [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 1]]
    np.testing.assert_allclose(usage.correlation, expected, atol=1e-12)


@given(seed=st.integers(0, 1000), count=st.integers(1, 40), num_categories=st.integers(2, 5))
def test_usage_agrees_with_the_benchmark(seed: int, count: int, num_categories: int) -> None:
    codes = np.random.default_rng(seed).integers(0, num_categories, (count, 3))
    usage, other = latent_usage(codes, num_categories), metrics.code_statistics(torch.tensor(codes), num_categories)
    np.testing.assert_allclose(usage.entropy, other.entropy, atol=1e-12)
    np.testing.assert_allclose(usage.perplexity, other.perplexity)
    assert usage.dead == other.dead


def test_the_correlation_of_bits_is_pearsons_without_its_sign() -> None:
    draw = np.random.default_rng(0)
    codes = (draw.normal(size=(500, 6)) @ draw.normal(size=(6, 6)) > 0).astype(np.int64)
    expected: Floats = np.asarray(np.corrcoef(codes.T))
    assert (expected < -0.1).any()
    np.testing.assert_allclose(latent_usage(codes, 2).correlation, np.abs(expected), atol=1e-12)


def test_the_correlation_of_categories() -> None:
    draw = np.random.default_rng(0)
    latent = draw.integers(0, 3, 4_000)
    codes = np.stack([latent, np.array([2, 0, 1])[latent], draw.integers(0, 3, 4_000), latent // 2], 1)
    correlation = latent_usage(codes, 4).correlation  # category 3 never occurs
    np.testing.assert_allclose(np.diag(correlation), 1)
    assert correlation[0, 1] == pytest.approx(1)
    assert correlation[0, 3] == pytest.approx(1)  # decided by the other
    assert correlation[0, 2] < 0.05  # independent: the control


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


def test_bytes_per_edge() -> None:
    assert bytes_per_edge(2_400, 100) == 24.0
    assert math.isnan(bytes_per_edge(2_400, 0))


@pytest.mark.parametrize(
    ("codes", "num_categories", "message"),
    [
        (np.zeros((3, 2)), 2, "codes must be integers"),
        (np.zeros(3, int), 2, r"got int64 \(3,\)"),
        (np.zeros((0, 2), int), 2, r"got int64 \(0, 2\)"),
        (np.zeros((3, 2), int), 1, "num_categories >= 2"),
        (np.full((3, 2), 2), 2, r"in \[0, 2\), got values from 2 to 2"),
        (np.full((3, 2), -1), 2, "got values from -1 to -1"),
    ],
)
def test_codes_that_are_none(codes: Any, num_categories: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        latent_usage(codes, num_categories)


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
