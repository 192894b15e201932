"""Any gymnasium vector environment as a `VecEnv` of Stable-Baselines3.

The only place that knows `dones`, `terminal_observation` and `TimeLimit.truncated`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from rl_discrete.runs.errors import RunError, UsageError

AnyVectorEnv: TypeAlias = VectorEnv[Any, Any, Any]
Observations: TypeAlias = npt.NDArray[Any]  # (B, ...)
Infos: TypeAlias = list[dict[str, Any]]  # one of each environment
Mask: TypeAlias = npt.NDArray[np.bool_]  # (B,)
FINAL = {"final_obs", "_final_obs", "final_info", "_final_info"}  # where SAME_STEP reports the ends of episodes
MAX_SEED = 2**31  # environments written in C take no more


class VectorEnvToVecEnv(VecEnv):
    """The vector environment `venv` with the episode bookkeeping that agents of Stable-Baselines3 expect.

    Where an episode ends, a step returns the first observation of the next one, and its info holds the last
    observation under "terminal_observation" and whether the end was a mere cut under "TimeLimit.truncated".
    With autoreset SAME_STEP the environment itself starts the next episode; with NEXT_STEP and DISABLED the adapter
    does so at once, by `reset(options={"reset_mask": ...})`, so that no step is lost on it.

    Args:
        venv: names its autoreset mode in `metadata["autoreset_mode"]`; its observations are arrays.

    Raises:
        UsageError: a vector environment that names no autoreset mode, observes dictionaries or tuples, or steps only
            some of its environments at a time.
    """

    def __init__(self, venv: AnyVectorEnv) -> None:
        self.venv = venv
        self.autoreset_mode = _autoreset_mode(venv)
        space = venv.single_observation_space
        if isinstance(space, (gymnasium.spaces.Dict, gymnasium.spaces.Tuple)):
            raise UsageError(f"observations must be single arrays, got {space}: wrap the vector environment")
        batch = (venv.observation_space.shape or (venv.num_envs,))[0]
        if batch != venv.num_envs:
            raise UsageError(f"every step must step all {venv.num_envs} environments, got batches of {batch}")
        super().__init__(venv.num_envs, space, venv.single_action_space)
        self._actions: npt.NDArray[Any] | None = None

    def reset(self) -> Observations:
        seed = None if self._seeds[0] is None else self._seeds[0] % (MAX_SEED - self.num_envs)
        if any(options != self._options[0] for options in self._options):
            raise UsageError("a vector environment takes the same options for all of its environments")
        observations, infos = self.venv.reset(seed=seed, options=dict(self._options[0]) or None)
        self.reset_infos = split_infos(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return np.array(observations)

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        stepped, rewards, terminated, truncated, vector_infos = self.venv.step(self._actions)
        observations = np.array(stepped)  # a copy: agents keep it beyond the next step
        dones = np.asarray(terminated, np.bool_) | np.asarray(truncated, np.bool_)
        infos = split_infos({key: vector_infos[key] for key in vector_infos.keys() - FINAL}, self.num_envs)
        for info, cut in zip(infos, truncated & ~terminated, strict=True):
            info["TimeLimit.truncated"] = bool(cut)
        if dones.any():
            if self.autoreset_mode is AutoresetMode.SAME_STEP:
                self._note_started(vector_infos, dones, infos)
            else:
                observations = self._start_next(observations, dones, infos)
        return observations, np.asarray(rewards, np.float32), dones, infos

    def _start_next(self, last: Observations, dones: Mask, infos: Infos) -> Observations:
        """Start the next episodes where `dones`; `infos` is completed. Returns the current observations."""
        started, vector_infos = self.venv.reset(options={"reset_mask": dones.copy()})
        current = np.array(started)
        if not np.array_equal(current[~dones], last[~dones], equal_nan=last.dtype.kind == "f"):
            raise RunError(
                f"{self.venv} resets environments that reset_mask leaves out: make it with autoreset mode SameStep"
            )
        begun = split_infos(vector_infos, self.num_envs)
        for index in np.flatnonzero(dones).tolist():
            infos[index]["terminal_observation"] = last[index]
            self.reset_infos[index] = begun[index]
        return current

    def _note_started(self, vector_infos: Mapping[str, Any], dones: Mask, infos: Infos) -> None:
        """Complete `infos` where the environment itself has started the next episodes."""
        if "final_obs" not in vector_infos:
            raise RunError(f"{self.venv} resets in the same step but reports no final_obs: use another autoreset mode")
        final = split_infos(vector_infos.get("final_info", {}), self.num_envs)
        for index in np.flatnonzero(dones).tolist():
            begun = infos[index]
            cut = begun.pop("TimeLimit.truncated")
            last = np.array(vector_infos["final_obs"][index])
            infos[index] = (final[index] or begun) | {"TimeLimit.truncated": cut, "terminal_observation": last}
            self.reset_infos[index] = begun

    def close(self) -> None:
        self.venv.close()

    def get_images(self) -> Sequence[npt.NDArray[Any] | None]:
        images: Any = self.venv.render()  # gymnasium leaves the type of a frame open
        return list(images) if images is not None else [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        if attr_name != "render_mode" and hasattr(self.venv, "get_attr"):
            values = list(self.venv.get_attr(attr_name))
        else:
            values = [getattr(self.venv, attr_name)] * self.num_envs
        return [values[index] for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        for env in self._single_envs(indices):
            env.set_wrapper_attr(attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        if indices is None and hasattr(self.venv, "call"):
            return list(self.venv.call(method_name, *method_args, **method_kwargs))
        envs = self._single_envs(indices)
        return [env.get_wrapper_attr(method_name)(*method_args, **method_kwargs) for env in envs]

    def env_is_wrapped(self, wrapper_class: type[gymnasium.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        if not hasattr(self.venv, "envs"):
            return [False for _ in self._get_indices(indices)]
        return [is_wrapped(env, wrapper_class) for env in self._single_envs(indices)]

    def _single_envs(self, indices: VecEnvIndices) -> Iterable[gymnasium.Env[Any, Any]]:
        if not hasattr(self.venv, "envs"):
            raise UsageError(f"{self.venv} is made of one piece: it has no single environments to reach")
        return [self.venv.envs[index] for index in self._get_indices(indices)]


def split_infos(vector_infos: Mapping[str, Any], num_envs: int) -> Infos:
    """One dictionary of each environment from the arrays of a vector environment.

    An entry "_key", bool (B,), says which environments have "key"; without it all of them do.
    """
    infos: Infos = [{} for _ in range(num_envs)]
    for key, values in vector_infos.items():
        if key.startswith("_") and key[1:] in vector_infos:
            continue
        has = vector_infos.get(f"_{key}", np.ones(num_envs, np.bool_))
        rows = split_infos(values, num_envs) if isinstance(values, Mapping) else values
        for index in np.flatnonzero(has).tolist():
            infos[index][key] = rows[index]
    return infos


def _autoreset_mode(venv: AnyVectorEnv) -> AutoresetMode:
    named = venv.metadata.get("autoreset_mode")
    try:
        return AutoresetMode(named)  # an enum member or its value
    except ValueError:
        allowed = ", ".join(mode.value for mode in AutoresetMode)
        raise UsageError(f"{venv} must name its autoreset mode in its metadata ({allowed}), got {named!r}") from None
