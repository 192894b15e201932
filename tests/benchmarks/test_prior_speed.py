"""Codes a second that priors of world models draw, on one thread. Wants an otherwise idle machine.

Run: `pytest -m benchmark tests/benchmarks/test_prior_speed.py -s`. The sizes are those of the prior over the code of a
Pong frame: 56 bits in 7 chunks, an LSTM of 96 units, a context of 512; inverse CDF and context map included.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

from rl_discrete.latents.config import ConditionalLSTMConfig
from rl_discrete.latents.factorised_prior import FactorisedPrior
from rl_discrete.latents.lstm_prior import LSTMPrior
from rl_discrete.latents.prior import Prior

pytestmark = pytest.mark.benchmark

BITS, CONTEXT = 56, 512
SECONDS, ROUNDS = 0.5, 5


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def lstm() -> LSTMPrior:
    prior = LSTMPrior(BITS, 2, ConditionalLSTMConfig(chunk=8, hidden=96, embedding=32), CONTEXT)
    with torch.no_grad():
        prior.heads.normal_(std=0.1)
    return prior


def speed(prior: Prior, num_rows: int, temperature: float) -> tuple[float, float]:
    """Codes a second of the best of several rounds: by the sampler, and by `Prior.sample` once."""
    sampler = prior.sampler()
    noise, context = torch.rand(num_rows, prior.noise_dim), torch.randn(num_rows, CONTEXT)
    best = 0.0
    for _ in range(ROUNDS):
        drawn, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            sampler(noise, context, temperature)
            drawn += num_rows
        best = max(best, drawn / (time.perf_counter() - start))
    prior.sample(num_rows, context, temperature, noise)
    start = time.perf_counter()
    prior.sample(num_rows, context, temperature, noise)
    return best, num_rows / (time.perf_counter() - start)


@pytest.mark.parametrize("temperature", [1.0, 0.0])
@pytest.mark.parametrize(("num_rows", "least"), [(64, 20_000), (256, 30_000)])
def test_codes_per_second_of_the_lstm(num_rows: int, least: float, temperature: float) -> None:
    fast, plain = speed(lstm(), num_rows, temperature)
    print(f"LSTM prior, B = {num_rows}, temperature {temperature}: {fast:,.0f} codes a second (sample: {plain:,.0f})")
    assert fast >= least


@pytest.mark.parametrize("temperature", [1.0, 0.0])
@pytest.mark.parametrize(("num_rows", "least"), [(64, 80_000), (256, 120_000)])
def test_codes_per_second_of_factorised_bits(num_rows: int, least: float, temperature: float) -> None:
    fast, plain = speed(FactorisedPrior(BITS, 2, CONTEXT), num_rows, temperature)
    print(f"factorised, B = {num_rows}, temperature {temperature}: {fast:,.0f} codes a second (sample: {plain:,.0f})")
    assert fast >= least
