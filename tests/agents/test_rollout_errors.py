"""Rollouts held against real episodes: an exact model makes no error, and each kind of fault is seen for what it is."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.agents import rollout_errors as rollouts
from rl_discrete.agents.real_play import RealPlay, as_pictures, record_play
from rl_discrete.agents.rollout_errors import find_objects, rollout_errors
from rl_discrete.agents.rollout_figures import event_figures, object_columns, object_figures, rollout_metrics
from rl_discrete.agents.sb3_policy import RandomPolicy
from rl_discrete.envs.make import make_env
from rl_discrete.runs.errors import RunError, UsageError
from tests.agents.corridor_env import GOAL, STEP, CorridorEnv
from tests.agents.corridor_model import SIZE, CorridorModel, State
from tests.world_models.toy import CoinEnv, CoinModel

CORRIDOR = partial(CorridorEnv, kind="image", size=SIZE)


@pytest.fixture(scope="module")
def play() -> RealPlay:
    return record_play(RandomPolicy(2), CORRIDOR, 600, seed=0, num_envs=3)


def test_a_play_is_what_happened(play: RealPlay) -> None:
    """Cells, rewards and ends of the corridor, episode by episode."""
    assert 600 <= len(play) - len(np.unique(play.episodes)) <= 603
    cells = play.frames[:, 0, 0].argmax(axis=1)
    first = np.flatnonzero(np.diff(play.episodes, prepend=-1))
    assert (play.actions[first] == 0).all()
    assert (play.rewards[first] == 0).all()
    assert not play.terminated[first].any()
    later = np.setdiff1d(np.arange(len(play)), first)
    moved = np.clip(cells[later - 1] + np.where(play.actions[later] == 1, 1, -1), 0, None)
    assert np.array_equal(cells[later], moved)
    assert np.array_equal(play.terminated, cells == 5)
    assert np.allclose(play.rewards[later], STEP + GOAL * play.terminated[later])
    assert play.states is None, "the corridor has no diagnostic_state"
    again = record_play(RandomPolicy(2), CORRIDOR, 600, seed=0, num_envs=3)
    assert np.array_equal(play.frames, again.frames)
    other = record_play(RandomPolicy(2), CORRIDOR, 600, seed=1, num_envs=3)
    assert not np.array_equal(play.frames[:50], other.frames[:50]), "the control: another seed"


def test_histories_never_reach_across_an_episodes_start(play: RealPlay) -> None:
    first = int(np.flatnonzero(np.diff(play.episodes))[0]) + 1  # of the second episode
    history = play.history(np.array([first, first + 1, first - 1]), 3)
    assert history.valid.tolist() == [[False, False, True], [False, True, True], [first > 2, True, True]]
    assert not history.frames[0, :2].any()
    assert history.actions[0].tolist() == [0, 0, 0]
    assert np.array_equal(history.frames[1, 1:], play.frames[first : first + 2])
    assert history.actions[1, 2] == play.actions[first + 1]
    assert play.inside(np.array([first - 1, first]), 1).tolist() == [False, True]
    assert not play.inside(np.array([len(play) - 1]), 1).any()


def test_a_play_shorter_than_a_history_has_one_all_the_same() -> None:
    play = record_play(RandomPolicy(2), CORRIDOR, 4, seed=0, num_envs=1)
    last = play.episodes == play.episodes[-1]
    history = play.history(np.array([0, len(play) - 1]), len(play) + 10)
    assert history.valid[0].tolist() == [False] * (len(play) + 9) + [True]
    assert history.valid[1].tolist() == [False] * 10 + last.tolist()
    assert np.array_equal(history.frames[1, 10:][last], play.frames[last])


def test_an_exact_model_makes_no_error(play: RealPlay) -> None:
    found = rollout_errors(CorridorModel(), play, starts=200, horizons=(5, 1, 15))
    assert (found["starts"], found["horizons"], found["frames"]) == (200, [1, 5, 15], len(play))
    assert found["bit_error"] == found["pixel_error"] == found["pixel_error_reconstruction"] == [0.0] * 3
    assert min(found["bit_error_copy"]) > 0, "the control: the last frame, repeated, is wrong"
    assert min(found["pixel_error_copy"]) > 0
    assert found["count"][0] == 200 > found["count"][1] > found["count"][2] > 0
    for events in (found["reward"]["plus"], found["reward"]["minus"], found["end"]):
        assert events["precision"] == events["recall"] == [1.0] * 3
        assert events["real"] == events["imagined"]
    assert found["objects"] == {}
    assert "nats" not in found


def test_a_model_that_walks_the_wrong_way_is_caught(play: RealPlay) -> None:
    """The control that must fail."""
    found = rollout_errors(CorridorModel(slip=1.0), play, starts=200, horizons=(1, 5))
    assert found["bit_error"][0] == 0.25 > found["bit_error_copy"][0], "two of eight bits, always"
    assert found["pixel_error"][0] == pytest.approx(255 * found["bit_error"][0])
    assert found["pixel_error_reconstruction"] == [0.0, 0.0], "its codes are right all the same"
    assert found["end"]["recall"][0] == 0.0


def test_an_error_grows_with_the_horizon_and_not_with_the_batch(
    play: RealPlay, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rollout_errors(CorridorModel(slip=0.2), play, starts=150, horizons=(1, 5))
    assert 0 < found["bit_error"][0] < found["bit_error"][1]
    assert 0.5 < found["end"]["recall"][0] < 1.0
    monkeypatch.setattr(rollouts, "BATCH", 7)
    assert repr(rollout_errors(CorridorModel(slip=0.2), play, starts=150, horizons=(1, 5))) == repr(found)
    other = rollout_errors(CorridorModel(slip=0.2), play, starts=150, horizons=(1, 5), seed=1)
    assert repr(other) != repr(found), "the control: another seed"


class Coded(CorridorModel):
    """Says its code, and how probable it found the true one."""

    def codes(self, state: State) -> NDArray[np.uint8]:
        return (state[:, None] >> np.arange(3) & 1).astype(np.uint8)

    def log_prob(self, state: State, actions: NDArray[np.int64], codes: NDArray[Any]) -> NDArray[np.float64]:
        following = self.step(state, actions, np.full((len(state), 1), 0.99, np.float32)).state
        return np.where((self.codes(following) == codes).all(axis=1), math.log(0.75), math.log(0.25))


def test_codes_and_their_probabilities_are_compared_where_a_model_has_them(play: RealPlay) -> None:
    found = rollout_errors(Coded(), play, starts=100, horizons=(1, 5))
    assert found["bit_error"] == [0.0, 0.0]
    assert found["nats"] == pytest.approx([-math.log(0.75)] * 2)
    slipping = rollout_errors(Coded(slip=0.5), play, starts=100, horizons=(1, 5))
    assert slipping["nats"][0] == pytest.approx(-math.log(0.75)), "from the true state the true code is likely"
    assert slipping["nats"][1] > found["nats"][1] + 0.2, "from an imagined one it is not"


class Inferring(CorridorModel):
    """Has bits that it infers from frames: whether the walker came from the left, at 2 nats a cell."""

    bits = True

    def prior_nats(self, state: State, actions: NDArray[np.int64], following: State) -> NDArray[np.float64] | None:
        return 2.0 * np.abs(following - state) if self.bits else None


def test_bits_inferred_from_frames_are_asked_of_their_prior(play: RealPlay, monkeypatch: pytest.MonkeyPatch) -> None:
    found = rollout_errors(Inferring(), play, starts=100, horizons=(1,))
    assert 1.5 < found["prior_nats"][0] <= 2.0, "a step is a cell, but at the left end"
    monkeypatch.setattr(Inferring, "bits", False)
    assert "prior_nats" not in rollout_errors(Inferring(), play, starts=100, horizons=(1,))


def test_worlds_without_pictures_are_compared_by_their_bits() -> None:
    play = record_play(RandomPolicy(3), CoinEnv, 200, seed=0)
    found = rollout_errors(CoinModel(), play, starts=50, horizons=(1,))
    assert "pixel_error" not in found
    assert found["bit_error"][0] == pytest.approx(2 / 3 * 2 / 6, abs=0.08), "a throw is right a third of the time"
    plus = found["reward"]["plus"]
    assert plus["real"][0] == plus["imagined"][0] > 5
    assert plus["recall"] == plus["precision"] == [1.0], "what an action is paid is known before the throw"


def test_events_count_to_the_step_and_up_to_an_imagined_end() -> None:
    inside = np.array([[True, True, True, True], [True, True, False, False]])
    real = np.array([[True, False, False, True], [False, True, True, False]])
    said = np.array([[True, True, False, True], [False, False, True, False]])
    ends = np.array([[False, False, True, False], [False, False, False, False]])
    found = event_figures(real, said, {"inside": inside, "imagined_end": ends}, [2, 4])
    assert found["real"] == [2, 1], "what comes after a real end does not count"
    assert found["imagined"] == [2, 0], "nor what is imagined after an end of its own"
    assert found["recall"] == [0.5, 0.0]
    assert found["precision"][0] == 0.5
    assert math.isnan(found["precision"][1])


def test_pictures_of_frames() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(1, 1, 3, 4)
    pictures = as_pictures(grey)
    assert pictures is not None
    assert pictures.shape == (1, 3, 4, 3)
    assert (pictures == grey[:, 0, ..., None]).all()
    colour = np.arange(36, dtype=np.uint8).reshape(1, 3, 3, 4)
    shown = as_pictures(colour)
    assert shown is not None
    assert np.array_equal(shown, colour.transpose(0, 2, 3, 1))
    assert as_pictures(np.zeros((2, 5), np.float32)) is None
    assert as_pictures(np.zeros((2, 4, 3, 3), np.uint8)) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"starts": 0}, "starts and horizons must be >= 1, got 0"),
        ({"horizons": (0, 5)}, r"got 400 and \(0, 5\)"),
        ({"horizons": ()}, r"got 400 and \(\)"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str, play: RealPlay) -> None:
    with pytest.raises(UsageError, match=message):
        rollout_errors(CorridorModel(), play, **arguments)
    with pytest.raises(UsageError, match="max_steps must be >= 1, got 0"):
        record_play(RandomPolicy(2), CORRIDOR, 10, seed=0, max_steps=0)


def test_episodes_are_cut_and_faults_of_the_env_are_named() -> None:
    cut = record_play(RandomPolicy(2), partial(CORRIDOR, length=SIZE), 100, seed=0, num_envs=2, max_steps=4)
    assert np.bincount(cut.episodes).max() == 5, "the first frame, and four steps"

    class Broken(CorridorEnv):
        def step(self, action: np.int64) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
            return *super().step(action)[:1], float("nan"), False, False, {}

    with pytest.raises(RunError, match="reward that is not finite"):
        record_play(RandomPolicy(2), Broken, 10, seed=0)


def test_objects_are_learned_from_chance_and_not_from_an_agent_that_stands_still() -> None:
    finder = find_objects("Pong", partial(make_env, "Pong", size=(105, 80)), num_actions=6, seed=0)
    assert finder is not None
    assert set(finder.floors) == {"ball", "player", "enemy"}
    assert max(finder.floors.values()) < 1.0
    assert find_objects("grid", partial(make_env, "grid"), num_actions=4, seed=0) is None


def test_objects_of_real_frames_are_judged_like_those_of_the_model() -> None:
    """Where memory and picture disagree, real frames do not come near either."""
    places = {"ball": np.array([[5.0, 5.0], [9.0, 9.0], [2.0, 2.0]])}
    seen = np.array([[5.0, 6.0], [9.0, 6.0], [np.nan, np.nan]])
    imagined = np.array([[5.0, 5.0], [np.nan, np.nan], [2.0, 2.0]])
    columns = object_columns(places, {"": {"ball": imagined}, "_real": {"ball": seen}})
    figures = object_figures({name: values[:, None] for name, values in columns.items()}, "ball")
    assert (figures["mean_real"], figures["median_real"], figures["near_real"]) == ([2.0], [2.0], [0.5])
    assert (figures["mean"], figures["near"], figures["lost"], figures["ghost"]) == ([0.0], [0.5], [0.5], [1.0])
    assert "lost_real" not in figures, "by definition none"


def test_a_log_says_every_figure_by_its_horizon(play: RealPlay) -> None:
    found = rollout_errors(CorridorModel(slip=0.3), play, starts=50, horizons=(1, 5))
    ball = {"floor": 0.1, "median": [1.0, 2.0], "lost": [0.0, 0.5]}
    logged = rollout_metrics({**found, "objects": {"ball": ball}})
    assert logged["bit_error_5"] == found["bit_error"][1]
    assert logged["reward_plus_recall_1"] == found["reward"]["plus"]["recall"][0]
    assert logged["reward_minus_precision_5"] == found["reward"]["minus"]["precision"][1]
    assert logged["end_recall_5"] == found["end"]["recall"][1]
    assert (logged["ball_median_1"], logged["ball_lost_5"]) == (1.0, 0.5)
    assert "nats_1" not in logged


def test_what_is_lost_is_not_near() -> None:
    columns = {
        "ball:error": np.array([[0.5], [3.0], [math.nan], [math.nan]]),
        "ball:lost": np.array([[0.0], [0.0], [1.0], [math.nan]]),  # the last one is not there in truth
        "ball:ghost": np.array([[math.nan], [math.nan], [math.nan], [1.0]]),
    }
    figures = object_figures(columns, "ball")
    assert figures["near"] == [pytest.approx(1 / 3)]
    assert figures["lost"] == [pytest.approx(1 / 3)]
    assert figures["mean"] == [1.75]
    assert figures["ghost"] == [1.0]
