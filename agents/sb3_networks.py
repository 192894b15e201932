"""Networks of the agents of Stable-Baselines3, described by plain values, so that a saved agent can be built again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn

from rl_discrete.agents.baseline_config import Network
from rl_discrete.runs.errors import RunError, UsageError

Algorithm = Literal["ppo", "dqn"]
NATURE_PIXELS = 36
"""Fewest pixels, up or across, that the network of Mnih et al. (2015) can see."""


class SmallCNN(BaseFeaturesExtractor):
    """Two convolutions of stride 2 and a linear layer: for images of any size (C, H, W)."""

    def __init__(self, observation_space: spaces.Box, features_dim: int = 128) -> None:
        super().__init__(observation_space, features_dim)
        channels, height, width = observation_space.shape
        pixels = -(-height // 4) * -(-width // 4)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * pixels, features_dim),
            nn.ReLU(),
        )

    def forward(self, observations: Tensor) -> Tensor:
        features: Tensor = self.layers(observations)
        return features


_EXTRACTORS: dict[str, type[BaseFeaturesExtractor]] = {"mlp": FlattenExtractor, "small": SmallCNN, "nature": NatureCNN}


@dataclass(frozen=True)
class PolicySpec:
    """What a policy is, without its weights."""

    algorithm: Algorithm
    network: Literal["mlp", "small", "nature"]
    hidden: tuple[int, ...]
    """Widths of the hidden layers of mlp."""
    frame_shape: tuple[int, ...]
    """Of one frame: (C, H, W) uint8, or (D,) float32."""
    frame_stack: int
    """Frames that make an observation."""
    num_actions: int

    @classmethod
    def choose(
        cls,
        algorithm: Algorithm,
        network: Network,
        hidden: tuple[int, ...],
        frame_shape: tuple[int, ...],
        frame_stack: int,
        num_actions: int,
    ) -> PolicySpec:
        """The spec with a network that suits the frames.

        Raises:
            UsageError: a network that does not suit them, a width below 1, or more channels than pixels.
        """
        image = len(frame_shape) == 3
        smallest = min(frame_shape[1:]) if image else 0
        chosen: str = network
        if network == "auto":
            chosen = ("nature" if smallest >= NATURE_PIXELS else "small") if image else "mlp"
        if image and frame_shape[0] * frame_stack > smallest:
            # Stable-Baselines3 takes the smallest axis for the channels.
            raise UsageError(f"{frame_stack} frames {frame_shape} have more channels than pixels: lower frame_stack")
        if chosen == "nature" and smallest < NATURE_PIXELS:
            raise UsageError(
                f"network nature needs images of >= {NATURE_PIXELS} pixels, got {frame_shape}: take small or auto"
            )
        if chosen == "small" and not image:
            raise UsageError(f"network small needs images, got vectors {frame_shape}: take mlp or auto")
        if min(hidden, default=1) < 1:
            raise UsageError(f"hidden widths must be >= 1, got {list(hidden)}")
        return cls(algorithm, chosen, hidden, frame_shape, frame_stack, num_actions)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """As JSON; `from_json` gives it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> PolicySpec:
        """From what `to_json` gave."""
        return cls(**values | {name: tuple(values[name]) for name in ("hidden", "frame_shape")})

    @property
    def observation_space(self) -> spaces.Box:
        """Of the stacked observations."""
        shape = (self.frame_shape[0] * self.frame_stack, *self.frame_shape[1:])
        if len(shape) == 3:
            return spaces.Box(0, 255, shape, np.uint8)
        return spaces.Box(-np.inf, np.inf, shape, np.float32)

    @property
    def policy_kwargs(self) -> dict[str, Any]:
        """Its keyword arguments, the same for the algorithm's constructor (`policy_kwargs`)."""
        return {
            "net_arch": list(self.hidden) if self.network == "mlp" else [],
            "features_extractor_class": _EXTRACTORS[self.network],
        }

    def build(self) -> BasePolicy:
        """A policy with fresh weights, drawn from torch's global generator."""
        policy_class = ActorCriticPolicy if self.algorithm == "ppo" else DQNPolicy
        return policy_class(
            self.observation_space, spaces.Discrete(self.num_actions), lambda _: 0.0, **self.policy_kwargs
        )


def weights_of(policy: BasePolicy) -> dict[str, Tensor]:
    """The weights of a policy by name, each once: PPO names those of its features three times."""
    weights: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in policy.state_dict().items():
        if value.data_ptr() not in seen:
            seen.add(value.data_ptr())
            weights[name] = value
    return weights


def load_weights(policy: BasePolicy, weights: dict[str, Tensor]) -> None:
    """Give a policy the weights that `weights_of` returned.

    Raises:
        RunError: they are of another network.
    """
    own = weights_of(policy)
    different = sorted(
        name
        for name in own.keys() | weights.keys()
        if name not in own or name not in weights or own[name].shape != weights[name].shape
    )
    if different:
        raise RunError(f"these weights are of another network: {different[0]} is missing, unknown or of another shape")
    policy.load_state_dict(weights, strict=False)


def push_frame(
    frames: NDArray[Any], before: NDArray[Any] | None, starts: NDArray[np.bool_] | None, depth: int
) -> NDArray[Any]:
    """The newest frames joined with those before, newest first, zeros before an episode's start.

    Args:
        frames: (B, C, H, W) or (B, D).
        before: what the last call returned; None at first.
        starts: (B,) where an episode begins; None: nowhere.
        depth: frames that are kept.

    Returns:
        (B, depth * C, H, W) or (B, depth * D).
    """
    size = frames.shape[1]
    if before is None:
        before = np.zeros((len(frames), depth * size, *frames.shape[2:]), frames.dtype)
    elif starts is not None and starts.any():
        before = np.where(np.reshape(starts, (-1,) + (1,) * (frames.ndim - 1)), np.zeros_like(before), before)
    return np.concatenate([frames, before[:, : (depth - 1) * size]], axis=1)


def is_finite(state: dict[str, Tensor]) -> bool:
    """Whether every weight is a number."""
    return all(bool(torch.isfinite(value).all()) for value in state.values() if value.is_floating_point())
