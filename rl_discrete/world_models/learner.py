"""What fits a world model to a replay, whichever model it is, and goes on where a checkpoint stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.data.replay import Replay
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.base import WorldModel
from rl_discrete.world_models.config import WorldModelConfig
from rl_discrete.world_models.starts import Histories

WorldModelName: TypeAlias = Literal["code", "pixel", "table"]

Report: TypeAlias = Callable[[str, float], None]
"""Told what is being done and how much of it is, in [0, 1]; called often enough for a heartbeat."""


@dataclass(frozen=True)
class LearnerState:
    """Everything that a learner is but its settings, in the three forms that a checkpoint holds."""

    tensors: dict[str, Tensor]
    """Weights and what optimisers and generators remember: safetensors."""
    arrays: dict[str, NDArray[Any]]
    """Tables, keys, counts: npz without pickle."""
    meta: dict[str, Any]
    """What JSON holds."""


class WorldModelLearner(Protocol):
    """Fits a world model, again and again as the replay grows.

    Contract: a learner restored from `state()` gives the same model and goes on bit for bit like the one that gave the
    state; a fit is a function of the learner and the replay alone. Each class has `begin(replay, num_actions, config,
    seed)` and `restore(state, replay, num_actions, config, seed)`, which `begin_learner` and `restore_learner` call.
    """

    @property
    def model(self) -> WorldModel[Any]:
        """The model as of the last fit. A later fit gives another object and leaves this one as it is."""

    def fit(self, replay: Replay, updates: int | None, report: Report) -> dict[str, float]:
        """Fits the model to all that is in the replay but its held-out rows.

        Args:
            replay: real steps; what was there at the last fit and still is, and more.
            updates: gradient steps; None: those of the settings. A model without gradients ignores it.
            report: told how far it is.

        Returns:
            What was measured, by name, on held-out rows where there are any (names end in the unit).

        Raises:
            UsageError: a replay that nothing can be learned from.
            RunError: a loss is not finite, or the replay cannot be read; load the last checkpoint.
        """

    def histories(self, replay: Replay) -> Histories:
        """What `model.reset` is told of rows of the replay, prepared for many of them; it gives the same states."""

    def state(self) -> LearnerState:
        """For a checkpoint between two fits: copies."""


def check_frames(name: WorldModelName, shape: tuple[int, ...], dtype: str) -> None:
    """Raises UsageError where the world model of that name cannot take single frames like these."""
    if name == "pixel" and (dtype != "uint8" or len(shape) != 3):
        raise UsageError(
            f"the world model of pixels takes images, uint8 (C, H, W), got {dtype} {shape}: use --world-model code"
        )


def begin_learner(
    name: WorldModelName, replay: Replay, num_actions: int, config: WorldModelConfig, seed: int
) -> WorldModelLearner:
    """A learner that has not fitted anything; what its model looks like is found in the replay.

    Args:
        name: which world model.
        replay: the first real steps.
        num_actions: of the env.
        config: settings of all world models.
        seed: of weights, order and noise.

    Raises:
        UsageError: an unknown name, settings outside their ranges, or a replay that gives too little to begin with.
    """
    if name == "code":
        from rl_discrete.world_models.code_learner import CodeLearner

        return CodeLearner.begin(replay, num_actions, config, seed)
    if name == "pixel":
        from rl_discrete.world_models.pixel_learner import PixelLearner

        return PixelLearner.begin(replay, num_actions, config, seed)
    if name == "table":
        from rl_discrete.world_models.table_learner import TableLearner

        return TableLearner.begin(replay, num_actions, config, seed)
    raise _unknown(name)


def restore_learner(
    name: WorldModelName, state: LearnerState, replay: Replay, num_actions: int, config: WorldModelConfig, seed: int
) -> WorldModelLearner:
    """The learner that gave `state`, which is never changed; for the other arguments see `begin_learner`.

    Raises:
        UsageError: an unknown name, or a state of a learner with other settings.
    """
    if name == "code":
        from rl_discrete.world_models.code_learner import CodeLearner

        return CodeLearner.restore(state, replay, num_actions, config, seed)
    if name == "pixel":
        from rl_discrete.world_models.pixel_learner import PixelLearner

        return PixelLearner.restore(state, replay, num_actions, config, seed)
    if name == "table":
        from rl_discrete.world_models.table_learner import TableLearner

        return TableLearner.restore(state, replay, num_actions, config, seed)
    raise _unknown(name)


def _unknown(name: str) -> UsageError:
    return UsageError(f"world model must be code, pixel or table, got {name!r}")
