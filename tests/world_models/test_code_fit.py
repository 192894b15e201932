"""The fit of the dynamics: probabilities right although rare outcomes are favoured, exact repetition, faults."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from rl_discrete.latents.config import ConditionalLSTMConfig
from rl_discrete.latents.factorised_prior import FactorisedPrior
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.world_models.code import CodeWorldModel
from rl_discrete.world_models.code_dynamics import CodeDynamics
from rl_discrete.world_models.code_fit import fit_dynamics, stages
from rl_discrete.world_models.code_imagination import FrozenDynamics
from rl_discrete.world_models.code_rollouts import RolloutStarts
from rl_discrete.world_models.coded_replay import CodedReplay
from rl_discrete.world_models.config import DynamicsConfig, DynamicsFitConfig
from rl_discrete.world_models.held_out_choice import HeldOutChoice, held_out_nats
from tests.world_models.lines import CELLS, MOVES, SMALL, BitsCodec, code_replay, fitted, line_replay

LSTM = ConditionalLSTMConfig(hidden=16, embedding=8, chunk=3)
RARE = {-1.0: 0.02, 1.0: 0.04}
END = 0.03


def rare_world(num_rows: int = 8000, seed: int = 0) -> CodedReplay:
    """Bit 0 is set with a reward of 1, bit 1 with one of -1; both fall by chance, and so do ends."""
    generator = np.random.default_rng(seed)
    rewards = generator.choice([-1.0, 0.0, 1.0], num_rows, p=[RARE[-1.0], 1 - sum(RARE.values()), RARE[1.0]])
    ends = generator.random(num_rows) < END
    codes = np.zeros((num_rows, 3), np.uint8)
    codes[:, 0], codes[:, 1], codes[:, 2] = rewards > 0, rewards < 0, generator.random(num_rows) < 0.5
    places = np.arange(num_rows)
    following = np.where(ends | (places == num_rows - 1), -1, places + 1)
    previous = np.where(np.concatenate(([True], ends[:-1])), -1, places - 1)
    actions = np.zeros(num_rows, np.int64)
    held_out = np.zeros(num_rows, np.bool_)
    return CodedReplay(codes, None, actions, rewards.astype(np.float32), ends, previous, following, held_out)


def rare_fit(coded: CodedReplay) -> CodeDynamics:
    config = DynamicsConfig(hidden=16, outcome_hidden=8, history=1, recurrent=0, prior="factorised")
    fit: dict[str, Any] = {"rare_share": 0.25, "batch_size": 256, "learning_rate": 1e-2}
    fit |= {"flip_probability": 0.0, "own_share": 0.0}
    return fitted(coded, config, updates=250, num_actions=1, **fit)


@pytest.fixture(scope="module")
def rare() -> CodeDynamics:
    return rare_fit(rare_world())


def test_probabilities_are_those_of_the_world_although_rare_outcomes_are_favoured(rare: CodeDynamics) -> None:
    """Control: the probabilities before the correction, as the heads met them in training, are far too high."""
    starts = RolloutStarts.of(rare_world(), 1, DynamicsFitConfig(rare_share=0.25))
    assert starts.end_excess > 5.0
    seen, action = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        context = FrozenDynamics(rare).context(seen, action, None)
        assert isinstance(rare.prior, FactorisedPrior)
        bits = torch.sigmoid(rare.prior.log_odds(context)[..., 0]).mean(0)
        wanted = torch.tensor([RARE[1.0], RARE[-1.0], 0.5])
        assert (((bits / wanted) > 0.6) & ((bits / wanted) < 1.6)).all(), bits
        codes = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
        rewards, ends = rare.heads(context, codes)
        assert rewards.softmax(-1)[:, 1].min() > 0.95  # neither bit is set
        end = torch.sigmoid(ends).mean()
        assert 0.6 < end / END < 1.6, end
        control = torch.sigmoid(ends + np.log(starts.end_excess)).mean()
        assert control / END > 3.0
        for row, sign in ((0, 2), (1, 0)):
            told = torch.eye(3)[[row, row]]
            assert rare.heads(context, told)[0].argmax(-1).tolist() == [sign, sign]


def test_rewards_that_their_code_shows_are_imagined_as_often_as_in_the_world(rare: CodeDynamics) -> None:
    """Control: at temperature 0 the code of a minority never comes, and what it shows is never paid."""
    rates = {}
    for temperature in (1.0, 0.0):
        dynamics = copy.deepcopy(rare)
        dynamics.config = replace(rare.config, temperature=temperature)
        model = CodeWorldModel(BitsCodec(3), [dynamics])
        noise = np.random.default_rng(0).random((20_000, model.noise_dim), np.float32)
        shown = np.zeros((len(noise), model.history_length, 3), np.uint8)
        state = model.begin(shown, np.zeros(shown.shape[:2], np.int64), np.ones(shown.shape[:2], np.bool_))
        step = model.step(state, np.zeros(len(noise), np.int64), noise)
        rates[temperature] = {sign: float((step.reward == sign).mean()) for sign in RARE}
    for sign, probability in RARE.items():
        assert 0.4 < rates[1.0][sign] / probability < 2.0
        assert rates[0.0][sign] < 0.1 * probability


def test_a_reward_and_an_end_that_come_together_are_not_favoured_twice() -> None:
    """Neither is seen in the code. Control: told of its own factor alone, each was far too likely."""
    coded = rare_world()
    together = np.random.default_rng(1).random(len(coded)) < END
    places = np.arange(len(coded))
    coded = replace(
        coded,
        codes=coded.codes * np.array([0, 0, 1], np.uint8),
        rewards=together.astype(np.float32),
        ends=together,
        following=np.where(together | (places == len(coded) - 1), -1, places + 1),
        previous=np.where(np.concatenate(([True], together[:-1])), -1, places - 1),
    )
    dynamics = rare_fit(coded)
    with torch.no_grad():
        context = FrozenDynamics(dynamics).context(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64), None)
        rewards, ends = dynamics.heads(context, torch.zeros(1, 3))
    assert 0.5 < float(rewards.softmax(-1)[0, 2]) / END < 1.7
    assert 0.5 < float(torch.sigmoid(ends)) / END < 1.7


def test_a_handful_of_rewards_is_not_drawn_in_every_batch() -> None:
    coded = rare_world()
    few = replace(coded, rewards=np.where(np.arange(len(coded)) % 4000 == 5, 1.0, 0.0).astype(np.float32))
    starts = RolloutStarts.of(few, 1, DynamicsFitConfig(rare_share=0.1))
    assert starts.reward_excess.tolist() == [1.0, 1.0, 20.0]


def test_a_rare_start_is_drawn_more_often_and_weighs_less() -> None:
    coded = rare_world()
    starts = RolloutStarts.of(coded, 1, DynamicsFitConfig(rare_share=0.1))
    drawn = starts.draw(20_000, np.random.default_rng(0))
    after = coded.following[starts.places[drawn]]
    assert 0.07 < (coded.rewards[after] < 0).mean() < 0.13  # of 0.02
    assert 0.07 < coded.ends[after].mean() < 0.13  # of 0.03
    for each in starts.weights.values():
        assert each[drawn].mean() == pytest.approx(1.0, abs=0.05)
    weights = starts.weights["code"][drawn]
    assert np.average(coded.rewards[after] < 0, weights=weights) == pytest.approx(0.02, abs=0.004)


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> CodedReplay:
    return code_replay(line_replay(tmp_path_factory.mktemp("line"), steps=100), soft=True)


def small(**settings: Any) -> CodeDynamics:
    return CodeDynamics(CELLS, len(MOVES), "signs", DynamicsConfig(**{**SMALL, "lstm": LSTM, **settings}), seed=0)


@pytest.mark.parametrize("settings", [{}, {"recurrent": 3, "burn_in": 2}, {"prior": "factorised"}])
def test_equal_arguments_give_equal_weights(coded: CodedReplay, settings: dict[str, Any]) -> None:
    states = []
    for seed in (0, 0, 1):
        dynamics = small(**settings)
        config = DynamicsFitConfig(batch_size=8, unroll=3, lstm_from=0.5)
        fit_dynamics(dynamics, coded, config, 6, seed, lambda what, share: None)
        states.append(dynamics.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_the_lstm_is_switched_on_late(coded: CodedReplay) -> None:
    dynamics, config = small(), DynamicsFitConfig(batch_size=8, unroll=2, lstm_from=0.6)
    assert stages(dynamics, 7, config) == [(dynamics.independent, range(5)), (dynamics.prior, range(5, 7))]
    before = dynamics.prior.state_dict()["embedding.weight"].clone()
    late = replace(config, lstm_from=0.99)
    fit_dynamics(dynamics, coded, late, 4, 0, lambda what, share: None)
    assert torch.equal(dynamics.prior.state_dict()["embedding.weight"], before)
    for alone in (small(lstm=replace(LSTM, base="none")), small(prior="factorised")):
        assert stages(alone, 7, config) == [(alone.prior, range(7))]


def test_how_far_it_is_is_told(coded: CodedReplay) -> None:
    told: list[tuple[str, float]] = []
    fit_dynamics(small(), coded, DynamicsFitConfig(batch_size=4, unroll=1), 41, 0, lambda *what: told.append(what))
    assert [name for name, _ in told] == ["dynamics"] * 4
    assert [share for _, share in told] == pytest.approx([0.0, 20 / 41, 40 / 41, 1.0])


def test_a_loss_that_is_no_number_stops_the_fit(coded: CodedReplay) -> None:
    dynamics = small()
    with torch.no_grad():
        dynamics.middle.bias[0] = torch.nan
    before = {name: value.clone() for name, value in dynamics.state_dict().items()}
    with pytest.raises(RunError, match="nan"):
        fit_dynamics(dynamics, coded, DynamicsFitConfig(batch_size=4), 3, 0, lambda what, share: None)
    for name, value in dynamics.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)


def test_settings_outside_their_ranges(coded: CodedReplay) -> None:
    for name, value in (
        *(
            ("batch_size", 0),
            ("unroll", 0),
            ("patience", -1),
            ("learning_rate", 0.0),
            ("own_share", 1.5),
            ("rare_share", 0.5),
        ),
        *(("flip_probability", 0.5), ("lstm_from", 1.0), ("codec_growth", 0.5), ("targets", "x")),
    ):
        settings: dict[str, Any] = {name: value}
        config = replace(DynamicsFitConfig(), **settings)
        with pytest.raises(UsageError, match=name):
            fit_dynamics(small(), coded, config, 1, 0, lambda what, share: None)
    all_held = replace(coded, held_out=np.ones(len(coded), np.bool_))
    with pytest.raises(UsageError, match="no step"):
        fit_dynamics(small(), all_held, DynamicsFitConfig(), 1, 0, lambda what, share: None)


def test_soft_targets_leave_bits_as_unsure_as_they_say(coded: CodedReplay) -> None:
    """Bits of the codec are sure to 0.9; control: hard targets."""
    config = DynamicsConfig(**SMALL, prior="factorised")
    found = []
    for replay in (coded, replace(coded, soft=None)):
        dynamics = fitted(replay, config, updates=150, unroll=1, learning_rate=1e-2)
        with torch.no_grad():
            model = CodeWorldModel(BitsCodec(), [dynamics])
            start = replay.training_starts(2, 1)[:100]
            after = replay.following[start]
            state = model.begin(*replay.history(start, 2))
            log_p = model.log_prob(state, replay.actions[after], replay.codes[after])
        found.append(float(np.exp(log_p / CELLS).mean()))
    assert 0.8 < found[0] < 0.93
    assert found[1] > 0.96


def coins(num_rows: int, seed: int = 0) -> CodedReplay:
    """Codes that nothing tells, the second half of the rows held out."""
    world = rare_world(num_rows, seed)
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, 2, (num_rows, 6), np.uint8)
    return replace(world, codes=codes, held_out=np.arange(num_rows) >= num_rows // 2)


@pytest.mark.parametrize("prior", ["factorised", "lstm"])
def test_a_fit_stops_before_it_knows_its_steps_by_heart(prior: str) -> None:
    """Control: with the patience to go on to the end, the training loss falls further below what can be known."""
    config = DynamicsConfig(**{**SMALL, "prior": prior, "lstm": LSTM})
    settings = DynamicsFitConfig(batch_size=64, unroll=1, learning_rate=1e-2, warmup_steps=10)
    nats, replay = {}, coins(200)
    for patience in (3, 10**6):
        dynamics = CodeDynamics(6, 1, "signs", config, 0)
        fit = replace(settings, patience=patience)
        found = fit_dynamics(dynamics, replay, fit, 400, 0, lambda what, share: None)
        nats[patience] = found
        places = replay.held_out_starts(1)
        assert held_out_nats(dynamics, dynamics.prior, replay, places) < 1.5 * 6 * np.log(2)
    assert nats[3]["updates"] < 400 == nats[10**6]["updates"]
    assert nats[10**6]["code_nats"] < nats[3]["code_nats"]


def test_the_weights_that_told_held_out_steps_best_come_back() -> None:
    replay, dynamics = coins(100), CodeDynamics(6, 1, "signs", DynamicsConfig(**SMALL, prior="factorised"), 0)
    choice = HeldOutChoice(dynamics, replay, patience=2)
    assert not choice.look(dynamics.prior)
    before = dynamics.enter.weight.detach().clone()
    with torch.no_grad():
        dynamics.enter.weight.mul_(10.0)
    assert not choice.look(dynamics.prior)
    assert choice.look(dynamics.prior)
    choice.restore()
    assert torch.equal(dynamics.enter.weight, before)
    nothing = HeldOutChoice(dynamics, replace(replay, held_out=np.zeros(len(replay), np.bool_)), patience=1)
    assert not nothing.look(dynamics.prior)
    nothing.restore()
    assert torch.equal(dynamics.enter.weight, before)
