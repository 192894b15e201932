"""The fit of the judge: everything that training changes, one step at a time, resumable bit for bit.

The loop is the judge's own: `latents.fit` may improve from version to version, the recipe of a frozen file
may not.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from rl_discrete.bench.judge import Judge
from rl_discrete.bench.judge_config import JudgeConfig
from rl_discrete.data.distortion import distort
from rl_discrete.runs.errors import RunError
from rl_discrete.runs.seeding import derive_seed, make_generator

WEIGHT_DECAY = 0.03
WARM_UP = 0.15  # share of the steps with a rising learning rate
FADE_FROM, FADE_TO = 0.7, 0.4  # distortions shrink from full strength at 70 % of the steps to 0.4 at the end
AVERAGING = 0.998  # decay of the running average of the weights, the ones that are kept

Tensors = dict[str, dict[str, Tensor]]


class JudgeFit:
    """AdamW on distorted images, one-cycle learning rate, running average of weights and statistics.

    Attributes:
        average: the judge that is kept, in evaluation mode.
        step: steps done.
        total: steps in all.
    """

    def __init__(self, images: Tensor, labels: Tensor, config: JudgeConfig) -> None:
        """Take uint8 images (N, 28, 28) and int64 labels (N,), without the held-out ones; stand at step 0."""
        self._images, self._labels, self._config = images, labels, config
        self._judge = new_judge(config.seed).to(config.device)
        self.average = copy.deepcopy(self._judge).requires_grad_(False).eval()
        self._optimizer = torch.optim.AdamW(
            self._judge.parameters(), weight_decay=WEIGHT_DECAY, betas=(0.9, 0.99), fused=True
        )
        self._distortions = make_generator(config.seed, "judge", "distortion")
        self._batches = max(1, len(images) // config.batch_size)  # the rest is left out, others in each epoch
        self._orders, self._order = (
            -1,
            torch.empty(0, dtype=torch.int64),
        )  # orders drawn, and the last of them
        self._order_generator = make_generator(config.seed, "judge", "order")
        self.step, self.total = 0, config.epochs * self._batches

    def advance(self) -> float:
        """Make one step and return its loss: cross-entropy in nats per image.

        Raises:
            RunError: the loss is not finite; nothing was updated.
        """
        progress = self.step / self.total
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.learning_rate * learning_rate_factor(progress)
        batch, device = self._batch(), self._config.device
        pixels = distort(self._images[batch].float() / 255.0, distortion_strength(progress), self._distortions)
        loss = F.cross_entropy(self._judge(pixels.to(device)), self._labels[batch].to(device))
        if not math.isfinite(value := loss.item()):
            raise RunError(f"the judge's loss is {value} at step {self.step} of {self.total}; lower the learning_rate")
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._optimizer.step()
        self.step += 1
        self._move_average(min(AVERAGING, self.step / (self.step + 10.0)))
        return value

    def _batch(self) -> Tensor:
        """Return the indices of the images of this step; every epoch has its own order."""
        epoch, position = divmod(self.step, self._batches)
        while self._orders < epoch:
            self._order = torch.randperm(len(self._images), generator=self._order_generator)
            self._orders += 1
        return self._order[position * self._config.batch_size : (position + 1) * self._config.batch_size]

    def _move_average(self, decay: float) -> None:
        """Move every weight and running statistic of the average a share 1 - `decay` towards the judge's."""
        average, judge = self.average.state_dict(), self._judge.state_dict()
        with torch.no_grad():
            for name, kept in average.items():
                if kept.is_floating_point():
                    kept.lerp_(judge[name], 1.0 - decay)
                else:
                    kept.copy_(judge[name])  # the count of batches

    def tensors(self) -> Tensors:
        """Return everything that `restore` needs beside `step`, as parts of a checkpoint."""
        moments = self._optimizer.state_dict()["state"]
        return {
            "judge": dict(self._judge.state_dict()),
            "average": dict(self.average.state_dict()),
            "optimizer": {f"{i}.{name}": value for i, state in moments.items() for name, value in state.items()},
            "generator": {"distortion": self._distortions.get_state()},
        }

    def restore(self, step: int, tensors: Tensors) -> None:
        """Continue, from a fresh fit of the same images and settings, where `tensors` were taken at `step`."""
        self._judge.load_state_dict(tensors["judge"])
        self.average.load_state_dict(tensors["average"])
        self._distortions.set_state(tensors["generator"]["distortion"])
        for i, parameter in enumerate(self._judge.parameters()):
            state = {name: tensors["optimizer"][f"{i}.{name}"] for name in ("step", "exp_avg", "exp_avg_sq")}
            for name in (
                "exp_avg",
                "exp_avg_sq",
            ):  # in the memory layout of the weights, which fused AdamW assumes
                state[name] = torch.empty_like(parameter, requires_grad=False).copy_(state[name])
            self._optimizer.state[parameter] = {**state, "step": state["step"].to(parameter.device)}
        self.step = step


def new_judge(seed: int) -> Judge:
    """Return a judge with fresh weights that depend on `seed` alone, not on torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "judge", "weights"))
        return Judge()


def learning_rate_factor(progress: float) -> float:
    """Return the share of the peak learning rate at `progress` in [0, 1]: linear warm-up, cosine to zero."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1.0 + math.cos(math.pi * (progress - WARM_UP) / (1.0 - WARM_UP)))


def distortion_strength(progress: float) -> float:
    """Return the strength of the distortions at `progress` in [0, 1]: full, then fading to real images."""
    return 1.0 - (1.0 - FADE_TO) * max(0.0, progress - FADE_FROM) / (1.0 - FADE_FROM)
