"""The world model over codes: known next codes, what agents see, ensembles, sampling, and a control that fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from rl_discrete.data.history import History
from rl_discrete.latents.config import ConditionalLSTMConfig
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.seeding import make_generator
from rl_discrete.world_models.code import CodeWorldModel
from rl_discrete.world_models.code_dynamics import CodeDynamics
from rl_discrete.world_models.code_imagination import FrozenDynamics
from rl_discrete.world_models.code_metrics import measure_code_model
from rl_discrete.world_models.coded_replay import CodedReplay
from rl_discrete.world_models.config import DynamicsConfig
from tests.world_models.lines import CELLS, MOVES, SMALL, BitsCodec, code_replay, fitted, line_replay, share_right

ACTIONS = len(MOVES)
LSTM = ConditionalLSTMConfig(hidden=16, embedding=8, chunk=3)
FACTORISED = DynamicsConfig(**SMALL, prior="factorised")
CONFIGS = {
    "factorised": FACTORISED,
    "lstm, with a summary": DynamicsConfig(**{**SMALL, "recurrent": 8}, lstm=LSTM, burn_in=1),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> CodedReplay:
    return code_replay(line_replay(tmp_path_factory.mktemp("line")))


@pytest.fixture(scope="module", params=list(CONFIGS.values()), ids=list(CONFIGS))
def learned(request: pytest.FixtureRequest, coded: CodedReplay) -> CodeDynamics:
    return fitted(coded, request.param, updates=200)


def fresh(seed: int = 0, **settings: Any) -> CodeDynamics:
    config = DynamicsConfig(**{**SMALL, "lstm": LSTM, **settings})
    return CodeDynamics(CELLS, ACTIONS, "signs", config, seed)


def histories(num_rows: int, length: int = 2, seed: int = 0) -> History:
    generator = np.random.default_rng(seed)
    frames = np.eye(CELLS, dtype=np.float32)[generator.integers(CELLS, size=(num_rows, length))]
    actions = generator.integers(ACTIONS, size=(num_rows, length))
    return History(frames, actions, np.ones((num_rows, length), np.bool_))


def test_learns_what_actions_do_and_what_they_pay(learned: CodeDynamics, coded: CodedReplay) -> None:
    model = CodeWorldModel(BitsCodec(), [learned])
    assert share_right(model) == 1.0
    found = measure_code_model(model, coded, seed=0)
    assert found["nats_per_step"] < 0.1
    assert found["bit_error_15"] < 0.02 < 0.2 < found["bit_error_copy_15"]
    assert found["positive_recall"] == found["negative_precision"] == 1.0
    assert found["imagined_positive_rate"] == pytest.approx(found["real_positive_rate"])


def test_control_learns_nothing_from_actions_that_were_exchanged(coded: CodedReplay) -> None:
    exchanged = replace(coded, actions=np.random.default_rng(1).permutation(coded.actions))
    assert share_right(CodeWorldModel(BitsCodec(), [fitted(exchanged, FACTORISED, updates=100)])) < 0.5


def test_agents_see_bits_then_past_actions() -> None:
    model = CodeWorldModel(BitsCodec(), [fresh()])
    state = model.reset(histories(1))
    history = histories(1)
    expected = np.concatenate((history.frames[0].ravel(), np.eye(ACTIONS)[history.actions[0, 1]]))
    np.testing.assert_array_equal(model.observe(state)[0], expected)
    assert model.observation_space.contains(model.observe(state)[0])
    step = model.step(state, np.array([2]), np.zeros((1, model.noise_dim), np.float32))
    after = step.observation[0]
    np.testing.assert_array_equal(after[:CELLS], expected[CELLS : 2 * CELLS])
    np.testing.assert_array_equal(after[CELLS : 2 * CELLS], model.codes(step.state)[0])
    np.testing.assert_array_equal(after[2 * CELLS :], np.eye(ACTIONS)[2])


def test_before_its_start_an_episode_stood_still() -> None:
    model = CodeWorldModel(BitsCodec(), [fresh(history=3)])
    first = np.eye(CELLS, dtype=np.float32)[[4]]
    seen = model.observe(model.reset(History.of_first(first, 3)))[0]
    np.testing.assert_array_equal(seen, np.concatenate((np.tile(first[0], 3), np.zeros(2 * ACTIONS))))
    other = model.reset(histories(1, length=5))
    mixed = model.select(other, np.array([True]), model.reset(History.of_first(first, 3)))
    np.testing.assert_array_equal(model.observe(mixed)[0], seen)


def test_real_steps_look_like_imagined_ones() -> None:
    """Pushing a frame and resetting shows an agent the same as imagining that frame."""
    model = CodeWorldModel(BitsCodec(), [fresh()])
    history, actions = histories(20), np.arange(20) % ACTIONS
    step = model.step(model.reset(history), actions, np.zeros((20, model.noise_dim), np.float32))
    pushed = history.push(actions, np.asarray(model.frames(step.state)))
    np.testing.assert_array_equal(model.observe(model.reset(pushed)), step.observation)


@pytest.mark.parametrize("settings", [{}, {"inject_actions": False}, {"recurrent": 4}, {"history": 1}])
def test_frozen_weights_give_the_same_context(settings: dict[str, Any]) -> None:
    dynamics = fresh(prior="factorised", **settings)
    frozen = FrozenDynamics(dynamics)
    generator = torch.Generator().manual_seed(0)
    seen = (torch.rand(10, dynamics.seen_dim, generator=generator) < 0.5).float()
    summary = torch.randn(10, 4, generator=generator) if settings.get("recurrent") else None
    actions = torch.arange(10) % ACTIONS
    with torch.no_grad():
        expected = dynamics.context(seen, actions, summary)
        torch.testing.assert_close(frozen.context(seen, actions, summary), expected, atol=1e-5, rtol=1e-5)
        for parameter in dynamics.parameters():
            parameter.zero_()
    torch.testing.assert_close(frozen.context(seen, actions, summary), expected, atol=1e-5, rtol=1e-5)


def test_actions_multiply_only_where_they_are_injected() -> None:
    """What an action adds to the context depends on what was seen; control: the layer before any nonlinearity."""
    for injected in (True, False):
        dynamics = fresh(inject_actions=injected)
        hidden = torch.randn(2, dynamics.config.hidden, generator=torch.Generator().manual_seed(0))
        effect = dynamics._inject(0, hidden, torch.tensor([1, 1])) - dynamics._inject(0, hidden, torch.tensor([0, 0]))
        assert bool((effect[0] - effect[1]).abs().max() > 0.1) is injected


def test_temperature_draws_what_log_prob_says() -> None:
    dynamics = fresh(temperature=1.0, outcomes="sampled")
    model = CodeWorldModel(BitsCodec(), [dynamics])
    rows = 4000
    state = model.reset(histories(1)[np.zeros(rows, np.int64)])
    noise = np.random.default_rng(0).random((rows, model.noise_dim), np.float32)
    step = model.step(state, np.zeros(rows, np.int64), noise)
    codes, counts = np.unique(model.codes(step.state), axis=0, return_counts=True)
    expected = np.exp(model.log_prob(state, np.zeros(len(state), np.int64), model.codes(step.state)))
    by_code = {code.tobytes(): p for code, p in zip(model.codes(step.state), expected, strict=True)}
    often = counts > 80
    assert often.sum() >= 5
    predicted = np.array([by_code[code.tobytes()] for code in codes[often]])
    np.testing.assert_allclose(counts[often] / rows, predicted, atol=4 * np.sqrt(predicted.max() / rows))
    np.testing.assert_allclose([(step.reward == sign).mean() for sign in (-1, 0, 1)], 1 / 3, atol=0.03)
    assert abs(step.terminated.mean() - 0.5) < 0.03
    assert model.noise_dim == dynamics.prior.noise_dim + 2


def test_only_rewards_and_ends_are_random_at_temperature_0() -> None:
    assert CodeWorldModel(BitsCodec(), [fresh()]).noise_dim == 2
    assert CodeWorldModel(BitsCodec(), [fresh(outcomes="likeliest")]).noise_dim == 0


@pytest.mark.parametrize("prior", ["lstm", "factorised"])
def test_fresh_weights_expect_every_bit_to_stay(prior: str) -> None:
    dynamics = fresh(prior=prior, outcomes="likeliest")
    model = CodeWorldModel(BitsCodec(), [dynamics])
    state = model.reset(histories(50))
    step = model.step(state, np.arange(50) % ACTIONS, np.zeros((50, 0), np.float32))
    np.testing.assert_array_equal(model.codes(step.state), model.codes(state))


def test_dropout_is_a_fit_s_alone_and_comes_from_its_generator() -> None:
    dynamics = fresh(dropout=0.5)
    seen, summary = dynamics.look(torch.rand(8, 2, CELLS).round(), torch.zeros(8, 2).long(), torch.ones(8, 2).bool())
    actions = torch.arange(8) % ACTIONS
    first, second = (dynamics.context(seen, actions, summary, make_generator(seed, "noise")) for seed in (0, 0))
    whole = dynamics.train().context(seen, actions, summary)
    assert torch.equal(first, second)
    assert torch.equal(whole, dynamics.eval().context(seen, actions, summary))
    hidden = slice(None, SMALL["hidden"])
    assert (first[:, hidden] == 0.0).float().mean() > (whole[:, hidden] == 0.0).float().mean() + 0.1
    assert torch.equal(first[:, SMALL["hidden"] :], whole[:, SMALL["hidden"] :])


def test_an_ensemble_doubts_where_its_members_disagree(coded: CodedReplay) -> None:
    members = [fresh(seed, disagreement=1, outcomes="likeliest") for seed in (0, 1)]
    for member in members:
        assert member.independent is not None
        assert member.independent.from_context is not None
        torch.nn.init.normal_(member.independent.from_context.weight)
    history, actions = histories(50), np.arange(50) % ACTIONS
    none = np.zeros((50, 0), np.float32)
    agreeing = CodeWorldModel(BitsCodec(), [members[0], members[0]])
    assert not agreeing.step(agreeing.reset(history), actions, none).doubtful.any()
    model = CodeWorldModel(BitsCodec(), members)
    step = model.step(model.reset(history), actions, none)
    alone = [CodeWorldModel(BitsCodec(), [member]) for member in members]
    steps = [one.step(one.reset(history), actions, none) for one in alone]
    codes = [one.codes(result.state) for one, result in zip(alone, steps, strict=True)]
    np.testing.assert_array_equal(step.doubtful, (codes[0] != codes[1]).any(1))
    np.testing.assert_array_equal(model.codes(step.state), codes[0])
    rewards = np.stack([result.reward for result in steps])
    np.testing.assert_array_equal(np.abs(step.reward), np.abs(rewards).min(0))
    assert step.doubtful.any()
    assert "doubtful_rate" in measure_code_model(model, coded, seed=0)


def test_images_are_rendered_in_colour() -> None:
    class Pictures(BitsCodec):
        def __init__(self) -> None:
            super().__init__()
            self.frame_shape = (1, 2, CELLS // 2)

        def decode(self, codes: Any) -> Any:
            return (codes * 255).reshape(-1, 1, 2, CELLS // 2).astype(np.uint8)

        def encode(self, frames: Any) -> Any:
            return (frames.reshape(len(frames), -1) > 0).astype(np.uint8)

    model = CodeWorldModel(Pictures(), [fresh()])
    first = np.zeros((1, 1, 2, CELLS // 2), np.uint8)
    first[0, 0, 1, 2] = 255
    picture = model.render(model.reset(History.of_first(first, 2)))
    assert picture is not None
    np.testing.assert_array_equal(picture, first.transpose(0, 2, 3, 1).repeat(3, -1))
    plain = CodeWorldModel(BitsCodec(), [fresh()])
    assert plain.render(plain.reset(histories(1))) is None


def test_bad_input_is_told_in_one_line() -> None:
    model = CodeWorldModel(BitsCodec(), [fresh()])
    with pytest.raises(UsageError, match="at least 2 frames"):
        model.reset(histories(3, length=1))
    with pytest.raises(UsageError, match=r"frames \(6,\)"):
        model.reset(History.of_first(np.zeros((1, 7), np.float32), 2))
    with pytest.raises(UsageError, match="7"):
        CodeWorldModel(BitsCodec(7), [fresh()])
    bad = ({"history": 0}, {"hidden": 0}, {"temperature": -1.0}, {"ensemble": 4}, {"recurrent": -1})
    for settings in (*bad, {"outcomes": "x"}, {"prior": "x"}):
        with pytest.raises(UsageError, match=next(iter(settings))):
            fresh(**settings)
