"""The algorithms of Stable-Baselines3 and sb3-contrib that can learn inside a world model, by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy

from rl_discrete.agents.sb3_networks import NATURE_PIXELS, SmallCNN
from rl_discrete.agents.sb3_state import AnyAlgorithm
from rl_discrete.runs.config import nearest
from rl_discrete.runs.errors import UsageError

ALGORITHMS = {
    "ppo": "stable_baselines3:PPO",
    "a2c": "stable_baselines3:A2C",
    "dqn": "stable_baselines3:DQN",
    "qrdqn": "sb3_contrib:QRDQN",
    "trpo": "sb3_contrib:TRPO",
    "recurrent_ppo": "sb3_contrib:RecurrentPPO",
}
"""Those with discrete actions and rollouts between which they can be saved."""
REFUSED = {
    "sac": "needs continuous actions",
    "td3": "needs continuous actions",
    "ddpg": "needs continuous actions",
    "tqc": "needs continuous actions",
    "crossq": "needs continuous actions",
    "maskable_ppo": "needs to be told which actions are allowed",
    "ars": "learns by whole populations, with no rollout after which it could be saved",
}
_OURS = {
    *("self", "policy", "env", "policy_kwargs", "seed", "device", "verbose", "tensorboard_log", "stats_window_size"),
    *("use_sde", "sde_sample_freq", "monitor_wrapper", "_init_setup_model", "optimize_memory_usage"),
    *("rollout_buffer_class", "rollout_buffer_kwargs", "replay_buffer_class", "replay_buffer_kwargs"),
}
"""Arguments of their constructors that the loop itself decides, or that have no plain values."""


@dataclass(frozen=True)
class AgentSpec:
    """What an agent inside a world model is, without its weights: enough to build its policy again."""

    algorithm: str
    """One of `ALGORITHMS`."""
    observation: dict[str, Any]
    """The model's observation space, as `describe_space` puts it."""
    num_actions: int
    hidden: tuple[int, ...]
    """Widths of the hidden layers; images go through the convolutions of Mnih et al. (2015), or smaller ones, first."""
    policy: dict[str, Any]
    """Further keyword arguments of the policy, such as `n_quantiles` or `lstm_hidden_size`."""

    def to_json(self) -> dict[str, Any]:
        """As JSON; `from_json` gives it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AgentSpec:
        """From what `to_json` gave."""
        return cls(**{**values, "hidden": tuple(values["hidden"])})

    @property
    def policy_name(self) -> str:
        """The policy by its name in the library."""
        return "MlpLstmPolicy" if self.algorithm.startswith("recurrent") else "MlpPolicy"

    @property
    def policy_kwargs(self) -> dict[str, Any]:
        """Its keyword arguments, the same for the algorithm's constructor (`policy_kwargs`)."""
        kwargs: dict[str, Any] = {"net_arch": list(self.hidden), **self.policy}
        if self.observation["kind"] == "image":
            from stable_baselines3.common.torch_layers import NatureCNN

            large = min(self.observation["shape"][1:]) >= NATURE_PIXELS
            kwargs["features_extractor_class"] = NatureCNN if large else SmallCNN
        return kwargs

    def build_policy(self) -> BasePolicy:
        """A policy with fresh weights, drawn from torch's global generator.

        Raises:
            UsageError: sb3-contrib is missing, or keyword arguments that the policy does not take.
        """
        policy_class = find_class(self.algorithm).policy_aliases[self.policy_name]
        actions = spaces.Discrete(self.num_actions)
        try:
            return policy_class(build_space(self.observation), actions, lambda _: 0.0, **self.policy_kwargs)
        except TypeError as error:
            raise UsageError(
                f"the policy of {self.algorithm} cannot be built: {' '.join(str(error).split())}"
            ) from None


def find_algorithm(name: str) -> str:
    """The algorithm that a user means: upper case, `-` and `_` make no difference.

    Raises:
        UsageError: there is none of that name, or it cannot learn inside a world model; it says which can.
    """
    plain = {_plain(known): known for known in (*ALGORITHMS, *REFUSED)}
    found, allowed = plain.get(_plain(name)), ", ".join(ALGORITHMS)
    if found is None:
        close = nearest(name, plain.values())
        raise UsageError(f"unknown algo {name!r}; {f'did you mean {close}? ' if close else ''}allowed: {allowed}")
    if found in REFUSED:
        raise UsageError(f"algo {found} cannot learn inside a world model: it {REFUSED[found]}; take one of {allowed}")
    return found


def find_class(algorithm: str) -> type[AnyAlgorithm]:
    """The class of one of `ALGORITHMS`.

    Raises:
        UsageError: sb3-contrib is missing.
    """
    module, _, name = ALGORITHMS[algorithm].partition(":")
    try:
        found: type[AnyAlgorithm] = getattr(import_module(module), name)
    except ImportError:
        raise UsageError(f"algo {algorithm} needs sb3-contrib: pip install 'rl-discrete[contrib]'") from None
    return found


def check_arguments(algorithm: str, arguments: Mapping[str, Any]) -> None:
    """Raises UsageError for a keyword argument that the algorithm does not take, or that the loop decides."""
    known = inspect.signature(find_class(algorithm).__init__).parameters
    allowed = [name for name in known if name not in _OURS]
    for name in arguments:
        if name not in allowed:
            close = nearest(name, allowed)
            hint = f"did you mean {close}?" if close else f"allowed: {', '.join(allowed)}"
            raise UsageError(f"policy.arguments.{algorithm} has no {name!r}; {hint}")


def describe_space(space: spaces.Space[Any]) -> dict[str, Any]:
    """An observation space as plain values; `build_space` gives it back, but for the bounds of vectors.

    Raises:
        UsageError: one that no algorithm can take.
    """
    if isinstance(space, spaces.MultiBinary) and len(space.shape) == 1:
        return {"kind": "bits", "shape": list(space.shape)}
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return {"kind": "number", "shape": [int(space.n)]}
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return {"kind": "vector", "shape": list(space.shape)}
    if isinstance(space, spaces.Box) and len(space.shape) == 3 and space.dtype == np.uint8:
        if space.shape[0] <= min(space.shape[1:]):  # Stable-Baselines3 takes the smallest axis for the channels
            return {"kind": "image", "shape": list(space.shape)}
        raise UsageError(f"images {space.shape} have more channels than pixels, which no algorithm can take")
    raise UsageError(
        f"no algorithm can take the observations {space}: allowed are MultiBinary (L,), Discrete, Box (D,) and images, "
        "Box uint8 (C, H, W)"
    )


def build_space(described: Mapping[str, Any]) -> spaces.Space[Any]:
    """The space that `describe_space` described."""
    shape = tuple(described["shape"])
    if described["kind"] == "bits":
        return spaces.MultiBinary(shape[0])
    if described["kind"] == "number":
        return spaces.Discrete(shape[0])
    if described["kind"] == "image":
        return spaces.Box(0, 255, shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, shape, np.float32)


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
