"""What the Doom mazes share: pixels in, three actions out, rewards from the player's position.

After the environments of Corneil, Gerstner and Brea 2018 (see `rl_discrete.envs.doom`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, TypeAlias, cast, get_args

import cv2
import gymnasium
import numpy as np
from numpy.typing import NDArray

from rl_discrete.envs.doom_engine import FORWARD, LEFT, DoomEngine, Pose
from rl_discrete.envs.doom_mazes import Area, Maze
from rl_discrete.envs.doom_pilot import Pilot
from rl_discrete.runs.errors import UsageError

Image: TypeAlias = NDArray[np.uint8]
Observation: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]
Controls: TypeAlias = Literal["fast", "native"]
Observed: TypeAlias = Literal["frames", "cells"]

OBSERVATION_SHAPE = (60, 80, 3)
"""Height, width, colours (RGB): the engine's picture, averaged over 2 x 2 pixels."""

ACTIONS = ("forward", "left", "right")

_WALK = 6  # tics of a step forward, fast controls
_TURN = 30.0  # degrees of a turn, fast controls
_SKIP = 4  # tics of any action, native controls
_CELL = 40.0  # map units along either side of a cell of the floor; a turn is a cell of the heading
_CELLS = 1000.0  # no maze reaches so many of them from its origin


class DoomMaze(gymnasium.Env[Observation, np.int64]):
    """One maze of Doom.

    Observations are uint8 `OBSERVATION_SHAPE` (but see `observe`); actions are those of `ACTIONS`, in order. An episode
    starts at a random place with a random heading and ten random actions, and ends where the maze says so; in the
    T-maze the start is always the same. An episode's seed decides all of it: the same seed and the same actions show
    the same frames.

    `reset(options={"state": (x, y, degrees)})` starts an episode exactly there, without random actions.

    Args:
        controls: "fast": a turn is exactly 30 degrees and takes 2 tics (of 35 in a second of the game), a step
            forward takes 6 and walks 14 map units from rest, up to 50 in full run. "native": every action holds
            its button down for 4 tics; turns and steps accelerate, as in the game.
        max_steps: an episode is truncated after so many; None: never.
        render_mode: "rgb_array" or None.
        observe: "frames": pixels. "cells": float32 (3,), the squares of 40 map units in x and y and the 30 degrees in
            which the player stands: what codes would be that knew the pose, a control for those that are learned.

    Raises:
        UsageError: a setting outside its range, vizdoom not installed, a state outside the maze.
        RunError: the engine does not start, or has died.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 6}  # noqa: RUF012  # as gymnasium declares it
    maze: ClassVar[Maze]

    def __init__(
        self,
        controls: Controls = "fast",
        max_steps: int | None = None,
        render_mode: str | None = None,
        observe: Observed = "frames",
    ) -> None:
        check_choice("controls", controls, get_args(Controls))
        check_choice("render_mode", render_mode, (None, "rgb_array"))
        check_choice("observe", observe, get_args(Observed))
        if max_steps is not None and max_steps < 1:
            raise UsageError(f"max_steps must be >= 1 or none at all, got {max_steps}")
        self.render_mode = render_mode
        frames = gymnasium.spaces.Box(0, 255, OBSERVATION_SHAPE, np.uint8)
        cells = gymnasium.spaces.Box(-_CELLS, _CELLS, (3,), np.float32)
        self.observation_space = cast("gymnasium.Space[Observation]", frames if observe == "frames" else cells)
        self.action_space = gymnasium.spaces.Discrete(len(ACTIONS))
        self._fast, self._observe = controls == "fast", observe
        self._max_steps = max_steps
        self._steps = 0
        self._over = True
        self._heading = 0.0
        self._forced_next = False
        self._pilot: Pilot | None = None
        self._forced_action: int | None = None
        self._engine = DoomEngine(self.maze.maps)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self._over, self._steps, self._pilot, self._forced_action = True, 0, None, None
        forced_start = self.maze.forced_start if self._forced_next else None
        if options and "state" in options:
            self._place(self._checked(options["state"]))
        elif forced_start is not None:
            self._place(forced_start)
            self._pilot = Pilot(self.maze.forced_run)
            self._forced_action = self._pilot.action(self._engine.pose)
        else:
            self._place(self._drawn_start())
            while not self._wander():
                self._place(self._drawn_start())
        self._over = self._forced_next = False
        return self._observation(), {}

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        if not 0 <= action < len(ACTIONS):
            raise UsageError(f"action must be 0 (forward), 1 (left) or 2 (right), got {action}")
        if self._over:
            raise UsageError("no episode is going on: call reset")
        self._move(int(action))
        self._steps += 1
        pose = self._engine.pose
        end = _area(self.maze.ends, pose)
        reward = self.maze.living_reward if end is None else self.end_reward(end)
        hazard = _area(self.maze.hazards, pose)
        if hazard is not None and self.np_random.random() < self.maze.hazard_rate:
            reward += hazard.reward
        terminated = end is not None
        truncated = not terminated and self._steps == self._max_steps
        self._over = terminated or truncated
        if self._pilot is not None:
            self._forced_action = None if self._over else self._pilot.action(pose)
        return self._observation(), reward, terminated, truncated, {}

    def render(self) -> Image | None:
        """The engine's picture, (120, 160, 3); None without a render mode."""
        return self._engine.frame.copy() if self.render_mode else None

    def close(self) -> None:
        self._engine.close()

    def diagnostic_state(self) -> NDArray[np.float64]:
        """The player's x and y in map units and heading in degrees, (3,), for diagnostics only."""
        return np.array(self._engine.pose)

    def end_reward(self, end: Area) -> float:
        """The reward of an episode that ends in this area."""
        return end.reward

    def schedule_forced_run(self) -> None:
        """Let the next episode begin where the forced run does; `forced_action` then says how it goes on.

        Raises:
            UsageError: the task has no forced run.
        """
        if self.maze.forced_start is None:
            raise UsageError(f"{type(self).__name__} has no forced run: DoomTMaze and DoomHMaze have one")
        self._forced_next = True

    def forced_action(self) -> int | None:
        """The next action of the forced run; None when it is over, or this episode is none."""
        return self._forced_action

    def _drawn_start(self) -> Pose:
        x, y = self.maze.starts[int(self.np_random.integers(len(self.maze.starts)))]
        return Pose(x, y, self.maze.headings[int(self.np_random.integers(len(self.maze.headings)))])

    def _map_name(self) -> str:
        return self.maze.maps[0].name

    def _place(self, pose: Pose) -> None:
        self._engine.restart(self._map_name())
        self._engine.place(pose)
        self._heading = pose.angle

    def _wander(self) -> bool:
        """The random actions at an episode's start; whether it is still going on after them."""
        for action in self.np_random.integers(len(ACTIONS), size=self.maze.start_actions):
            self._move(int(action))
            if _area(self.maze.ends, self._engine.pose) is not None:
                return False
        return True

    def _move(self, action: int) -> None:
        if not self._fast:
            self._engine.press(action, _SKIP)
        elif action == FORWARD:
            self._engine.press(FORWARD, _WALK)
        else:
            # Engine headings are rounded: turning to where the player should look never adds the errors up.
            self._heading = (self._heading + (_TURN if action == LEFT else -_TURN)) % 360.0
            self._engine.turn(self._heading - self._engine.pose.angle)

    def _observation(self) -> Observation:
        if self._observe == "cells":
            x, y, angle = self._engine.pose
            return np.array([x // _CELL, y // _CELL, round(angle / _TURN) % (360 // _TURN)], np.float32)
        height, width, _ = OBSERVATION_SHAPE
        return np.asarray(cv2.resize(self._engine.frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    def _checked(self, state: Iterable[float]) -> Pose:
        try:
            x, y, angle = (float(value) for value in state)
        except (TypeError, ValueError):
            raise UsageError(f"a state must be x, y and degrees, got {state!r}") from None
        if not self.maze.maps[0].contains((x, y)):
            raise UsageError(f"no episode can stand at x {x}, y {y}: that lies outside the maze")
        return Pose(x, y, angle % 360.0)


def _area(areas: Iterable[Area], pose: Pose) -> Area | None:
    return next((area for area in areas if area.contains(pose)), None)


def check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raise a UsageError unless the value is allowed."""
    if value not in allowed:
        raise UsageError(f"{name} must be one of {', '.join(map(str, allowed))}, got {value}")
