"""Planning anew for another reward: exact values of the learned MDP, and what they are worth in the real env."""

from __future__ import annotations

import errno
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.wrappers import TransformReward
from numpy.typing import NDArray

from rl_discrete.agents import replanning, trial
from rl_discrete.agents.exported_run import export_run
from rl_discrete.agents.learned_mdp import load_mdp
from rl_discrete.agents.replanning import Replan, replan_run
from rl_discrete.agents.run_config import ReplanConfig
from rl_discrete.agents.solved_table import SolvedTable
from rl_discrete.agents.trained_agent import make_changed_env
from rl_discrete.agents.trial import try_policy
from rl_discrete.agents.vast import train_vast
from rl_discrete.agents.vast_policy import VastPolicy, load_policy
from rl_discrete.envs.make import make_env
from rl_discrete.mdp.export import load
from rl_discrete.mdp.lookup import HammingLookup
from rl_discrete.mdp.solve import Solution, replan, solve
from rl_discrete.runs import durable
from rl_discrete.runs.errors import RunError, UsageError
from tests.agents.run_files import contents
from tests.agents.two_ends import ENV
from tests.agents.vast_runs import exact

DISCOUNT = 0.99
REVERSED = ReplanConfig(steps=600, change=("reverse_rewards",), num_envs=2)


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows both ends of its corridor."""
    config = exact(env=ENV, steps=1200, burn_in=400, window=400, checkpoint_every=400)
    return train_vast(config, tmp_path_factory.mktemp("ends") / "run")


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has tried everything in the four rooms."""
    return train_vast(exact(steps=6000, burn_in=5000), tmp_path_factory.mktemp("rooms") / "run")


def values_of(done: Replan) -> dict[str, NDArray[Any]]:
    with np.load(done.path, allow_pickle=False) as arrays:
        return dict(arrays)


def true_values(sign: float) -> tuple[Any, NDArray[np.float64]]:
    """The four rooms and their exact Q (S, A), where the goal pays `sign`."""
    mdp = make_env("grid").unwrapped.true_mdp()  # type: ignore[attr-defined]
    q = np.zeros(mdp.mean_rewards.shape)
    for _ in range(3000):
        q = sign * mdp.mean_rewards + DISCOUNT * mdp.transitions @ q.max(axis=1)
    return mdp, q


def learned_values(run: Path, mdp: Any, values: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Q (S, A) that a file gives the true states, found by the keys of what is seen there; nan at the goal."""
    policy, env = load_policy(run), make_env("grid")
    rows = {key.tobytes(): row for row, key in enumerate(values["keys"])}
    q = np.full(mdp.mean_rewards.shape, np.nan)
    for number in np.flatnonzero(~mdp.terminals):
        observation, _ = env.reset(seed=0, options={"state": mdp.states[number]})
        q[number] = values["q_values"][rows[policy.encoder.encode(observation[None])[0].tobytes()]]
    return q


@pytest.mark.parametrize(("reward", "sign"), [("-reward", -1.0), ("reward", 1.0)])
def test_new_values_are_those_of_the_true_mdp(rooms: Path, reward: str, sign: float) -> None:
    mdp, true = true_values(sign)
    before = contents(rooms)
    done = replan_run(rooms, reward)
    assert contents(rooms) == before, "old checkpoints and everything else stay as they are"
    learned = learned_values(rooms, mdp, values_of(done))
    tried = ~np.isnan(learned)
    assert tried[~mdp.terminals].mean() > 0.98
    np.testing.assert_allclose(learned[tried], true[tried], atol=1e-5)
    into_goal = mdp.mean_rewards > 0
    best = true >= true.max(axis=1, keepdims=True) - 1e-9
    greedy = np.where(tried, learned, -np.inf).argmax(axis=1)
    stands = ~mdp.terminals
    assert best[stands, greedy[stands]].mean() > 0.98, "greedy as the exact solution says"
    assert best[into_goal].all() == (sign > 0), "which enters the goal for the old reward and avoids it for the new"


def test_a_reward_from_a_file(rooms: Path, tmp_path: Path) -> None:
    transitions = load_mdp(rooms).transitions
    np.save(tmp_path / "reward.npy", -np.nan_to_num(transitions.mean_rewards))
    from_file = values_of(replan_run(rooms, str(tmp_path / "reward.npy")))
    from_words = values_of(replan_run(rooms, "-reward"))
    for name, array in from_words.items():
        np.testing.assert_array_equal(from_file[name], array)


def test_what_is_written(ends: Path) -> None:
    done = replan_run(ends, "-reward", ReplanConfig(name="flipped", tolerance=1e-9), "the command")
    assert done.path == ends / "replans" / "flipped.npz"
    assert done.trials == {}
    assert (done.states, done.step) == (7, 1200), "a state for each cell but the ends"
    values = values_of(done)
    transitions = load_mdp(ends).transitions
    np.testing.assert_array_equal(values["keys"], transitions.keys)
    np.testing.assert_array_equal(values["counts"], transitions.counts)
    assert values["values"].shape == (7,)
    assert values["q_values"].shape == (7, 2)
    assert values["values"].max() == pytest.approx(1.0)
    assert values["values"].min() == pytest.approx(DISCOUNT**6, abs=1e-6)
    written = json.loads((ends / "replans" / "flipped.json").read_text())
    expected = {"reward": "-reward", "states": 7, "step": 1200, "trial": None, "command": "the command"}
    assert written.items() >= expected.items()
    assert written["seconds"] == done.seconds
    assert written["iterations"] == done.iterations > 0
    again = [replan_run(ends, "reward").path.stem for _ in range(2)]
    assert int(again[1].removeprefix("replan-")) == int(again[0].removeprefix("replan-")) + 1
    with pytest.raises(UsageError, match="has a flipped already"):
        replan_run(ends, "reward", ReplanConfig(name="flipped"))


def test_two_plans_at_once_take_two_names(ends: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is made from start to end while the first is at work."""
    others: list[Replan] = []

    def planned(name: str | None) -> Replan:
        def meanwhile(*arguments: Any) -> Solution:
            monkeypatch.undo()
            others.append(replan_run(ends, "2 * reward", ReplanConfig(name=name)))
            return replan(*arguments)

        monkeypatch.setattr(replanning, "replan", meanwhile)
        return replan_run(ends, "-reward", ReplanConfig(name=name))

    first = planned(None)
    assert first.path != others[0].path
    for done, reward in ((first, "-reward"), (others[0], "2 * reward")):
        assert json.loads(done.path.with_suffix(".json").read_text())["reward"] == reward
    assert values_of(others[0])["values"].max() == pytest.approx(2.0)
    with pytest.raises(UsageError, match="has a taken already"):
        planned("taken")
    assert values_of(others[1])["values"].max() == pytest.approx(2.0)


def test_a_name_that_is_taken_at_the_last_moment_is_left_alone(ends: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Path] = []

    def late(path: Path, content: bytes) -> None:
        monkeypatch.undo()
        taken.append(path)
        path.write_bytes(b"theirs")
        durable.create_file(path, content)

    monkeypatch.setattr(durable, "create_file", late)
    done = replan_run(ends, "-reward")
    assert taken[0].read_bytes() == b"theirs"
    assert not taken[0].with_suffix(".npz").exists()
    assert done.path.with_suffix(".json") != taken[0]
    assert int(done.path.stem[-3:]) == int(taken[0].stem[-3:]) + 1, "half a pair is not written over later either"


def test_values_come_last_and_without_them_nothing_stays(ends: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def full(path: Path, content: bytes) -> None:
        seen.append(json.loads(path.with_suffix(".json").read_text())["reward"])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "replace_file", full)
    with pytest.raises(RunError, match="No space left"):
        replan_run(ends, "-reward", ReplanConfig(name="full"))
    assert seen == ["-reward"]
    assert not list((ends / "replans").glob("*full*"))


def test_new_values_hold_in_the_changed_world_and_the_old_ones_do_not(ends: Path) -> None:
    before = contents(ends)
    trials = replan_run(ends, "-reward", REVERSED).trials
    assert contents(ends) == before, "nothing was added to the table"
    assert list(trials) == ["former", "before", "after"]
    assert trials["former"].plus_share > 0.9
    assert trials["before"].plus_share < 0.1
    assert trials["after"].plus_share > 0.9
    assert trials["before"].reward_per_step == pytest.approx(-trials["former"].reward_per_step)
    assert trials["after"].reward_per_step > 0.9 * trials["former"].reward_per_step
    assert not trials["after"].is_few
    for tried in trials.values():
        assert tried.steps == 600
        assert tried.plus + tried.minus == tried.ends


def test_values_for_the_old_reward_fail_in_the_changed_world(ends: Path) -> None:
    """The control of the test above."""
    assert replan_run(ends, "reward", REVERSED).trials["after"].plus_share < 0.1


def test_a_trial_is_written_and_says_when_it_saw_little(ends: Path) -> None:
    done = replan_run(ends, "-reward", ReplanConfig(steps=60, epsilon=0.0, name="short"))
    assert list(done.trials) == ["before", "after"], "nothing has changed, so there is no former world"
    written = json.loads((ends / "replans" / "short.json").read_text())["trial"]
    assert (written["epsilon"], written["max_steps"], written["change"]) == (0.0, 400, [])
    assert (written["before"]["plus"], written["before"]["ends"]) == (15, 15), "four steps to the end"
    assert (written["after"]["minus"], written["after"]["plus_share"]) == (15, 0.0)
    assert written["after"]["few_ends"] is True


def test_the_figures_of_a_trial(ends: Path) -> None:
    make = partial(make_env, ENV)
    one = try_policy(load_policy(ends, epsilon=0.0), make, 40, 0)
    assert (one.steps, one.plus, one.minus, one.zero, one.cut) == (40, 10, 0, 0, 0)
    assert one.reward_per_step == 0.25
    cut = try_policy(load_policy(ends, epsilon=0.0), make, 42, 0, max_steps=3)
    assert (cut.cut, cut.ends, cut.reward_per_step) == (14, 0, 0.0)
    assert np.isnan(cut.plus_share)
    last = try_policy(load_policy(ends, epsilon=0.0), make, 40, 0, max_steps=4)
    assert (last.plus, last.cut) == (10, 0), "an end at the last step is an end"
    steps: list[int] = []
    batch = try_policy(load_policy(ends, epsilon=0.0), make, 40, 0, num_envs=3, report=steps.append)
    assert (batch.steps, steps[-1]) == (42, 42)
    seeds = [try_policy(load_policy(ends, epsilon=0.5, seed=1), make, 200, seed) for seed in (0, 0)]
    assert seeds[0] == seeds[1]


def test_the_curve_of_a_trial(ends: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "WINDOW", 20)
    make = partial(make_env, ENV)
    one = try_policy(load_policy(ends, epsilon=0.0), make, 50, 0)
    assert [(window.step, window.plus, window.minus) for window in one.windows] == [(20, 5, 0), (40, 5, 0), (50, 2, 0)]
    assert [window.reward_per_step for window in one.windows] == [0.25, 0.25, 0.2]
    reversed_ends = partial(make_changed_env, ENV, {}, ("reverse_rewards",))
    batch = try_policy(load_policy(ends, epsilon=0.0), reversed_ends, 60, 0, num_envs=7)
    assert [(window.step, window.plus, window.minus) for window in batch.windows] == [
        (21, 0, 0),
        (42, 0, 7),
        (63, 0, 7),
    ]
    assert [window.reward_per_step for window in batch.windows] == [0.0, -1 / 3, -1 / 3]
    assert batch.minus == 14
    assert batch.to_json()["windows"][1] == asdict(batch.windows[1])


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_a_reward_that_is_not_finite_ends_a_trial(ends: Path, bad: float) -> None:
    def broken() -> Any:
        return TransformReward(make_env(ENV), lambda reward: bad if float(reward) else float(reward))

    with pytest.raises(RunError, match=f"env 0 gave the reward {bad} at step 6"):
        try_policy(load_policy(ends, epsilon=0.0), broken, 40, 0, num_envs=2)


def test_a_solved_table_is_read_like_a_planner(ends: Path) -> None:
    mdp = load_mdp(ends)
    keys = mdp.transitions.keys
    table = SolvedTable(mdp.transitions, solve(mdp.transitions, DISCOUNT))
    np.testing.assert_allclose(table.q_values(keys), mdp.planner.q_values(keys), atol=0.01)
    np.testing.assert_array_equal(table.view()[2], mdp.transitions.counts)
    strange = ~keys[:1]
    assert np.isnan(table.q_values(strange)).all()
    assert not np.isnan(HammingLookup(table).q_values(strange).q).any(), "neighbours help out"
    wrong_keys: list[Any] = [keys.astype(np.int64), keys[:, 0], np.concatenate([keys, keys], axis=1)]
    for wrong in wrong_keys:
        with pytest.raises(UsageError, match="keys must be uint64"):
            table.q_values(wrong)
    other = Solution(np.zeros(2), np.zeros((2, 2)), 1)
    with pytest.raises(UsageError, match="solution must have shape"):
        SolvedTable(mdp.transitions, other)


def test_a_policy_acts_on_other_values(ends: Path) -> None:
    mdp = load_mdp(ends)
    policy = load_policy(ends, epsilon=0.0)
    new = SolvedTable(mdp.transitions, replan(mdp.transitions, -np.nan_to_num(mdp.transitions.mean_rewards), DISCOUNT))
    other = VastPolicy(policy.config, policy.encoder, new, 2, epsilon=0.0)
    observation, _ = make_env(ENV).reset(seed=0)
    assert [int(acting.predict(observation)[0]) for acting in (policy, other)] == [1, 0]


def test_the_learned_mdp_is_exported_with_its_exact_values(ends: Path, tmp_path: Path) -> None:
    before = contents(ends)
    written = export_run(ends, tmp_path / "mdp.npz")
    assert contents(ends) == before
    back = load(tmp_path / "mdp.npz")
    for name in ("keys", "counts", "reward_sums", "edge_source", "edge_target", "edge_count"):
        np.testing.assert_array_equal(getattr(back, name), getattr(written, name))
    with np.load(tmp_path / "mdp.npz", allow_pickle=False) as arrays:
        assert arrays["values"].min() == pytest.approx(DISCOUNT**6, abs=1e-6)
    assert export_run(ends, tmp_path / "mdp.graphml").num_states == 7
    with pytest.raises(UsageError, match="exists"):
        export_run(ends, tmp_path / "mdp.npz")
