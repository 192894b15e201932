"""What SimPLe's code, or a port of it, does by accident, one test each: none of it is copied."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rl_discrete.data.history import History
from rl_discrete.world_models.pixel_backbone import PixelBackbone
from rl_discrete.world_models.pixel_config import PixelModelConfig
from rl_discrete.world_models.pixel_latents import AttentionPool, Corruption
from rl_discrete.world_models.pixel_layers import ChannelNorm, Dropout, timing_signal
from rl_discrete.world_models.pixel_loss import Amounts, window_losses
from rl_discrete.world_models.pixel_optimiser import PixelOptimiser
from rl_discrete.world_models.pixel_predictor import PixelPredictor, Prediction
from rl_discrete.world_models.pixel_windows import Excess, Windows
from tests.world_models.pixels import (
    ACTIONS,
    SHAPE,
    STACKED,
    TINY,
    build,
    changed,
    model,
    random_frames,
    random_windows,
)

CLEAN = Amounts(Corruption(prior_share=0.0, latent_use=1.0), fed_back=0.0, progress=1.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def losses(predictor: PixelPredictor, windows: Windows, amounts: Amounts = CLEAN, seed: int = 0) -> dict[str, Tensor]:
    return window_losses(predictor, windows, Excess.none(), amounts, generator(seed))


def history(number: int = 3, length: int = 2, seed: int = 0) -> History:
    numbers = np.random.default_rng(seed)
    frames = random_frames(numbers, number * length).reshape(number, length, *SHAPE)
    return History(frames, numbers.integers(ACTIONS, size=(number, length)), np.ones((number, length), np.bool_))


def predict(predictor: PixelPredictor, actions: Tensor, seed: int = 0) -> Prediction:
    """Of random frames, with the bits of one generator."""
    symbols = torch.randint(4, (len(actions), *SHAPE), generator=generator(seed), dtype=torch.uint8)
    seen = torch.cat((predictor.frame(symbols), predictor.forget(len(actions))), dim=1)
    encoded = predictor.imagine(predictor.encode(seen, actions), generator=generator(1))
    return predictor.decode(encoded, symbols)


# --- actions


def test_action_0_is_an_action() -> None:
    """Tensor2Tensor takes symbol 0 for padding: NOOP injects nothing but a bias."""
    predictor = build()
    prediction = predict(predictor, torch.tensor([0, 0]))
    (gradient,) = torch.autograd.grad(prediction.pixels.square().sum(), predictor.actions.weight)
    assert gradient[0].abs().max() > 1e-6
    assert not gradient[1:].any()
    with torch.no_grad():
        predictor.actions.weight[0] = 0.0
    assert (predict(predictor, torch.tensor([0, 0])).pixels - prediction.pixels).abs().max() > 1e-3


def test_there_is_one_table_of_actions() -> None:
    """There the action that is fed and the one that the posterior sees have tables of their own, of which simulation
    knows one."""
    tables = [module for module in build().modules() if isinstance(module, nn.Embedding)]
    assert [len(table.weight) for table in tables].count(ACTIONS) == 1


@pytest.mark.parametrize("config", [TINY, STACKED], ids=["stochastic", "deterministic"])
def test_earlier_actions_are_not_made_up(config: PixelModelConfig) -> None:
    """There the four actions of the history are all set to the present one. Here only the present one is read."""
    made, told = model(config), history()
    others = History(told.frames, (told.actions + 1) % ACTIONS, told.valid)
    noise = np.full((3, made.noise_dim), 0.3, np.float32)
    first, second = (made.step(made.reset(given), np.array([0, 1, 2]), noise) for given in (told, others))
    assert np.array_equal(first.observation, second.observation)
    same = made.step(made.reset(told), np.array([1, 2, 0]), noise)
    assert not np.array_equal(first.observation, same.observation)


# --- outcomes


def test_the_end_is_predicted() -> None:
    """There the simulated env never ends."""
    made = model()
    for sign in (1.0, -1.0):
        with torch.no_grad():
            made.predictor.outcomes.outputs.bias[-1] = sign * 1e3
        step = made.step(made.reset(history()), np.zeros(3, np.int64), np.full((3, made.noise_dim), 0.5, np.float32))
        assert step.terminated.tolist() == [sign > 0.0] * 3
        assert not step.doubtful.any()


def test_the_cutoff_is_for_pixels_alone() -> None:
    """There rewards share the pixels' dead zone, so that a rare one is never learned to be sure of."""
    config = changed(TINY, training={"loss_cutoff": 1e3})
    predictor = build(config)
    found = losses(predictor, random_windows(config))
    assert found["frame"].item() == 0.0
    assert found["reward"].item() > 0.0
    assert found["end"].item() > 0.0
    torch.stack([*found.values()]).sum().backward()
    assert not predictor.pixels.weight.grad.any()  # type: ignore[union-attr]
    assert predictor.outcomes.outputs.weight.grad.abs().min() > 0.0  # type: ignore[union-attr]


def test_pixels_beyond_the_cutoff_have_the_plain_gradient() -> None:
    plain, clipped = (build(changed(TINY, training={"loss_cutoff": cutoff})) for cutoff in (0.0, 0.03))
    gradients, values = [], []
    for predictor in (plain, clipped):
        with torch.no_grad():
            predictor.pixels.weight.zero_()  # all pixels are in doubt: none is below the cutoff
            predictor.copying.zero_()  # type: ignore[union-attr]
        found = losses(predictor, random_windows())["frame"]
        values.append(found.item())
        gradients.append(torch.autograd.grad(found, predictor.pixels.weight)[0])
    assert values[0] == pytest.approx(np.log(4.0), abs=1e-5)
    assert values[1] == pytest.approx(np.log(4.0) - 0.03, abs=1e-5)
    torch.testing.assert_close(*gradients)


def test_the_frame_that_comes_with_an_end_teaches_nothing() -> None:
    """There it is a stale picture, and is learned like any other."""
    predictor, windows = build(), random_windows()
    ended, other = torch.zeros_like(windows.ended), windows.symbols.clone()
    ended[:2, -1] = True
    other[:2, -1] = 3 - other[:2, -1]
    first, second = (
        losses(predictor, replace(windows, ended=ended, symbols=symbols)) for symbols in (windows.symbols, other)
    )
    for name in ("frame", "prior"):
        assert first[name].item() == pytest.approx(second[name].item(), abs=1e-6)
    third = losses(predictor, replace(windows, symbols=other))
    assert third["frame"].item() != pytest.approx(losses(predictor, windows)["frame"].item(), abs=1e-3)


# --- state and context


def test_context_frames_update_the_state_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """There each of four passes a step goes through the whole network, and three are thrown away."""
    config = changed(TINY, network={"context": 4})
    made = model(config)
    calls: Counter[str] = Counter()

    def count(owner: type, name: str) -> None:
        method = getattr(owner, name)

        def counted(*given: Any) -> Any:
            calls[name] += 1
            return method(*given)

        monkeypatch.setattr(owner, name, counted)

    count(PixelBackbone, "encode")
    count(PixelPredictor, "remember")
    state = made.reset(history(length=4))
    assert (calls["encode"], calls["remember"]) == (0, 3)
    for _ in range(5):
        state = made.step(state, np.zeros(3, np.int64), np.full((3, made.noise_dim), 0.5, np.float32)).state
    assert (calls["encode"], calls["remember"]) == (5, 8)


def test_the_state_of_a_step_is_that_of_four_passes() -> None:
    """State saved after the oldest of four frames, three passes more: the same as going on from the state itself."""
    predictor = build()
    frames = [predictor.frame(torch.from_numpy(random_frames(np.random.default_rng(i), 2) // 80)) for i in range(6)]
    running = saved = predictor.forget(2)
    with torch.no_grad():
        for frame in frames[:5]:
            running = predictor.remember(running, frame)
        for frame in frames[:2]:  # what two steps of a history of four have saved
            saved = predictor.remember(saved, frame)
        for frame in frames[2:5]:
            saved = predictor.remember(saved, frame)
    assert torch.equal(running, saved)


def test_gradients_flow_through_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port cuts the state from the graph and steps after every frame."""
    config = changed(TINY, training={"predicted": 4})
    predictor = build(config)
    states: list[Tensor] = []
    remember = PixelPredictor.remember

    def noted(self: PixelPredictor, state: Tensor, frame: Tensor) -> Tensor:
        states.append(remember(self, state, frame))
        return states[-1]

    monkeypatch.setattr(PixelPredictor, "remember", noted)
    total = losses(predictor, random_windows(config))["frame"]
    (gradient,) = torch.autograd.grad(states[-1].sum(), states[0], retain_graph=True)
    assert gradient.abs().max() > 1e-6
    (gradient,) = torch.autograd.grad(total, states[0])
    assert gradient.abs().max() > 0.0


# --- network


def test_each_pixel_is_normalised_over_its_channels() -> None:
    """A port normalises each channel over the image."""
    norm, x = ChannelNorm(6), torch.randn(2, 6, 4, 3, generator=generator())
    expected = F.layer_norm(x.permute(0, 2, 3, 1), (6,), eps=1e-6).permute(0, 3, 1, 2)
    torch.testing.assert_close(norm(x), expected)
    other = x.clone()
    other[:, :, 0, 0] += torch.randn(6, generator=generator(1))
    changes = (norm(other) - norm(x)).abs().amax((0, 1))
    assert changes[0, 0] > 0.1
    assert changes.flatten()[1:].max() == 0.0


def test_dropout_is_for_training_alone_and_has_its_own_generator() -> None:
    """A port leaves it on in simulation; the policy's of Tensor2Tensor is never on."""
    dropout, x = Dropout(0.3), torch.ones(4000)
    before = torch.random.get_rng_state()
    first, second = dropout.train()(x, generator()), dropout(x, generator())
    assert torch.equal(first, second)
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.mean().item() == pytest.approx(1.0, abs=4.5 * (0.3 / 0.7 / 4000) ** 0.5)
    assert (first == 0.0).float().mean().item() == pytest.approx(0.3, abs=4.5 * (0.21 / 4000) ** 0.5)
    assert torch.equal(dropout.eval()(x, generator()), x)
    config = changed(TINY, network={"dropout": 0.5, "middle_dropout": 0.5})
    windows, still = random_windows(config), build(config)
    frames = {losses(still, windows, seed=seed)["frame"].item() for seed in (0, 1)}
    assert len(frames) == 1
    assert len({losses(still.train(), windows, seed=seed)["frame"].item() for seed in (0, 1)}) == 2


def test_nothing_but_the_next_step_is_predicted() -> None:
    """Policy and value heads on the smallest map, of no use to a model, are not there."""
    names = {name for name, _ in build().named_children()}
    assert names == {"backbone", "actions", "memory", "pixels", "outcomes", "latents"}
    assert {name for name, _ in build(STACKED).named_children()} == {"backbone", "actions", "pixels", "outcomes"}


def test_attention_is_a_mean_and_not_a_mean_of_one() -> None:
    """There the attended map, which is a mean already, is divided by the number of pixels once more."""
    pool, x = AttentionPool(3, heads=2), torch.randn(1, 3, 1, 1, generator=generator()).expand(1, 3, 5, 4)
    shown: list[Tensor] = []
    pool.output.register_forward_hook(lambda _, given, __: shown.append(given[0]))
    pool(x)
    torch.testing.assert_close(shown[0], x[:, :, 0, 0].repeat(1, 3))


def test_frames_are_standardised_inside_the_network() -> None:
    predictor = build(changed(TINY, network={"palette": 0, "patch": 1}), shape=(3, 9, 7))
    symbols = torch.randint(256, (2, 3, 9, 7), generator=generator(), dtype=torch.uint8)
    symbols[1, 2] = 7  # without any contrast
    frame = predictor.frame(symbols)
    torch.testing.assert_close(frame.mean((2, 3)), torch.zeros(2, 3), atol=1e-5, rtol=0.0)
    spread = frame.square().mean((2, 3)).sqrt()
    torch.testing.assert_close(spread.flatten()[:5], torch.ones(5), atol=1e-5, rtol=0.0)
    assert not frame[1, 2].any()


def test_the_timing_signal() -> None:
    """Known answers: sines and cosines of the row, then of the column, wavelengths from 1 to 10,000."""
    signal = timing_signal(9, 3, 2)
    assert signal.shape == (9, 3, 2)
    rows, columns = torch.arange(3.0)[:, None].expand(3, 2), torch.arange(2.0).expand(3, 2)
    expected = [*(f(v * r) for v in (rows, columns) for f in (torch.sin, torch.cos) for r in (1.0, 1e-4))]
    torch.testing.assert_close(signal[:8], torch.stack(expected))
    assert not signal[8].any()


# --- bits


def test_the_posterior_has_no_part_in_simulation() -> None:
    made = model()
    noise = np.random.default_rng(0).random((3, made.noise_dim), np.float32)
    actions = np.array([0, 1, 2])
    before = made.step(made.reset(history()), actions, noise)
    with torch.no_grad():
        for parameter in made.predictor.latents.posterior.parameters():  # type: ignore[union-attr]
            parameter.fill_(torch.nan)
    after = made.step(made.reset(history()), actions, noise)
    assert np.array_equal(before.observation, after.observation)
    assert torch.isnan(losses(made.predictor.train(), random_windows())["frame"])  # but training needs it


def test_what_the_prior_asks_for_inferred_bits_is_exact_and_of_the_bits_alone() -> None:
    made, given, actions = model(), history(), np.array([0, 1, 2])
    state, following = made.reset(given), made.reset(history(seed=1))
    nats = made.prior_nats(state, actions, following)
    assert nats is not None
    predictor, latents = made.predictor, made.predictor.latents
    assert latents is not None
    step = made.step(state, actions, np.full((3, made.noise_dim), 0.5, np.float32))
    np.testing.assert_array_equal(made.prior_nats(state, actions, following), nats)  # and nothing is remembered
    assert step.state is not state
    frame = predictor.frame(state.symbols[:, -1])
    encoded = predictor.encode(torch.cat((frame, state.memory), 1), torch.from_numpy(actions))
    with torch.no_grad():
        logits = latents.posterior(frame, predictor.frame(following.symbols[:, -1]), encoded.action)
        bits = latents.bottleneck.discretize(logits)
        asked = -latents.prior.log_prob(bits, encoded.map.flatten(1))
        every = torch.cartesian_prod(*[torch.arange(2)] * 8)
        total = latents.prior.log_prob(every, encoded.map[:1].flatten(1).expand(256, -1)).exp().sum()
    np.testing.assert_allclose(nats, asked.numpy(), rtol=1e-5)
    assert total.item() == pytest.approx(1.0, abs=1e-4)
    assert model(STACKED).prior_nats(model(STACKED).reset(given), actions, model(STACKED).reset(given)) is None


def test_the_prior_learns_the_bits_and_does_not_shape_them() -> None:
    """Its loss moves the network that it looks at, and never the posterior."""
    predictor = build()
    losses(predictor, random_windows())["prior"].backward()
    assert predictor.backbone.stem.weight.grad.abs().max() > 0.0  # type: ignore[union-attr]
    assert all(p.grad is None for p in predictor.latents.posterior.parameters())  # type: ignore[union-attr]
    assert all(p.grad is not None for p in predictor.latents.prior.base.parameters())  # type: ignore[union-attr]


def infer(predictor: PixelPredictor, **corruption: float) -> tuple[Tensor, Tensor]:
    """The map with bits, and the map before."""
    frames = [predictor.frame(symbols) for symbols in random_windows().symbols[:, :2].unbind(1)]
    seen = torch.cat((frames[0], predictor.forget(4)), dim=1)
    encoded = predictor.encode(seen, torch.zeros(4, dtype=torch.int64))
    amounts = Corruption(**{"prior_share": 0.0, "latent_use": 1.0, **corruption})
    return predictor.infer(encoded, frames[0], frames[1], amounts, generator())[0].map, encoded.map


def test_bits_of_the_prior_carry_the_gradient_of_the_inferred_ones() -> None:
    predictor = build().train()
    predictor.anneal(1.0)
    own, _ = infer(predictor)
    drawn, _ = infer(predictor, prior_share=1.0)
    assert (own - drawn).abs().max() > 1e-3
    parameters = [*predictor.latents.posterior.parameters()]  # type: ignore[union-attr]
    gradients = torch.autograd.grad(drawn.sum(), parameters)
    assert max(gradient.abs().max().item() for gradient in gradients) > 1e-6


def test_examples_without_bits_pass_as_they_are() -> None:
    predictor = build()
    put_in, before = infer(predictor, latent_use=0.0)
    assert torch.equal(put_in, before)
    put_in, before = infer(predictor)
    assert (put_in - before).abs().amin((1, 2, 3)).max() > 0.0


# --- schedules and steps


def test_schedules_count_over_all_fits() -> None:
    """A port applies them in its first iteration alone, and starts them again with each."""
    config = changed(TINY, training={"warmup_updates": 400})
    at = {update: Amounts.at(update, config) for update in (0, 50, 100, 200, 400, 10**6)}
    used = [at[update].corruption.latent_use for update in at]
    assert used == pytest.approx([0.008, 0.8 * 0.2575, 0.8 * 0.505, 0.8, 0.8, 0.8])
    drawn = [at[update].corruption.prior_share for update in at]
    assert drawn == pytest.approx([0.005, 0.5 * 0.13375, 0.5 * 0.2575, 0.5 * 0.505, 0.5, 0.5])
    fed = [at[update].fed_back for update in at]
    assert fed == pytest.approx([1e-4, 0.1 * 0.13375, 0.2575, 0.505, 1.0, 1.0])
    assert [at[update].progress for update in at] == pytest.approx([0.0, 0.125, 0.25, 0.5, 1.0, 1.0])


def test_own_frames_are_fed_back() -> None:
    """A network that says 3 everywhere sees 3 afterwards, whatever came in truth."""
    config = changed(STACKED, training={"predicted": 3})
    predictor = build(config)
    with torch.no_grad():
        predictor.pixels.bias.view(4, 4)[:, 3] = 1e4  # type: ignore[union-attr]  # (places of a patch, colours)
    windows = random_windows(config)
    other = windows.symbols.clone()
    other[:, 2] = (other[:, 2] + 1) % 4  # the first predicted frame, in truth
    both = [replace(windows, symbols=symbols) for symbols in (windows.symbols, other)]
    fed = [losses(predictor, each, replace(CLEAN, fed_back=1.0))["reward"].item() for each in both]
    told = [losses(predictor, each)["reward"].item() for each in both]
    assert fed[0] == fed[1]
    assert told[0] != pytest.approx(told[1], abs=1e-6)


@pytest.mark.parametrize("optimiser", ["adamw", "adafactor"])
def test_the_learning_rate_that_is_set_is_the_one_that_is_used(optimiser: Any) -> None:
    """There the bump of the learning rate edits a number that nobody reads."""
    moved = []
    for rate in (1e-3, 3e-3):
        config = changed(TINY, training={"optimiser": optimiser, "learning_rate": rate, "rate_warmup": 0})
        predictor = build(config)
        before = predictor.backbone.stem.weight.detach().clone()
        made = PixelOptimiser(predictor, config.training)
        made.step(losses(predictor, random_windows())["frame"], 0)
        moved.append((predictor.backbone.stem.weight.detach() - before).abs().mean().item())
    assert moved[1] == pytest.approx(3.0 * moved[0], rel=0.05)


def test_learning_rates_by_the_step() -> None:
    training = replace(TINY.training, learning_rate=0.0168, rate_warmup=8000, rate_decay="rsqrt")
    rates = [PixelOptimiser(build(), training).rate(update) for update in (0, 3999, 7999, 31999)]
    assert rates == pytest.approx([0.0168 / 8000, 0.0084, 0.0168, 0.0084])
    constant = PixelOptimiser(build(), replace(training, rate_decay="none"))
    assert [constant.rate(update) for update in (7999, 31999)] == pytest.approx([0.0168, 0.0168])
