"""VaST's encoder: its loss by hand, what its prior learns, and that it learns to tell pictures apart."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.data.transition_batch import TransitionBatch
from rl_discrete.encoders.config import EncoderConfig, EncoderNetworkConfig
from rl_discrete.encoders.learned import LearnedEncoder
from rl_discrete.encoders.transition_prior import TransitionPrior
from rl_discrete.encoders.vast import VastEncoder
from rl_discrete.latents.config import BinaryConcreteConfig
from rl_discrete.runs.errors import UsageError

SHAPE = (3, 12, 16)
NETWORK = EncoderNetworkConfig(
    channels=(8, 8), kernels=(4, 4), strides=(2, 2), hidden=(32,), decoder_channels=(8,), prior_hidden=(16,)
)
CONFIG = EncoderConfig(
    num_latents=6,
    network=NETWORK,
    learning_rate=5e-3,
    final_learning_rate=1.0,
    average_decay=0.0,
    consistency=0.0,
)
NUM_ACTIONS = 2


def pictures(number: int = 8) -> NDArray[np.uint8]:
    """Distinct pictures of 3x4 coloured blocks, (number, *SHAPE)."""
    blocks = np.random.default_rng(3).integers(0, 2, (number, 3, 3, 4)) * 200 + 20
    return np.kron(blocks, np.ones((4, 4), int)).astype(np.uint8)


PICTURES = pictures()


def shown(states: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The pictures of `states` under pixel noise."""
    noise = rng.normal(0.0, 8.0, (len(states), *SHAPE))
    return np.clip(PICTURES[states] + noise, 0, 255).astype(np.uint8)


def cycle(rng: np.random.Generator, size: int = 32, number: int = 8) -> TransitionBatch:
    """Transitions of a ring of pictures: action 0 goes forward, action 1 back; episodes start at picture 0."""
    previous, actions = rng.integers(0, number, size), rng.integers(0, NUM_ACTIONS, size)
    starts = rng.random(size) < 0.1
    current = np.where(starts, 0, (previous + 1 - 2 * actions) % number)
    before = shown(previous, rng)
    before[starts] = 0
    return TransitionBatch(before, actions, shown(current, rng), starts, np.zeros(size, np.float32))


def trained(config: EncoderConfig, steps: int, seed: int = 0) -> tuple[VastEncoder, dict[str, float]]:
    encoder, rng = VastEncoder(SHAPE, NUM_ACTIONS, config, seed), np.random.default_rng(seed)
    metrics: dict[str, float] = {}
    for _ in range(steps):
        metrics = encoder.learn(cycle(rng))
    return encoder, metrics


@pytest.fixture(scope="module")
def learned() -> tuple[VastEncoder, dict[str, float]]:
    return trained(CONFIG, 250)


def purity(encoder: VastEncoder) -> float:
    """Share of noisy pictures with the most frequent key of their picture, if no other picture has it."""
    rng, right = np.random.default_rng(9), 0
    keys = [encoder.encode(shown(np.full(40, state), rng))[:, 0] for state in range(8)]
    for state, own in enumerate(keys):
        values, counts = np.unique(own, return_counts=True)
        elsewhere = [np.isin(values[counts.argmax()], other) for index, other in enumerate(keys) if index != state]
        right += 0 if any(elsewhere) else int(counts.max())
    return right / 320


def test_pictures_get_keys_of_their_own(learned: tuple[VastEncoder, dict[str, float]]) -> None:
    encoder, metrics = learned
    pixels = PICTURES / 255.0
    floor = -(pixels * np.log(pixels) + (1.0 - pixels) * np.log(1.0 - pixels)).sum((1, 2, 3)).mean()
    mean = pixels.mean(0)
    ignorant = -(pixels * np.log(mean) + (1.0 - pixels) * np.log(1.0 - mean)).sum((1, 2, 3)).mean()
    assert metrics["reconstruction"] < floor + 0.2 * (ignorant - floor)
    assert purity(encoder) > 0.8
    untrained = VastEncoder(SHAPE, NUM_ACTIONS, CONFIG, 0)
    assert purity(untrained) < 0.6
    rate = untrained.learn(cycle(np.random.default_rng(0)))["reconstruction"]
    assert rate > floor + 0.5 * (ignorant - floor)


def prior_hits(encoder: VastEncoder) -> float:
    """Share of bits that the transition prior, from the code of a picture, predicts of the next picture's code."""
    codes = torch.from_numpy(encoder.codes(PICTURES))
    features = encoder.network.bottleneck.embed(codes)
    hits = []
    for action, step in ((0, 1), (1, -1)):
        with torch.no_grad():
            odds = encoder.prior(features, torch.full((8,), action), torch.zeros(8, dtype=torch.bool))
        hits.append(((odds > 0).long() == codes.roll(-step, 0)).float().mean())
    return float(torch.stack(hits).mean())


def test_the_prior_learns_a_cycle_for_each_action(learned: tuple[VastEncoder, dict[str, float]]) -> None:
    encoder, _ = learned
    assert prior_hits(encoder) > 0.85
    assert prior_hits(VastEncoder(SHAPE, NUM_ACTIONS, CONFIG, 0)) < 0.8
    start = (encoder.prior.start.detach() > 0).long()
    assert (start == torch.from_numpy(encoder.codes(PICTURES[:1]))[0]).float().mean() > 0.8


def test_a_decoded_key_looks_like_its_picture(learned: tuple[VastEncoder, dict[str, float]]) -> None:
    encoder, _ = learned
    decoded = encoder.decode(encoder.encode(PICTURES))
    assert decoded is not None
    small = PICTURES[:, :, ::2, ::2].astype(float)  # blocks are even, so that this is the half-size picture
    own = np.abs(decoded - small).mean()
    other = np.abs(decoded - np.roll(small, 1, axis=0)).mean()
    assert own < 0.5 * other


def test_the_loss_equals_a_value_computed_by_hand() -> None:
    config = replace(CONFIG, beta_prior=0.7)
    encoder = VastEncoder(SHAPE, NUM_ACTIONS, config, 1)
    with torch.no_grad():
        encoder.prior.start.copy_(torch.linspace(-1.0, 1.0, 6))
    batch = cycle(np.random.default_rng(1), 12)
    batch.starts[:3] = True
    terms, logits = encoder.terms(batch, torch.Generator().manual_seed(5))
    uniform = torch.rand((24, 6), generator=torch.Generator().manual_seed(5)).double().numpy()
    odds = np.concatenate([encoder.logits(batch.current), encoder.logits(batch.previous)]).astype(np.float64)
    np.testing.assert_allclose(logits.detach(), odds[:12], rtol=1e-4, atol=1e-5)
    y = (odds + np.log(uniform) - np.log(1.0 - uniform)) * 1.5
    z = 1.0 / (1.0 + np.exp(-y))
    kl = np.zeros(12)
    for row in range(12):
        features = np.stack((z[12 + row], 1.0 - z[12 + row]), axis=-1).ravel()
        network = encoder.prior.networks[int(batch.actions[row])]
        with torch.no_grad():
            predicted = network(torch.tensor(features).float()).double().numpy()
        prior = np.linspace(-1.0, 1.0, 6) if batch.starts[row] else predicted
        for bit in range(6):
            densities = []
            for temperature, logit in ((2.0 / 3.0, odds[row, bit]), (0.5, prior[bit])):
                e = math.exp(logit - temperature * y[row, bit])
                densities.append(temperature * e / (1.0 + e) ** 2)
            kl[row] += math.log(densities[0]) - math.log(densities[1])
    np.testing.assert_allclose(terms["prior"].detach(), 0.7 * kl, rtol=1e-3, atol=1e-4)
    decoded = encoder.network.model.decoder(
        torch.tensor(np.stack((z[:12], 1.0 - z[:12]), axis=-1).reshape(12, 12)).float()
    )
    target = batch.current.reshape(12, 3, 6, 2, 8, 2).mean((3, 5)) / 255.0
    p = decoded.sigmoid().detach().double().numpy()
    nats = -4.0 * (target * np.log(p) + (1.0 - target) * np.log(1.0 - p)).sum((1, 2, 3))
    np.testing.assert_allclose(terms["reconstruction"].detach(), nats, rtol=1e-4)


def test_the_divergence_moves_the_encoder_through_both_observations() -> None:
    encoder, batch = VastEncoder(SHAPE, NUM_ACTIONS, CONFIG, 0), cycle(np.random.default_rng(0), 20)
    seen: list[Tensor] = []
    encoder.network.model.encoder.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    terms, _ = encoder.terms(batch, torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(terms["prior"].sum(), seen)
    assert gradient[:20].any(1).all()
    assert torch.equal(gradient[20:].any(1), torch.from_numpy(~batch.starts))


def test_where_an_episode_starts_nothing_before_it_counts() -> None:
    encoder, batch = VastEncoder(SHAPE, NUM_ACTIONS, CONFIG, 0), cycle(np.random.default_rng(0), 20)
    first, _ = encoder.terms(batch, torch.Generator().manual_seed(0))
    other = replace(batch, previous=np.where(batch.starts[:, None, None, None], 77, batch.previous).astype(np.uint8))
    other = replace(other, actions=np.where(batch.starts, -1, batch.actions))
    second, _ = encoder.terms(other, torch.Generator().manual_seed(0))
    assert batch.starts.any()
    torch.testing.assert_close(first["prior"], second["prior"])


@pytest.mark.parametrize("action", [-1, 2])
def test_an_action_out_of_range(action: int) -> None:
    encoder, batch = VastEncoder(SHAPE, NUM_ACTIONS, CONFIG, 0), cycle(np.random.default_rng(0), 20)
    batch.actions[~batch.starts] = action
    with pytest.raises(UsageError, match=f"actions must be between 0 and 1, got {action}"):
        encoder.learn(batch)


def test_the_network_of_an_action_not_taken_is_left_alone() -> None:
    encoder, batch = VastEncoder(SHAPE, NUM_ACTIONS, CONFIG, 0), cycle(np.random.default_rng(0), 20)
    batch.actions[:] = 1
    before = {name: value.clone() for name, value in encoder.prior.state_dict().items()}
    encoder.learn(batch)
    changed = {name for name, value in encoder.prior.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith("networks.1") or name == "start"}


def test_rewards_shape_no_code() -> None:
    batch = cycle(np.random.default_rng(0))
    plain, rewarded = (VastEncoder(SHAPE, NUM_ACTIONS, CONFIG, 0) for _ in range(2))
    assert plain.learn(batch) == rewarded.learn(replace(batch, rewards=np.full(32, 100.0, np.float32)))


def test_every_example_pays_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The original's reward head read one number of the whole batch where a slice was meant."""
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(tuple(shape), 0.3))
    encoder, batch = VastEncoder(SHAPE, NUM_ACTIONS, CONFIG, 0), cycle(np.random.default_rng(0), 10)
    batch.starts[2] = True
    noise = torch.Generator()
    together, _ = encoder.terms(batch, noise)
    for row in range(10):
        one = slice(row, row + 1)
        alone = TransitionBatch(*(getattr(batch, field.name)[one] for field in fields(batch)))
        for name, term in encoder.terms(alone, noise)[0].items():
            assert term.shape == (1,)
            torch.testing.assert_close(term[0], together[name][row], rtol=1e-3, atol=1e-3)
    assert all(len(set(term.tolist())) > 5 for term in together.values())


@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_sure_bits_and_sure_priors_keep_the_loss_finite(scale: float) -> None:
    """log(1 + exp(x)), as the original wrote it, is infinite from x = 89 on."""
    encoder = VastEncoder(SHAPE, NUM_ACTIONS, CONFIG, 0)
    with torch.no_grad():
        for parameters in (encoder.network.model.encoder.parameters(), encoder.prior.parameters()):
            (*_, weight, _bias) = parameters
            weight.mul_(scale)
    batch = cycle(np.random.default_rng(0))
    assert np.abs(encoder.logits(batch.current).numpy()).max() > 89.0
    assert math.isfinite(encoder.learn(batch)["loss"])
    assert torch.exp(torch.tensor(89.0)).isinf()


def test_blank_and_uniform_frames_are_encoded() -> None:
    encoder = VastEncoder(SHAPE, NUM_ACTIONS, CONFIG, 0)
    frames = np.stack([np.full(SHAPE, level, np.uint8) for level in (0, 128, 255)])
    assert encoder.logits(frames).isfinite().all()
    blank = TransitionBatch(
        frames, np.zeros(3, np.int64), frames, np.array([True, False, False]), np.zeros(3, np.float32)
    )
    assert math.isfinite(encoder.learn(blank)["loss"])


OTHER: dict[str, Any] = {
    "num_latents": 5,
    "learning_rate": 1e-3,
    "final_learning_rate": 0.2,
    "decay_until": 0.7,
    "gradient_clip": 1e-6,
    "average_decay": 0.5,
    "consistency": 1.0,
    "consistency_every": 3,
    "beta_prior": 0.5,
    "concrete.temperature": 1.0,
    "concrete.prior_temperature": 1.0,
    "network.shrink": 3,
    "network.channels": (6, 8),
    "network.kernels": (3, 4),
    "network.strides": (2, 3),
    "network.hidden": (16,),
    "network.decoder": "deconv",
    "network.decoder_channels": (5,),
    "network.half_resolution": False,
    "network.likelihood": "standard",
    "network.prior_hidden": (8,),
}
FOREIGN = {"num_categories", "vector_noise", "foresight", "ish", "gs"}  # of other encoders or of vectors


def settings_of(config: Any, prefix: str = "") -> set[str]:
    names = set()
    for field in fields(config):
        value = getattr(config, field.name)
        nested = is_dataclass(value) and field.name not in FOREIGN
        names |= settings_of(value, f"{prefix}{field.name}.") if nested else {prefix + field.name}
    return names


def test_no_setting_is_dead() -> None:
    """The original's straight_through and train_reward were read and never used."""
    names = {name for name in settings_of(CONFIG) if not name.startswith(("simhash", "downsample"))} - FOREIGN
    assert names == OTHER.keys()
    base = replace(CONFIG, final_learning_rate=0.5, consistency=0.1, consistency_every=2)

    def course(config: EncoderConfig) -> list[float]:
        encoder, rng = VastEncoder(SHAPE, NUM_ACTIONS, config, 0), np.random.default_rng(0)
        losses = []
        for step in range(4):
            encoder.anneal(step / 5)
            losses.append(encoder.learn(cycle(rng, 8))["loss"])
        return [*losses, float(encoder.logits(PICTURES).sum())]

    plain = course(base)
    assert course(base) == plain
    for name, value in OTHER.items():
        group, _, field = name.rpartition(".")
        if group:
            changed = {field: value}
            if value == "deconv":
                changed["decoder_channels"] = (4, 4, 4, 4)
            config = replace(base, **{group: replace(getattr(base, group), **changed)})
        else:
            config = replace(base, **{field: value})
        assert course(config) != plain, name


def test_features_of_a_start_do_not_reach_the_prior() -> None:
    prior = TransitionPrior(4, 3, 2, (5,))
    features = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    starts = torch.tensor([True, False, False, True])
    odds = prior(features, torch.tensor([9, 0, 1, -5]), starts)
    assert torch.equal(odds[starts], prior.start.expand(2, 3))
    assert torch.equal(odds[1], prior.networks[0](features[1:2])[0])
    assert torch.equal(odds[2], prior.networks[1](features[2:3])[0])


def test_it_is_a_learned_encoder_with_bits() -> None:
    encoder = VastEncoder(SHAPE, NUM_ACTIONS, replace(CONFIG, concrete=BinaryConcreteConfig(temperature=1.0)), 0)
    assert isinstance(encoder, LearnedEncoder)
    assert (encoder.num_latents, encoder.num_categories, encoder.key_words) == (6, 2, 1)
