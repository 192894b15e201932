"""What learned encoders share: the schedule, averaged weights, and codes held to those of an earlier copy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from rl_discrete.data.transition_batch import TransitionBatch
from rl_discrete.encoders.autoencoder import AutoencoderEncoder
from rl_discrete.encoders.config import EncoderConfig, EncoderNetworkConfig
from rl_discrete.encoders.learned import code_nats
from rl_discrete.latents.config import SemanticHashingConfig

SHAPE = (1, 8, 8)
CONFIG = EncoderConfig(
    num_latents=8,
    network=EncoderNetworkConfig(channels=(4,), kernels=(4,), strides=(2,), hidden=(16,), decoder_channels=(4,)),
    average_decay=0.0,
    consistency=0.0,
    ish=SemanticHashingConfig(noise=0.5),
)


def batches(seed: int = 0, size: int = 16) -> Iterator[TransitionBatch]:
    """Smooth pictures: a bright spot at a random place."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:8, :8]
    while True:
        top, left = rng.uniform(0, 8, (2, size, 1, 1))
        spots = 255 * np.exp(-((rows - top) ** 2 + (columns - left) ** 2) / 6.0)
        seen = spots[:, None].astype(np.uint8)
        yield TransitionBatch(seen, np.zeros(size, int), seen, np.zeros(size, bool), np.zeros(size, np.float32))


def build(config: EncoderConfig, method: str = "ish") -> AutoencoderEncoder:
    return AutoencoderEncoder(method, SHAPE, 3, config, seed=0)


def test_the_learning_rate_falls_geometrically() -> None:
    encoder = build(replace(CONFIG, learning_rate=1e-2, final_learning_rate=0.01, decay_until=0.5))
    for progress, rate in ((0.0, 1e-2), (0.25, 1e-3), (0.5, 1e-4), (1.0, 1e-4)):
        encoder.anneal(progress)
        assert encoder.learn(next(batches()))["learning_rate"] == pytest.approx(rate)


def test_the_bottleneck_is_annealed_with_the_run() -> None:
    encoder = build(CONFIG, "gs")
    encoder.anneal(1.0)
    assert getattr(encoder.network.bottleneck, "temperature") == CONFIG.gs.temperature_end  # noqa: B009 - of one class


def test_the_gradient_is_clipped_and_reported_whole() -> None:
    norms = []
    for clip in (0.0, 0.1):
        encoder = build(replace(CONFIG, gradient_clip=clip))
        norms.append(encoder.learn(next(batches()))["gradient_norm"])
        kept = torch.stack([p.grad.norm() for p in encoder.network.parameters() if p.grad is not None]).norm()
        assert float(kept) == pytest.approx(min(norms[-1], clip or math.inf), rel=1e-4)
    assert norms[0] == norms[1] > 0.2


def test_codes_are_made_with_averaged_weights() -> None:
    encoder = build(replace(CONFIG, average_decay=0.5, learning_rate=1e-2))
    mean = next(encoder.network.parameters()).detach().clone()
    for step, batch in zip(range(1, 31), batches(), strict=False):
        encoder.learn(batch)
        mean += (1.0 - min(0.5, step / (step + 10.0))) * (next(encoder.network.parameters()).detach() - mean)
    frozen = encoder.frozen_copy().state()
    torch.testing.assert_close(frozen["model.encoder.0.weight"], mean)
    seen = next(batches(1)).current
    assert not torch.equal(encoder.logits(seen), encoder.network.logits(seen))


def test_cross_entropy_of_codes() -> None:
    bits = code_nats(torch.tensor([[2.0, -1.0, 1e4]]), torch.tensor([[1, 1, 1]]))
    assert bits.tolist() == pytest.approx([math.log1p(math.exp(-2.0)) + math.log1p(math.exp(1.0))])
    logits = torch.tensor([[0.0, math.log(3.0), 0.0, 0.0]])  # two latents of two categories
    assert code_nats(logits, torch.tensor([[1, 0]])).tolist() == pytest.approx([math.log(4.0 / 3.0) + math.log(2.0)])


def test_codes_are_held_to_those_of_the_earlier_copy() -> None:
    encoder = build(replace(CONFIG, consistency=2.0, consistency_every=3, learning_rate=1e-2))
    encoder.network.model.observe(encoder.network.tensor(next(batches(3, 3000)).current))
    encoder.anneal(0.5)  # half of the weight: 1.0
    stream, seen = batches(), next(batches(5))
    for step in range(7):
        if step in (3, 6):
            kept = encoder.codes(seen.current)
        if step in (5, 6):
            logits = encoder.network.logits(seen.current)
            expected = code_nats(logits, torch.from_numpy(kept)).mean()
            assert encoder.learn(seen)["consistency"] == pytest.approx(float(expected), rel=1e-4)
        else:
            assert ("consistency" in encoder.learn(next(stream))) == (step >= 3)


def churn(config: EncoderConfig) -> tuple[float, float]:
    """Share of probe codes that differ between copies 30 steps apart late in a run, and the last reconstruction."""
    encoder, stream, probe = build(config), batches(), next(batches(9, 200)).current
    shares, cost = [], []
    before = encoder.encode(probe)
    for step in range(300):
        encoder.anneal(step / 300)
        cost.append(encoder.learn(next(stream))["reconstruction"])
        if step % 30 == 29:
            now = encoder.encode(probe)
            shares.append(float((now != before).any(1).mean()))
            before = now
    return float(np.mean(shares[-4:])), float(np.mean(cost[-60:]))


def test_averaging_and_consistency_lower_the_churn_of_codes_at_no_cost() -> None:
    plain, steady = (
        replace(CONFIG, learning_rate=1e-2, final_learning_rate=1.0, average_decay=decay, consistency=weight)
        for decay, weight in ((0.0, 0.0), (0.95, 0.3))
    )
    restless, cost = churn(plain)
    calm, calm_cost = churn(replace(steady, consistency_every=20))
    assert restless > 0.2
    assert calm < 0.6 * restless
    assert calm_cost < 1.03 * cost
