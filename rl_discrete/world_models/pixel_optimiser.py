"""How the weights of the world model of pixels are moved."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.world_models.pixel_config import PixelTrainingConfig


class PixelOptimiser:
    """AdamW or Adafactor, the schedule of their learning rate, and the clipping of gradients.

    The gradient step counts over all fits: nothing starts again when the replay has grown.

    Args:
        model: its parameters are moved in place.
        config: how.

    Raises:
        UsageError: a setting outside its range.
    """

    def __init__(self, model: nn.Module, config: PixelTrainingConfig) -> None:
        _check(config)
        self._config = config
        self._parameters = list(model.parameters())
        self._optimiser: torch.optim.Optimizer
        if config.optimiser == "adamw":
            fused = not self._parameters[0].is_meta
            self._optimiser = torch.optim.AdamW(
                self._parameters, lr=config.learning_rate, weight_decay=0.0, fused=fused
            )
        else:
            self._optimiser = torch.optim.Adafactor(self._parameters, config.learning_rate, weight_decay=0.0)

    def rate(self, update: int) -> float:
        """Learning rate of the gradient step number `update`, from 0."""
        config, made = self._config, update + 1
        warm = min(1.0, made / max(config.rate_warmup, 1))
        fallen = 1.0
        if config.rate_decay == "rsqrt":
            fallen = min(1.0, math.sqrt(max(config.rate_warmup, 1) / made))
        return config.learning_rate * warm * fallen

    def step(self, loss: Tensor, update: int) -> None:
        """One gradient step on a loss that is finite."""
        for group in self._optimiser.param_groups:
            group["lr"] = self.rate(update)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self._config.gradient_clip > 0.0:
            nn.utils.clip_grad_norm_(self._parameters, self._config.gradient_clip)
        self._optimiser.step()

    def state(self) -> dict[str, Tensor]:
        """What it remembers, by parameter: copies."""
        state = self._optimiser.state_dict()["state"]
        return {
            f"{index}.{name}": value.detach().clone(memory_format=torch.contiguous_format)
            for index, moments in state.items()
            for name, value in moments.items()
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Goes on from `state()` of an optimiser with the same settings."""
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            index, _, key = name.partition(".")
            like = self._parameters[int(index)]
            if value.shape == like.shape:
                value = torch.empty_like(like).copy_(value)  # the fused kernel wants the parameter's own strides
            moments.setdefault(int(index), {})[key] = value.clone()
        whole = self._optimiser.state_dict()
        whole["state"] = moments
        self._optimiser.load_state_dict(whole)


def check_loss(value: float, update: int) -> None:
    """Raises RunError unless the loss is finite."""
    if not math.isfinite(value):
        raise RunError(
            f"the loss of the world model became {value} at update {update}; the last good checkpoint is kept: lower "
            "the learning rate or look for bad values in the data"
        )


def _check(config: PixelTrainingConfig) -> None:
    for name in ("batch_size", "predicted", "warmup_updates", "held_out_steps", "held_out_windows"):
        if getattr(config, name) < 1:
            raise UsageError(f"{name} must be >= 1, got {getattr(config, name)}")
    for name in ("updates", "loss_cutoff", "rate_warmup", "gradient_clip"):
        if not 0 <= getattr(config, name) < math.inf:
            raise UsageError(f"{name} must be >= 0 and finite, got {getattr(config, name)}")
    if not 0.0 < config.learning_rate < math.inf:
        raise UsageError(f"learning_rate must be > 0, got {config.learning_rate}")
    if not 0.0 <= config.pixel_noise < 1.0:
        raise UsageError(f"pixel_noise must be in [0, 1), got {config.pixel_noise}")
    if config.optimiser not in ("adamw", "adafactor"):
        raise UsageError(f"optimiser must be adamw or adafactor, got {config.optimiser!r}")
    if config.rate_decay not in ("none", "rsqrt"):
        raise UsageError(f"rate_decay must be none or rsqrt, got {config.rate_decay!r}")
