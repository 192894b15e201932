"""Real and model environments: installed as `rl_discrete.envs`.

Importing this package registers its environments in gymnasium under `rl_discrete/...`. Entry points are strings: the
module of an environment, and the library it stands on, are imported when the first one is made.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import gymnasium

NAMESPACE = "rl_discrete"
# Steps after which an episode of a grid world is cut (a truncation).
GRIDS = {"GridFourRooms": 200, "GridKeyDoor": 300, "GridWind": 200}
DOOMS = ("DoomPlusMaze", "DoomTMaze", "DoomHMaze", "DoomHall", "DoomHallHazard")
TWO_PLAYERS = frozenset({"combat", "joust", "maze_craze", "warlords"})  # ROMs without a game for one


def register_envs() -> None:
    """Make the environments of this library known to gymnasium; those known already are left alone."""
    for name, max_episode_steps in GRIDS.items():
        _register(name, entry_point=f"rl_discrete.envs.grid:{name}", max_episode_steps=max_episode_steps)
    for name in DOOMS:
        _register(name, entry_point=f"rl_discrete.envs.doom:{name}")
    for rom in _atari_roms():
        name = rom.title().replace("_", "")  # "ms_pacman" is MsPacman, as in ale-py's own ids
        _register(name, entry_point="rl_discrete.envs.atari:AtariEnv", kwargs={"game": rom})
    _register(
        "WorldModel",
        entry_point="rl_discrete.envs.trained_model:world_model_env",
        vector_entry_point="rl_discrete.envs.trained_model:world_model_vector_env",
    )


def registered_names() -> list[str]:
    """Bare names of the environments of this library, such as "GridWind" or "Pong", in order of registration."""
    return [spec.name for spec in gymnasium.registry.values() if spec.namespace == NAMESPACE]


def _register(name: str, **settings: object) -> None:
    if f"{NAMESPACE}/{name}-v0" not in gymnasium.registry:
        gymnasium.register(f"{NAMESPACE}/{name}-v0", **settings)  # type: ignore[arg-type]


def _atari_roms() -> list[str]:
    """ROM names that ale-py knows, read from its folder: importing it would take half a second."""
    spec = importlib.util.find_spec("ale_py")
    if spec is None or spec.origin is None:
        return []
    known = Path(spec.origin).parent / "roms" / "md5.json"
    files = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {}
    return sorted({name.removesuffix(".bin") for name in files} - TWO_PLAYERS)


register_envs()
