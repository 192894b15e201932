"""The loop that fits models: schedules, order, averaging, faults, and resuming bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from safetensors import torch as safetensors
from torch import Tensor, nn

from rl_discrete.latents.autoencoder import DiscreteAutoencoder
from rl_discrete.latents.bottleneck import Bottleneck
from rl_discrete.latents.config import (
    FitConfig,
    GumbelSoftmaxConfig,
    LSTMPriorConfig,
    NetworkConfig,
    SemanticHashingConfig,
)
from rl_discrete.latents.fit import Fit
from rl_discrete.latents.gumbel_softmax import GumbelSoftmax
from rl_discrete.latents.semantic_hashing import SemanticHashing
from rl_discrete.latents.train import begin_autoencoder, begin_prior, fit_autoencoder, fit_prior
from rl_discrete.runs.errors import RunError, UsageError

AnyFit = Fit[Any]

SHORT = FitConfig(epochs=4, batch_size=8, learning_rate=1e-2, warmup_steps=5, weight_decay=0.01, gradient_clip=1.0)
AVERAGED = replace(SHORT, average_decay=0.95)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def autoencoder(make_bottleneck: Callable[[], Bottleneck], training: FitConfig) -> Fit[DiscreteAutoencoder]:
    images = torch.randint(256, (50, 4, 4), generator=generator()).to(torch.uint8)
    return begin_autoencoder(images, make_bottleneck, NetworkConfig(hidden=(12,), residual_layers=1), training, seed=3)


def gs(**settings: Any) -> Callable[[], Bottleneck]:
    return lambda: GumbelSoftmax(4, 3, GumbelSoftmaxConfig(beta_until=0.5, **settings))


def ish() -> Bottleneck:
    return SemanticHashing(6, config=SemanticHashingConfig(hard_warmup=0.7, flip_probability=0.1))


def prior(training: FitConfig, context_dim: int = 0) -> AnyFit:
    codes = torch.randint(3, (50, 5), generator=generator())
    context = torch.randn(50, context_dim, generator=generator(1)) if context_dim else None
    return begin_prior(codes, 3, LSTMPriorConfig(chunk=2, hidden=8, embedding=4, dropout=0.3), training, 3, context)


def drawn(training: FitConfig) -> Fit[DiscreteAutoencoder]:
    """An autoencoder on images to which noise from the generator is added, less and less."""
    images = torch.rand(50, 4, 4, generator=generator())

    def draw(indices: Tensor, progress: float, noise: torch.Generator) -> Tensor:
        batch = images[indices]
        return (batch + (1.0 - progress) * torch.rand(batch.shape, generator=noise)).clamp(0.0, 1.0)

    return begin_autoencoder(images, ish, NetworkConfig(hidden=(12,), residual_layers=1), training, 3, draw)


FITS: dict[str, Callable[[], AnyFit]] = {
    "ish-drawn": lambda: drawn(AVERAGED),
    "gs": lambda: autoencoder(gs(), AVERAGED),
    "gs-rao": lambda: autoencoder(gs(estimator="gumbel_rao"), SHORT),
    "ish": lambda: autoencoder(ish, AVERAGED),
    "ish-not-averaged": lambda: autoencoder(ish, SHORT),
    "prior": lambda: prior(AVERAGED),
    "prior-context": lambda: prior(AVERAGED, context_dim=2),
}

every_fit = pytest.mark.parametrize("build", FITS.values(), ids=FITS.keys())


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def line(config: FitConfig, *, anneal: Callable[[float], None] | None = None, num_examples: int = 50) -> AnyFit:
    """Least squares y = 2 x - 1 with one weight and one bias."""
    x = torch.randn(num_examples, 1, generator=generator())
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(0.5)
        model.bias.fill_(0.25)

    def objective(indices: Tensor, _: torch.Generator) -> Tensor:
        error: Tensor = model(x[indices]) - (2.0 * x[indices] - 1.0)
        return error.square().sum(1)

    return Fit(model, objective, num_examples, config, 1, anneal)


@every_fit
@pytest.mark.parametrize("stop", [0, 1, 11, 12, 23, 24])
def test_a_resumed_fit_equals_the_uninterrupted_one(build: Callable[[], AnyFit], stop: int) -> None:
    """Before the first step, in mid-epoch, between epochs, before and after the last step; bit for bit."""
    whole, first, second = build(), build(), build()
    assert whole.total_steps == 24
    whole.advance(stop)
    rest = whole.advance(100)
    first.advance(stop)
    second.load_state(first.state())
    resumed = second.advance(100)
    assert equal(whole.state(), second.state())
    assert whole.finished
    assert second.finished
    assert rest == resumed or stop in (0, 24)
    whole.close()
    second.close()
    assert equal(whole.model.state_dict(), second.model.state_dict())
    assert not equal(whole.model.state_dict(), first.model.state_dict()) or stop == 24


@every_fit
def test_a_state_outlives_the_fit_that_it_was_given_to(build: Callable[[], AnyFit]) -> None:
    source = build()
    source.advance(9)
    state = source.state()
    kept = {name: value.clone() for name, value in state.items()}
    ends = []
    for _ in range(2):
        fit = build()
        fit.load_state(state)
        fit.advance(7)
        ends.append(fit.state())
        assert equal(state, kept)
    source.advance(7)
    assert equal(state, kept)
    assert equal(ends[0], ends[1])
    assert equal(ends[0], source.state())


@every_fit
def test_a_state_goes_through_safetensors(build: Callable[[], AnyFit]) -> None:
    fit, other = build(), build()
    fit.advance(9)
    data = safetensors.save(fit.state())
    other.load_state(safetensors.load(data))
    assert equal(fit.state(), other.state())


@pytest.mark.parametrize("stop", [1, 13, 24])
def test_schedules_stand_where_they_stood(stop: int) -> None:
    for make in (gs(), ish):
        first, second = autoencoder(make, SHORT), autoencoder(make, SHORT)
        first.advance(stop)
        second.load_state(first.state())
        for name in ("temperature", "beta", "hard_share"):
            ours, theirs = (getattr(fit.model.bottleneck, name, None) for fit in (first, second))
            assert ours == theirs


@every_fit
def test_a_fit_depends_on_its_seed_alone(build: Callable[[], AnyFit]) -> None:
    first = build()
    everybody = torch.get_rng_state()
    first.advance(12)
    assert torch.equal(torch.get_rng_state(), everybody)
    torch.rand(5)
    second = build()
    for _ in range(12):
        second.advance(1)
    assert equal(first.state(), second.state())


@every_fit
def test_looking_at_the_model_changes_nothing(build: Callable[[], AnyFit]) -> None:
    undisturbed, watched = build(), build()
    undisturbed.advance(14)
    for _ in range(14):
        watched.advance(1)
        before = watched.state()
        with watched.evaluation() as model:
            assert not model.training
            assert not torch.is_grad_enabled()
        assert watched.model.training
        assert equal(watched.state(), before)
    assert equal(undisturbed.state(), watched.state())


def test_evaluation_uses_averaged_weights_and_puts_them_back() -> None:
    fit = line(replace(AVERAGED, average_decay=0.9))
    average = [p.detach().clone() for p in fit.model.parameters()]
    for step in range(1, 15):
        fit.advance(1)
        decay = min(0.9, step / (step + 10.0))
        average = [decay * a + (1.0 - decay) * p.detach() for a, p in zip(average, fit.model.parameters(), strict=True)]
    trained = [p.detach().clone() for p in fit.model.parameters()]
    with fit.evaluation() as model:
        for parameter, expected, raw in zip(model.parameters(), average, trained, strict=True):
            torch.testing.assert_close(parameter.detach(), expected)
            assert (parameter - raw).abs() > 1e-3
    assert all(torch.equal(p, raw) for p, raw in zip(fit.model.parameters(), trained, strict=True))
    with pytest.raises(KeyError), fit.evaluation():
        raise KeyError
    assert all(torch.equal(p, raw) for p, raw in zip(fit.model.parameters(), trained, strict=True))
    fit.close()
    for parameter, expected in zip(fit.model.parameters(), average, strict=True):
        torch.testing.assert_close(parameter.detach(), expected)
    assert not fit.model.training


def test_closing_twice_keeps_the_averaged_weights() -> None:
    fit = line(AVERAGED)
    fit.advance(10)
    fit.close()
    closed = [p.detach().clone() for p in fit.model.parameters()]
    fit.close()
    assert all(torch.equal(p, kept) for p, kept in zip(fit.model.parameters(), closed, strict=True))


def test_without_averaging_the_evaluated_weights_are_the_trained_ones() -> None:
    fit = line(SHORT)
    fit.advance(10)
    trained = [p.detach().clone() for p in fit.model.parameters()]
    with fit.evaluation() as model:
        assert all(torch.equal(p, raw) for p, raw in zip(model.parameters(), trained, strict=True))


def test_progress_starts_at_0_and_the_last_step_sees_1() -> None:
    seen: list[float] = []
    fit = line(replace(SHORT, epochs=3), anneal=seen.append)
    fit.advance(7)
    fit.advance(100)
    assert len(seen) == fit.total_steps == 18
    assert seen[0] == 0.0
    assert seen[-1] == 1.0
    assert seen == pytest.approx([i / 17 for i in range(18)])
    one: list[float] = []
    line(FitConfig(epochs=1, batch_size=50), anneal=one.append).advance(9)
    assert one == [0.0]


def test_drawn_data_take_the_place_of_stored_ones() -> None:
    codes = torch.randint(3, (50, 5), generator=generator())
    batches: list[Tensor] = []
    progress: list[float] = []

    def draw(indices: Tensor, now: float, _: torch.Generator) -> Tensor:
        batches.append(indices)
        progress.append(now)
        return torch.full((len(indices), 5), 2)

    fit = begin_prior(codes, 3, LSTMPriorConfig(hidden=8, embedding=4), replace(SHORT, epochs=20), draw=draw)
    fit.advance(1000)
    assert len(batches) == fit.total_steps
    assert all(len(batch.unique()) == 8 for batch in batches)
    assert progress == pytest.approx([step / (fit.total_steps - 1) for step in range(fit.total_steps)])
    assert progress[-1] == fit.progress == 1.0
    with fit.evaluation() as prior:
        assert (prior.sample(100, generator=generator()) == 2).all(1).double().mean() > 0.9


def test_the_last_step_trains_at_the_end_of_every_schedule() -> None:
    fit = autoencoder(gs(temperature_end=0.25, anneal_until=1.0), SHORT)
    fit.advance(23)
    assert isinstance(fit.model.bottleneck, GumbelSoftmax)
    assert fit.model.bottleneck.temperature > 0.25
    fit.advance(1)
    assert fit.model.bottleneck.temperature == 0.25


def test_learning_rate_warms_up_and_follows_a_cosine() -> None:
    config = FitConfig(epochs=10, batch_size=5, learning_rate=0.1, warmup_steps=4, final_learning_rate=0.2)
    fit = line(config)
    rates = []
    for step in range(100):
        fit.advance(1)
        rates.append(fit._optimiser.param_groups[0]["lr"])
        cosine = 0.5 * (1.0 + math.cos(math.pi * step / 100))
        warm = min(1.0, (step + 1) / 4)
        assert rates[-1] == pytest.approx(0.1 * warm * (0.2 + 0.8 * cosine))
    assert rates[0] == pytest.approx(0.025)
    assert all(after < before for before, after in pairwise(rates[4:]))
    assert 0.02 < rates[-1] < 0.0205


@pytest.mark.parametrize("batch_size", [8, 25, 50, 1000])
def test_every_epoch_is_a_new_order_of_distinct_examples(batch_size: int) -> None:
    seen: list[Tensor] = []
    model = nn.Linear(1, 1)

    def objective(indices: Tensor, _: torch.Generator) -> Tensor:
        seen.append(indices.clone())
        values: Tensor = model(torch.ones(len(indices), 1)).sum(1)
        return values

    fit = Fit(model, objective, 50, FitConfig(epochs=4, batch_size=batch_size), seed=2)
    assert fit.batch_size == min(batch_size, 50)
    fit.advance(1000)
    assert fit.epoch == 4.0
    assert len(seen) == fit.total_steps == 4 * (50 // fit.batch_size)
    epochs = []
    for epoch in range(4):
        part = seen[epoch * fit.steps_per_epoch : (epoch + 1) * fit.steps_per_epoch]
        assert all(len(batch) == fit.batch_size for batch in part)
        order = torch.cat(part)
        assert order.dtype == torch.int64
        assert len(order.unique()) == len(order)
        assert order.min() >= 0
        assert order.max() < 50
        epochs.append(order)
    assert all(not torch.equal(a, b) for a, b in pairwise(epochs))
    assert len(torch.cat(epochs).unique()) == 50


def test_weights_decay_and_biases_do_not() -> None:
    model = nn.Linear(3, 2)
    nn.init.ones_(model.weight)
    nn.init.ones_(model.bias)

    def objective(indices: Tensor, _: torch.Generator) -> Tensor:
        nothing: Tensor = 0.0 * (model.weight.sum() + model.bias.sum())
        return nothing.expand(len(indices))

    config = FitConfig(epochs=1, batch_size=5, learning_rate=0.1, warmup_steps=0, weight_decay=0.5)
    Fit(model, objective, 50, config, seed=0).advance(1)
    torch.testing.assert_close(model.weight.detach(), torch.full((2, 3), 1.0 - 0.1 * 0.5))
    assert torch.equal(model.bias.detach(), torch.ones(2))


@pytest.mark.parametrize(("clip", "largest"), [(0.0, math.inf), (0.01, 0.01 + 1e-6)])
def test_gradient_clip(clip: float, largest: float) -> None:
    fit = line(replace(SHORT, gradient_clip=clip))
    fit.advance(1)
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in fit.model.parameters() if p.grad is not None))
    assert norm < largest
    assert norm > (1.0 if clip == 0.0 else 0.0099)


def test_it_finds_the_known_minimum_and_reports_mean_losses() -> None:
    fit = line(FitConfig(epochs=60, batch_size=10, learning_rate=0.05, warmup_steps=10))
    assert math.isnan(fit.recent_loss)
    steps = []
    single = line(FitConfig(epochs=60, batch_size=10, learning_rate=0.05, warmup_steps=10))
    for _ in range(10):
        steps.append(single.advance(1))
    assert fit.advance(10) == pytest.approx(sum(steps) / 10)
    assert fit.step == 10
    assert fit.epoch == 2.0
    last = fit.advance(10_000)
    assert fit.step == fit.total_steps == 300
    assert fit.recent_loss == last == fit.advance(5)
    values = [p.item() for p in fit.model.parameters()]
    assert values == pytest.approx([2.0, -1.0], abs=1e-3)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_bad_data_stop_the_fit_and_leave_the_model_as_it_was(value: float) -> None:
    x = torch.randn(40, 3, generator=generator())
    x[17, 1] = value
    model = nn.Linear(3, 1)

    def objective(indices: Tensor, _: torch.Generator) -> Tensor:
        output: Tensor = model(x[indices])
        return output.square().sum(1)

    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = FitConfig(epochs=3, batch_size=5, average_decay=0.9)
    fit = Fit(model, objective, 40, config, seed=0)
    with pytest.raises(RunError, match=r"the loss became (nan|inf) at step \d+ \(epoch 0\.\d\d\)") as caught:
        fit.advance(100)
    assert fit.step > 0
    assert f"at step {fit.step} (epoch {fit.step / 8:.2f})" in str(caught.value)
    stopped = fit.state()
    assert all(tensor.isfinite().all() for tensor in stopped.values())
    with pytest.raises(RunError):
        fit.advance(1)
    assert equal(fit.state(), stopped)
    model.load_state_dict(start)
    twin = Fit(model, objective, 40, config, seed=0)
    twin.advance(fit.step)
    assert equal(twin.state(), stopped)


def test_a_loss_that_explodes_stops_the_fit() -> None:
    fit = line(replace(SHORT, learning_rate=1e30, gradient_clip=0.0, warmup_steps=0))
    with pytest.raises(RunError, match="lower the learning rate"):
        fit.advance(100)
    assert fit.step > 0


def test_fits_in_one_call_end_in_evaluation_mode_with_averaged_weights() -> None:
    images = torch.randint(256, (50, 4, 4), generator=generator()).to(torch.uint8)
    network = NetworkConfig(hidden=(12,), residual_layers=1)
    model = fit_autoencoder(images, ish, network, AVERAGED, seed=3)
    stepwise = begin_autoencoder(images, ish, network, AVERAGED, seed=3)
    stepwise.advance(1000)
    stepwise.close()
    assert not model.training
    assert equal(model.state_dict(), stepwise.model.state_dict())
    codes = torch.randint(3, (50, 5), generator=generator())
    config = LSTMPriorConfig(chunk=2, hidden=8, embedding=4, dropout=0.3)
    fitted = fit_prior(codes, 3, config, AVERAGED, seed=3)
    again = prior(AVERAGED)
    again.advance(1000)
    again.close()
    assert equal(fitted.state_dict(), again.model.state_dict())
    assert not fitted.training


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": 0}, "epochs and batch_size must be >= 1, got 0"),
        ({"batch_size": 0}, "epochs and batch_size must be >= 1, got 12 and 0"),
        *[({"learning_rate": rate}, "learning_rate must be > 0") for rate in (0.0, -1.0, math.nan, math.inf)],
        *[({"final_learning_rate": v}, r"final_learning_rate must be in \[0, 1\]") for v in (-0.1, 1.1, math.nan)],
        ({"warmup_steps": -1}, "warmup_steps, weight_decay and gradient_clip must be >= 0, got -1"),
        *[({"weight_decay": v}, "weight_decay and gradient_clip must be >= 0") for v in (-0.1, math.nan, math.inf)],
        *[({"gradient_clip": v}, "weight_decay and gradient_clip must be >= 0") for v in (-0.1, math.nan)],
        *[({"average_decay": v}, r"average_decay must be in \[0, 1\)") for v in (-0.1, 1.0, math.nan)],
    ],
)
def test_settings_outside_their_range(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        line(FitConfig(**settings))


def test_no_examples_and_nothing_to_fit() -> None:
    with pytest.raises(UsageError, match="there are no training examples"):
        line(SHORT, num_examples=0)
    with pytest.raises(UsageError, match="no parameters"):
        Fit(nn.Identity(), lambda indices, _: indices.float(), 5, SHORT, 0)
