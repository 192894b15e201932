"""Five Doom mazes as environments, and the experiments that change a maze during a run.

After Corneil, Gerstner and Brea, "Efficient Model-Based Deep Reinforcement Learning with Variational State
Tabulation", 2018 (arXiv 1802.04325): tasks, geometry and rewards. Our departures: fast controls by default, exact
headings at an episode's start, barriers that cannot be seen, and a teleporter worked by this module, not the engine.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from rl_discrete.envs import doom_mazes
from rl_discrete.envs.doom_engine import Pose
from rl_discrete.envs.doom_env import Controls, DoomMaze, Observed, check_choice
from rl_discrete.envs.doom_mazes import Area
from rl_discrete.runs.errors import UsageError

Arm: TypeAlias = Literal["left", "right", "both"]


class DoomPlusMaze(DoomMaze):
    """Four arms: the ends of the east and the west arm pay 1, those of the north and the south cost 1.

    Args:
        reversed: the other way round.
    """

    maze = doom_mazes.PLUS

    def __init__(
        self,
        controls: Controls = "fast",
        max_steps: int | None = None,
        render_mode: str | None = None,
        observe: Observed = "frames",
        reversed: bool = False,  # noqa: A002  # the word for it
    ) -> None:
        super().__init__(controls, max_steps, render_mode, observe)
        self.reversed = reversed
        """May be set at any time."""

    def reverse_rewards(self) -> None:
        """Swap the arms that pay and those that cost, from the next step on. Nothing tells the agent."""
        self.reversed = not self.reversed

    def end_reward(self, end: Area) -> float:
        return -end.reward if self.reversed else end.reward


class DoomTMaze(DoomMaze):
    """A hall with a stem, whose foot pays 1; every other step costs 0.01. The right arm is cut off until it opens.

    Args:
        passage: the barrier is gone.
        start: the arm in which episodes start: "left" (from where the foot can always be reached), "right", "both".
    """

    maze = doom_mazes.T_MAZE

    def __init__(
        self,
        controls: Controls = "fast",
        max_steps: int | None = None,
        render_mode: str | None = None,
        observe: Observed = "frames",
        passage: bool = False,
        start: Arm = "left",
    ) -> None:
        super().__init__(controls, max_steps, render_mode, observe)
        self.passage = passage
        """May be set at any time; in force from the next episode on."""
        self.start_in(start)

    def open_passage(self) -> None:
        """Take the barrier away, from the next episode on."""
        self.passage = True

    def schedule_forced_run(self) -> None:
        """As in every maze; the passage must be open by then.

        Raises:
            UsageError: it is closed.
        """
        if not self.passage:
            raise UsageError("the forced run leads through the passage: call open_passage() first")
        super().schedule_forced_run()

    def start_in(self, arm: Arm) -> None:
        """Where episodes start from the next one on."""
        check_choice("start", arm, get_args(Arm))
        self._arm = arm

    def _map_name(self) -> str:
        return self.maze.maps[int(self.passage)].name

    def _drawn_start(self) -> Pose:
        left, right = super()._drawn_start(), self.maze.forced_start
        if right is None or self._arm == "left":
            return left
        return right if self._arm == "right" or self.np_random.random() < 0.5 else left


class DoomHMaze(DoomMaze):
    """A long way from a room in the north-west to the north end of the east hall, which pays 1.

    The south end of the east hall costs 1, every other step 0.01.

    Args:
        teleporter: the south end of the west hall leads to the east hall, near the goal.
    """

    maze = doom_mazes.H_MAZE

    def __init__(
        self,
        controls: Controls = "fast",
        max_steps: int | None = None,
        render_mode: str | None = None,
        observe: Observed = "frames",
        teleporter: bool = False,
    ) -> None:
        super().__init__(controls, max_steps, render_mode, observe)
        self.teleporter = teleporter
        """May be set at any time."""

    def open_teleporter(self) -> None:
        """Let the teleporter work, from the next step on."""
        self.teleporter = True

    def schedule_forced_run(self) -> None:
        """As in every maze; the teleporter must work by then.

        Raises:
            UsageError: it does not.
        """
        if not self.teleporter:
            raise UsageError("the forced run leads through the teleporter: call open_teleporter() first")
        super().schedule_forced_run()

    def _move(self, action: int) -> None:
        super()._move(action)
        teleporter = self.maze.teleporter
        if self.teleporter and teleporter is not None and teleporter.area.contains(self._engine.pose):
            self._heading = (self._heading + teleporter.turn) % 360.0
            self._engine.place(teleporter.exit(self._engine.pose))
            if self._pilot is not None:
                self._pilot.skip()


class DoomHall(DoomMaze):
    """A spiral from the outer ring to the centre, which pays 1; every other step costs 0.01."""

    maze = doom_mazes.HALL


class DoomHallHazard(DoomMaze):
    """The same with six squares, not to be seen, in which a step costs 1 more with probability 0.25."""

    maze = doom_mazes.HALL_HAZARD
