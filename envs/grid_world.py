"""What the pixel grid worlds share: a map of tiles, its pictures, and the exact MDP behind them.

Small enough that a table can hold every state and that exact planning gives the optimum, yet seen only as images.
The agent is a red tile. Reaching the green goal tile pays 1 and ends the episode; nothing else pays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import gymnasium
import numpy as np
import numpy.typing as npt

from rl_discrete.runs.errors import UsageError

Image: TypeAlias = npt.NDArray[np.uint8]
State: TypeAlias = tuple[int, ...]  # (row, column), and whatever else an episode depends on
Outcomes: TypeAlias = list[tuple[float, State]]  # probability and state of every possible successor

ACTIONS = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
MOVES = tuple(ACTIONS.values())
SIDE = 40  # pixels: observations are 40 x 40, so that an encoder is fast on a laptop
RENDERED_SIDE = 320  # and rendered frames are larger
COLOURS = {
    ".": (20, 20, 28),  # floor
    "#": (120, 120, 130),  # wall
    "G": (40, 200, 80),  # goal
    "K": (240, 210, 40),  # key
    "D": (170, 90, 30),  # door, closed
    "O": (60, 36, 20),  # door, open
    "1": (28, 48, 92),  # floor of a column with wind
    "2": (40, 84, 160),  # and with strong wind
    "@": (230, 60, 50),  # agent
}
PALETTE = np.zeros((128, 3), np.uint8)
for _tile, _colour in COLOURS.items():
    PALETTE[ord(_tile)] = _colour


@dataclass(frozen=True)
class TrueMDP:
    """What a grid world does, exactly: S states that can be reached, A actions."""

    states: npt.NDArray[np.int64]
    """(S, k): row s is what `diagnostic_state` returns in state s; in ascending order."""
    transitions: npt.NDArray[np.float64]
    """(S, A, S): probability of each successor. Rows of terminal states are zero, so that their value is 0."""
    rewards: npt.NDArray[np.float64]
    """(S, A, S): reward of each possible move, 0 where impossible."""
    terminals: npt.NDArray[np.bool_]
    """(S,): an episode ends on entering the state."""
    starts: npt.NDArray[np.float64]
    """(S,): probability that an episode starts there."""

    @property
    def mean_rewards(self) -> npt.NDArray[np.float64]:
        """(S, A): expected reward."""
        mean: npt.NDArray[np.float64] = (self.transitions * self.rewards).sum(axis=2)
        return mean


class GridWorld(gymnasium.Env[Image, np.int64], ABC):
    """A map of tiles, one of which is the agent's.

    Observations are uint8 RGB images (3, 40, 40); actions are those of `ACTIONS`, in order. Walking into a wall or
    off the map leaves the agent where it is. `reset(options={"state": (row, column, ...)})` starts an episode
    there. Episodes have no limit of their own: the registered ids set one.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 8}  # noqa: RUF012  # as gymnasium declares it
    layout: ClassVar[tuple[str, ...]]
    """A square map, one character of `COLOURS` a tile, one of them the goal; 40 is a multiple of its side."""

    def __init__(self, render_mode: str | None = None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise UsageError(f"render_mode must be rgb_array or none at all, got {render_mode!r}")
        self.render_mode = render_mode
        self._tiles = np.array([list(row.encode()) for row in self.layout], np.uint8)  # (rows, columns) of characters
        self.goal = self.find("G")[0]
        self._starts = self.start_states()
        self._state = self._starts[0]
        self._reachable = self._find_reachable()
        self._pictures: dict[State, Image] = {}
        self.observation_space = gymnasium.spaces.Box(0, 255, (3, SIDE, SIDE), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(len(MOVES))

    @abstractmethod
    def start_states(self) -> list[State]:
        """States in which an episode may start, each as likely as the others."""

    @abstractmethod
    def outcomes(self, state: State, action: int) -> Outcomes:
        """Every possible successor of `state`, which is no goal, with its probability."""

    def scene(self, state: State) -> Image:
        """The characters (rows, columns) of the tiles seen in `state`."""
        tiles = self._tiles.copy()
        tiles[state[0], state[1]] = ord("@")
        return tiles

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Image, dict[str, Any]]:
        super().reset(seed=seed)
        self._state = self._starts[int(self.np_random.integers(len(self._starts)))]
        if options and "state" in options:
            wanted = tuple(int(number) for number in options["state"])
            if wanted not in self._reachable or self._is_goal(wanted):
                raise UsageError(f"no episode can stand in state {wanted}; true_mdp().states lists those that can be")
            self._state = wanted
        return self._observation(), {}

    def step(self, action: np.int64 | int) -> tuple[Image, float, bool, bool, dict[str, Any]]:
        if not 0 <= action < len(MOVES):
            raise UsageError(f"action must be between 0 and {len(MOVES) - 1}, got {action}")
        if self._is_goal(self._state):
            raise UsageError("the episode has ended at the goal: call reset")
        self._state = _drawn(self.outcomes(self._state, int(action)), self.np_random)
        terminated = self._is_goal(self._state)
        return self._observation(), float(terminated), terminated, False, {}

    def render(self) -> Image | None:
        """The same picture, larger, as (H, W, 3); None without a render mode."""
        return _painted(self.scene(self._state), RENDERED_SIDE) if self.render_mode else None

    def diagnostic_state(self) -> npt.NDArray[np.int64]:
        """The true state (k,), for diagnostics only: row and column, then what the subclass adds."""
        return np.array(self._state, np.int64)

    def true_mdp(self) -> TrueMDP:
        """The exact MDP of every state that an episode can reach."""
        states = sorted(self._reachable)
        index = {state: number for number, state in enumerate(states)}
        transitions = np.zeros((len(states), len(MOVES), len(states)))
        terminals = np.array([self._is_goal(state) for state in states])
        for state, number in index.items():
            for action in range(len(MOVES)) if not terminals[number] else ():
                for probability, following in self.outcomes(state, action):
                    transitions[number, action, index[following]] += probability
        rewards = np.where((transitions > 0) & terminals, 1.0, 0.0)
        starts = np.zeros(len(states))
        starts[[index[state] for state in self._starts]] = 1.0 / len(self._starts)
        return TrueMDP(np.array(states, np.int64), transitions, rewards, terminals, starts)

    def find(self, characters: str) -> list[State]:
        """Cells (row, column) of the map that show any of these characters, row by row."""
        rows, columns = np.nonzero(np.isin(self._tiles, list(characters.encode())))
        return list(zip(rows.tolist(), columns.tolist(), strict=True))

    def moved(self, cell: State, action: int, closed: Iterable[str] = "#") -> State:
        """The cell after a move, the same one where a tile of `closed` or the edge of the map is in the way."""
        row, column = cell[0] + MOVES[action][0], cell[1] + MOVES[action][1]
        inside = 0 <= row < self._tiles.shape[0] and 0 <= column < self._tiles.shape[1]
        return (row, column) if inside and chr(self._tiles[row, column]) not in closed else (cell[0], cell[1])

    def _find_reachable(self) -> set[State]:
        """Every state that an episode can reach."""
        found, front = set(self._starts), list(self._starts)
        while front:
            state = front.pop()
            for action in range(len(MOVES)) if not self._is_goal(state) else ():
                new = {following for _, following in self.outcomes(state, action)} - found
                found |= new
                front += new
        return found

    def _is_goal(self, state: State) -> bool:
        return state[:2] == self.goal

    def _observation(self) -> Image:
        picture = self._pictures.get(self._state)
        if picture is None:
            picture = np.ascontiguousarray(_painted(self.scene(self._state), SIDE).transpose(2, 0, 1))  # (3, H, W)
            self._pictures[self._state] = picture
        return picture.copy()


def _drawn(outcomes: Outcomes, generator: np.random.Generator) -> State:
    """One of the outcomes; a certain one costs no random number."""
    if len(outcomes) > 1:
        left = generator.random()
        for probability, state in outcomes:
            left -= probability
            if left < 0.0:
                return state
    return outcomes[-1][1]


def _painted(scene: Image, side: int) -> Image:
    """Tiles as a square RGB picture (side, side, 3)."""
    tile = side // len(scene)
    return PALETTE[scene].repeat(tile, axis=0).repeat(tile, axis=1)
