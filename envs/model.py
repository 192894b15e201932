"""A world model as an environment: many imagined episodes at once, or a single one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rl_discrete.envs.memory import check_num_envs, num_bytes
from rl_discrete.envs.noise import NoiseStreams, keys_of
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.base import WorldModel
from rl_discrete.world_models.starts import Starts

AnyModel: TypeAlias = WorldModel[Any]  # its state is opaque here
Infos: TypeAlias = dict[str, Any]
Mask: TypeAlias = NDArray[np.bool_]  # (B,)

HORIZON = 50
"""Imagined steps by default, as in SimPLe (Kaiser et al. 2020, section 4)."""
_COPIES = 4  # of a state at once: before and after a step, of new episodes, and with both joined


class WorldModelVectorEnv(VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]):
    """B imagined episodes side by side, all of them one batch of the model.

    Where the model says that the MDP ends, an episode terminates; at the horizon, and where the model does not trust
    itself any further, it is truncated, and the value of its last observation counts. An info "doubtful" marks the
    latter. Chance comes from `NoiseStreams`: episode by episode env i draws the same, however many envs there are.

    Args:
        model: the step function. One whose step takes much more memory than its state holds says how much in an
            attribute `step_bytes`, bytes for each env.
        starts: where episodes begin.
        num_envs: B.
        horizon: steps after which an episode is cut.
        autoreset_mode: how the next episode starts, as in gymnasium: in the step after the end (NEXT_STEP), in which
            the action is ignored; at once, with the last observation in the infos (SAME_STEP); or by `reset` with a
            mask (DISABLED).
        max_bytes: of memory to use at most; None: what is available.
        render_mode: `rgb_array`, or None.

    Raises:
        UsageError: a number below 1, another mode, nothing to start from, or more envs than memory holds.
    """

    def __init__(
        self,
        model: AnyModel,
        starts: Starts,
        num_envs: int,
        horizon: int = HORIZON,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        max_bytes: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        if num_envs < 1 or horizon < 1:
            raise UsageError(f"num_envs and horizon must be >= 1, got {num_envs} and {horizon}")
        if render_mode not in (None, "rgb_array"):
            raise UsageError(f"render_mode must be rgb_array or None, got {render_mode!r}")
        self.autoreset_mode = checked_mode(autoreset_mode)
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 15, "autoreset_mode": self.autoreset_mode}
        self.render_mode = render_mode
        self.model, self.starts, self.num_envs, self.horizon = model, starts, num_envs, horizon
        check_num_envs(num_envs, _bytes_per_env(model, starts), max_bytes)
        self.single_observation_space = model.observation_space
        self.single_action_space = gymnasium.spaces.Discrete(model.num_actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        fresh = int(self.np_random.integers(2**63))
        self._noise = NoiseStreams(model.noise_dim, [(fresh, index) for index in range(num_envs)])
        self._state: Any = None  # of the model; None before the first reset
        self._lengths = np.zeros(num_envs, np.int64)
        self._ended = np.zeros(num_envs, np.bool_)  # where the next episode has not begun yet

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Infos | None = None
    ) -> tuple[NDArray[Any], Infos]:
        """Start new episodes.

        Args:
            seed: a number gives env i a stream of its own by (seed, i); a sequence gives each env the stream that
                this seed gives an env on its own, None leaves it. Without a seed the streams go on.
            options: `reset_mask`, bool (B,): the envs to reset; without it all of them.

        Returns:
            The observations (B, ...) of all envs, and no infos.

        Raises:
            UsageError: a seed below 0, a mask of another shape or type, or one that leaves out envs which have
                never started.
        """
        mask = self._checked_mask((options or {}).get("reset_mask"))
        keys = keys_of(seed, self.num_envs)
        super().reset(seed=seed if isinstance(seed, int) else None)
        self._noise.restart({index: key for index, key in keys.items() if mask[index]})
        if self._state is None and not mask.all():
            raise UsageError("the first reset must start every env: leave reset_mask out")
        self._begin(mask)
        return self.model.observe(self._state), {}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], Infos]:
        """One step of every env: observations (B, ...), rewards (B,), terminated (B,), truncated (B,), infos.

        Raises:
            UsageError: actions of another shape, or outside [0, A).
            ResetNeeded: an env has not started, or its episode is over and nothing starts the next one.
        """
        chosen = self._checked_actions(actions)
        begins = self._ended
        if self._state is None or (begins.any() and self.autoreset_mode is not AutoresetMode.NEXT_STEP):
            raise ResetNeeded("an env has not started, or its episode is over: call reset() first")
        result = self.model.step(self._state, chosen, self._noise.for_step())
        self._state = result.state
        self._lengths += 1
        observations, rewards, terminated, doubtful = (
            result.observation,
            result.reward,
            result.terminated,
            result.doubtful,
        )
        if begins.any():  # NEXT_STEP: this step only starts the next episodes there
            observations = self._with_new_episodes(begins, observations)
            rewards = np.where(begins, np.float32(0), rewards)
            terminated, doubtful = terminated & ~begins, doubtful & ~begins
        truncated = doubtful | (self._lengths >= self.horizon)
        infos: Infos = {"doubtful": doubtful, "_doubtful": doubtful.copy()} if doubtful.any() else {}
        self._ended = terminated | truncated
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._ended.any():
            ended, last = self._ended, observations
            infos = {"final_obs": object_rows(last, ended), "_final_obs": ended}
            if doubtful.any():
                infos |= {"final_info": {"doubtful": doubtful, "_doubtful": doubtful.copy()}, "_final_info": ended}
            observations = self._with_new_episodes(ended, last)
        return observations, rewards, terminated, truncated, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """What each env looks like, uint8 (H, W, 3); None without a render mode, and where the model shows nothing."""
        if self.render_mode is None or self._state is None:
            return None
        pictures = self.model.render(self._state)
        return None if pictures is None else tuple(pictures)

    def _begin(self, mask: Mask) -> Any:
        """Start the next episodes of the envs in `mask`; returns their states."""
        fresh = self.model.reset(self.starts.draw(self._noise.for_episodes(mask)))
        self._state = fresh if mask.all() else self.model.select(self._state, mask, fresh)
        self._lengths[mask] = 0
        self._ended = self._ended & ~mask
        return fresh

    def _with_new_episodes(self, mask: Mask, observations: NDArray[Any]) -> NDArray[Any]:
        """Start the next episodes of the envs in `mask`; returns `observations` with their first ones."""
        current = observations.copy()
        current[mask] = self.model.observe(self._begin(mask))
        return current

    def _checked_actions(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        chosen = np.asarray(actions)
        if chosen.shape != (self.num_envs,) or chosen.dtype.kind not in "iu":
            raise UsageError(f"actions must be whole numbers ({self.num_envs},), got {chosen.dtype} {chosen.shape}")
        if chosen.min() < 0 or chosen.max() >= self.model.num_actions:
            raise UsageError(f"actions must be in [0, {self.model.num_actions}), got {chosen.tolist()}")
        return chosen.astype(np.int64)

    def _checked_mask(self, mask: Any) -> Mask:
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        chosen = np.asarray(mask)
        if chosen.shape != (self.num_envs,) or chosen.dtype != np.bool_ or not chosen.any():
            raise UsageError(
                f"reset_mask must be bool ({self.num_envs},) and name an env, got {chosen.dtype} {chosen.shape}"
            )
        return chosen


class WorldModelEnv(gymnasium.Env[NDArray[Any], np.int64]):
    """A single imagined episode: a `WorldModelVectorEnv` of one, of whose envs it is one under the same seed.

    Args:
        model: the step function.
        starts: where episodes begin.
        horizon: steps after which an episode is truncated.
        render_mode: `rgb_array`, or None.

    Raises:
        UsageError: as for `WorldModelVectorEnv`.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012  # as gymnasium declares it

    def __init__(self, model: AnyModel, starts: Starts, horizon: int = HORIZON, render_mode: str | None = None) -> None:
        self._batch = WorldModelVectorEnv(model, starts, 1, horizon, AutoresetMode.DISABLED, None, render_mode)
        self.observation_space, self.action_space = model.observation_space, self._batch.single_action_space
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Infos | None = None) -> tuple[NDArray[Any], Infos]:
        """Start the next episode. Without a seed chance goes on where the last episode left it."""
        super().reset(seed=seed)
        observations, infos = self._batch.reset(seed=seed)
        return observations[0], infos

    def step(self, action: np.int64) -> tuple[NDArray[Any], float, bool, bool, Infos]:
        observations, rewards, terminated, truncated, infos = self._batch.step(np.array([action]))
        doubtful = {"doubtful": True} if infos else {}
        return observations[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), doubtful

    def render(self) -> NDArray[np.uint8] | None:
        """What the state looks like, uint8 (H, W, 3); None without a render mode, and where nothing can be shown."""
        pictures = self._batch.render()
        return None if pictures is None else pictures[0]


def checked_mode(mode: Any) -> AutoresetMode:
    """The autoreset mode that a member of the enum, or its value, names.

    Raises:
        UsageError: there is none.
    """
    try:
        return AutoresetMode(mode)
    except ValueError:
        allowed = ", ".join(known.value for known in AutoresetMode)
        raise UsageError(f"the autoreset mode must be one of {allowed}, got {mode!r}") from None


def _bytes_per_env(model: AnyModel, starts: Starts) -> int:
    """A rough number, from the state of one real history."""
    history = starts.draw(np.full((1, 2), 0.5))
    state = model.reset(history)
    kept = num_bytes(state) + num_bytes(model.observe(state)) + 4 * model.noise_dim
    return num_bytes(history) + _COPIES * kept + int(getattr(model, "step_bytes", 0))


def object_rows(values: NDArray[Any], mask: Mask) -> NDArray[Any]:
    """An array of B objects: a row of `values` (B, ...) where `mask` (B,) is set, None elsewhere."""
    rows = np.full(len(values), None, object)
    for index in np.flatnonzero(mask).tolist():
        rows[index] = values[index]
    return rows
