"""Environments by name: the bare names of ours, any id that gymnasium knows, or `module:Id` for the user's own."""

from __future__ import annotations

from typing import Any

import gymnasium

from rl_discrete.envs import NAMESPACE, registered_names
from rl_discrete.envs.chw import AnyEnv, as_chw, observation_kind
from rl_discrete.runs.config import nearest
from rl_discrete.runs.errors import UsageError

__all__ = ["check_discrete", "env_id", "make_env", "observation_kind"]

SHORT = {"grid": "GridFourRooms"}
_REFUSALS = (
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    MemoryError,
)  # what constructors raise on arguments that they did not expect, and gymnasium on its own


def env_id(name: str) -> str:
    """The gymnasium id of an environment as the user names it.

    Args:
        name: "grid", the bare name of an environment of this library ("DoomPlusMaze", "Pong"), an id registered in
            gymnasium ("CartPole-v1"), or "module:Id", whose module is imported when the environment is made.

    Raises:
        UsageError: no such name; it offers the nearest.
    """
    bare = SHORT.get(name, name)
    if bare in registered_names():
        return f"{NAMESPACE}/{bare}-v0"
    if name in gymnasium.registry or all(name.partition(":")):
        return name
    close = nearest(name, [*SHORT, *registered_names()])
    hint = f"did you mean '{close}'?" if close else "take grid, DoomPlusMaze, an Atari game such as Pong"
    raise UsageError(f"unknown environment '{name}'; {hint} (your own: module:Id)")


def is_atari(name: str) -> bool:
    """Whether the environment that the user names so is an Atari game of this library; errors as for `env_id`."""
    spec = gymnasium.registry.get(env_id(name))
    return spec is not None and spec.entry_point == "rl_discrete.envs.atari:AtariEnv"


def make_env(name: str, /, **kwargs: Any) -> AnyEnv:
    """Make an environment that observes images uint8 (C, H, W) or vectors float32 (D,).

    Args:
        name: as for `env_id`.
        kwargs: for the environment's constructor, and what `gymnasium.make` takes, such as `render_mode`.

    Raises:
        UsageError: no such environment, a module that cannot be found, arguments that it does not take, or
            observations that are neither images nor vectors.
    """
    wanted = env_id(name)
    try:
        env = gymnasium.make(wanted, **kwargs)
    except ImportError as error:
        raise UsageError(f"cannot make environment '{name}': {_line(error)}; install it or check its name") from error
    except gymnasium.error.Error as error:
        raise UsageError(f"cannot make environment '{name}': {_line(error)}") from error
    except UsageError:
        raise
    except _REFUSALS as error:
        refused = (
            f"environment '{name}' does not take these arguments" if kwargs else f"cannot make environment '{name}'"
        )
        raise UsageError(f"{refused}: {_line(error)}") from error
    try:
        return as_chw(env)
    except UsageError:
        env.close()
        raise


def check_discrete(env: AnyEnv) -> int:
    """The number of actions of an environment.

    Raises:
        UsageError: its actions are not the numbers 0, 1, ..., A - 1.
    """
    space = env.action_space
    if not isinstance(space, gymnasium.spaces.Discrete) or space.start != 0:
        raise UsageError(f"actions must be Discrete and count from 0, got {space}: wrap the environment")
    return int(space.n)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
