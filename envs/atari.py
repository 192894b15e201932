"""Atari 2600 games through ale-py: one game, whole frames in, real scores out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal

import ale_py
import cv2
import gymnasium
import numpy as np
from ale_py import roms
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from rl_discrete.envs import TWO_PLAYERS
from rl_discrete.runs.config import nearest
from rl_discrete.runs.errors import UsageError

_POOLED = 2  # frames that an observation is the maximum of: some games draw a sprite in every second frame only


def games() -> dict[str, str]:
    """Name of each game -> name of its ROM: `MsPacman` -> `ms_pacman`."""
    known = sorted(set(roms.get_all_rom_ids()) - TWO_PLAYERS)
    return {rom.title().replace("_", ""): rom for rom in known}


def find_game(name: str) -> str:
    """The ROM of a game, however its name is spelled: `MsPacman`, `ms_pacman` and `ms-pacman` are one.

    Raises:
        UsageError: there is no such game; names the nearest.
    """
    spelled = {_bare(game): rom for game, rom in games().items()}
    if _bare(name) in spelled:
        return spelled[_bare(name)]
    if _bare(name) in {_bare(rom) for rom in TWO_PLAYERS}:
        raise UsageError(f"the Atari game {name!r} needs two players; choose another")
    close = nearest(name, games())
    hint = f"did you mean {close}?" if close else "for example Pong, Breakout, SpaceInvaders or MsPacman"
    raise UsageError(f"unknown Atari game {name!r}; {hint} ({len(spelled)} are known)")


class AtariEnv(gymnasium.Env[NDArray[np.uint8], np.int64]):
    """One Atari game. An episode is the whole game, whatever lives it grants; rewards are the score, not clipped.

    Each step holds an action for `frame_skip` frames of 1/60 s; the observation is the pixelwise maximum of the last
    two, shrunk: uint8 (height, width, 1) grey or (height, width, 3) RGB. Nothing presses FIRE: in
    Breakout the agent has to. With the default settings frames, rewards and ends are those of
    `gymnasium.wrappers.AtariPreprocessing` under the same seed, but for an episode's last observation, which there is
    the one before it.

    A seed and the actions after it reproduce an episode exactly: a seeded reset loads the ROM anew, because in some
    games a plain reset leaves memory behind that decides what follows.

    Args:
        game: its name in any spelling, such as `Pong` or `space_invaders`.
        frame_skip: frames for each step, >= 1.
        repeat_action_probability: chance in [0, 1), frame by frame, that the action before goes on instead (sticky
            actions). By default 0, as in VaST; Machado et al. (2018, arXiv 1709.06009) recommend 0.25.
        max_noops: idle frames at the start of an episode, drawn from 1 to this number; 0 starts at once.
        rows: (first, behind the last) of the screen's 210 or so rows that are seen, such as (34, 194) for Pong without
            its score; None: all.
        columns: the same of its 160 columns.
        size: (height, width) of the observation in pixels. None: (84, 84) for `area`, half the screen for `max`.
        resize: how screens are shrunk. `area` averages, which blends a small thing with what is behind it; `max` takes
            the maximum of each block of screen pixels, of each channel, which keeps a bright thing of one pixel as
            bright as it was and adds no colour to a grey screen. It can eat up a dark thing on bright ground.
        colour: whether the observation is RGB.
        actions: `minimal`, those that do something in this game; `full`, all 18; or names, as in
            `("NOOP", "RIGHT", "LEFT")`, the three that differ in Pong.
        max_frames: frames after which the episode is truncated, >= 1; 108,000 are half an hour.
        render_mode: `rgb_array`, or None.

    Raises:
        UsageError: an unknown game or action, a ROM that is missing or altered, or a setting outside its range.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012  # as gymnasium declares it

    def __init__(
        self,
        game: str = "Pong",
        *,
        frame_skip: int = 4,
        repeat_action_probability: float = 0.0,
        max_noops: int = 0,
        rows: Sequence[int] | None = None,
        columns: Sequence[int] | None = None,
        size: Sequence[int] | None = None,
        resize: Literal["area", "max"] = "area",
        colour: bool = False,
        actions: str | Sequence[str] = "minimal",
        max_frames: int = 108_000,
        render_mode: str | None = None,
    ) -> None:
        _check(frame_skip, repeat_action_probability, max_noops, max_frames, render_mode)
        self.game = find_game(game)
        self.render_mode = render_mode
        self._rom = _find_rom(self.game)
        self._frame_skip, self._max_noops = frame_skip, max_noops
        self._colour = colour
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._ale = ale_py.ALEInterface()
        self._ale.setFloat("repeat_action_probability", repeat_action_probability)
        self._ale.setInt("max_num_frames_per_episode", max_frames)
        self._load(None)
        self._actions = _find_actions(self._ale, self.game, actions)
        screen = self._ale.getScreenDims()
        self._seen = _find_part("rows", rows, screen[0]), _find_part("columns", columns, screen[1])
        seen = (self._seen[0].stop - self._seen[0].start, self._seen[1].stop - self._seen[1].start)
        self._height, self._width = _find_size(size, resize, seen)
        self._blocks = (seen[0] // self._height, seen[1] // self._width) if resize == "max" else None
        self._screens = np.zeros((_POOLED, *screen, *((3,) if colour else ())), np.uint8)
        self._running = False
        self.action_space = spaces.Discrete(len(self._actions))
        self.observation_space = spaces.Box(0, 255, (self._height, self._width, 3 if colour else 1), np.uint8)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Name of each action, such as `RIGHTFIRE`."""
        return tuple(action.name for action in self._actions)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin a game. Without a seed the sticky actions and the idle frames go on from those of the last game."""
        super().reset(seed=seed)
        if seed is not None:
            self._load(seed)
        self._ale.reset_game()
        noops = int(self.np_random.integers(1, self._max_noops + 1)) if self._max_noops else 0
        for _ in range(noops):
            self._ale.act(ale_py.Action.NOOP)
            if self._ale.game_over():
                self._ale.reset_game()
        self._running = True
        self._grab(0)
        return self._observe(1), self._info()

    def step(self, action: np.int64) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        if not self._running:
            raise ResetNeeded("the game has not begun or is over: call reset() first")
        held, reward, grabbed = self._actions[int(action)], 0.0, 0
        for left in reversed(range(self._frame_skip)):
            reward += self._ale.act(held)
            self._running = not self._ale.game_over()
            if left < _POOLED or not self._running:
                self._grab(grabbed)
                grabbed += 1
            if not self._running:
                break
        terminated = self._ale.game_over(with_truncation=False)
        return self._observe(grabbed), reward, terminated, not (self._running or terminated), self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """The newest frame as the television shows it, uint8 (height, 160, 3) RGB; None without a render mode."""
        return self._ale.getScreenRGB() if self.render_mode == "rgb_array" else None

    def diagnostic_state(self) -> NDArray[np.uint8]:
        """The game's memory, uint8 (128,): the true state, for diagnostics only."""
        return np.array(self._ale.getRAM())

    def _load(self, seed: int | None) -> None:
        """Load the ROM with the two random streams that ale-py's own env derives from a seed."""
        own, emulator = np.random.SeedSequence(seed).generate_state(2)
        self._np_random = np.random.Generator(np.random.PCG64(int(own)))
        self._ale.setInt("random_seed", int(emulator.astype(np.int32)))
        self._ale.loadROM(self._rom)

    def _grab(self, index: int) -> None:
        """Copy the emulator's screen into one of the two buffers."""
        get = self._ale.getScreenRGB if self._colour else self._ale.getScreenGrayscale
        get(self._screens[index])

    def _observe(self, grabbed: int) -> NDArray[np.uint8]:
        newest = (self._screens[0] if grabbed == 1 else np.maximum(*self._screens))[self._seen]
        if self._blocks is None:
            shrunk = cv2.resize(newest, (self._width, self._height), interpolation=cv2.INTER_AREA)
        else:
            rows = np.maximum.reduce([newest[first :: self._blocks[0]] for first in range(self._blocks[0])])
            shrunk = np.maximum.reduce([rows[:, first :: self._blocks[1]] for first in range(self._blocks[1])])
        return np.asarray(shrunk, np.uint8).reshape(self._height, self._width, -1)  # grey has no channel axis yet

    def _info(self) -> dict[str, Any]:
        return {"lives": self._ale.lives(), "frames": self._ale.getEpisodeFrameNumber()}


def _bare(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _find_rom(game: str) -> str:
    remedy = f"install ale-py again, or name in ALE_ROMS_DIR a folder that holds {game}.bin"
    try:
        return str(roms.get_rom_path(game))
    except FileNotFoundError as error:
        raise UsageError(f"the ROM of {game} is missing at {error.filename}; {remedy}") from None
    except OSError as error:  # not a folder, or altered
        raise UsageError(f"the ROM of {game} cannot be used: {' '.join(str(error).split())}; {remedy}") from None


def _find_actions(ale: ale_py.ALEInterface, game: str, wanted: str | Sequence[str]) -> list[ale_py.Action]:
    if wanted == "minimal":
        return list(ale.getMinimalActionSet())
    legal = {action.name: action for action in ale.getLegalActionSet()}
    if wanted == "full":
        return list(legal.values())
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    unknown = [name for name in names if name not in legal]
    if unknown or not names:
        close = nearest(str(unknown[0]), legal) if unknown else None
        hint = f"did you mean {close}?" if close else f"names are {', '.join(legal)}"
        raise UsageError(f"actions of {game} must be minimal, full or names of actions, got {wanted!r}; {hint}")
    return [legal[name] for name in names]


def _find_part(name: str, wanted: Sequence[int] | None, length: int) -> slice:
    """The part of an axis of the screen that is seen."""
    if wanted is None:
        return slice(0, length)
    whole = all(isinstance(place, Integral) for place in wanted)
    if len(wanted) != 2 or not whole or not 0 <= wanted[0] < wanted[1] <= length:
        raise UsageError(f"{name} must be two whole numbers that rise, between 0 and {length}, got {tuple(wanted)}")
    return slice(*wanted)


def _find_size(size: Sequence[int] | None, resize: str, screen: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of observations of a screen (height, width)."""
    if resize not in ("area", "max"):
        raise UsageError(f"resize must be area or max, got {resize!r}")
    if size is None:
        return (84, 84) if resize == "area" else (screen[0] // 2, screen[1] // 2)
    if len(size) != 2 or min(size) < 1:
        raise UsageError(f"size must be (height, width), both >= 1, got {tuple(size)}")
    height, width = size
    if resize == "max" and (screen[0] % height or screen[1] % width):
        raise UsageError(
            f"with resize max the size must divide the screen's {screen[0]}x{screen[1]} pixels, got {height}x{width}; "
            f"{screen[0] // 2}x{screen[1] // 2} does"
        )
    return height, width


def _check(
    frame_skip: int,
    repeat_action_probability: float,
    max_noops: int,
    max_frames: int,
    render_mode: str | None,
) -> None:
    for name, value in (("frame_skip", frame_skip), ("max_noops", max_noops), ("max_frames", max_frames)):
        if not isinstance(value, Integral):
            raise UsageError(f"{name} must be a whole number, got {value!r}")
    if frame_skip < 1 or max_frames < 1:
        raise UsageError(f"frame_skip and max_frames must be >= 1, got {frame_skip} and {max_frames}")
    if not (math.isfinite(repeat_action_probability) and 0.0 <= repeat_action_probability < 1.0):
        raise UsageError(f"repeat_action_probability must be in [0, 1), got {repeat_action_probability}")
    if not 0 <= max_noops < 2**31:
        raise UsageError(f"max_noops must be in [0, 2**31), got {max_noops}")
    if render_mode not in (None, "rgb_array"):
        raise UsageError(f"render_mode must be rgb_array or None, got {render_mode!r}")
