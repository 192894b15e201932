"""The fit of the dynamics: probabilities right although rare outcomes are favoured, exact repetition, faults."""

from __future__ import annotations

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
from rl_discrete.world_models.code_fit import fit_dynamics, prior_at
from rl_discrete.world_models.code_imagination import FrozenDynamics
from rl_discrete.world_models.code_rollouts import RolloutStarts
from rl_discrete.world_models.coded_replay import CodedReplay
from rl_discrete.world_models.config import DynamicsConfig, DynamicsFitConfig
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


def test_probabilities_are_those_of_the_world_although_rare_outcomes_are_favoured() -> None:
    """Control: the probabilities before the correction, as the heads met them in training, are far too high."""
    coded = rare_world()
    config = DynamicsConfig(hidden=16, outcome_hidden=8, history=1, recurrent=0, prior="factorised")
    fit: dict[str, Any] = {"rare_share": 0.25, "batch_size": 256, "learning_rate": 1e-2}
    fit |= {"flip_probability": 0.0, "own_share": 0.0}
    dynamics = fitted(coded, config, updates=250, num_actions=1, **fit)
    starts = RolloutStarts.of(coded, 1, DynamicsFitConfig(rare_share=0.25))
    assert starts.end_excess > 5.0
    seen, action = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        context = FrozenDynamics(dynamics).context(seen, action, None)
        assert isinstance(dynamics.prior, FactorisedPrior)
        bits = torch.sigmoid(dynamics.prior.log_odds(context)[..., 0]).mean(0)
        wanted = torch.tensor([RARE[1.0], RARE[-1.0], 0.5])
        assert (((bits / wanted) > 0.6) & ((bits / wanted) < 1.6)).all(), bits
        codes = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
        rewards, ends = dynamics.heads(context, codes)
        assert rewards.softmax(-1)[:, 1].min() > 0.95  # neither bit is set
        end = torch.sigmoid(ends).mean()
        assert 0.6 < end / END < 1.6, end
        control = torch.sigmoid(ends + np.log(starts.end_excess)).mean()
        assert control / END > 3.0
        for row, sign in ((0, 2), (1, 0)):
            told = torch.eye(3)[[row, row]]
            assert dynamics.heads(context, told)[0].argmax(-1).tolist() == [sign, sign]


def test_a_rare_start_is_drawn_more_often_and_weighs_less() -> None:
    coded = rare_world()
    starts = RolloutStarts.of(coded, 1, DynamicsFitConfig(rare_share=0.1))
    drawn = starts.draw(20_000, np.random.default_rng(0))
    after = coded.following[starts.places[drawn]]
    assert 0.07 < (coded.rewards[after] < 0).mean() < 0.13  # of 0.02
    assert 0.07 < coded.ends[after].mean() < 0.13  # of 0.03
    weights = starts.weights[drawn]
    assert weights.mean() == pytest.approx(1.0, abs=0.05)
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
    assert prior_at(dynamics, 0.59, config) is dynamics.independent
    assert prior_at(dynamics, 0.6, config) is dynamics.prior
    before = dynamics.prior.state_dict()["embedding.weight"].clone()
    late = replace(config, lstm_from=0.99)
    fit_dynamics(dynamics, coded, late, 4, 0, lambda what, share: None)
    assert torch.equal(dynamics.prior.state_dict()["embedding.weight"], before)
    alone = small(lstm=replace(LSTM, base="none"))
    assert prior_at(alone, 0.0, config) is alone.prior


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
        *(("batch_size", 0), ("unroll", 0), ("learning_rate", 0.0), ("own_share", 1.5), ("rare_share", 0.5)),
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
