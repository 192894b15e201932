"""The one loop that fits autoencoders and priors, step by step and resumable bit for bit."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from rl_discrete.latents.config import FitConfig
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.runs.seeding import make_generator

Objective = Callable[[Tensor, torch.Generator], Tensor]
"""Loss in nats, one per example, of a batch of example indices int64 (B,); noise from the generator."""

Model = TypeVar("Model", bound=nn.Module)


class Fit(Generic[Model]):
    """One optimisation of a model: AdamW (fused), linear warm-up, cosine decay, averaged weights.

    Step t of the run is the same computation whether or not the run was stopped before: the order of epoch e comes
    from (seed, e), the noise from one generator whose state belongs to `state()`.

    Args:
        model: its parameters are optimised in place.
        objective: loss per example of a batch of indices.
        num_examples: size of the training data.
        config: how to fit.
        seed: seed of order and noise.
        anneal: called before each step with the progress in [0, 1]; the last step sees exactly 1.

    Raises:
        UsageError: settings outside their ranges, no examples, or nothing to fit.
    """

    def __init__(
        self,
        model: Model,
        objective: Objective,
        num_examples: int,
        config: FitConfig,
        seed: int,
        anneal: Callable[[float], None] | None = None,
    ) -> None:
        check_fit(config, num_examples)
        self.model, self.config = model, config
        self._objective, self._anneal = objective, anneal
        self._num_examples, self._seed = num_examples, seed
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        if not self._parameters:
            raise UsageError("the model has no parameters to fit")
        self._device = self._parameters[0].device
        self.batch_size = min(config.batch_size, num_examples)
        self.steps_per_epoch = num_examples // self.batch_size
        self.total_steps = config.epochs * self.steps_per_epoch
        self.step = 0
        self.recent_loss = math.nan
        self._noise = make_generator(seed, "noise", device=str(self._device))
        self._order: tuple[int, Tensor] = (-1, torch.empty(0, dtype=torch.int64))
        matrices = [p for p in self._parameters if p.ndim >= 2]
        others = [p for p in self._parameters if p.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=config.learning_rate,
            betas=(0.9, 0.999),
            fused=True,
        )
        self._average = [p.detach().clone() for p in self._parameters] if config.average_decay else []

    @property
    def finished(self) -> bool:
        return self.step >= self.total_steps

    @property
    def epoch(self) -> float:
        """Passes over the data made so far."""
        return self.step / self.steps_per_epoch

    @property
    def progress(self) -> float:
        """Share of the training before the next step, in [0, 1]; exactly 1 at the last step."""
        return min(1.0, self.step / max(1, self.total_steps - 1))

    def advance(self, max_steps: int) -> float:
        """Makes up to `max_steps` steps and returns their mean loss, nats per example.

        Raises:
            RunError: the loss is not finite; the model is left as it was before the update of that step.
        """
        self.model.train()
        total, made = 0.0, 0
        while made < max_steps and not self.finished:
            total += self._one_step()
            made += 1
        self.recent_loss = total / made if made else self.recent_loss
        return self.recent_loss

    def _one_step(self) -> float:
        self._anneal_to(self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate()
        loss = self._objective(self._batch(), self._noise).mean()
        value = loss.item()
        if not math.isfinite(value):
            raise RunError(
                f"the loss became {value} at step {self.step} (epoch {self.epoch:.2f}); the last good checkpoint is "
                "kept: lower the learning rate or look for bad values in the data"
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.gradient_clip > 0.0:
            nn.utils.clip_grad_norm_(self._parameters, self.config.gradient_clip)
        self._optimiser.step()
        self.step += 1
        if self._average:
            decay = min(self.config.average_decay, self.step / (self.step + 10.0))
            with torch.no_grad():
                torch._foreach_lerp_(self._average, [*self._parameters], 1.0 - decay)
        return value

    def _anneal_to(self, step: int) -> None:
        if self._anneal is not None:
            self._anneal(step / max(1, self.total_steps - 1))

    def _learning_rate(self) -> float:
        config, step = self.config, self.step
        warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
        cosine = 0.5 * (1.0 + math.cos(math.pi * step / self.total_steps))
        floor = config.final_learning_rate
        return config.learning_rate * warm * (floor + (1.0 - floor) * cosine)

    def _batch(self) -> Tensor:
        """Indices of the next batch; the rest of an epoch that fills no batch is left for the next order."""
        epoch, position = divmod(self.step, self.steps_per_epoch)
        if self._order[0] != epoch:
            order = torch.randperm(self._num_examples, generator=make_generator(self._seed, "order", epoch))
            self._order = (epoch, order.to(self._device))
        start = position * self.batch_size
        return self._order[1][start : start + self.batch_size]

    @contextmanager
    def evaluation(self) -> Iterator[Model]:
        """The model in evaluation mode with averaged weights, without gradients; training state is put back."""
        training = self.model.training
        self._swap_average()
        self.model.eval()
        try:
            with torch.no_grad():
                yield self.model
        finally:
            self._swap_average()
            self.model.train(training)

    def _swap_average(self) -> None:
        with torch.no_grad():
            for index, (average, parameter) in enumerate(zip(self._average, self._parameters, strict=False)):
                kept = parameter.detach().clone()
                parameter.copy_(average)
                self._average[index] = kept

    def close(self) -> None:
        """Leaves the averaged weights in the model, in evaluation mode, for good."""
        self._swap_average()
        self._average = []
        self.model.eval()

    def state(self) -> dict[str, Tensor]:
        """Everything but the configuration: weights, averages, optimiser, noise generator, step."""
        state = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        state |= {f"average.{index}": value for index, value in enumerate(self._average)}
        for index, moments in self._optimiser.state_dict()["state"].items():
            state |= {f"optimiser.{index}.{name}": value for name, value in moments.items()}
        state["noise"] = self._noise.get_state()
        state["step"] = torch.tensor(self.step)
        return copy.deepcopy({name: value.detach() for name, value in state.items()})

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continues from `state()` of a fit with the same arguments; `state` itself is copied and never changed."""
        state = {name: value.clone() for name, value in state.items()}  # the optimiser updates in place
        self.model.load_state_dict(_section(state, "model"))
        average = _section(state, "average")
        self._average = [average[str(index)].to(self._device) for index in range(len(average))]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _section(state, "optimiser").items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = value
        optimiser = self._optimiser.state_dict()
        optimiser["state"] = moments
        self._optimiser.load_state_dict(optimiser)
        self._noise.set_state(state["noise"].cpu())
        self.step = int(state["step"])
        self._anneal_to(max(0, self.step - 1))  # schedules stand where the last step left them


def _section(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = prefix + "."
    return {name[len(start) :]: value for name, value in state.items() if name.startswith(start)}


def check_fit(config: FitConfig, num_examples: int) -> None:
    """Raises UsageError for settings outside their ranges, or no examples."""
    if num_examples < 1:
        raise UsageError("there are no training examples: give at least one")
    if config.epochs < 1 or config.batch_size < 1:
        raise UsageError(f"epochs and batch_size must be >= 1, got {config.epochs} and {config.batch_size}")
    if not (math.isfinite(config.learning_rate) and config.learning_rate > 0.0):
        raise UsageError(f"learning_rate must be > 0, got {config.learning_rate}")
    if not 0.0 <= config.final_learning_rate <= 1.0:
        raise UsageError(f"final_learning_rate must be in [0, 1], got {config.final_learning_rate}")
    if not all(0 <= value < math.inf for value in (config.warmup_steps, config.weight_decay, config.gradient_clip)):
        raise UsageError(
            "warmup_steps, weight_decay and gradient_clip must be >= 0, got "
            f"{config.warmup_steps}, {config.weight_decay} and {config.gradient_clip}"
        )
    if not 0.0 <= config.average_decay < 1.0:
        raise UsageError(f"average_decay must be in [0, 1), got {config.average_decay}")
