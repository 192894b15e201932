from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rl_discrete.agents.sb3_networks import push_frame
from rl_discrete.data.replay import Replay
from rl_discrete.envs.frame_stack import FrameStack
from rl_discrete.runs.errors import UsageError
from tests.agents.corridor_env import CorridorEnv


def test_newest_frame_first_and_zeros_before_the_start() -> None:
    env = FrameStack(CorridorEnv(length=5), 3)
    single = CorridorEnv(length=5)
    frames = [single.reset(seed=4)[0]]
    assert np.array_equal(env.reset(seed=4)[0], np.concatenate([frames[0], np.zeros(10, np.float32)]))
    for _ in range(3):
        frames.append(single.step(np.int64(0))[0])
        stack = env.step(np.int64(0))[0]
    assert np.array_equal(stack, np.concatenate(frames[:0:-1]))
    assert np.array_equal(env.reset(seed=4)[0], np.concatenate([frames[0], np.zeros(10, np.float32)]))
    assert stack.any()
    assert env.observation_space.shape == (15,)


def test_images_are_stacked_along_their_channels() -> None:
    env = FrameStack(CorridorEnv(kind="image"), 4)
    assert env.observation_space == gymnasium.spaces.Box(0, 255, (4, 8, 8), np.uint8)
    first, _ = env.reset(seed=0)
    assert first[0].any()
    assert not first[1:].any()


@pytest.mark.parametrize("depth", [1, 3])
def test_the_stack_is_the_one_that_a_replay_rebuilds_and_a_policy_joins(depth: int, tmp_path: Path) -> None:
    env, single = FrameStack(CorridorEnv(kind="image"), depth), CorridorEnv(kind="image")
    replay = Replay(tmp_path, (1, 8, 8), depth, 1, 1_000_000)
    joined = None
    for seed in range(3):
        stack, frame = env.reset(seed=seed)[0], single.reset(seed=seed)[0]
        for step in range(5):
            ended = step == 4
            row = replay.append(frame[None], [0], [0.0], [ended], [False], [step == 0])
            joined = push_frame(frame[None], joined, np.array([step == 0]), depth)
            assert np.array_equal(replay.observations(row)[0], stack)
            assert np.array_equal(joined[0], stack)
            action = np.int64((step + seed) % 2)
            stack, frame = env.step(action)[0], single.step(action)[0]


def test_bounds_leave_room_for_the_zeros() -> None:
    class Far(CorridorEnv):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = gymnasium.spaces.Box(1.0, 2.0, (6,), np.float32)

    space = FrameStack(Far(), 2).observation_space
    assert isinstance(space, gymnasium.spaces.Box)
    assert space.low.tolist() == [1.0] * 6 + [0.0] * 6
    assert space.high.tolist() == [2.0] * 12


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version")  # that is the point
def test_gymnasium_finds_no_fault() -> None:
    check_env(FrameStack(CorridorEnv(kind="image"), 2), skip_render_check=True)


def test_what_cannot_be_stacked() -> None:
    with pytest.raises(UsageError, match="frame_stack must be >= 1, got 0"):
        FrameStack(CorridorEnv(), 0)
    with pytest.raises(UsageError, match=r"only arrays can be stacked, got Discrete"):
        FrameStack(gymnasium.make("FrozenLake-v1"), 2)
