from __future__ import annotations

import json
import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file

from rl_discrete.agents.baseline_config import BaselineConfig, DQNConfig, PPOConfig
from rl_discrete.agents.baseline_run import BaselineRun
from rl_discrete.agents.baselines import load_baseline, train_baseline
from rl_discrete.agents.disk_buffer import DiskBuffer
from rl_discrete.agents.evaluation import evaluate
from rl_discrete.agents.sb3_policy import Sb3Policy
from rl_discrete.agents.training_curve import TrainingCurve
from rl_discrete.data.replay import Replay
from rl_discrete.runs.errors import Interrupted
from rl_discrete.runs.metrics import read_metrics
from rl_discrete.runs.torch_threads import torch_threads
from tests.agents.corridor_env import GOAL, STEP, CorridorEnv

SMALL = BaselineConfig(
    env="Corridor-v0",
    steps=256,
    num_envs=4,
    window=64,
    checkpoint_every=64,
    hidden=(16,),
    ppo=PPOConfig(rollout_steps=8, batch_size=32, epochs=2, learning_rate=3e-3),
    dqn=DQNConfig(burn_in=50, batch_size=8, target_every=40, exploration_share=0.8, replay_bytes=100_000),
)
IMAGES = replace(SMALL, env_kwargs={"kind": "image"}, frame_stack=2)
AGENTS = {
    "ppo": ("ppo", SMALL),
    "dqn": ("dqn", SMALL),
    "random": ("random", SMALL),
    "ppo-images": ("ppo", IMAGES),
    "dqn-images": ("dqn", IMAGES),
}


def checkpoint(run: Path, name: str = "policy") -> dict[str, torch.Tensor]:
    latest = (run / "checkpoints" / "LATEST").read_text().strip()
    return load_file(run / "checkpoints" / latest / f"{name}.safetensors")


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def stop_after(monkeypatch: pytest.MonkeyPatch, rounds: int, how: Any) -> None:
    """Makes `how` happen in the round after so many."""
    made, advance = [0], BaselineRun.advance

    def counted(self: BaselineRun) -> None:
        made[0] += 1
        if made[0] == rounds:
            how()
        advance(self)

    monkeypatch.setattr(BaselineRun, "advance", counted)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def die() -> None:
    raise MemoryError("as if killed")


def test_ppo_learns_what_chance_does_not(tmp_path: Path) -> None:
    config = replace(
        SMALL,
        steps=2048,
        window=512,
        checkpoint_every=2048,
        ppo=PPOConfig(rollout_steps=64, batch_size=128, learning_rate=2e-2, epochs=4),
    )
    run = train_baseline("ppo", config, tmp_path / "ppo")
    chance = train_baseline("random", config, tmp_path / "random")
    optimal = GOAL + STEP * 3  # on average three steps lead to the goal
    learned = evaluate(load_baseline(run), CorridorEnv, episodes=60, seed=1)
    control = evaluate(load_baseline(chance), CorridorEnv, episodes=60, seed=1)
    assert learned.mean > optimal - 0.1
    assert control.mean < optimal - 0.4
    curve = json.loads((run / "result.json").read_text())["windows"]
    assert [line["step"] for line in curve] == list(range(512, 2049, 512))
    assert curve[-1]["reward_per_step"] > 5 * max(curve[0]["reward_per_step"], 0.01)
    assert curve[-1]["episode/return"] > optimal - 0.2
    assert all("loss/policy_gradient" in line for line in curve[1:])


def test_dqn_learns_too(tmp_path: Path) -> None:
    dqn = DQNConfig(
        learning_rate=5e-3, burn_in=200, steps_per_update=4, target_every=100, exploration_share=0.5, batch_size=32
    )
    config = replace(SMALL, steps=1600, window=400, dqn=dqn, checkpoint_every=1600)
    run = train_baseline("dqn", config, tmp_path / "dqn")
    learned = evaluate(load_baseline(run), CorridorEnv, episodes=60, seed=1)
    assert learned.mean > GOAL + STEP * 3 - 0.15


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that nobody disturbed. Not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    return {name: train_baseline(agent, config, folder / name) for name, (agent, config) in AGENTS.items()}


@pytest.mark.parametrize("name", ["ppo", "dqn", "random"])
def test_another_seed_is_another_run(name: str, whole: dict[str, Path], tmp_path: Path) -> None:
    agent, config = AGENTS[name]
    other = train_baseline(agent, replace(config, seed=1), tmp_path / "run")
    assert (other / "metrics.jsonl").read_text() != (whole[name] / "metrics.jsonl").read_text()
    if agent != "random":
        assert not same_weights(checkpoint(other), checkpoint(whole[name]))


@pytest.mark.parametrize(
    ("name", "how"), [*((name, terminate) for name in AGENTS), ("ppo", die), ("dqn-images", die), ("random", die)]
)
def test_a_resumed_run_is_the_same_bit_for_bit(
    name: str, how: Any, whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, config = AGENTS[name]
    parts = tmp_path / "parts"
    with monkeypatch.context() as patch:
        # In the fifth rollout of PPO, or at 104 steps of the others, where no checkpoint is due.
        stop_after(patch, 5 if agent == "ppo" else 26, how)
        with pytest.raises((Interrupted, MemoryError)):
            train_baseline(agent, config, parts)
    assert not (parts / "result.json").exists()
    train_baseline(agent, config, parts, resume=True)
    assert (parts / "metrics.jsonl").read_text() == (whole[name] / "metrics.jsonl").read_text()
    if agent != "random":
        for part in ("policy", "optimizer"):
            assert same_weights(checkpoint(parts, part), checkpoint(whole[name], part))
    results = [json.loads((run / "result.json").read_text()) for run in (whole[name], parts)]
    assert results[0]["windows"] == results[1]["windows"]
    assert [result["resumed"] for result in results] == [False, True]


def test_a_finished_run_that_is_resumed_stays_as_it_was(tmp_path: Path) -> None:
    """Its last line ends a window that is not over; it must not be written twice."""
    config = replace(SMALL, steps=128, window=50)
    run = train_baseline("random", config, tmp_path / "run")
    lines = (run / "metrics.jsonl").read_text()
    train_baseline("random", config, run, resume=True)
    assert (run / "metrics.jsonl").read_text() == lines


def test_a_finished_run_can_go_on(tmp_path: Path) -> None:
    run = train_baseline("ppo", replace(SMALL, steps=128), tmp_path / "run")
    train_baseline("ppo", replace(SMALL, steps=256), run, resume=True)
    result = json.loads((run / "result.json").read_text())
    assert (result["steps"], result["resumed"]) == (256, True)
    assert [line["step"] for line in result["windows"]] == [64, 128, 192, 256]


@pytest.mark.parametrize("name", ["ppo-images", "dqn-images", "ppo"])
def test_the_loaded_agent_is_the_one_that_was_saved(name: str, whole: dict[str, Path]) -> None:
    policy = load_baseline(whole[name])
    assert isinstance(policy, Sb3Policy)
    assert same_weights(policy.weights(), checkpoint(whole[name]))
    assert policy.spec.frame_stack == (2 if "images" in name else 1)
    result = evaluate(policy, partial(CorridorEnv, **AGENTS[name][1].env_kwargs), episodes=3, seed=0)
    assert len(result.returns) == 3
    older = sorted((whole[name] / "checkpoints").glob("step-*"))[0]
    assert isinstance(earlier := load_baseline(whole[name], checkpoint=older), Sb3Policy)
    assert not same_weights(policy.weights(), earlier.weights())


def test_nothing_is_pickled_and_the_folder_is_that_of_every_run(whole: dict[str, Path]) -> None:
    run = whole["dqn-images"]
    files = [path for path in run.rglob("*") if path.is_file()]
    endings = {path.suffix for path in files if "tensorboard" not in path.parts}
    assert endings <= {".yaml", ".json", ".jsonl", ".safetensors", ".npz", ".bin", ""}
    assert {path.name for path in files if path.suffix == ""} == {".lock", "LATEST"}
    for path in files:
        if path.suffix == ".npz":
            np.load(path, allow_pickle=False).close()
    result = json.loads((run / "result.json").read_text())
    assert (result["agent"], result["env"], result["seed"], result["steps"]) == ("dqn", "Corridor-v0", 0, 256)
    assert result["windows"] == read_metrics(run / "metrics.jsonl")


def test_the_global_generators_are_given_back(tmp_path: Path) -> None:
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    expected = random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    train_baseline("dqn", SMALL, tmp_path / "run")
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected  # noqa: NPY002


def test_the_curve_sums_up_windows_of_known_steps() -> None:
    lines: list[tuple[int, dict[str, float]]] = []
    curve = TrainingCurve(2, 4, lambda step, values: lines.append((step, values)))
    no, first = np.zeros(2, np.bool_), np.array([True, False])
    curve.add(np.array([1.0, 2.0]), no, no)
    meta, arrays = curve.state()
    curve.add_losses({"total": 3.0})
    curve.add(np.array([3.0, -1.0]), first, no)
    assert lines == [
        (
            4,
            {
                "reward_per_step": 1.25,
                "ends/plus": 1,
                "ends/minus": 0,
                "ends/zero": 0,
                "ends/cut": 0,
                "ends/plus_share": 1.0,
                "episode/return": 4.0,
                "episode/length": 2.0,
                "loss/total": 3.0,
            },
        )
    ]
    curve.add(np.array([5.0, -1.0]), no, ~first)
    curve.finish()
    curve.finish()
    assert [step for step, _ in lines] == [4, 6]
    assert (lines[1][1]["ends/cut"], lines[1][1]["episode/return"]) == (1, 0.0)
    resumed = TrainingCurve(2, 4, lambda step, values: lines.append((step, values)))
    resumed.load_state(json.loads(json.dumps(meta)), arrays, np.array([False, True]))
    resumed.add(np.array([3.0, -1.0]), ~no, no)
    assert lines[2][1]["episode/return"] == pytest.approx((4.0 - 1.0) / 2)  # the second had to begin again


def test_the_disk_buffer_gives_back_the_transitions_it_was_given(tmp_path: Path) -> None:
    replay = Replay(tmp_path, (1, 4, 4), 2, num_envs=2, capacity_bytes=10_000)
    space = spaces.Box(0, 255, (2, 4, 4), np.uint8)
    buffer = DiskBuffer(replay, space, spaces.Discrete(9), seed=0)
    value, given = 0, {}
    stacks = np.zeros((2, 2, 4, 4), np.uint8)
    starting = np.ones(2, np.bool_)
    for step in range(12):
        for env in np.flatnonzero(starting).tolist():
            value += 1
            stacks[env] = 0
            stacks[env, 0] = value
        following = np.stack([np.stack([np.full((4, 4), value + 1 + env, np.uint8), stacks[env, 0]]) for env in (0, 1)])
        value += 2
        dones = np.array([step % 4 == 3, step % 5 == 4])
        infos = [{"TimeLimit.truncated": False}, {"TimeLimit.truncated": bool(dones[1])}]
        actions, rewards = np.array([step % 9, 8 - step % 9]), np.array([step, -step], np.float32)
        buffer.add(stacks, following, actions, rewards, dones, infos)
        for env in (0, 1):
            key = int(following[env, 0, 0, 0])
            ended = bool(dones[env]) and env == 0  # the other env's episodes are cut: its last observation has a value
            given[key] = (stacks[env].copy(), actions[env], following[env].copy(), ended, rewards[env])
        stacks, starting = following.copy(), dones
    seen = set()
    for _ in range(30):
        batch = buffer.sample(16)
        for index in range(len(batch.actions)):
            key = int(batch.next_observations[index, 0, 0, 0])
            previous, action, current, ended, reward = given[key]
            assert np.array_equal(batch.observations[index], previous)
            assert np.array_equal(batch.next_observations[index], current)
            assert (batch.actions[index].item(), batch.rewards[index].item()) == (action, reward)
            assert batch.dones[index].item() == float(ended)
            seen.add(key)
    assert seen == given.keys()


def test_denormal_numbers_are_zero_as_long_as_something_trains() -> None:
    def halved() -> float:
        return float(torch.tensor([1e-40]) * 0.5)

    with torch_threads(1), ThreadPoolExecutor(1) as pool:
        assert halved() == pool.submit(halved).result() == 0.0
    assert halved() > 0.0
