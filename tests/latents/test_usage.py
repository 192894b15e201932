"""Figures about single latents: known answers, and controls that a plainer figure would fail."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl_discrete.bench import metrics
from rl_discrete.latents.usage import Floats, latent_usage
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


def test_a_summary_is_of_the_pairs_that_are_not_dead() -> None:
    codes = np.array([[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1], [1, 1, 0, 1]])
    found = latent_usage(codes, 2).summary()
    assert found["entropy_mean"] == pytest.approx(0.75 * math.log(2))
    assert found["correlation_mean"] == pytest.approx(1 / 3)
    assert found["correlation_max"] == pytest.approx(1.0)
    alone = latent_usage(codes[:, 2:], 2).summary()
    assert math.isnan(alone["correlation_mean"])
    assert math.isnan(alone["correlation_max"])
