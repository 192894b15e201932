"""A dot on a line, moved by actions, with a codec that is exact: a world whose every next code is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.data.replay import Replay
from rl_discrete.world_models.code import CodeWorldModel
from rl_discrete.world_models.code_dynamics import CodeDynamics
from rl_discrete.world_models.code_fit import fit_dynamics
from rl_discrete.world_models.coded_replay import CodedReplay
from rl_discrete.world_models.config import DynamicsConfig, DynamicsFitConfig
from rl_discrete.world_models.held_out import HeldOut

CELLS = 6
MOVES = np.array([0, -1, 1])
"""Of each action."""
SMALL: dict[str, Any] = {"hidden": 48, "outcome_hidden": 16, "history": 2, "recurrent": 0, "temperature": 0.0}


class BitsCodec:
    """Frames float32 (N, L) of zeros and ones are their own codes."""

    num_categories = 2

    def __init__(self, num_latents: int = CELLS) -> None:
        self.num_latents = num_latents
        self.frame_shape: tuple[int, ...] = (num_latents,)
        self.groups: tuple[int, ...] = (num_latents,)

    def encode(self, frames: NDArray[Any]) -> NDArray[np.uint8]:
        return (frames > 0.5).astype(np.uint8)

    def encode_soft(self, frames: NDArray[Any]) -> NDArray[np.float32]:
        return np.where(frames > 0.5, 0.9, 0.1).astype(np.float32)

    def decode(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        return codes.astype(np.float32)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {}, {}


def line_step(cells: NDArray[np.int64], actions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where the dots are next, and the rewards: 1 for a dot that bumps into the right end, -1 for the left end."""
    wanted = cells + MOVES[actions]
    return wanted.clip(0, CELLS - 1), (wanted >= CELLS).astype(np.float64) - (wanted < 0)


def line_replay(folder: Path, steps: int = 400, num_envs: int = 4, noise_bits: int = 0, seed: int = 0) -> Replay:
    """Random steps of dots, episodes cut after 25; `noise_bits` of each frame are coins thrown anew."""
    replay = Replay(folder, (CELLS + noise_bits,), 1, num_envs, 2**22, np.float32)
    generator = np.random.default_rng(seed)
    cells = generator.integers(CELLS, size=num_envs)
    rewards, actions, age = np.zeros(num_envs), np.zeros(num_envs, np.int64), 25
    for _ in range(steps):
        starts = np.full(num_envs, age == 25)
        if age == 25:
            cells, age = generator.integers(CELLS, size=num_envs), 0
        else:
            actions = generator.integers(len(MOVES), size=num_envs)
            cells, rewards = line_step(cells, actions)
            age += 1
        coins = generator.random((num_envs, noise_bits)) < 0.5
        frames = np.concatenate((np.eye(CELLS)[cells], coins), 1).astype(np.float32)
        replay.append(frames, actions, rewards, np.zeros(num_envs, np.bool_), np.full(num_envs, age == 25), starts)
    return replay


def code_replay(replay: Replay, num_latents: int = CELLS, share: float = 0.1, soft: bool = False) -> CodedReplay:
    """A replay coded by `BitsCodec`."""
    return CodedReplay.of(replay, BitsCodec(num_latents), HeldOut(share, 16, replay.layout.num_envs), soft)


def fitted(
    coded: CodedReplay,
    config: DynamicsConfig,
    updates: int = 250,
    seed: int = 0,
    num_actions: int = len(MOVES),
    **fit: Any,
) -> CodeDynamics:
    """A dynamics fitted to a replay with small batches."""
    dynamics = CodeDynamics(coded.codes.shape[1], num_actions, "signs", config, seed)
    settings = DynamicsFitConfig(**{"batch_size": 64, "unroll": 2, "learning_rate": 4e-3, "warmup_steps": 10, **fit})
    fit_dynamics(dynamics, coded, settings, updates, seed, lambda what, share: None)
    return dynamics


def share_right(model: CodeWorldModel, noise_bits: int = 0) -> float:
    """Share of all 18 cells and actions for which the imagined next cell is the true one."""
    cells, actions = (grid.ravel() for grid in np.meshgrid(np.arange(CELLS), np.arange(len(MOVES))))
    length = model.history_length
    coins = np.random.default_rng(0).random((len(cells), length, noise_bits)) < 0.5
    dots = np.repeat(np.eye(CELLS)[cells][:, None], length, axis=1)  # stood still before
    codes = np.concatenate((dots, coins), 2).astype(np.uint8)
    state = model.begin(codes, np.zeros((len(cells), length), np.int64), np.ones((len(cells), length), np.bool_))
    step = model.step(state, actions, np.full((len(cells), model.noise_dim), 0.5, np.float32))
    found = model.codes(step.state)[:, :CELLS]
    return float((found == np.eye(CELLS)[line_step(cells, actions)[0]]).all(1).mean())
