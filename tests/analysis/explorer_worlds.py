"""Tables for the explorer, made without an agent: a square room, and a long random walk through thousands of codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rl_discrete.analysis.explorer_data import Moment
from rl_discrete.analysis.explorer_frames import Frames, pack_frames
from rl_discrete.mdp.solve import solve
from rl_discrete.mdp.transitions import Transitions
from tests.mdp.random_transitions import transitions_of

RED, GREEN = (220, 60, 50), (40, 160, 80)
MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))  # right, down, left, up
DISCOUNT = 0.95
ABOUT = {"run": "example", "env": "room", "encoder": "ish", "seed": 0, "discount": DISCOUNT, "checkpoints": 3}


def key_of(cell: int) -> int:
    """The key of a cell: any bijection will do."""
    return cell * 0x9E3779B1 % 2**32


def room(step: int, steps: int, side: int = 8, frames: bool = True, seed: int = 0) -> Moment:
    """What a random walk of `steps` learns of a room; the last cell ends the episode with reward 1.

    One move in ten slips: it leads nowhere.
    """
    rng = np.random.default_rng(seed)
    visits: list[tuple[int, int, float, int]] = []
    seen: dict[int, int] = {}

    def number(cell: int) -> int:
        return seen.setdefault(cell, len(seen))

    cell = 0
    for _ in range(steps):
        action = int(rng.integers(4))
        row, column = divmod(cell, side)
        down, right = MOVES[action] if rng.random() > 0.1 else (0, 0)
        following = min(max(row + down, 0), side - 1) * side + min(max(column + right, 0), side - 1)
        ended = following == side * side - 1
        visits.append((number(cell), action, float(ended), -1 if ended else number(following)))
        cell = 0 if ended else following
    cells = np.array(list(seen), np.int64)
    keys = np.array([[key_of(cell)] for cell in seen], np.uint64)
    moment = _moment(step, transitions_of(visits, keys, 4))
    if not frames:
        return moment
    pictures = _pictures(cells, side)
    return Moment(step, moment.transitions, moment.values, moment.q_values, (pictures,))


def long_walk(step: int, num_codes: int, key_words: int = 1, seed: int = 0) -> Moment:
    """A walk over a ragged surface: three of four steps lead to a neighbour, a few to anywhere that was seen."""
    rng = np.random.default_rng(seed)
    width = int(np.ceil(np.sqrt(2 * num_codes)))
    noise = rng.random(num_codes)
    visits = []
    for node in range(num_codes):
        for action in range(4):
            if rng.random() < 0.25:
                continue
            shift = (1, width, -1, -width)[action]
            target = node + shift
            if not 0 <= target < num_codes or noise[target] < 0.2:
                target = node
            for _ in range(int(rng.geometric(0.2 if noise[node] > 0.9 else 0.6))):
                visits.append((node, action, float(node == num_codes // 3), target))
    words = [[key_of(node + 1) * (word + 1) for word in range(key_words)] for node in range(num_codes)]
    keys = np.array(words, np.uint64)
    return _moment(step, transitions_of(visits, keys, 4))


def _moment(step: int, transitions: Transitions) -> Moment:
    solution = solve(transitions, DISCOUNT, 1e-6)
    return Moment(step, transitions, solution.values, solution.q_values)


def _pictures(cells: NDArray[np.int64], side: int) -> Frames:
    """The room from above, 32 pixels wide, with the cell in red."""
    size = 32 // side * side
    images = np.full((len(cells), 3, size, size), 40, np.uint8)
    tile = size // side
    for image, cell in zip(images, cells, strict=True):
        row, column = divmod(int(cell), side)
        image[:, -tile:, -tile:] = np.array(GREEN).reshape(3, 1, 1)
        image[:, row * tile : (row + 1) * tile, column * tile : (column + 1) * tile] = np.array(RED).reshape(3, 1, 1)
    return pack_frames("decoded", images, np.arange(len(cells)), len(cells))
