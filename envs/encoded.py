"""The real world seen as inside a world model: for agents that train in the one and act in the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rl_discrete.data.history import CodedHistory, History
from rl_discrete.envs.model import AnyModel, Infos, Mask, checked_mode, object_rows
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.code import CodeWorldModel

State = tuple[NDArray[Any], ...] | None


class Predicts(Protocol):
    """Whatever acts: the `predict` of Stable-Baselines3, which leaves its types open."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        """Actions (B,) for observations (B, ...), and the state for the next call."""


class EncodedVectorEnv(VectorWrapper[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]):
    """A real vector env whose agent sees what it would see inside the model after the same frames and actions.

    Args:
        venv: shows single frames (B, C, H, W) or vectors (B, D), not stacked; any autoreset mode.
        model: that the agent trains in, or was trained in.

    Raises:
        UsageError: other actions than the model's, or a vector env that does not say how it resets.
    """

    def __init__(self, venv: VectorEnv[Any, Any, Any], model: AnyModel) -> None:
        super().__init__(venv)
        if venv.single_action_space != gymnasium.spaces.Discrete(model.num_actions):
            raise UsageError(f"the model takes {model.num_actions} actions, the env takes {venv.single_action_space}")
        self.autoreset_mode = checked_mode(venv.metadata.get("autoreset_mode"))
        self.model = model
        self._kind, self._see = sight_of(model)
        self.single_observation_space = model.observation_space
        self.observation_space = batch_space(model.observation_space, venv.num_envs)
        self._history: History | None = None
        self._ended = np.zeros(venv.num_envs, np.bool_)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Infos | None = None
    ) -> tuple[NDArray[Any], Infos]:
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, np.bool_))
        frames, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]  # its envs may take many
        self._history = restarted(self._kind, self._history, mask, self._see(frames), self.model.history_length)
        self._ended = self._ended & ~mask
        return observed(self.model, self._history), infos

    def step(self, actions: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], Infos]:
        assert self._history is not None, "reset comes first"
        frames, rewards, terminated, truncated, infos = self.env.step(actions)
        ended = np.asarray(terminated, np.bool_) | np.asarray(truncated, np.bool_)
        kind, seen, length = self._kind, self._see(frames), self.model.history_length
        if self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
            last = np.array(frames)
            for index in np.flatnonzero(ended).tolist():
                last[index] = infos["final_obs"][index]
            closing = self._history.push(actions, self._see(last))
            infos = infos | {"final_obs": object_rows(observed(self.model, closing), ended)}
            self._history = restarted(kind, closing, ended, seen, length)
        else:
            self._history = restarted(kind, self._history.push(actions, seen), self._ended, seen, length)
            self._ended = ended if self.autoreset_mode is AutoresetMode.NEXT_STEP else self._ended
        return observed(self.model, self._history), rewards, terminated, truncated, infos


class EncodedPolicy:
    """A policy trained inside a model, for the real env: shows it what the model makes of the frames.

    Has the `predict` of Stable-Baselines3; the frames before are in the state that it returns. Histories hold the
    actions that it returned, so whatever explores belongs inside `policy`.

    Args:
        policy: acts on the model's observations.
        model: that it was trained in.
    """

    def __init__(self, policy: Predicts, model: AnyModel) -> None:
        self.policy, self.model = policy, model
        self._kind, self._see = sight_of(model)

    def predict(
        self,
        observation: NDArray[Any],
        state: State = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], State]:
        """Actions for a batch of real envs.

        Args:
            observation: newest frames (B, C, H, W) or vectors (B, D), or those of a single env without B.
            state: what the last call returned; None at first.
            episode_start: (B,) where an episode begins.
            deterministic: passed on to the policy.

        Returns:
            Actions int64 (B,), or () for a single env, and the state for the next call.
        """
        single = np.ndim(observation) in (1, 3)
        frames = self._see(np.asarray(observation)[None] if single else np.asarray(observation))
        starts = np.zeros(len(frames), np.bool_)
        if episode_start is not None:
            starts = np.broadcast_to(np.asarray(episode_start, np.bool_), starts.shape)
        pushed, inner = None, None
        if state is not None:
            pushed = self._kind(*state[:3]).push(state[3], frames)
            inner = state[4:] or None
        history = restarted(self._kind, pushed, starts, frames, self.model.history_length)
        if state is None:
            starts = np.ones(len(frames), np.bool_)
        chosen, inner = self.policy.predict(observed(self.model, history), inner, starts, deterministic)
        actions = np.asarray(chosen, np.int64)
        kept = (history.frames, history.actions, history.valid, actions, *(inner or ()))
        return (actions[0] if single else actions), kept


def sight_of(model: AnyModel) -> tuple[type[History], Callable[[NDArray[Any]], NDArray[Any]]]:
    """In which histories a model is told of real frames, and as what: one of codes as codes, each made once."""
    return (CodedHistory, model.codec.encode) if isinstance(model, CodeWorldModel) else (History, np.asarray)


def restarted(kind: type[History], history: History | None, mask: Mask, frames: NDArray[Any], length: int) -> History:
    """`history` with an episode begun in the rows of `mask` (B,): nothing there but the first of `frames` (B, ...).

    Without a history all of them begin, and it is of that `kind`.
    """
    if history is None or mask.all():
        return kind.of_first(frames, length)
    if not mask.any():
        return history
    fresh = kind.of_first(frames[mask], length)
    changed = kind(history.frames.copy(), history.actions.copy(), history.valid.copy())
    changed.frames[mask], changed.actions[mask], changed.valid[mask] = fresh.frames, fresh.actions, fresh.valid
    return changed


def observed(model: AnyModel, history: History) -> NDArray[Any]:
    """What an agent inside the model would see after these real frames: (B, ...)."""
    return model.observe(model.reset(history))
