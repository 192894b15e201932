"""A game inside a world model: every frame is imagined, and a person or a script chooses the actions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.panels import Panel, side_by_side
from rl_discrete.envs.noise import NoiseStreams
from rl_discrete.runs.config import nearest
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.seeding import derive_seed
from rl_discrete.world_models.base import WorldModel
from rl_discrete.world_models.starts import Starts

RANDOM = "random"
_DIRECTIONS = ("UP", "DOWN", "LEFT", "RIGHT", "FIRE")


class Window(Protocol):
    """Where a person sees a game and presses keys."""

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture (H, W, 3), and wait until it is time for the next."""

    def keys(self) -> frozenset[str] | None:
        """The keys that are down, `UP`, `DOWN`, `LEFT`, `RIGHT`, `FIRE`, `R` and `0` to `9`; None once it is closed."""

    def close(self) -> None:
        """Take it away."""


class ImaginedGame:
    """Games in a world model, one after the other, from real frames drawn anew for each.

    Args:
        model: the world model.
        starts: where games start.
        seed: decides starts and noise, >= 0.

    Attributes:
        steps: imagined steps of this game.
        total: rewards of this game.
        over: how this game ended by the model's word; empty while it goes on.
        finished: totals of the games before.
    """

    def __init__(self, model: WorldModel[Any], starts: Starts, seed: int) -> None:
        self.model, self.starts = model, starts
        self._noise = NoiseStreams(model.noise_dim, [(derive_seed(seed, "play"), 0)])
        self.steps, self.total, self.over = 0, 0.0, ""
        self.finished: list[float] = []
        self._state = self._draw()

    def restart(self) -> None:
        """The next game."""
        self.finished.append(self.total)
        self._state = self._draw()
        self.steps, self.total, self.over = 0, 0.0, ""

    def step(self, action: int) -> None:
        """One imagined step; after an end, the next game."""
        if self.over:
            self.restart()
            return
        taken = self.model.step(self._state, np.array([action]), self._noise.for_step())
        self._state, self.steps, self.total = taken.state, self.steps + 1, self.total + float(taken.reward[0])
        self.over = "the end" if taken.terminated[0] else "in doubt" if taken.doubtful[0] else ""

    def picture(self, action: str = "") -> NDArray[np.uint8]:
        """What is imagined now, with the score, (H, W, 3).

        Raises:
            UsageError: the model shows no pictures.
        """
        rendered = self.model.render(self._state)
        if rendered is None:
            raise UsageError("this world model shows no pictures: it cannot be played")
        title = f"step {self.steps} {action}"
        return side_by_side([Panel(rendered[0], title, f"reward {self.total:g} {self.over}", None, bool(self.over))])

    def _draw(self) -> Any:
        return self.model.reset(self.starts.draw(self._noise.for_episodes(np.array([True]))))


def play_script(game: ImaginedGame, actions: Sequence[int], names: Sequence[str]) -> list[NDArray[np.uint8]]:
    """Plays the actions one after the other; a picture (H, W, 3) of the start and of each step."""
    shown = [game.picture()]
    for action in actions:
        game.step(action)
        shown.append(game.picture(names[action]))
    return shown


def play_window(game: ImaginedGame, window: Window, names: Sequence[str], most: int = 0) -> list[NDArray[np.uint8]]:
    """Lets a person play until the window is closed; up to `most` of the pictures that were shown, the first ones.

    Arrows and the space bar choose the action whose name says just that (`RIGHTFIRE`), the digits one by its number,
    R begins the next game. Where no action is called `NOOP`, time stands still while nothing is pressed.
    """
    picture = game.picture()
    kept = [picture][:most]
    try:
        window.show(picture)
        while (pressed := window.keys()) is not None:
            action = action_of(pressed, names)
            if "R" in pressed:
                game.restart()
                picture = game.picture()
            elif action is not None:
                game.step(action)
                picture = game.picture(names[action])
            window.show(picture)
            if len(kept) < most and kept[-1] is not picture:
                kept.append(picture)
    finally:
        window.close()
    return kept


def action_of(pressed: frozenset[str], names: Sequence[str]) -> int | None:
    """The action that the pressed keys mean; None for none."""
    digits = sorted(int(key) for key in pressed if key.isdigit())
    if digits:
        return digits[0] if digits[0] < len(names) else None
    wanted = {key for key in pressed if key in _DIRECTIONS}
    meanings = [_parts(name) for name in names]
    if wanted in meanings:
        return meanings.index(wanted)
    within = [index for index, meaning in enumerate(meanings) if meaning and meaning <= wanted]
    return max(within, key=lambda index: len(meanings[index] or ()), default=_idle(names))


def read_script(source: str, names: Sequence[str], steps: int, seed: int) -> list[int]:
    """The actions of a script: so many random ones, or those of a file.

    A line of the file is the name or the number of an action, and how often it is taken if not once: `RIGHT 12`.
    Empty lines, and whatever follows `#`, do not count.

    Raises:
        UsageError: no such file, no such action, or a number of times that is no number >= 1.
    """
    if source == RANDOM:
        generator = np.random.default_rng(derive_seed(seed, "play", "script"))
        return [int(action) for action in generator.integers(len(names), size=steps)]
    try:
        lines = Path(source).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise UsageError(f"cannot read the script {source}: {reason}; give a file of actions, or {RANDOM}") from None
    actions: list[int] = []
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) > 2 or not (times := words[1] if len(words) == 2 else "1").isdigit() or int(times) < 1:
            raise UsageError(f"{source}, line {number}: must be ACTION or ACTION TIMES, got {line.strip()!r}")
        actions += [_named(words[0], names, f"{source}, line {number}")] * int(times)
    if not actions:
        raise UsageError(f"the script {source} holds no action; its lines are ACTION or ACTION TIMES")
    return actions


def _named(word: str, names: Sequence[str], where: str) -> int:
    if word.upper() in names:
        return list(names).index(word.upper())
    if word.isdigit() and int(word) < len(names):
        return int(word)
    close = nearest(word, names)
    hint = f"did you mean {close}?" if close else f"actions are {', '.join(names)}"
    raise UsageError(f"{where}: unknown action {word!r}; {hint} (or a number from 0 to {len(names) - 1})")


def _parts(name: str) -> set[str] | None:
    """`UPRIGHTFIRE` as {UP, RIGHT, FIRE}, `NOOP` as nothing; None for names that are not made of these."""
    found, rest = set(), "" if name == "NOOP" else name
    for word in _DIRECTIONS:
        if word in rest:
            found.add(word)
            rest = rest.replace(word, "", 1)
    return None if rest else found


def _idle(names: Sequence[str]) -> int | None:
    return list(names).index("NOOP") if "NOOP" in names else None
