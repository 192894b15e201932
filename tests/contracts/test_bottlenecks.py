"""The contract of `Bottleneck`, for every bottleneck: a new one joins by a line in `BOTTLENECKS`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from rl_discrete.latents.binary_concrete import BinaryConcrete
from rl_discrete.latents.bottleneck import Bottleneck, BottleneckOutput
from rl_discrete.latents.config import BinaryConcreteConfig, Estimator, GumbelSoftmaxConfig, SemanticHashingConfig
from rl_discrete.latents.gumbel_softmax import GumbelSoftmax
from rl_discrete.latents.semantic_hashing import SemanticHashing
from rl_discrete.runs.errors import UsageError

Builder = Callable[[int], Bottleneck]

ESTIMATORS: tuple[Estimator, ...] = ("relaxed", "straight_through", "gumbel_rao", "reinmax")


def gs(num_categories: int, **settings: Any) -> Builder:
    return lambda num_latents: GumbelSoftmax(num_latents, num_categories, GumbelSoftmaxConfig(**settings))


def ish(**settings: Any) -> Builder:
    return lambda num_latents: SemanticHashing(num_latents, config=SemanticHashingConfig(**settings))


def concrete(**settings: Any) -> Builder:
    return lambda num_latents: BinaryConcrete(num_latents, config=BinaryConcreteConfig(**settings))


BOTTLENECKS: dict[str, Builder] = {
    **{
        f"gs-{estimator}-{k}-mix-{mix}": gs(k, estimator=estimator, uniform_mix=mix, rao_samples=3)
        for estimator, k, mix in product(ESTIMATORS, (2, 5, 10), (0.0, 0.01))
    },
    "gs-free-nats": gs(3, free_nats=0.5, beta_until=0.5),
    "ish": ish(),
    "ish-flips": ish(flip_probability=0.05, hard_warmup=0.5),
    "ish-quiet": ish(noise=0.0),
    "concrete": concrete(),
    "concrete-cold": concrete(temperature=0.1),
}

LARGEST_UNIFORM = 1.0 - 2.0**-24
EXTREMES = (-1e4, -30.0, -1e-30, 0.0, 1e-30, 30.0, 1e4)
PROGRESS = (0.0, 0.5, 1.0)

every_bottleneck = pytest.mark.parametrize("build", BOTTLENECKS.values(), ids=BOTTLENECKS.keys())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_logits(bottleneck: Bottleneck, batch: int = 6, scale: float = 2.0, seed: int = 1) -> Tensor:
    return scale * torch.randn(batch, bottleneck.num_logits, generator=generator(seed))


def extreme_logits(bottleneck: Bottleneck) -> Tensor:
    """Rows of one extreme each, and rows in which neighbours differ as much as they can."""
    width = bottleneck.num_logits
    flat = [torch.full((width,), value) for value in EXTREMES]
    mixed = [torch.tensor([EXTREMES[(i * step) % len(EXTREMES)] for i in range(width)]) for step in (1, 2, 3, 6)]
    return torch.stack(flat + mixed)


def output(bottleneck: Bottleneck, logits: Tensor, seed: int = 0) -> BottleneckOutput:
    result = bottleneck(logits, generator(seed))
    assert isinstance(result, BottleneckOutput)
    return result


def parts(result: BottleneckOutput) -> tuple[Tensor, ...]:
    return result.features, result.codes, result.noisy_logits, result.regularizer


def same(a: BottleneckOutput, b: BottleneckOutput) -> bool:
    return all(torch.equal(x, y) for x, y in zip(parts(a), parts(b), strict=True))


def check_finite(bottleneck: Bottleneck, logits: Tensor) -> None:
    """Values, and the gradient of each differentiable part and of all together."""
    logits = logits.clone().requires_grad_()
    result = output(bottleneck, logits)
    for part in parts(result):
        assert part.isfinite().all()
    assert result.codes.min() >= 0
    assert result.codes.max() < bottleneck.num_categories
    weights = torch.randn(result.features.shape, generator=generator(9))
    scalars = [(result.features * weights).sum(), result.noisy_logits.sum(), result.regularizer.sum()]
    for scalar in scalars:
        if scalar.requires_grad:
            (gradient,) = torch.autograd.grad(scalar, logits, retain_graph=True)
            assert gradient.isfinite().all()
    (gradient,) = torch.autograd.grad(torch.stack(scalars).sum(), logits)
    assert gradient.isfinite().all()


@every_bottleneck
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("batch", [0, 1, 6])
def test_shapes_and_dtypes(build: Builder, training: bool, batch: int) -> None:
    bottleneck = build(4).train(training)
    k = bottleneck.num_categories
    assert bottleneck.num_latents == 4
    assert bottleneck.num_logits == 4 * bottleneck.logits_per_latent
    assert bottleneck.num_features == 4 * bottleneck.feature_dim
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        logits = random_logits(bottleneck, batch).to(dtype)
        before = logits.clone()
        result = output(bottleneck, logits)
        assert torch.equal(logits, before)
        assert result.features.shape == (batch, bottleneck.num_features)
        assert result.codes.shape == (batch, 4)
        assert result.noisy_logits.shape == (batch, bottleneck.num_logits)
        assert result.regularizer.shape == (batch,)
        assert {part.dtype for part in parts(result)} == {torch.float32, torch.int64}
        assert result.codes.dtype == torch.int64
        assert ((result.codes >= 0) & (result.codes < k)).all()
        assert (result.regularizer >= -1e-5).all()


@every_bottleneck
def test_evaluation_is_embed_of_discretize(build: Builder) -> None:
    bottleneck = build(4).eval()
    for logits in (random_logits(bottleneck, 50), extreme_logits(bottleneck)):
        for progress in PROGRESS:
            bottleneck.anneal(progress)
            result = output(bottleneck, logits)
            assert torch.equal(result.codes, bottleneck.discretize(logits))
            assert torch.equal(result.features, bottleneck.embed(result.codes))
            assert torch.equal(result.noisy_logits, logits)
            assert not result.regularizer.any()


@every_bottleneck
def test_evaluation_draws_no_noise(build: Builder) -> None:
    bottleneck = build(4).eval()
    logits = random_logits(bottleneck)
    ours, everybody = generator(), torch.get_rng_state()
    before = ours.get_state()
    assert same(bottleneck(logits, ours), bottleneck(logits))
    assert torch.equal(ours.get_state(), before)
    assert torch.equal(torch.get_rng_state(), everybody)


@every_bottleneck
def test_training_noise_comes_from_the_generator_alone(build: Builder) -> None:
    bottleneck = build(8).train()
    bottleneck.anneal(1.0)
    logits = random_logits(bottleneck, 20)
    everybody = torch.get_rng_state()
    first, again, other = output(bottleneck, logits, 3), output(bottleneck, logits, 3), output(bottleneck, logits, 4)
    assert torch.equal(torch.get_rng_state(), everybody)
    assert same(first, again)
    noiseless = isinstance(bottleneck, SemanticHashing) and bottleneck.config.noise == 0.0
    assert torch.equal(first.codes, other.codes) == noiseless
    assert not torch.equal(first.features, other.features)


@every_bottleneck
def test_noise_goes_on_where_the_generator_stands(build: Builder) -> None:
    bottleneck = build(8).train()
    bottleneck.anneal(1.0)
    logits = random_logits(bottleneck, 20)
    ours = generator()
    bottleneck(logits, ours)
    state = ours.get_state()
    second = bottleneck(logits, ours)
    resumed = torch.Generator()
    resumed.set_state(state)
    assert same(bottleneck(logits, resumed), second)


@every_bottleneck
def test_images_of_a_batch_do_not_mix(build: Builder) -> None:
    bottleneck = build(3).train()
    bottleneck.anneal(0.5)
    logits = random_logits(bottleneck, 5).requires_grad_()
    result = output(bottleneck, logits)
    weights = torch.randn(bottleneck.num_features, generator=generator(2))
    for row in range(5):
        scalar = (result.features[row] * weights).sum() + result.noisy_logits[row].sum() + result.regularizer[row]
        (gradient,) = torch.autograd.grad(scalar, logits, retain_graph=True)
        others = [other for other in range(5) if other != row]
        assert not gradient[others].any()
    bottleneck.eval()
    whole = output(bottleneck, logits.detach())
    single = [output(bottleneck, row) for row in logits.detach().split(1)]
    assert torch.equal(whole.codes, torch.cat([one.codes for one in single]))


@every_bottleneck
def test_features_carry_a_gradient_to_every_latent(build: Builder) -> None:
    bottleneck = build(3).train()
    for progress in PROGRESS:
        bottleneck.anneal(progress)
        logits = random_logits(bottleneck, 400, scale=0.5).requires_grad_()
        features = output(bottleneck, logits).features.unflatten(1, (3, -1))
        weights = torch.randn(features.shape[1:], generator=generator(2))
        (gradient,) = torch.autograd.grad((features * weights).sum(), logits)
        assert (gradient.unflatten(1, (3, -1)).abs().sum((0, 2)) > 0.1).all()


@every_bottleneck
def test_sure_logits_give_their_code_in_training_too(build: Builder) -> None:
    bottleneck = build(16).train()
    pattern = torch.where(torch.rand(100, bottleneck.num_logits, generator=generator()) < 0.5, -50.0, 50.0)
    if bottleneck.logits_per_latent > 1:
        winner = torch.randint(bottleneck.num_categories, (100, 16), generator=generator())
        pattern = torch.nn.functional.one_hot(winner, bottleneck.num_categories).flatten(1) * 100.0 - 50.0
    agree = (output(bottleneck, pattern).codes == bottleneck.discretize(pattern)).float().mean()
    assert agree > 0.97  # a uniform mix of 1 % is all that may differ


@every_bottleneck
def test_every_category_can_be_drawn_and_embedded(build: Builder) -> None:
    bottleneck = build(2)
    k = bottleneck.num_categories
    codes = torch.arange(k).repeat(2, 1).T.contiguous()
    features = bottleneck.embed(codes)
    assert features.shape == (k, bottleneck.num_features)
    assert len(features.unique(dim=0)) == k
    assert features.dtype == torch.float32
    drawn = output(bottleneck.train(), random_logits(bottleneck, 500, scale=0.1)).codes
    if not (isinstance(bottleneck, SemanticHashing) and bottleneck.config.noise == 0.0):
        assert all(len(column.unique()) == k for column in drawn.T)


@every_bottleneck
@pytest.mark.parametrize("progress", PROGRESS)
def test_extreme_logits_stay_finite(build: Builder, progress: float) -> None:
    bottleneck = build(4).train()
    bottleneck.anneal(progress)
    check_finite(bottleneck, extreme_logits(bottleneck))


@every_bottleneck
@pytest.mark.parametrize("uniform", [0.0, 1e-45, LARGEST_UNIFORM, 1.0])
@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_extreme_draws_stay_finite(
    build: Builder, uniform: float, progress: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    bottleneck = build(4).train()
    bottleneck.anneal(progress)
    logits = torch.cat((extreme_logits(bottleneck), random_logits(bottleneck)))
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(tuple(shape), uniform))
    check_finite(bottleneck, logits)


@every_bottleneck
def test_one_extreme_draw_among_others_stays_finite(build: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    bottleneck = build(4).train()
    bottleneck.anneal(1.0)
    levels = torch.tensor([0.0, 1.0, LARGEST_UNIFORM, 0.5])

    def rand(shape: torch.Size, **_: object) -> Tensor:
        return levels[torch.randint(4, tuple(shape), generator=generator(5))]

    logits = torch.cat((extreme_logits(bottleneck), random_logits(bottleneck)))
    monkeypatch.setattr(torch, "rand", rand)
    check_finite(bottleneck, logits)


@settings(deadline=None, max_examples=200)
@given(data=st.data(), name=st.sampled_from(sorted(BOTTLENECKS)), num_latents=st.integers(1, 3))
def test_any_logits(data: st.DataObject, name: str, num_latents: int) -> None:
    bottleneck = BOTTLENECKS[name](num_latents).train()
    bottleneck.anneal(data.draw(st.floats(0.0, 1.0)))
    number = st.floats(-1e4, 1e4, width=32) | st.sampled_from(EXTREMES)
    width = bottleneck.num_logits
    rows = data.draw(st.lists(st.lists(number, min_size=width, max_size=width), min_size=1, max_size=3))
    logits = torch.tensor(rows)
    check_finite(bottleneck, logits)
    result = output(bottleneck.eval(), logits)
    assert torch.equal(result.features, bottleneck.embed(bottleneck.discretize(logits)))


@settings(deadline=None, max_examples=60)
@example(name="ish", codes_seed=0, num_latents=1)
@given(name=st.sampled_from(sorted(BOTTLENECKS)), codes_seed=st.integers(0, 1000), num_latents=st.integers(1, 40))
def test_discretize_reads_the_code_out_of_its_features(name: str, codes_seed: int, num_latents: int) -> None:
    bottleneck = BOTTLENECKS[name](num_latents).eval()
    codes = torch.randint(bottleneck.num_categories, (3, num_latents), generator=generator(codes_seed))
    features = bottleneck.embed(codes).unflatten(1, (num_latents, -1))
    shown = features if bottleneck.logits_per_latent > 1 else features[..., :1] - 0.5
    assert torch.equal(bottleneck.discretize(shown.flatten(1)), codes)


@every_bottleneck
def test_inputs_that_do_not_fit(build: Builder) -> None:
    bottleneck = build(4)
    width = bottleneck.num_logits
    for training in (True, False):
        bottleneck.train(training)
        for shape in ((3, width + 1), (6, width // 2), (width,), (2, 3, width), (3, 0)):
            with pytest.raises(UsageError, match=rf"logits must have shape \(B, {width}\)"):
                bottleneck(torch.zeros(shape), generator())
            with pytest.raises(UsageError, match=rf"logits must have shape \(B, {width}\)"):
                bottleneck.discretize(torch.zeros(shape))
    for codes in (torch.zeros(2, 3).long(), torch.zeros(4).long(), torch.zeros(2, 2, 4).long(), torch.zeros(2, 4)):
        with pytest.raises(UsageError, match=r"codes must be integers \(B, 4\)"):
            bottleneck.embed(codes)


@every_bottleneck
@pytest.mark.parametrize("num_latents", [0, -3])
def test_no_latents_is_an_error(build: Builder, num_latents: int) -> None:
    with pytest.raises(UsageError, match=f"num_latents must be >= 1, got {num_latents}"):
        build(num_latents)


@pytest.mark.parametrize("num_categories", [1, 0, -1])
def test_fewer_than_two_categories_is_an_error(num_categories: int) -> None:
    for make in (GumbelSoftmax, SemanticHashing, BinaryConcrete):
        with pytest.raises(UsageError, match=f"num_categories must be >= 2, got {num_categories}"):
            make(4, num_categories)


def test_hashing_and_binary_concrete_have_bits_only() -> None:
    for make in (SemanticHashing, BinaryConcrete):
        with pytest.raises(UsageError, match="2 categories"):
            make(4, 3)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        *[(gs(2, temperature_start=t), "temperature_start must be > 0") for t in (0.0, -1.0, torch.nan, torch.inf)],
        *[(gs(2, temperature_end=t), "temperature_end must be > 0") for t in (0.0, -0.5, torch.nan)],
        *[(gs(2, anneal_until=share), r"anneal_until must be in \(0, 1\]") for share in (0.0, 1.1, torch.nan)],
        *[(gs(2, beta_until=share), r"beta_until must be in \[0, 1\]") for share in (-0.1, 1.1, torch.nan)],
        *[(gs(2, beta=beta), "beta must be >= 0") for beta in (-0.1, torch.nan, torch.inf)],
        *[(gs(2, beta_start=beta), "beta_start must be >= 0") for beta in (-0.1, torch.nan, torch.inf)],
        *[(gs(2, free_nats=nats), "free_nats must be >= 0") for nats in (-0.1, torch.nan)],
        *[(gs(2, uniform_mix=mix), r"uniform_mix must be in \[0, 1\)") for mix in (-0.1, 1.0, torch.nan)],
        (gs(2, rao_samples=0), "rao_samples must be >= 1, got 0"),
        (gs(2, estimator="reinforce"), "estimator must be relaxed, .* got 'reinforce'"),
        *[(ish(noise=noise), "noise must be >= 0") for noise in (-1.0, torch.nan, torch.inf)],
        *[(ish(hard_share=share), r"hard_share must be in \[0, 1\]") for share in (-0.1, 1.1, torch.nan)],
        *[(ish(hard_warmup=share), r"hard_warmup must be in \[0, 1\]") for share in (-0.1, 1.1, torch.nan)],
        *[(concrete(temperature=t), "temperature must be > 0") for t in (0.0, -1.0, torch.nan, torch.inf)],
        *[(concrete(prior_temperature=t), "prior_temperature must be > 0") for t in (0.0, torch.nan)],
        *[(ish(flip_probability=p), r"flip_probability must be in \[0, 0.5\)") for p in (-0.1, 0.5, torch.nan)],
    ],
)
def test_settings_outside_their_range(build: Builder, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build(4)
