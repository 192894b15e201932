from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.agents.evaluation import Evaluation, Policy, State, evaluate
from rl_discrete.agents.video import write_video
from rl_discrete.envs.chw import AnyEnv
from rl_discrete.envs.episodes import EpisodeEnvs
from rl_discrete.runs.errors import RunError, UsageError
from tests.agents.corridor_env import GOAL, LEFT, RIGHT, STEP, CorridorEnv


class Constant:
    """Always the same action; remembers what it was shown."""

    def __init__(self, action: int) -> None:
        self.action = action
        self.batches: list[tuple[NDArray[Any], NDArray[np.bool_], State, bool]] = []

    def predict(
        self,
        observation: NDArray[Any],
        state: State = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], State]:
        assert episode_start is not None
        self.batches.append((observation.copy(), episode_start.copy(), state, deterministic))
        return np.full(len(observation), self.action), (np.array(len(self.batches)),)


class Recorder:
    """Makes envs and keeps them."""

    def __init__(self, make: Callable[[], CorridorEnv] = CorridorEnv) -> None:
        self.make, self.made = make, list[CorridorEnv]()

    def __call__(self) -> CorridorEnv:
        self.made.append(self.make())
        return self.made[-1]


def starts_of(made: list[CorridorEnv], length: int = 6) -> list[int]:
    """The cells at which the episodes of these envs started, each env's own ones in order."""
    return [int(np.random.Generator(np.random.PCG64(seed)).integers(length - 1)) for env in made for seed in seeds(env)]


def seeds(env: CorridorEnv) -> list[int]:
    return [seed for seed in env.seeds if seed is not None]


def test_returns_and_lengths_of_a_known_policy() -> None:
    result = evaluate(Constant(RIGHT), CorridorEnv, episodes=40, seed=0, num_envs=3)
    assert len(result.returns) == 40
    assert set(result.lengths) == {1, 2, 3, 4, 5}  # every start occurs
    assert result.ends == ("terminated",) * 40
    assert result.returns == pytest.approx([GOAL + STEP * length for length in result.lengths])
    assert result.mean == pytest.approx(np.mean(result.returns))
    assert result.reward_per_step == pytest.approx(np.sum(result.returns) / np.sum(result.lengths))
    worse = evaluate(Constant(LEFT), CorridorEnv, episodes=40, seed=0)  # the control
    assert worse.ends == ("truncated",) * 40
    assert worse.mean == pytest.approx(30 * STEP)
    assert worse.interval[1] < result.interval[0]


@pytest.mark.parametrize("num_envs", [1, 2, 7, 50])
def test_the_number_of_parallel_envs_changes_nothing(num_envs: int) -> None:
    made = Recorder()
    result = evaluate(Constant(RIGHT), made, episodes=20, seed=3, num_envs=num_envs)
    assert result == evaluate(Constant(RIGHT), CorridorEnv, episodes=20, seed=3, num_envs=4)
    assert result != evaluate(Constant(RIGHT), CorridorEnv, episodes=20, seed=4, num_envs=4)
    assert len(made.made) == min(num_envs, 20)
    assert all(env.closed for env in made.made)


def test_every_episode_has_its_seed_and_none_is_a_training_seed() -> None:
    made, trained = Recorder(), Recorder()
    evaluate(Constant(RIGHT), made, episodes=60, seed=0, num_envs=5)
    envs = EpisodeEnvs(trained, num_envs=5, seed=0)
    for _ in range(12):
        envs.reset_all()
    used = [seed for env in made.made for seed in seeds(env)]
    assert len(set(used)) == len(used) == 60
    assert not set(used) & {seed for env in trained.made for seed in seeds(env)}
    assert starts_of(made.made)  # and they are what decides where an episode starts
    assert None not in [seed for env in made.made for seed in env.seeds]


def test_the_policy_sees_starts_and_gets_its_state_back() -> None:
    policy = Constant(RIGHT)
    evaluate(policy, partial(CorridorEnv, length=3), episodes=5, seed=0, num_envs=2, deterministic=True)
    assert policy.batches[0][1].tolist() == [True, True]
    assert policy.batches[0][2] is None
    assert [int(state[0]) for *_, state, _ in policy.batches[1:] if state] == list(range(1, len(policy.batches)))
    assert sum(int(starts.sum()) for _, starts, *_ in policy.batches) == 5
    assert all(deterministic for *_, deterministic in policy.batches)
    assert {observation.shape for observation, *_ in policy.batches} == {(2, 3)}


def test_capped_episodes_are_counted_and_keep_their_return_so_far() -> None:
    result = evaluate(Constant(LEFT), CorridorEnv, episodes=4, seed=0, max_steps=10)
    assert (result.ends, result.num_capped) == (("capped",) * 4, 4)
    assert result.lengths == (10,) * 4
    assert result.returns == pytest.approx([10 * STEP] * 4)
    mixed = evaluate(Constant(RIGHT), CorridorEnv, episodes=30, seed=0, max_steps=2)
    assert mixed.num_capped == sum(end != "terminated" for end in mixed.ends)
    assert 0 < mixed.num_capped < 30
    assert evaluate(Constant(LEFT), CorridorEnv, episodes=2, seed=0, max_steps=30).num_capped == 0


def test_statistics_of_known_returns() -> None:
    result = Evaluation(0, (1.0, 2.0, 6.0), (1, 2, 3), ("terminated", "truncated", "capped"))
    assert (result.mean, result.median, result.num_capped) == (3.0, 2.0, 1)
    assert result.std == pytest.approx(np.std([1, 2, 6], ddof=1))
    assert result.reward_per_step == 1.5
    low, high = result.interval
    assert 1.0 <= low < 3.0 < high <= 6.0
    plain = json.loads(json.dumps(result.to_json()))
    assert (plain["interval"], plain["capped"], plain["returns"]) == ([low, high], 1, [1.0, 2.0, 6.0])
    single = Evaluation(0, (2.0,), (1,), ("terminated",))
    assert (single.std, single.interval) == (0.0, (2.0, 2.0))


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for trial in range(40):
        returns = tuple(generator.normal(size=30).tolist())
        low, high = Evaluation(trial, returns, (1,) * 30, ("terminated",) * 30).interval
        held += low <= 0.0 <= high
    assert 34 <= held <= 40


def test_progress_is_reported() -> None:
    counts: list[int] = []
    evaluate(Constant(RIGHT), CorridorEnv, episodes=6, seed=0, num_envs=2, report=counts.append)
    assert counts == [1, 2, 3, 4, 5, 6]


def test_videos_of_the_first_episodes(tmp_path: Path) -> None:
    made = Recorder(partial(CorridorEnv, render_mode="rgb_array"))
    result = evaluate(Constant(RIGHT), made, 6, 0, num_envs=3, videos=tmp_path / "videos", num_videos=2)
    assert sorted(path.name for path in (tmp_path / "videos").iterdir()) == ["episode-000.webp", "episode-001.webp"]
    for number in range(2):
        _, animation = cv2.imreadanimation(str(tmp_path / "videos" / f"episode-{number:03d}.webp"))
        assert len(animation.frames) == result.lengths[number] + 1
        agent = [int(frame[0, :, 2].argmax()) // 8 for frame in animation.frames]  # BGR
        assert agent == list(range(5 - result.lengths[number], 6))


def test_a_video_is_lossless_and_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    frames = list(np.random.default_rng(0).integers(256, size=(4, 30, 20, 3), dtype=np.uint8))
    write_video(tmp_path / "a.webp", frames[:1], 10)
    write_video(tmp_path / "a.webp", frames, 10)
    _, animation = cv2.imreadanimation(str(tmp_path / "a.webp"))
    assert np.array_equal(np.stack(animation.frames)[..., 2::-1], np.stack(frames))
    assert list(animation.durations) == [100] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["a.webp"]
    write_video(tmp_path / "grey.webp", [frame[..., 0] for frame in frames], 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"episodes": 0}, "episodes must be >= 1, got 0"),
        ({"num_envs": 0}, "num_envs must be >= 1, got 0"),
        ({"max_steps": 0}, "max_steps must be >= 1, got 0"),
        ({"seed": -1}, "seed and num_videos must be >= 0, got -1"),
        ({"videos": Path("v")}, 'an env made with render_mode="rgb_array"'),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    made = Recorder()
    with pytest.raises(UsageError, match=message):
        evaluate(Constant(RIGHT), made, **{"episodes": 2, "seed": 0, **arguments})
    assert all(env.closed for env in made.made)


def test_a_reward_that_is_not_finite_is_a_fault_of_the_env() -> None:
    class Broken(CorridorEnv):
        def step(self, action: np.int64) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
            return *super().step(action)[:1], float("nan"), False, False, {}

    with pytest.raises(RunError, match="episode 0 got the reward nan at step 0: mend the env"):
        evaluate(Constant(RIGHT), Broken, episodes=1, seed=0)


@pytest.mark.parametrize(
    ("name", "frames", "fps", "message"),
    [
        ("a.mp4", [np.zeros((4, 4, 3), np.uint8)], 10, r"a video is named \*\.webp"),
        ("a.webp", [np.zeros((4, 4, 3), np.uint8)], 0, r"fps must be in \(0, 1000\], got 0"),
        ("a.webp", [], 10, "all alike, got none"),
        ("a.webp", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)], 10, "all alike"),
        ("a.webp", [np.zeros((4, 4, 3), np.float32)], 10, "frames must be uint8"),
    ],
)
def test_what_is_no_video(tmp_path: Path, name: str, frames: list[Any], fps: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_video(tmp_path / name, frames, fps)
    assert list(tmp_path.iterdir()) == []


def test_these_are_policies_and_envs() -> None:
    policy: Policy = Constant(LEFT)
    env: AnyEnv = CorridorEnv()
    assert policy.predict(env.reset(seed=0)[0][None], None, np.array([True]))[0].tolist() == [LEFT]
