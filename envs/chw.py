"""Two kinds of observation for every agent: images uint8 (C, H, W), or vectors float32 (D,)."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import gymnasium
import numpy as np
import numpy.typing as npt

from rl_discrete.runs.errors import UsageError

AnyEnv: TypeAlias = gymnasium.Env[Any, Any]  # whatever the user's environment observes and takes
ObservationKind: TypeAlias = Literal["image", "vector"]


def observation_kind(env: AnyEnv) -> ObservationKind:
    """Whether an environment shows images, uint8 with two or three axes, or vectors, a Box with one.

    Raises:
        UsageError: it shows something else.
    """
    space = env.observation_space
    if isinstance(space, gymnasium.spaces.Box):
        if len(space.shape) == 1:
            return "vector"
        if space.dtype == np.uint8 and len(space.shape) in (2, 3):
            return "image"
    raise UsageError(
        f"{_name(env)} observes {space}; allowed are images, Box uint8 (H, W), (H, W, C) or (C, H, W), and vectors, "
        "Box (D,): wrap the environment"
    )


def as_chw(env: AnyEnv) -> AnyEnv:
    """The environment with images uint8 (C, H, W) or vectors float32 (D,); the same object where it has them already.

    Of three axes the shorter one of the first and the last holds the channels; a tie goes to the first.

    Raises:
        UsageError: it observes neither images nor vectors.
    """
    space = env.observation_space
    if observation_kind(env) == "vector":
        return env if space.dtype == np.float32 else Float32Vector(env)
    assert space.shape is not None
    channels_first = len(space.shape) == 3 and space.shape[0] <= space.shape[2]
    return env if channels_first else ChannelsFirst(env)


class ChannelsFirst(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Images (H, W) or (H, W, C) as (C, H, W), uint8 all of them."""

    def __init__(self, env: AnyEnv) -> None:
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, gymnasium.spaces.Box)
        self.observation_space = gymnasium.spaces.Box(
            self.observation(space.low), self.observation(space.high), dtype=np.uint8
        )

    def observation(self, observation: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if observation.ndim == 2:
            return observation[None]
        return np.ascontiguousarray(observation.transpose(2, 0, 1))


class Float32Vector(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Vectors of any number type as float32."""

    def __init__(self, env: AnyEnv) -> None:
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, gymnasium.spaces.Box)
        with np.errstate(over="ignore"):  # bounds beyond float32 become infinite
            low, high = space.low.astype(np.float32), space.high.astype(np.float32)
        self.observation_space = gymnasium.spaces.Box(low, high, dtype=np.float32)

    def observation(self, observation: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return observation.astype(np.float32)


def _name(env: AnyEnv) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__
