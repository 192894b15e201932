"""Three pixel grid worlds: four rooms, a key and a door, a stochastic wind."""

from __future__ import annotations

from rl_discrete.envs.grid_world import GridWorld, Image, Outcomes, State


class GridFourRooms(GridWorld):
    """Four rooms joined by four doorways (after Sutton, Precup and Singh 1999), starting anywhere.

    The state is (row, column).
    """

    layout = (
        ".....#....",
        ".....#....",
        "..........",
        ".....#....",
        ".....#....",
        "#.######.#",
        ".....#....",
        ".....#....",
        "..........",
        ".....#...G",
    )

    def start_states(self) -> list[State]:
        return self.find(".")

    def outcomes(self, state: State, action: int) -> Outcomes:
        return [(1.0, self.moved(state, action))]


class GridKeyDoor(GridWorld):
    """The goal lies behind a door that opens for whoever holds the key; episodes start on the key's side.

    The state is (row, column, whether the key is held). Stepping on the key takes it; the picture then shows no
    key and an open door, so an observation tells the whole state.
    """

    layout = (
        "....#...",
        ".K..#...",
        "....#...",
        "....D...",
        "....#...",
        "....#.G.",
        "....#...",
        "....#...",
    )
    key = (1, 1)
    door = (3, 4)

    def start_states(self) -> list[State]:
        return [(*cell, 0) for cell in self.find(".") if cell[1] < self.door[1]]

    def outcomes(self, state: State, action: int) -> Outcomes:
        cell = self.moved(state, action, closed="#" if state[2] else "#D")
        return [(1.0, (*cell, int(state[2] or cell == self.key)))]

    def scene(self, state: State) -> Image:
        tiles = super().scene(state)
        if state[2]:
            for cell, shown in ((self.key, "."), (self.door, "O")):
                if cell != state[:2]:
                    tiles[cell] = ord(shown)
        return tiles


class GridWind(GridWorld):
    """A crosswind pushes upwards in the middle columns (Sutton and Barto, example 6.5 and exercise 6.10).

    After the move the agent drifts by the strength of the wind in the column it left, one tile less or more
    with probability 1/3 each; without wind there is no drift. Episodes start anywhere. The state is (row, column).
    """

    layout = (
        "...111221.",
        "...111221.",
        "...111221.",
        "...1112G1.",
        "...111221.",
        "...111221.",
        "...111221.",
        "...111221.",
        "...111221.",
        "...111221.",
    )

    def start_states(self) -> list[State]:
        return self.find(".12")

    def outcomes(self, state: State, action: int) -> Outcomes:
        row, column = self.moved(state, action)
        shown = self.layout[0][state[1]]  # the goal hides the wind of its own tile
        if not shown.isdigit():
            return [(1.0, (row, column))]
        drifts = [int(shown) + change for change in (-1, 0, 1)]
        return [(1 / 3, (max(row - drift, 0), column)) for drift in drifts]
