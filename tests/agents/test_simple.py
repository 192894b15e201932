from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import rl_discrete
from rl_discrete.agents import simple
from rl_discrete.agents.algorithms import AgentSpec
from rl_discrete.agents.collecting import Explorer, hold_lengths, raise_entropy
from rl_discrete.agents.contest import Contest
from rl_discrete.agents.evaluation import evaluate
from rl_discrete.agents.model_agent import ModelAgent
from rl_discrete.agents.model_policy import ModelPolicy
from rl_discrete.agents.sb3_networks import weights_of
from rl_discrete.agents.sb3_state import Parts
from rl_discrete.agents.simple import train_simple
from rl_discrete.agents.simple_checks import resolve
from rl_discrete.agents.simple_config import (
    CollectionConfig,
    DiagnosisConfig,
    ScheduleConfig,
    SimpleConfig,
    collections,
)
from rl_discrete.agents.simple_run import blocks_of, total_imagined
from rl_discrete.agents.trained_agent import load_agent
from rl_discrete.cli.flags import layered, shipped
from rl_discrete.envs.encoded import EncodedPolicy
from rl_discrete.envs.episodes import EpisodeEnvs, StepResult
from rl_discrete.envs.model import WorldModelVectorEnv
from rl_discrete.envs.sb3 import VectorEnvToVecEnv
from rl_discrete.runs.errors import Interrupted
from rl_discrete.runs.metrics import read_metrics
from tests.agents.simple_worlds import SMALL, CoinLearner, FalseCoin, use
from tests.world_models.toy import SIDES, CoinEnv, CoinModel, CoinStarts

LENGTH = 20  # of a real episode, so its best return
ALGORITHMS = ("ppo", "a2c", "dqn", "qrdqn", "trpo", "recurrent_ppo")


@pytest.fixture(autouse=True)
def _coin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The learner of every run."""
    use(monkeypatch, CoinLearner)


def checkpoint(run: Path, name: str = "policy") -> dict[str, torch.Tensor]:
    latest = (run / "checkpoints" / "LATEST").read_text().strip()
    return load_file(run / "checkpoints" / latest / f"{name}.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def returns(run: Path, deterministic: bool = True) -> float:
    return evaluate(load_agent(run).policy, CoinEnv, 8, seed=1, deterministic=deterministic).mean


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def die() -> None:
    raise MemoryError("as if killed")


def happen_in(monkeypatch: pytest.MonkeyPatch, function: str, call: int, how: Any) -> None:
    """Makes `how` happen before a call of a function of the loop, counted from 1."""
    made, wrapped = [0], getattr(simple, function)

    def counted(*given: Any) -> Any:
        made[0] += 1
        if made[0] == call:
            how()
        return wrapped(*given)

    monkeypatch.setattr(simple, function, counted)


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_algorithm_learns_inside_what_it_then_does_outside(algo: str, tmp_path: Path) -> None:
    steps = 4096 if algo in ("a2c", "recurrent_ppo") else 2048
    schedule = replace(SMALL.schedule, iterations=1, imagined_steps=steps, block_steps=1024, last_steps=0)
    run = train_simple(replace(SMALL, algo=algo, schedule=schedule), tmp_path / "run")
    assert returns(run) > 0.9 * LENGTH
    chance = evaluate(rl_discrete.load(run), CoinEnv, 8, seed=1).mean if algo == "dqn" else LENGTH
    assert chance > 0.8 * LENGTH  # a little chance of its own leaves most of it


def test_what_a_false_model_pays_is_not_paid_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The control, and how a run shows that the model is exploited: its imagination is paid, the real env pays none."""

    class FalseLearner(CoinLearner):
        kind = FalseCoin

    use(monkeypatch, FalseLearner)
    schedule = replace(SMALL.schedule, iterations=2, imagined_steps=2048, block_steps=1024)
    run = train_simple(replace(SMALL, schedule=schedule), tmp_path / "run")
    assert returns(run) < 0.1 * LENGTH
    first, last = json.loads((run / "result.json").read_text())["iterations"]
    assert first["imagined"]["plus_per_1000"] > 900.0
    assert first["real"]["plus_per_1000"] < 100.0
    assert last["real"].keys() == {"plus_per_1000", "minus_per_1000"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that nobody disturbed. Not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        use(patch, CoinLearner)
        return {algo: train_simple(replace(SMALL, algo=algo), folder / algo) for algo in ALGORITHMS}


@pytest.mark.parametrize(
    ("algo", "function", "call", "how"),
    [
        ("ppo", "step_envs", 13, terminate),  # among the first real steps, where no checkpoint is due
        ("ppo", "step_envs", 13, die),
        ("ppo", "step_envs", 20, die),  # the last of them
        ("ppo", "step_envs", 25, terminate),  # among those of the agent
        ("ppo", "fit_world", 2, terminate),
        ("ppo", "learn_block", 2, terminate),
        ("ppo", "learn_block", 2, die),
        ("ppo", "learn_block", 4, die),
        ("ppo", "finish_training", 1, die),
        ("recurrent_ppo", "step_envs", 25, terminate),
        *((algo, "learn_block", 4, terminate) for algo in ALGORITHMS if algo != "ppo"),
        ("dqn", "step_envs", 25, die),
    ],
)
def test_a_resumed_run_is_the_same_bit_for_bit(
    algo: str,
    function: str,
    call: int,
    how: Any,
    whole: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, parts = replace(SMALL, algo=algo), tmp_path / "parts"
    with monkeypatch.context() as patch:
        happen_in(patch, function, call, how)
        with pytest.raises((Interrupted, MemoryError)):
            train_simple(config, parts)
    assert not (parts / "result.json").exists()
    train_simple(config, parts, resume=True)
    assert (parts / "metrics.jsonl").read_text() == (whole[algo] / "metrics.jsonl").read_text()
    for part in ("policy", "optimizer", "world"):
        assert same(checkpoint(parts, part), checkpoint(whole[algo], part))
    results = [json.loads((run / "result.json").read_text()) for run in (whole[algo], parts)]
    for name in ("windows", "iterations", "steps", "imagined_steps", "rollouts"):
        assert results[0][name] == results[1][name]
    assert [result["resumed"] for result in results] == [False, True]


def test_a_result_says_how_far_the_world_model_strays(whole: dict[str, Path], tmp_path: Path) -> None:
    result = json.loads((whole["ppo"] / "result.json").read_text())
    rollouts = result["rollouts"]
    assert rollouts["starts"] == SMALL.diagnosis.starts
    assert rollouts["count"][0] == SMALL.diagnosis.starts
    assert rollouts["reward"]["plus"]["recall"][0] == rollouts["reward"]["plus"]["precision"][0] == 1.0  # no chance yet
    assert 0.0 < rollouts["bit_error"][1] < 1.0  # the next throw is chance
    assert result["cross_check"] is None  # the model is none of codes
    [line] = [line for line in read_metrics(whole["ppo"] / "metrics.jsonl") if "rollouts/bit_error_1" in line]
    assert line["rollouts/reward_plus_recall_1"] == 1.0
    assert {"rollouts/reward_minus_precision_50", "rollouts/end_recall_15"} <= line.keys()
    none = train_simple(replace(SMALL, diagnosis=DiagnosisConfig(steps=0)), tmp_path / "none")
    assert json.loads((none / "result.json").read_text())["rollouts"] is None


def test_imagined_rewards_are_held_against_those_of_an_agent_that_does_not_explore(tmp_path: Path) -> None:
    """Half of the envs do nothing but explore: what they earn stays out of the comparison."""
    collection = CollectionConfig(epsilon=1.0, longest_hold=1, exploring_share=0.5, entropy_floor=0.0)
    schedule = replace(
        SMALL.schedule, iterations=1, imagined_steps=4096, block_steps=1024, first_steps=40, last_steps=120
    )
    run = train_simple(replace(SMALL, schedule=schedule, collection=collection), tmp_path / "run")
    result = json.loads((run / "result.json").read_text())
    assert result["iterations"][-1]["real"]["plus_per_1000"] > 900.0
    assert result["windows"][-1]["reward_per_step"] < 0.8


@pytest.mark.parametrize("fresh", [False, True])
def test_a_training_begins_with_an_agent_of_fresh_weights_or_goes_on(fresh: bool, tmp_path: Path) -> None:
    schedule = replace(SMALL.schedule, imagined_steps=4096, last_imagined_factor=1 / 32, fresh_agents=fresh)
    run = train_simple(replace(SMALL, schedule=schedule), tmp_path / "run")
    result = json.loads((run / "result.json").read_text())
    assert result["imagined_steps"] == 4096 + 128
    first, last = (iteration["imagined"]["plus_per_1000"] for iteration in result["iterations"])
    assert first > 900.0
    assert (last < 600.0) == fresh, last


def test_a_fit_is_left_at_once_and_begins_again(
    whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CoinLearner, "interrupt", terminate)
    with pytest.raises(Interrupted):
        train_simple(SMALL, tmp_path / "parts")
    monkeypatch.setattr(CoinLearner, "interrupt", None)
    train_simple(SMALL, tmp_path / "parts", resume=True)
    assert (tmp_path / "parts" / "metrics.jsonl").read_text() == (whole["ppo"] / "metrics.jsonl").read_text()


def test_another_seed_is_another_run(whole: dict[str, Path], tmp_path: Path) -> None:
    other = train_simple(replace(SMALL, seed=1), tmp_path / "run")
    assert (other / "metrics.jsonl").read_text() != (whole["ppo"] / "metrics.jsonl").read_text()
    assert not same(checkpoint(other), checkpoint(whole["ppo"]))


def test_real_steps_are_met_exactly_and_all_of_them_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, step = [0], EpisodeEnvs.step

    def counted(self: EpisodeEnvs, actions: Any) -> StepResult:
        taken[0] += len(actions)
        return step(self, actions)

    monkeypatch.setattr(EpisodeEnvs, "step", counted)
    run = train_simple(replace(SMALL, real_steps=172, diagnosis=DiagnosisConfig(steps=0)), tmp_path / "run")
    result = json.loads((run / "result.json").read_text())
    assert taken == [172]
    assert result["steps"] == 172
    assert [iteration["steps"] for iteration in result["iterations"]] == [80, 152]
    assert result["iterations"][1]["model"]["rows"] == 152 + 4 + 4 * (152 // 4 // LENGTH)  # with the first frames
    assert result["imagined_steps"] == 2 * 256


@pytest.mark.parametrize("iterations", [1, 2, 3, 9])
@pytest.mark.parametrize("real_steps", [0, 8, 64, 1000, 100_000])
@pytest.mark.parametrize(("first", "last"), [(10_000, 2000), (1, 0), (33, 7)])
def test_collections_add_up(iterations: int, real_steps: int, first: int, last: int) -> None:
    schedule = ScheduleConfig(iterations=iterations, first_steps=first, last_steps=last)
    plan = collections(SimpleConfig(real_steps=real_steps, num_envs=8, schedule=schedule))
    assert sum(plan) == real_steps
    assert len(plan) == iterations + 1
    assert all(number >= 0 and number % 8 == 0 for number in plan)
    assert plan[0] > 0 or real_steps == 0
    between = plan[1:-1]
    assert not between or max(between) - min(between) <= 8


def test_the_default_collections() -> None:
    assert collections(SimpleConfig()) == (10_000, *(17_600,) * 5, 2000)


def test_every_iteration_says_what_is_imagined_and_what_is_paid(whole: dict[str, Path]) -> None:
    lines = read_metrics(whole["ppo"] / "metrics.jsonl")
    result = json.loads((whole["ppo"] / "result.json").read_text())
    assert [line["step"] for line in lines if "model/rows" in line] == [80, 140]
    compared = [line for line in lines if "imagined/plus_of_real" in line]
    assert [line["step"] for line in compared] == [140, 160]
    for line, iteration in zip(compared, result["iterations"], strict=True):
        assert line["real/plus_per_1000"] == iteration["real"]["plus_per_1000"]
        ratio = iteration["imagined"]["plus_per_1000"] / iteration["real"]["plus_per_1000"]
        assert line["imagined/plus_of_real"] == pytest.approx(ratio)
        assert iteration["real"]["minus_per_1000"] == 0.0
    blocks = [line["block/imagined_steps"] for line in lines if "block/imagined_steps" in line]
    assert blocks == [128, 256, 384, 512]
    assert [window["step"] for window in result["windows"]] == [40, 80, 120, 140, 160]
    assert sum(window["reward_per_step"] * 40 for window in result["windows"][:3]) > 120 / SIDES / 2


def test_nothing_is_pickled_and_the_folder_is_that_of_every_run(whole: dict[str, Path]) -> None:
    run = whole["dqn"]
    files = [path for path in run.rglob("*") if path.is_file()]
    endings = {path.suffix for path in files if "tensorboard" not in path.parts}
    assert endings <= {".yaml", ".json", ".jsonl", ".safetensors", ".npz", ".bin", ""}
    for path in files:
        if path.suffix == ".npz":
            np.load(path, allow_pickle=False).close()


def test_the_trained_agent_and_its_world_come_back(whole: dict[str, Path]) -> None:
    policy = rl_discrete.load(whole["ppo"])
    assert isinstance(policy, EncodedPolicy)
    assert isinstance(policy.policy, ModelPolicy)
    assert same(weights_of(policy.policy.module), checkpoint(whole["ppo"]))
    model, starts = rl_discrete.load_world_model(whole["ppo"])
    assert isinstance(model, CoinModel)
    history = starts.draw(np.random.default_rng(0).random((5, 2)))
    assert history.frames.shape == (5, model.history_length, SIDES)
    older = sorted((whole["ppo"] / "checkpoints").glob("step-*"))[0]
    earlier = rl_discrete.load(whole["ppo"], checkpoint=older)
    assert not same(weights_of(policy.policy.module), weights_of(earlier.policy.module))
    agent = load_agent(whole["ppo"])
    assert (agent.name, agent.env, agent.step) == ("simple", SMALL.env, 160)


def test_gymnasium_makes_the_world_of_a_run(whole: dict[str, Path]) -> None:
    env = gymnasium.make("rl_discrete.envs:rl_discrete/WorldModel-v0", run=str(whole["ppo"]))
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    env.close()


def test_a_finished_world_is_found_from_any_directory(
    whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(whole["ppo"].parent)
    schedule = replace(SMALL.schedule, iterations=1, imagined_steps=128)
    config = replace(SMALL, real_steps=0, world_run=Path(whole["ppo"].name), schedule=schedule)
    run = train_simple(config, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert load_agent(run).env == SMALL.env


def test_without_real_steps_an_agent_learns_in_a_finished_world(whole: dict[str, Path], tmp_path: Path) -> None:
    schedule = replace(SMALL.schedule, iterations=1, imagined_steps=2048, block_steps=512)
    config = replace(SMALL, real_steps=0, world_run=whole["dqn"], schedule=schedule)
    before = {path: path.read_bytes() for path in whole["dqn"].rglob("*") if path.is_file()}
    run = train_simple(config, tmp_path / "run")
    assert returns(run) > 0.9 * LENGTH
    result = json.loads((run / "result.json").read_text())
    assert (result["steps"], result["imagined_steps"], result["windows"]) == (0, 2048, [])
    assert not (run / "replay").exists()
    assert {path: path.read_bytes() for path in before} == before
    other = replace(config, schedule=replace(schedule, imagined_steps=1024))
    undisturbed = train_simple(other, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        happen_in(patch, "learn_block", 2, die)
        with pytest.raises(MemoryError):
            train_simple(other, tmp_path / "parts")
    train_simple(other, tmp_path / "parts", resume=True)
    assert same(checkpoint(tmp_path / "parts"), checkpoint(undisturbed))


def test_in_a_finished_world_the_agent_goes_on_from_training_to_training(
    whole: dict[str, Path], tmp_path: Path
) -> None:
    schedule = replace(SMALL.schedule, imagined_steps=4096, last_imagined_factor=1 / 32)
    config = replace(SMALL, real_steps=0, world_run=whole["dqn"], schedule=schedule, diagnosis=DiagnosisConfig(steps=0))
    undisturbed = train_simple(config, tmp_path / "whole")
    result = json.loads((undisturbed / "result.json").read_text())
    assert result["imagined_steps"] == 4096 + 128
    first, last = (iteration["imagined"]["plus_per_1000"] for iteration in result["iterations"])
    assert min(first, last) > 900.0  # one of fresh weights would have had no time to learn
    with pytest.MonkeyPatch.context() as patch:
        happen_in(patch, "learn_block", 33, die)
        with pytest.raises(MemoryError):
            train_simple(config, tmp_path / "parts")
    train_simple(config, tmp_path / "parts", resume=True)
    assert same(checkpoint(tmp_path / "parts"), checkpoint(undisturbed))


@pytest.mark.parametrize("best", [0, 1, 2])
def test_the_last_training_keeps_the_best_paid_of_its_agents(
    best: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finished: list[dict[str, torch.Tensor]] = []
    add = Contest.add

    def told(contest: Contest, paid: float, rates: dict[str, float], parts: Parts) -> None:
        finished.append({name: value.clone() for name, value in parts.tensors["policy"].items()})
        add(contest, 1.0 if len(contest) == best else 0.0, rates, parts)

    monkeypatch.setattr(Contest, "add", told)
    config = replace(SMALL, schedule=replace(SMALL.schedule, last_agents=3))
    run = train_simple(config, tmp_path / "run")
    assert len(finished) == SMALL.schedule.iterations + 2
    last = finished[-3:]
    assert not same(last[0], last[1])
    assert not same(last[1], last[2])
    assert same(checkpoint(run), last[best])
    result = json.loads((run / "result.json").read_text())
    assert result["iterations"][-1]["imagined"] == result["iterations"][-1]["agents"][best]
    lengths = [blocks_of(config, training) for training in range(SMALL.schedule.iterations)]
    assert result["imagined_steps"] == (sum(lengths) + 2 * lengths[-1]) * SMALL.schedule.block_steps


@pytest.mark.parametrize("block", [2, 3, 4])
def test_a_run_killed_among_the_last_agents_goes_on_as_if_it_had_not_been(block: int, tmp_path: Path) -> None:
    schedule = replace(SMALL.schedule, iterations=1, last_agents=2, imagined_steps=2048, block_steps=1024)
    imagination = replace(SMALL.imagination, checkpoint_every=1024)
    config = replace(SMALL, schedule=schedule, imagination=imagination)
    undisturbed = train_simple(config, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        happen_in(patch, "learn_block", block, die)
        with pytest.raises(MemoryError):
            train_simple(config, tmp_path / "parts")
    train_simple(config, tmp_path / "parts", resume=True)
    assert same(checkpoint(tmp_path / "parts"), checkpoint(undisturbed))


def test_the_last_training_follows_the_length_of_the_others() -> None:
    schedule = ScheduleConfig(iterations=3, imagined_steps=1000, last_imagined_factor=2.5, block_steps=200)
    config = SimpleConfig(schedule=schedule)
    assert [blocks_of(config, training) for training in range(3)] == [5, 5, 13]
    assert total_imagined(config) == 4500


def test_the_agent_of_the_full_size_profile_can_be_made() -> None:
    config = resolve(layered(SimpleConfig, [shipped("simple", "paper")]))
    inside = WorldModelVectorEnv(CoinModel(), CoinStarts(), config.imagination.num_envs, autoreset_mode="SameStep")
    envs, arguments = VectorEnvToVecEnv(inside), config.policy.arguments["ppo"]
    agent = ModelAgent(config.algo, envs, config.policy.hidden, arguments, 800, lambda *_: None)
    (group,) = agent.model.policy.optimizer.param_groups
    assert (tuple(group["betas"]), group["eps"], group["lr"]) == ((0.85, 0.997), 1e-6, 1e-4)
    agent.enter(envs, 0, refitted=False)
    assert np.isfinite(list(agent.advance().values())).all()
    spec = AgentSpec.from_json(json.loads(json.dumps(agent.spec.to_json())))
    assert same(
        weights_of(ModelPolicy.restore(spec, weights_of(agent.policy.module)).module), agent.parts().tensors["policy"]
    )


def test_an_explorer_acts_at_random_as_often_and_as_long_as_it_is_told() -> None:
    explorer, share = Explorer(1000, 4, seed=0), 0.3
    greedy, none = np.eye(4)[np.zeros(1000, np.int64)], np.zeros(1000, np.bool_)
    drawn = np.stack([explorer.choose(greedy, none, share, 0.0, 20) for _ in range(250)])[50:]
    assert np.mean(drawn != 0) == pytest.approx(share * 3 / 4, abs=0.01)
    mean = (hold_lengths(20) * np.arange(1, 21)).sum()
    kept = np.mean(drawn[1:][drawn[:-1] == 1] == 1)
    assert kept == pytest.approx(1 - 1 / mean + share / (share + mean * (1 - share)) / 4 / mean, abs=0.01)
    alone = np.stack([explorer.choose(greedy, none, share, 0.0, 1) for _ in range(120)])[20:]
    assert np.mean(alone[1:][alone[:-1] == 1] == 1) == pytest.approx(share / 4, abs=0.01)
    assert (explorer.choose(greedy, none, 0.0, 0.0, 20) == 0).all()
    held = explorer.choose(greedy, none, 1.0, 0.0, 1000)
    left = explorer.state()[1]["left"]
    assert np.mean(left == 0) == pytest.approx(hold_lengths(1000)[0], abs=0.05)
    assert (explorer.choose(greedy, none, 1.0, 0.0, 1000) == held)[left > 0].all()
    assert (explorer.choose(greedy, ~none, 1.0, 0.0, 1000) != held).mean() > 0.5  # not across an episode's start
    exploring = np.arange(1000) < 500
    assert (explorer.choose(greedy, none, 1.0, 0.0, 1000, exploring)[500:] == 0).all()  # what was held is let go
    explorer = Explorer(1000, 4, seed=0)
    parted = np.stack([explorer.choose(greedy, none, share, 0.5, 20, exploring) for _ in range(50)])
    assert (parted[:, 500:] == 0).all()
    assert (parted[:, :500] != 0).any()


def test_the_lengths_of_random_actions_follow_a_power_law_that_is_cut() -> None:
    lengths = hold_lengths(80)
    assert lengths.sum() == pytest.approx(1.0)
    assert lengths[[1, 3, 7]] / lengths[[0, 1, 3]] == pytest.approx(0.25)
    explorer, nobody = Explorer(20_000, 3, seed=1), np.full((20_000, 3), 1 / 3)
    explorer.choose(nobody, np.zeros(20_000, np.bool_), 1.0, 0.0, 80)
    left = explorer.state()[1]["left"]
    assert left.max() < 80
    assert np.mean(left >= 40) == pytest.approx(lengths[40:].sum(), abs=0.003)


def test_entropy_is_raised_to_the_floor_and_no_further() -> None:
    sure = np.array([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.4, 0.3, 0.3]])
    raised = raise_entropy(sure, 0.5)
    entropy = -(raised * np.log(raised)).sum(axis=1)
    assert entropy[:2] == pytest.approx(0.5 * np.log(3), abs=1e-6)
    assert np.array_equal(raised[2], sure[2])
    assert raised.sum(axis=1) == pytest.approx(1.0)
    assert (raised.argmax(axis=1) == 0).all()
    assert np.array_equal(raise_entropy(sure, 0.0), sure)
    assert raise_entropy(sure, 1.0) == pytest.approx(np.full((3, 3), 1 / 3), abs=1e-5)


def test_evaluating_does_not_depend_on_how_many_envs_there_are(whole: dict[str, Path]) -> None:
    policies = [load_agent(whole["recurrent_ppo"]).policy for _ in range(2)]
    scores = [
        evaluate(policy, partial(CoinEnv, length=7), 5, seed=2, num_envs=envs, deterministic=True).returns
        for policy, envs in zip(policies, (1, 5), strict=True)
    ]
    assert scores[0] == scores[1]
