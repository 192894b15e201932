"""A code model beside a table of real steps: a right one lies on the floor of sampling, wrong ones above it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.agents.cross_check import CrossCheck
from rl_discrete.agents.simple import train_simple
from rl_discrete.agents.table_check import check_against_table, check_model, describe_check, read_check
from rl_discrete.analysis.world_diagnosis import draw_diagnosis
from rl_discrete.data.replay import Replay
from rl_discrete.envs.grid_world import TrueMDP
from rl_discrete.world_models.code import CodeWorldModel
from rl_discrete.world_models.code_dynamics import CodeDynamics
from rl_discrete.world_models.config import DynamicsConfig
from tests.agents.simple_worlds import SMALL, CoinLearner, use
from tests.world_models.lines import CELLS, MOVES, BitsCodec
from tests.world_models.lines import SMALL as TINY
from tests.world_models.toy import SIDES, CoinModel

ACTIONS = len(MOVES)
SLIP = 0.25
END = CELLS - 1


def line_chances(slip: float = SLIP) -> NDArray[np.float64]:
    """(CELLS, A, CELLS): a dot goes where it is sent, but with probability `slip` it stays; it ends at the right."""
    cells = np.arange(CELLS)
    sent = (cells[:, None] + MOVES).clip(0, END)
    chances: NDArray[np.float64] = (1.0 - slip) * np.eye(CELLS)[sent] + slip * np.eye(CELLS)[cells][:, None]
    return chances


class NoTruth(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Shows what `check_against_table` asks of an env; it is never stepped."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (CELLS,), np.float32)
    action_space = gymnasium.spaces.Discrete(ACTIONS)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        assert options is not None
        assert options["state"][0] != END, "no episode can stand there"
        return np.eye(CELLS, dtype=np.float32)[options["state"][0]], {}


class SlipperyLine(NoTruth):
    """Offers its true MDP."""

    def true_mdp(self) -> TrueMDP:
        transitions, terminals = line_chances(), np.arange(CELLS) == END
        transitions[END] = 0.0
        return TrueMDP(
            np.arange(CELLS)[:, None], transitions, np.zeros_like(transitions), terminals, np.full(CELLS, 1 / CELLS)
        )


class KnownModel:
    """Says `line_chances` with a slip of its own, larger by `after_moves` where the dot has just moved."""

    num_actions, num_latents, history_length = ACTIONS, CELLS, 2
    codec = BitsCodec()

    def __init__(self, slip: float = SLIP, after_moves: float = 0.0) -> None:
        self.slip, self.after_moves = slip, after_moves

    def begin(
        self, codes: NDArray[np.uint8], actions: NDArray[np.int64], valid: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        cells = codes.argmax(axis=2)
        moved = np.where(valid[:, 0], cells[:, 0] != cells[:, 1], 0)
        return np.stack((cells[:, 1], moved), axis=1)

    def log_prob(
        self, state: NDArray[np.int64], actions: NDArray[np.int64], codes: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        still, moving = line_chances(self.slip), line_chances(self.slip + self.after_moves)
        both = np.stack((still, moving))
        with np.errstate(divide="ignore"):
            nats: NDArray[np.float64] = np.log(both[state[:, 1], state[:, 0], actions, codes.argmax(axis=1)])
        return nats


def slippery_replay(folder: Path, steps: int = 500, num_envs: int = 4) -> Replay:
    """Random steps on the slippery line; 25 lead to a cut, and the right end ends an episode."""
    replay, generator = Replay(folder, (CELLS,), 1, num_envs, 2**22, np.float32), np.random.default_rng(0)
    cells, over, chances = np.zeros(num_envs, np.int64), np.ones(num_envs, np.bool_), line_chances().cumsum(axis=2)
    nothing = np.zeros(num_envs)
    for _ in range(steps):
        actions = generator.integers(ACTIONS, size=num_envs)
        following = (chances[cells, actions] < generator.random((num_envs, 1))).sum(axis=1)
        cells = np.where(over, generator.integers(END, size=num_envs), following)
        ends = ~over & (cells == END)
        replay.append(np.eye(CELLS, dtype=np.float32)[cells], actions, nothing, ends, nothing > 0, over)
        over = ends
    return replay


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    return slippery_replay(tmp_path_factory.mktemp("slippery"))


def check(replay: Replay, make_env: type[NoTruth] = SlipperyLine, **model: float) -> CrossCheck:
    return check_against_table(KnownModel(**model), replay, make_env, seed=0)  # type: ignore[arg-type]


def test_a_right_model_lies_on_the_floor(replay: Replay) -> None:
    found = check(replay)
    columns = replay.columns(replay.rows())
    assert found.visits.sum() == (columns.previous >= 0).sum(), "ends are counted as well"
    metrics = found.metrics()
    assert metrics["tv_pairs"] == metrics["tv_true_pairs"] == END * ACTIONS
    assert metrics["tv_single"] == metrics["tv"]
    assert abs(metrics["tv_true_excess"]) < 0.01
    assert abs(metrics["tv_excess"]) < 0.01
    assert metrics["tv_true_floor"] > 0.005, "some pairs are left to chance"
    assert check(replay, NoTruth).metrics()["tv_true_pairs"] == 0


def test_wrong_models_are_caught(replay: Replay) -> None:
    """Of 15 pairs 9 can slip: a dot that is told to stay cannot, nor one that is sent on at the left edge."""
    wrong = check(replay, slip=SLIP + 0.3).metrics()
    assert wrong["tv"] == pytest.approx(0.3 * 9 / 15, abs=0.03)
    assert wrong["tv_true_excess"] > 0.1
    assert wrong["tv_above_floor_share"] > 0.5


def test_errors_that_cancel_over_histories_are_seen_in_single_ones(replay: Replay) -> None:
    exact = check(replay).metrics()
    dependent = check(replay, slip=SLIP - 0.15, after_moves=0.3).metrics()
    assert dependent["tv"] < exact["tv"] + 0.03
    assert dependent["tv_single"] > exact["tv_single"] + 0.05


def test_the_same_seed_gives_the_same_figures_and_every_pair_is_asked_of_its_own_histories(replay: Replay) -> None:
    one, same = check(replay, after_moves=0.1), check(replay, after_moves=0.1)
    np.testing.assert_array_equal(one.distance, same.distance)
    other = check_against_table(KnownModel(after_moves=0.1), replay, SlipperyLine, seed=1)  # type: ignore[arg-type]
    assert not np.array_equal(one.distance, other.distance), "the control: other histories"


class CodeLearner(CoinLearner):
    """Has a code model of the coin that never learned anything."""

    def __init__(self, num_actions: int, seed: int) -> None:
        super().__init__(num_actions, seed)
        self.model = code_model()  # type: ignore[assignment]

    def fit(self, *given: Any) -> dict[str, float]:
        found = super().fit(*given)
        self.model = code_model()  # type: ignore[assignment]
        return found


def code_model() -> CodeWorldModel:
    config = DynamicsConfig(**{**TINY, "hidden": 8}, prior="factorised")
    return CodeWorldModel(BitsCodec(SIDES), [CodeDynamics(SIDES, SIDES, "signs", config, seed=0)])


def test_a_run_of_a_code_model_holds_it_against_a_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, CodeLearner)
    schedule = replace(SMALL.schedule, iterations=1, last_steps=0)
    run = train_simple(replace(SMALL, real_steps=400, schedule=schedule), tmp_path / "run")
    checked = json.loads((run / "result.json").read_text())["cross_check"]
    assert checked["min_visits"] == [20, 200]
    assert checked["tv_pairs"] == [SIDES * SIDES, 0]
    assert checked["tv_true_pairs"] == [0, 0], "the coin has no true MDP to offer"
    assert checked["tv"][0] > checked["tv_floor"][0] + 0.2, "three even sides are not three free bits"
    assert checked["tv"][1] is None
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["cross_check/tv_20"] for line in logged if "cross_check/tv_20" in line] == [checked["tv"][0]]
    every = read_check(run)
    assert every is not None
    assert every.metrics()["tv"] == pytest.approx(checked["tv"][0])
    assert not (run / "diagnostics" / "cross_check.png").exists()
    draw_diagnosis(run)
    assert (run / "diagnostics" / "cross_check.png").stat().st_size > 10_000


def test_other_models_are_not_checked_and_a_table_without_repeats_is_named(replay: Replay, tmp_path: Path) -> None:
    def nothing(share: float) -> None: ...

    assert check_model(CoinModel(), replay, SlipperyLine, 0, tmp_path, nothing) is None
    assert read_check(tmp_path) is None
    few = slippery_replay(tmp_path / "few", steps=4)
    config = DynamicsConfig(**{**TINY, "hidden": 8}, prior="factorised")
    model = CodeWorldModel(BitsCodec(), [CodeDynamics(CELLS, ACTIONS, "signs", config, seed=0)])
    checked = check_model(model, few, SlipperyLine, 0, tmp_path, nothing)
    assert checked is not None
    assert checked["tv_pairs"] == [0, 0]
    assert describe_check(checked)[0].startswith("no state and action was seen 20 times")
    read = read_check(tmp_path)
    assert read is not None
    assert not len(read.visits)
