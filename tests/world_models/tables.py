"""A ring of rooms whose keys are their numbers, as a table, as an encoder and as frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.encoders.fixed import FixedEncoder
from rl_discrete.encoders.observations import Observations, check_observations
from rl_discrete.latents.codes import Codes, Keys
from rl_discrete.mdp.tabular import TabularMDP
from rl_discrete.mdp.transitions import Transitions

ROOMS = 12
SLIP = 0.25
"""Probability that a step leads nowhere."""


class RoomEncoder(FixedEncoder):
    """Bits of the number in the newest frame, which is a vector of one."""

    def __init__(self, stack: int = 1) -> None:
        super().__init__(num_latents=5, num_categories=2)
        self._stack = stack

    def codes(self, observations: Observations) -> Codes:
        check_observations(observations, (self._stack,))
        return observations[:, :1].astype(np.int64) >> np.arange(5) & 1

    def decode(self, keys: Keys) -> NDArray[np.uint8]:
        return np.broadcast_to(keys.astype(np.uint8)[:, :, None, None], (len(keys), 1, 4, 4)).copy()

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        assert not state

    def frozen_copy(self) -> RoomEncoder:
        return RoomEncoder(self._stack)


def ring(steps: int = 4000, seed: int = 0) -> Transitions:
    """Right (0) and left (1) around the ring, with slips; right from the last room pays 1 and ends the episode."""
    rng = np.random.default_rng(seed)
    rooms, actions, slips = rng.integers(ROOMS, size=steps), rng.integers(2, size=steps), rng.random(steps) < SLIP
    following = np.where(slips, rooms, (rooms + np.where(actions, -1, 1)) % ROOMS)
    ends = (rooms == ROOMS - 1) & (actions == 0) & ~slips
    table = TabularMDP(num_actions=2)
    table.add_many(keys_of(rooms), actions, ends.astype(float), keys_of(following), ends)
    return table.transitions()


def keys_of(rooms: NDArray[np.int64]) -> Keys:
    return rooms.astype(np.uint64)[:, None]


def frames_of(rooms: NDArray[np.int64]) -> NDArray[np.float32]:
    """(N, 1)"""
    return rooms.astype(np.float32)[:, None]
