"""The contract of `Encoder`, for every encoder: a new one joins by a line in `ENCODERS` of its config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rl_discrete.data.transition_batch import TransitionBatch
from rl_discrete.encoders.base import Encoder, build_encoder
from rl_discrete.encoders.config import ENCODERS, EncoderConfig, EncoderNetworkConfig
from rl_discrete.encoders.fixed import FixedEncoder
from rl_discrete.encoders.learned import LearnedEncoder
from rl_discrete.encoders.observations import Observations
from rl_discrete.latents.codes import key_width, pack, unpack
from rl_discrete.runs.errors import RunError, UsageError

LEARNED = ("vast", "ish", "gs")
CONTROLS = ("simhash", "downsample", "exact")
SHAPES: dict[str, tuple[tuple[int, ...], int]] = {
    "colour": ((3, 15, 22), 1),
    "stack": ((4, 20, 20), 4),
    "tiny": ((1, 3, 5), 1),
    "vector": ((4,), 1),
}
NETWORK = EncoderNetworkConfig(
    channels=(4, 6), kernels=(4, 3), strides=(2, 2), hidden=(16,), decoder_channels=(4,), prior_hidden=(8,)
)
CONFIG = EncoderConfig(
    num_latents=12, average_decay=0.0, consistency=0.0, network=NETWORK, simhash_size=(5, 6), downsample_size=(2, 3)
)
STABLE = replace(CONFIG, average_decay=0.9, consistency=0.1, consistency_every=2, foresight=0.5)
NUM_ACTIONS = 3

every_encoder = pytest.mark.parametrize("name", ENCODERS)
every_learned = pytest.mark.parametrize("name", LEARNED)
every_shape = pytest.mark.parametrize("case", SHAPES)


def build(name: str, case: str = "colour", config: EncoderConfig = CONFIG, seed: int = 0) -> Encoder:
    shape, stack = SHAPES[case]
    return build_encoder(name, shape, NUM_ACTIONS, config, seed, stack)


def observations(case: str = "colour", batch: int = 9, seed: int = 0) -> Observations:
    rng, shape = np.random.default_rng(seed), SHAPES[case][0]
    if len(shape) == 1:
        return rng.normal(size=(batch, *shape)).astype(np.float32)
    channels, height, width = shape
    coarse = rng.integers(0, 216, (batch, channels, 3, 3), dtype=np.uint8)
    rows, columns = np.arange(height) * 3 // height, np.arange(width) * 3 // width
    noise = rng.integers(0, 40, (batch, *shape), dtype=np.uint8)
    pictures: NDArray[np.uint8] = coarse[:, :, rows][:, :, :, columns] + noise
    return pictures


def batch(case: str = "colour", size: int = 9, seed: int = 0) -> TransitionBatch:
    rng = np.random.default_rng(seed)
    starts = np.arange(size) % 4 == 0
    previous = observations(case, size, seed + 1)
    previous[starts] = 0
    actions = np.where(starts, 0, rng.integers(0, NUM_ACTIONS, size))
    return TransitionBatch(previous, actions, observations(case, size, seed), starts, np.zeros(size, np.float32))


def trained(name: str, case: str = "colour", config: EncoderConfig = CONFIG, steps: int = 3) -> Encoder:
    encoder = build(name, case, config)
    for step in range(steps):
        encoder.anneal(step / 10)
        encoder.learn(batch(case, seed=step))
    return encoder


def same_state(a: Encoder, b: Encoder) -> bool:
    left, right = a.state(), b.state()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@every_encoder
@every_shape
def test_keys_are_packed_codes(name: str, case: str) -> None:
    encoder = build(name, case)
    seen = observations(case)
    before = seen.copy()
    codes, keys = encoder.codes(seen), encoder.encode(seen)
    assert np.array_equal(seen, before)
    assert codes.shape == (9, encoder.num_latents)
    assert codes.dtype == np.int64
    assert codes.min() >= 0
    assert codes.max() < encoder.num_categories
    assert keys.dtype == np.uint64
    assert encoder.key_words == key_width(encoder.num_latents, encoder.num_categories)
    assert keys.shape == (9, encoder.key_words)
    assert np.array_equal(keys, pack(codes, encoder.num_categories))
    assert np.array_equal(unpack(keys, encoder.num_latents, encoder.num_categories), codes)
    assert encoder.encode(seen[:0]).shape == (0, encoder.key_words)
    if isinstance(encoder, LearnedEncoder):
        assert np.array_equal(codes, encoder.network.bottleneck.discretize(encoder.logits(seen)).numpy())


@every_encoder
@every_shape
def test_encoding_is_deterministic_and_draws_nothing(name: str, case: str) -> None:
    encoder, seen, everybody = build(name, case), observations(case), torch.get_rng_state()
    state = encoder.state()
    first = encoder.encode(seen)
    assert np.array_equal(encoder.encode(seen), first)
    assert np.array_equal(encoder.encode(seen.copy(order="F")), first)
    after = encoder.state()
    assert all(torch.equal(state[name], after[name]) for name in state)
    assert torch.equal(torch.get_rng_state(), everybody)


@every_encoder
@every_shape
def test_observations_of_a_batch_do_not_mix(name: str, case: str) -> None:
    encoder = trained(name, case) if name in LEARNED else build(name, case)
    seen = observations(case, 300)  # more than one chunk
    one_by_one = np.concatenate([encoder.encode(seen[row : row + 1]) for row in range(0, 300, 10)])
    assert np.array_equal(encoder.encode(seen)[::10], one_by_one)


@every_encoder
@every_shape
def test_the_seed_decides_everything(name: str, case: str) -> None:
    everybody = torch.get_rng_state()
    steps = 2 if name in LEARNED else 0
    first, again = (trained(name, case, steps=steps) for _ in range(2))
    assert same_state(first, again)
    assert torch.equal(torch.get_rng_state(), everybody)
    if name not in ("downsample", "exact"):  # these draw nothing
        assert not same_state(build(name, case, seed=1), build(name, case))


@every_encoder
@every_shape
def test_different_observations_get_different_keys(name: str, case: str) -> None:
    keys = build(name, case).encode(observations(case, 40))
    assert len(np.unique(keys, axis=0)) > 1


@every_learned
@every_shape
@pytest.mark.parametrize("config", [CONFIG, STABLE], ids=["plain", "stable"])
def test_a_restored_encoder_goes_on_bit_for_bit(name: str, case: str, config: EncoderConfig) -> None:
    origin = trained(name, case, config)
    saved = origin.state()
    kept = {key: value.clone() for key, value in saved.items()}
    restored = build(name, case, config, seed=7)
    restored.load_state(saved)
    assert same_state(origin, restored)
    for step in range(3):
        for encoder in (origin, restored):
            encoder.anneal(0.5 + step / 10)
        assert origin.learn(batch(case, seed=step)) == restored.learn(batch(case, seed=step))
    assert same_state(origin, restored)
    assert all(torch.equal(saved[key], kept[key]) for key in saved)


@every_learned
def test_a_restored_encoder_stands_where_its_schedules_stood(name: str) -> None:
    origin = build(name)
    origin.anneal(0.6)
    restored = build(name)
    restored.load_state(origin.state())
    rate = restored.learn(batch())["learning_rate"]
    assert rate == origin.learn(batch())["learning_rate"]
    assert rate < build(name).learn(batch())["learning_rate"]


@every_encoder
def test_the_state_of_another_encoder_is_refused(name: str) -> None:
    other = "ish" if name in CONTROLS else "simhash"
    with pytest.raises(UsageError, match="the saved encoder is another one") as caught:
        build(name).load_state(build(other).state())
    assert "\n" not in str(caught.value)
    wider = replace(CONFIG, num_latents=13, simhash_bits=17, downsample_size=(3, 3))
    larger = build(name, config=wider) if name != "exact" else build(name, "stack")  # it has no settings
    with pytest.raises(UsageError, match="the saved encoder is another one"):
        build(name).load_state(larger.state())


@every_encoder
@every_shape
def test_a_frozen_copy_keeps_its_codes(name: str, case: str) -> None:
    encoder = trained(name, case, STABLE) if name in LEARNED else build(name, case)
    seen = observations(case, 30)
    frozen = encoder.frozen_copy()
    kept = frozen.encode(seen)
    assert np.array_equal(kept, encoder.encode(seen))
    assert (frozen.num_latents, frozen.num_categories) == (encoder.num_latents, encoder.num_categories)
    assert frozen.key_words == encoder.key_words
    if name in LEARNED:
        for step in range(5):
            encoder.learn(batch(case, seed=20 + step))
        assert not np.array_equal(encoder.state()["steps"], torch.tensor(0))
    assert np.array_equal(frozen.encode(seen), kept)
    second = frozen.frozen_copy()
    other = build(name, case, seed=3).frozen_copy()
    other.load_state(frozen.state())
    assert np.array_equal(second.encode(seen), kept)
    assert np.array_equal(other.encode(seen), kept)
    frozen.anneal(0.5)
    assert not frozen.trainable
    with pytest.raises(UsageError, match="learns nothing"):
        frozen.learn(batch(case))


@every_learned
def test_a_frozen_copy_shares_no_memory(name: str) -> None:
    encoder = trained(name, config=STABLE)
    frozen = encoder.frozen_copy()
    assert isinstance(encoder, LearnedEncoder)
    with torch.no_grad():
        for network in (encoder.network, encoder._average, encoder._reference):
            assert network is not None
            for parameter in network.parameters():
                parameter.fill_(torch.nan)
    assert all(tensor.isfinite().all() for tensor in frozen.state().values())


@pytest.mark.parametrize("name", CONTROLS)
@every_shape
def test_controls_refuse_to_learn_and_to_decode(name: str, case: str) -> None:
    control = build(name, case)
    assert isinstance(control, FixedEncoder)
    assert not control.trainable
    with pytest.raises(UsageError, match="learns nothing: train vast, ish or gs"):
        control.learn(batch(case))
    assert control.decode(control.encode(observations(case))) is None
    control.anneal(1.0)


@every_learned
@every_shape
def test_learning_reports_nats_and_moves_the_codes(name: str, case: str) -> None:
    encoder = build(name, case, STABLE)
    assert encoder.trainable
    seen = observations(case, 60)
    before = encoder.encode(seen)
    for step in range(20):
        metrics = encoder.learn(batch(case, seed=step))
    own = {"prior"} if name == "vast" else {"regularizer", "foresight"}
    terms = {"reconstruction", "consistency"} | own
    assert metrics.keys() == {"loss", "gradient_norm", "learning_rate"} | terms
    assert all(np.isfinite(value) for value in metrics.values())
    assert metrics["loss"] == pytest.approx(sum(metrics[term] for term in terms), rel=1e-4)
    assert not np.array_equal(encoder.encode(seen), before)


@every_learned
@pytest.mark.parametrize(("case", "frame"), [("colour", (3, 8, 11)), ("stack", (1, 10, 10)), ("tiny", (1, 2, 3))])
def test_decoding_gives_the_newest_frame(name: str, case: str, frame: tuple[int, ...]) -> None:
    encoder = trained(name, case)
    keys = encoder.encode(observations(case))
    decoded = encoder.decode(keys)
    assert decoded is not None
    assert decoded.dtype == np.uint8
    assert decoded.shape == (9, *frame)
    whole = replace(CONFIG, network=replace(NETWORK, half_resolution=False))
    full = build(name, case, whole).decode(keys)
    assert full is not None
    assert full.shape[2:] == SHAPES[case][0][1:]
    again = encoder.frozen_copy().decode(keys)
    assert again is not None
    assert np.array_equal(again, decoded)


@every_learned
def test_without_convolutions_the_means_of_blocks_are_all_that_counts(name: str) -> None:
    network = EncoderNetworkConfig(
        shrink=4, channels=(), kernels=(), strides=(), hidden=(16,), decoder="dense", decoder_channels=()
    )
    encoder = build(name, "stack", replace(CONFIG, network=network))
    untrained = encoder.frozen_copy()
    for seed in range(40):
        encoder.learn(batch("stack", seed=seed))
    seen = observations("stack")
    blocks = seen.reshape(*seen.shape[:2], 5, 4, 5, 4)
    shuffled: NDArray[np.uint8] = np.array(blocks[:, :, :, ::-1, :, ::-1].reshape(seen.shape), np.uint8)
    assert not np.array_equal(shuffled, seen)
    assert np.array_equal(encoder.encode(shuffled), encoder.encode(seen))
    assert not np.array_equal(encoder.encode(seen), untrained.encode(seen))
    decoded = encoder.frozen_copy().decode(encoder.encode(seen))
    assert decoded is not None
    assert decoded.shape == (9, 1, 5, 5)


@every_learned
def test_vectors_have_no_picture(name: str) -> None:
    encoder = build(name, "vector")
    assert encoder.decode(encoder.encode(observations("vector"))) is None


@every_encoder
def test_observations_that_do_not_fit(name: str) -> None:
    image, vector = build(name), build(name, "vector")
    wrong: list[tuple[Encoder, NDArray[np.generic], str]] = [
        (image, np.zeros((2, 3, 15, 21), np.uint8), r"must be uint8 \(B, 3, 15, 22\), got uint8 \(2, 3, 15, 21\)"),
        (image, np.zeros((3, 15, 22), np.uint8), r"must be uint8 \(B, 3, 15, 22\), got uint8 \(3, 15, 22\)"),
        (image, np.zeros((2, 3, 15, 22), np.float32), r"must be uint8 .* got float32"),
        (vector, np.zeros((2, 5), np.float32), r"must be float32 \(B, 4\), got float32 \(2, 5\)"),
        (vector, np.zeros((2, 4)), r"must be float32 \(B, 4\), got float64"),
    ]
    for encoder, seen, words in wrong:
        with pytest.raises(UsageError, match=words):
            encoder.encode(seen)  # type: ignore[arg-type]
    for value in (np.nan, np.inf):
        seen = observations("vector")
        seen[3, 1] = value
        with pytest.raises(RunError, match="observation 3 of the batch holds a number that is not finite"):
            vector.encode(seen)


@every_learned
@pytest.mark.parametrize("case", ["colour", "vector"])
def test_batches_that_do_not_fit(name: str, case: str) -> None:
    encoder = build(name, case)
    before = encoder.state()
    with pytest.raises(UsageError, match="observations must be"):
        encoder.learn(replace(batch(case), current=batch("tiny").current))
    after = encoder.state()
    assert all(torch.equal(before[key], after[key]) for key in before)


@every_learned
def test_a_loss_that_is_not_finite_leaves_the_weights(name: str) -> None:
    encoder = trained(name, "vector")
    restored = build(name, "vector", replace(CONFIG, vector_noise=1e-30))
    restored.load_state(encoder.state())
    encoder = restored
    before = encoder.state()
    with pytest.raises(RunError, match=r"the encoder's loss became .* at gradient step 3"):
        encoder.learn(batch("vector"))
    after = encoder.state()
    statistics = ("count", "mean", "squares")  # have seen the batch; weights and optimiser have not
    kept = [key for key in before if key.startswith(("parts", "optimiser")) and not key.endswith(statistics)]
    assert any("weight" in key for key in kept)
    assert all(torch.equal(before[key], after[key]) for key in kept)


def test_names_and_shapes_that_do_not_fit() -> None:
    wrong: list[tuple[Callable[[], Encoder], str]] = [
        (
            lambda: build_encoder("vae", (3, 8, 8), 3),
            "must be one of vast, ish, gs, simhash, downsample, exact, got 'vae'",
        ),
        (lambda: build_encoder("ish", (8, 8), 3), r"images \(C, H, W\) or vectors \(D,\), got the shape \(8, 8\)"),
        (lambda: build_encoder("ish", (0, 8, 8), 3), "got the shape"),
        (lambda: build_encoder("ish", (4, 8, 8), 3, stack=3), "a stack of 3 frames needs a multiple of 3"),
        (lambda: build_encoder("vast", (3, 8, 8), 0), "num_actions must be >= 1, got 0"),
    ]
    for make, words in wrong:
        with pytest.raises(UsageError, match=words):
            make()


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("vast", EncoderConfig(num_latents=0), "num_latents must be >= 1, got 0"),
        ("vast", EncoderConfig(learning_rate=0.0), "learning_rate must be > 0"),
        ("ish", EncoderConfig(final_learning_rate=0.0), r"final_learning_rate must be in \(0, 1\]"),
        ("ish", EncoderConfig(decay_until=1.5), r"decay_until must be in \(0, 1\]"),
        ("gs", EncoderConfig(gradient_clip=-1.0), "gradient_clip must be >= 0"),
        ("gs", EncoderConfig(average_decay=1.0), r"average_decay must be in \[0, 1\)"),
        ("gs", EncoderConfig(consistency=float("nan")), "consistency must be >= 0"),
        ("gs", EncoderConfig(consistency_every=0), "consistency_every must be >= 1, got 0"),
        ("vast", EncoderConfig(beta_prior=-1.0), "beta_prior must be >= 0"),
        ("simhash", EncoderConfig(simhash_bits=0), "simhash_bits and simhash_size must be >= 1"),
        ("downsample", EncoderConfig(downsample_levels=1), "downsample_levels between 2 and 4080"),
        ("ish", EncoderConfig(network=EncoderNetworkConfig(channels=(8,))), "the same number of entries"),
        ("ish", EncoderConfig(network=EncoderNetworkConfig(shrink=0)), "shrink must be >= 1"),
        ("ish", EncoderConfig(network=EncoderNetworkConfig(decoder="dense")), "decoder_channels of dense needs 0"),
        ("ish", EncoderConfig(network=EncoderNetworkConfig(hidden=(0,))), "hidden must hold numbers >= 1"),
        ("ish", EncoderConfig(network=EncoderNetworkConfig(decoder="deconv")), "deconv needs 4 numbers"),
        (
            "ish",
            EncoderConfig(network=EncoderNetworkConfig(decoder="flow")),  # type: ignore[arg-type]
            "decoder must be shuffle, deconv or dense",
        ),
    ],
)
def test_settings_outside_their_range(name: str, config: EncoderConfig, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_encoder(name, (3, 16, 16), 3, config)
