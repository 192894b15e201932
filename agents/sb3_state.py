"""What an agent of Stable-Baselines3 or sb3-contrib has learned, as tensors and plain values, and back: no pickle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import Tensor

from rl_discrete.agents.sb3_networks import load_weights, weights_of

POLICY, OPTIMIZER = "policy", "optimizer"
AnyAlgorithm: TypeAlias = OnPolicyAlgorithm | OffPolicyAlgorithm
Mask: TypeAlias = NDArray[np.bool_]
OnStep: TypeAlias = Callable[[NDArray[np.floating[Any]], Mask, Mask], None]
"""Called after every step of B envs with rewards, terminated and truncated, (B,) each."""


@dataclass
class Parts:
    """What an agent puts into a checkpoint."""

    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    arrays: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)


def prepare(model: AnyAlgorithm, total_steps: int, on_step: OnStep) -> BaseCallback:
    """Readies a fresh algorithm for `total_steps` of its env, as its `learn` would; what its rollouts call back."""
    model.set_logger(Logger(None, []))
    _, callback = model._setup_learn(total_steps, _Watch(on_step))
    return callback


def take_parts(model: AnyAlgorithm) -> Parts:
    """Weights, optimiser, counters and the generator of random actions; no rollout and no replay."""
    meta = {
        "steps": model.num_timesteps,
        "updates": model._n_updates,
        "episodes": model._episode_num,
        "actions": dict(model.action_space.np_random.bit_generator.state),
    }
    if hasattr(model, "_n_calls"):  # those that copy their weights to a target network
        meta["calls"] = model._n_calls
    moments = {
        f"{index}.{name}": value
        for index, values in model.policy.optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }
    return Parts({POLICY: weights_of(model.policy), OPTIMIZER: moments}, meta=meta)


def load_parts(
    model: AnyAlgorithm, tensors: Mapping[str, dict[str, Tensor]], meta: Mapping[str, Any], total_steps: int
) -> None:
    """Go on from `take_parts`.

    Raises:
        RunError: weights of another network.
    """
    load_weights(model.policy, tensors[POLICY])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors[OPTIMIZER].items():
        index, _, key = name.partition(".")
        moments.setdefault(int(index), {})[key] = value
    model.policy.optimizer.load_state_dict({**model.policy.optimizer.state_dict(), "state": moments})
    model.num_timesteps, model._n_updates, model._episode_num = meta["steps"], meta["updates"], meta["episodes"]
    model.action_space.np_random.bit_generator.state = meta["actions"]
    model._update_current_progress_remaining(model.num_timesteps, total_steps)
    if "calls" in meta:
        vars(model)["_n_calls"] = meta["calls"]
        vars(model)["exploration_rate"] = vars(model)["exploration_schedule"](model._current_progress_remaining)


def take_losses(model: AnyAlgorithm) -> dict[str, float]:
    """The losses that the algorithm logged since the last call, by name; none where it updated nothing."""
    logged = model.logger.name_to_value
    losses = {name.removeprefix("train/"): float(value) for name, value in logged.items() if name.endswith("loss")}
    logged.clear()
    return {name.removesuffix("_loss").replace("loss", "total"): value for name, value in losses.items()}


def tell_step(on_step: OnStep, rewards: NDArray[Any], dones: Mask, infos: Sequence[Mapping[str, Any]]) -> None:
    """Passes on what a step brought, with ends and cuts apart."""
    cut = np.zeros(len(dones), np.bool_)
    for index in np.flatnonzero(dones).tolist():
        cut[index] = infos[index].get("TimeLimit.truncated", False)
    on_step(rewards, dones & ~cut, cut)


class _Watch(BaseCallback):
    """Passes on what every step brings."""

    def __init__(self, on_step: OnStep) -> None:
        super().__init__()
        self._tell = on_step

    def _on_step(self) -> bool:
        tell_step(self._tell, self.locals["rewards"], self.locals["dones"], self.locals["infos"])
        return True
