"""The VaST loop on worlds with known answers, each with a control that must fail the same test."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.agents import vast
from rl_discrete.agents.config import Change, ExplorationConfig, PlannerConfig, VastConfig
from rl_discrete.agents.evaluation import Policy, evaluate
from rl_discrete.agents.vast import train_vast
from rl_discrete.agents.vast_policy import VastPolicy, load_policy
from rl_discrete.agents.vast_run import VastRun
from rl_discrete.envs.make import make_env
from rl_discrete.runs.checkpoint import load_checkpoint
from rl_discrete.runs.errors import UsageError
from tests.agents.vast_runs import exact, result, small
from tests.agents.worlds import CUE, PASSAGE

DISCOUNT = 0.99


class RandomPolicy:
    def __init__(self, num_actions: int) -> None:
        self.num_actions = num_actions
        self.generator = np.random.default_rng(0)

    def predict(
        self, observation: NDArray[Any], state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[NDArray[np.int64], None]:
        return self.generator.integers(self.num_actions, size=len(observation)), None


def four_rooms() -> tuple[Any, Any]:
    env: Any = make_env("grid")
    return env, env.unwrapped.true_mdp()


def optimal_value() -> float:
    """The exact expected discounted return from a random start."""
    _, mdp = four_rooms()
    values = np.zeros(len(mdp.states))
    for _ in range(100):
        values = (mdp.mean_rewards + DISCOUNT * mdp.transitions @ values).max(axis=1)
    return float(mdp.starts @ values)


def discounted_return(policy: Policy) -> float:
    """The mean over one episode from every start."""
    env, mdp = four_rooms()
    returns = []
    for state in mdp.states[mdp.starts > 0]:
        observation, _ = env.reset(seed=0, options={"state": state})
        total, weight, ended = 0.0, 1.0, False
        while not ended and weight > 0.3:
            action, _ = policy.predict(observation[None], deterministic=True)
            observation, reward, terminated, truncated, _ = env.step(action[0])
            total, weight, ended = total + weight * float(reward), weight * DISCOUNT, terminated or truncated
        returns.append(total)
    return float(np.mean(returns))


@pytest.fixture(scope="module")
def four_rooms_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_vast(exact(), tmp_path_factory.mktemp("run") / "run")


def test_four_rooms_are_solved_almost_optimally_and_not_by_chance(four_rooms_run: Path) -> None:
    best = optimal_value()
    assert best == pytest.approx(0.918, abs=0.001)
    assert discounted_return(load_policy(four_rooms_run, epsilon=0.0)) > 0.97 * best
    assert discounted_return(RandomPolicy(4)) < 0.5 * best, "the control must fail"


def test_the_figures_of_a_run(four_rooms_run: Path) -> None:
    written = result(four_rooms_run)
    windows = written["windows"]
    assert [line["step"] for line in windows] == [1000, 2000, 3000, 4000, 5000]
    assert written["steps"] == 5000
    first, last = windows[0], windows[-1]
    assert first["epsilon"] == 1.0
    assert last["epsilon"] == pytest.approx(0.1)
    assert last["reward_per_step"] > 4 * first["reward_per_step"] > 0.0
    assert last["ends/plus_share"] == 1.0
    assert last["episode/return"] > 0.95
    _, mdp = four_rooms()
    assert last["table/states"] == len(mdp.states) - 1, "a state for each, but for the goal"
    assert last["lookup/neighbour_share"] < 0.01
    assert last["planner/residual"] <= PlannerConfig().cutoff
    assert last["table/bytes_per_edge"] > 8.0
    assert 0.0 < last["codes/correlation_mean"] < last["codes/correlation_max"] <= 1.0
    assert 0.0 < last["codes/entropy_mean"] < math.log(8)
    assert set(written["seconds"]) >= {"act", "env", "encode", "table", "plan", "save"}


def test_codes_are_learned_and_the_whole_loop_runs(tmp_path: Path) -> None:
    written = result(train_vast(small(), tmp_path / "run"))
    last = written["windows"][-1]
    assert written["updates"] == 6 + (316 - 80) // 10, "those due after the last step are not made"
    assert {"loss/loss", "loss/reconstruction"} <= set(last)
    assert 0.0 <= last["codes/reassigned_probes"] <= 1.0
    assert 0.0 <= last["codes/reassigned_replay"] <= 1.0


@pytest.mark.parametrize("changes", [{}, {"encoder": "downsample"}, {"relabel": "lazy"}])
def test_a_run_without_burn_in(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Its first actions are chosen by an empty table."""
    greedy = ExplorationConfig(start=0.0, end=0.0)
    config = small(burn_in=0, steps=60, window=20, exploration=greedy, **changes)
    first = result(train_vast(config, tmp_path / "run"))["windows"][0]
    assert first["epsilon"] == 0.0
    assert first["lookup/fallback_share"] > 0.0


@pytest.mark.parametrize("encoder", ["vast", "gs", "simhash"])
def test_every_encoder_and_way_of_relabelling_runs(tmp_path: Path, encoder: str) -> None:
    ways: dict[str, Any] = {"vast": "lazy", "gs": "full", "simhash": "snapshot"}
    config = small(encoder=encoder, relabel=ways[encoder], steps=200)
    last = result(train_vast(config, tmp_path / "run"))["windows"][-1]
    assert ("codes/reassigned_sampled" in last) == (encoder == "vast")
    assert ("codes/reassigned_probes" in last) == (encoder != "simhash")


def test_a_second_core_changes_nothing(tmp_path: Path) -> None:
    lines = []
    for background in (True, False):
        config = small(training=replace(small().training, background=background))
        lines.append((train_vast(config, tmp_path / str(background)) / "metrics.jsonl").read_bytes())
    assert lines[0] == lines[1]


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    """The control of every test that compares bytes."""
    runs = [train_vast(exact(steps=400, seed=seed), tmp_path / str(seed)) for seed in (0, 1)]
    assert (runs[0] / "metrics.jsonl").read_bytes() != (runs[1] / "metrics.jsonl").read_bytes()


def test_training_and_testing_use_the_observation_that_reset_returns(tmp_path: Path) -> None:
    """Defect of the original: its test loop ignored it. Here it alone says what to do."""
    config = exact(env=CUE, steps=400, burn_in=100, exploration=ExplorationConfig(end=0.0, steps=100), window=100)
    run = train_vast(config, tmp_path / "run")
    assert result(run)["windows"][-1]["reward_per_step"] == 1.0
    policy = load_policy(run, epsilon=0.0)
    assert evaluate(policy, lambda: make_env(CUE), 50, 0).mean == 1.0
    assert evaluate(_Blind(policy), lambda: make_env(CUE), 50, 0).mean < 0.8, "the control must fail"


class _Blind:
    """Acts as if the first observation were blank."""

    def __init__(self, policy: VastPolicy) -> None:
        self.policy = policy

    def predict(self, observation: NDArray[Any], *args: Any, **kwargs: Any) -> Any:
        return self.policy.predict(np.zeros_like(observation), *args, **kwargs)


def passage(**changes: Any) -> VastConfig:
    """A vector world with a learned code, in which the passage opens at step 405."""
    return small(
        **{
            "env": PASSAGE,
            "steps": 600,
            "changes": ("open_passage@405+forced",),
            "exploration": ExplorationConfig(steps=100, end=0.05),
            **changes,
        }
    )


def test_a_forced_run_skips_no_training_period(tmp_path: Path) -> None:
    """Defect of the original: a forced run advanced the step counter past the steps at which training was due."""
    calm = result(train_vast(passage(changes=()), tmp_path / "calm"))
    changed = result(train_vast(passage(), tmp_path / "changed"))
    assert changed["updates"] == calm["updates"]
    assert [line["step"] for line in changed["windows"]] == [line["step"] for line in calm["windows"]]
    rebuilds = [[line["codes/reassigned_replay"] is not None for line in run["windows"][2:]] for run in (calm, changed)]
    assert rebuilds[0] == rebuilds[1]


def test_a_forced_run_through_a_new_passage_is_used_from_then_on(tmp_path: Path) -> None:
    plus = {}
    for changes in (("open_passage@405+forced",), ()):
        config = passage(encoder="downsample", changes=changes, exploration=ExplorationConfig(steps=100, end=0.0))
        run = train_vast(config, tmp_path / str(len(changes)))
        windows = result(run)["windows"]
        plus[bool(changes)] = {line["step"]: line["ends/plus"] for line in windows}
    assert sum(count for step, count in plus[True].items() if step <= 400) == 0
    assert min(count for step, count in plus[True].items() if step > 500) >= 5
    assert sum(plus[False].values()) == 0, "the control must fail"


@pytest.mark.parametrize("second", ["open_passage@204", "open_passage@0200"])
def test_a_change_that_falls_due_in_a_forced_run_waits_for_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    forced: list[bool] = []
    step_envs = vast.step_envs

    def watch(run: VastRun, actions: NDArray[np.int64]) -> NDArray[np.int64]:
        forced.append(run.forcing)
        return step_envs(run, actions)

    monkeypatch.setattr(vast, "step_envs", watch)
    changes = ("open_passage@200+forced", second)
    run = train_vast(passage(encoder="downsample", changes=changes, steps=260), tmp_path / "run")
    assert sum(forced) == 7, "from one end of the corridor to the other"
    checkpoint = load_checkpoint(run / "checkpoints", parts=())
    assert checkpoint is not None
    assert checkpoint.meta["changed"] == list(changes)


def test_gradient_steps_due_do_not_depend_on_how_steps_come(tmp_path: Path) -> None:
    """Counts, not remainders: any number of parallel envs makes the same number of gradient steps."""
    updates = set()
    for num_envs in (2, 7):
        config = small(num_envs=num_envs, steps=210, burn_in=105, checkpoint_every=10_000, window=10_000)
        training = replace(config.training, steps_per_update=10, burn_in_updates=3)
        updates.add(result(train_vast(replace(config, training=training), tmp_path / str(num_envs)))["updates"])
    assert max(updates) - min(updates) <= 1


def test_a_stack_of_frames_is_the_same_in_training_and_in_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_vast(exact(steps=200, frame_stack=3, burn_in=100), tmp_path / "run")
    policy = load_policy(run)
    env = make_env("grid")
    frames = [env.reset(seed=0)[0], *(env.step(action)[0] for action in (0, 3, 1))]
    state, seen = None, []
    encode = policy.encoder.encode

    def spy(stack: NDArray[Any]) -> Any:
        seen.append(stack)
        return encode(stack)

    monkeypatch.setattr(policy.encoder, "encode", spy)
    for index, frame in enumerate(frames):
        _, state = policy.predict(frame[None], state, np.array([index in (0, 3)]))
    blank = np.zeros_like(frames[0])
    expected = [
        [frames[0], blank, blank],
        [frames[1], frames[0], blank],
        [frames[2], frames[1], frames[0]],
        [frames[3], blank, blank],
    ]
    for stack, parts in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(stack[0], np.concatenate(parts))


def test_a_change_is_read_from_its_text() -> None:
    assert Change.parse("open_passage@50+forced") == Change("open_passage", 50, True)
    assert Change.parse("reverse_rewards@20000") == Change("reverse_rewards", 20000, False)
    for text in ("reverse_rewards", "@5", "x@-1", "x@5+now", "X@5"):
        with pytest.raises(UsageError, match="NAME@STEP"):
            Change.parse(text)
