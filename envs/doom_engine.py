"""One Doom engine: a child process that shows a map of ours, moves the player in it and never outlives us.

The engine runs inside a temporary folder (map, settings, log). A tiny shell process waits for this process to close
the engine or to die, however it dies, then kills the engine and removes what is left of it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from rl_discrete.envs.doom_map import DoomMap, write_wad
from rl_discrete.runs.errors import RunError, UsageError

T = TypeVar("T")

FRAME_SHAPE = (120, 160, 3)
"""Height, width and colours (RGB) of what the engine draws."""

FORWARD, LEFT, RIGHT = 0, 1, 2
"""Buttons."""

_DEAF_TICS = 8  # a new level ignores its player for 7 tics
_CONSOLE = "+movebob 0 +stillbob 0"  # the eye stays at its height, so that a pose has one picture

# The engine names its shared memory after an instance that only its arguments tell.
_LAUNCHER = """#!/bin/sh
set -e
cd {folder}
trap '' INT
last=
for word in "$@"; do
    if [ "$last" = "+viz_instance_id" ]; then echo "$word" > instance; fi
    last=$word
done
echo $$ > pid
exec {engine} "$@" >> log 2>&1
"""

_WATCHDOG = """
trap '' INT TERM HUP
read -r line
cd "$1" || exit 0
if [ -f pid ]; then kill -9 "$(cat pid)" 2> /dev/null; fi
if [ -f instance ]; then
    name=$(cat instance)
    rm -f "/dev/shm/ViZDoomSM$name" "/dev/shm/ViZDoomMQCtr$name" "/dev/shm/ViZDoomMQDoom$name"
fi
cd / && rm -rf "$1"
"""


class Pose(NamedTuple):
    """Where the player is: x, y in map units and the heading in degrees in [0, 360), 0 east, 90 north."""

    x: float
    y: float
    angle: float


class DoomEngine:
    """An engine with its maps, standing in the first of them.

    Every level begins in the same state and nothing in it is random: the same calls after `restart` show the same
    frames, in every engine of the same version.

    Args:
        maps: to choose from in `restart`.

    Raises:
        UsageError: vizdoom is not installed, or its game data are missing.
        RunError: the engine does not start.
    """

    def __init__(self, maps: Sequence[DoomMap]) -> None:
        vizdoom = _vizdoom()
        exceptions = [item for item in vars(vizdoom).values() if isinstance(item, type) and issubclass(item, Exception)]
        self._errors = tuple(exceptions)
        self._map = maps[0].name
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="rl-discrete-doom-")).resolve()
        except OSError as error:
            raise RunError(f"no temporary folder for the Doom maps: {error.strerror}; set TMPDIR") from None
        watchdog = subprocess.Popen(
            ["sh", "-c", _WATCHDOG, "sh", str(self._folder)], stdin=subprocess.PIPE, start_new_session=True
        )
        self._game: Any = vizdoom.DoomGame()
        self._finalizer = weakref.finalize(self, _shut_down, self._game, watchdog, self._folder, os.getpid())
        try:
            self._start(vizdoom, maps)
        except BaseException:
            self.close()
            raise

    def restart(self, name: str) -> None:
        """Begin the level `name` anew, the player at its start with heading 0."""
        if name != self._map:
            self._call(self._game.set_doom_map, name)
            self._map = name
        self._call(self._game.new_episode)
        self._call(self._game.advance_action, _DEAF_TICS, False)

    def place(self, pose: Pose) -> None:
        """Move the player in an instant. Takes two tics, in which it keeps its momentum."""
        self._call(self._game.send_game_command, f"warp {pose.x:.3f} {pose.y:.3f}")
        self.turn(pose.angle - self.pose.angle)

    def press(self, button: int, tics: int) -> None:
        """Hold a button down for some tics (35 tics are a second of the game)."""
        self._act([float(i == button) for i in range(4)], tics, True)

    def turn(self, degrees: float) -> None:
        """Turn to the left by an angle, to the nearest of 65,536 headings. Takes two tics."""
        self._act([0.0, 0.0, 0.0, -((degrees + 180.0) % 360.0 - 180.0)], 1, False)
        self._act([0.0, 0.0, 0.0, 0.0], 1, True)

    @property
    def pose(self) -> Pose:
        """Where the player is now."""
        x, y, angle = self._state().game_variables
        return Pose(float(x), float(y), float(angle))

    @property
    def frame(self) -> NDArray[np.uint8]:
        """What the player sees, uint8 `FRAME_SHAPE`; valid until the next call that moves it."""
        screen: NDArray[np.uint8] = self._state().screen_buffer
        return screen

    @property
    def pid(self) -> int:
        """Process id of the engine."""
        return int((self._folder / "pid").read_text())

    @property
    def folder(self) -> Path:
        """The temporary folder of this engine."""
        return self._folder

    def close(self) -> None:
        """End the engine and remove its folder. A second time: nothing."""
        self._finalizer()

    def _start(self, vizdoom: Any, maps: Sequence[DoomMap]) -> None:
        installed = Path(vizdoom.__file__).parent
        game_data, launcher = installed / "freedoom2.wad", self._folder / "launch"
        if not game_data.is_file():
            raise UsageError(
                f"game data {game_data} are missing: reinstall vizdoom (pip install --force-reinstall vizdoom)"
            )
        try:
            write_wad(self._folder / "maps.wad", maps)
            names = {"folder": shlex.quote(str(self._folder)), "engine": shlex.quote(str(installed / "vizdoom"))}
            launcher.write_text(_LAUNCHER.format(**names))
            launcher.chmod(0o700)
        except OSError as error:
            raise RunError(f"cannot write the maps to {self._folder}: {error.strerror}; set TMPDIR") from None
        if not os.access(launcher, os.X_OK):
            raise RunError(f"programs may not run in {self._folder}: set TMPDIR to a folder that is not mounted noexec")

        game = self._game
        game.set_vizdoom_path(str(launcher))
        game.set_doom_game_path(str(game_data))
        game.set_doom_scenario_path(str(self._folder / "maps.wad"))
        game.set_doom_config_path(str(self._folder / "settings.ini"))
        game.set_doom_map(self._map)
        game.add_game_args(_CONSOLE)
        game.set_seed(1)
        game.set_mode(vizdoom.Mode.PLAYER)
        game.set_episode_timeout(0)
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_console_enabled(False)
        game.set_screen_resolution(vizdoom.ScreenResolution.RES_160X120)
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        for hide in ("hud", "weapon", "crosshair", "messages", "decals", "particles", "screen_flashes"):
            getattr(game, f"set_render_{hide}")(False)
        button, variable = vizdoom.Button, vizdoom.GameVariable
        game.set_available_buttons(
            [button.MOVE_FORWARD, button.TURN_LEFT, button.TURN_RIGHT, button.TURN_LEFT_RIGHT_DELTA]
        )
        game.set_available_game_variables([variable.POSITION_X, variable.POSITION_Y, variable.ANGLE])
        self._call(game.init)

    def _state(self) -> Any:
        state = self._call(self._game.get_state)
        if state is None:
            raise RunError("the Doom engine is closed, or its level has not begun")
        return state

    def _act(self, buttons: list[float], tics: int, draw: bool) -> None:
        self._call(self._game.set_action, buttons)
        self._call(self._game.advance_action, tics, draw)

    def _call(self, function: Callable[..., T], *args: Any) -> T:
        try:
            return function(*args)
        except self._errors as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            log = self._folder / "log"
            last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.is_file() else []
            self.close()
            raise RunError("; ".join([f"the Doom engine has stopped: {reason}", *last])) from None


def _vizdoom() -> Any:
    try:
        import vizdoom
    except (ImportError, SystemError) as error:  # SystemError: built for another version of Python
        reason = "" if isinstance(error, ModuleNotFoundError) and error.name == "vizdoom" else f" ({error})"
        raise UsageError(
            f"the Doom mazes need vizdoom, which cannot be imported{reason}: pip install 'rl-discrete[doom]'"
        ) from None
    return vizdoom


def _shut_down(game: Any, watchdog: subprocess.Popen[bytes], folder: Path, owner: int) -> None:
    """End engine and watchdog, in the process that started them only (not in a fork of it)."""
    if os.getpid() != owner:
        return
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
    game.close()
    (folder / "pid").unlink(missing_ok=True)
    watchdog.communicate()
    shutil.rmtree(folder, ignore_errors=True)
