"""What learned encoders share: one gradient step of Adam, codes from averaged weights, frozen copies, exact state."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from rl_discrete.data.transition_batch import TransitionBatch
from rl_discrete.encoders.code_network import CodeNetwork
from rl_discrete.encoders.config import EncoderConfig
from rl_discrete.encoders.fixed import FrozenEncoder
from rl_discrete.encoders.observations import Observations
from rl_discrete.encoders.restoring import check_state, prefixed, section
from rl_discrete.latents.codes import Codes, Keys, key_width, pack
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.runs.seeding import make_generator


class LearnedEncoder(ABC):
    """An encoder whose network follows the gradient of `terms`, step by step and resumable bit for bit.

    Args:
        network: observations to codes and back; further modules that learn stand in `parts`.
        parts: all modules that learn, by name, `network` among them.
        config: how they learn.
        seed: of the noise.

    Raises:
        UsageError: a setting outside its range.
    """

    trainable = True

    def __init__(self, network: CodeNetwork, parts: dict[str, nn.Module], config: EncoderConfig, seed: int) -> None:
        check_learning(config)
        self.config, self.network = config, network
        self.num_latents = network.bottleneck.num_latents
        self.num_categories = network.bottleneck.num_categories
        self.key_words = key_width(self.num_latents, self.num_categories)
        self._parts = nn.ModuleDict(parts).train()
        self._parameters = list(self._parts.parameters())
        self._optimiser = torch.optim.Adam(self._parameters, lr=config.learning_rate, fused=True)
        self._noise = make_generator(seed, "encoder", "noise")
        self._average = deepcopy(network) if config.average_decay > 0.0 else None
        self._reference: CodeNetwork | None = None
        self._steps = 0
        self.anneal(0.0)

    @abstractmethod
    def terms(self, batch: TransitionBatch, noise: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Summands of the loss, each (B,) nats, and the logits (B, num_logits) of the current observations."""

    def learn(self, batch: TransitionBatch) -> dict[str, float]:
        """One gradient step; means over the batch of the loss and its summands, in nats, and how the step went.

        Raises:
            UsageError: observations of another shape or type, or an action out of range.
            RunError: the loss or its gradient is not finite; the weights are left as they were before this step.
        """
        self._hold()
        self.network.model.observe(self.network.tensor(batch.current))
        terms, logits = self.terms(batch, self._noise)
        if self._reference is not None:
            kept = torch.from_numpy(self._reference.codes(batch.current))
            terms["consistency"] = self.config.consistency * self._progress * code_nats(logits, kept)
        loss = torch.stack(list(terms.values())).sum(0).mean()
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, self.config.gradient_clip or math.inf).item()
        value = loss.item()
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise RunError(
                f"the encoder's loss became {value} (gradient norm {norm}) at gradient step {self._steps}: lower the "
                "learning rate or look for bad values in the observations"
            )
        self._optimiser.step()
        self._steps += 1
        self._follow()
        means = {name: term.mean().item() for name, term in terms.items()}
        return {"loss": value, **means, "gradient_norm": norm, "learning_rate": self._learning_rate()}

    def _hold(self) -> None:
        """Takes the codes of today as those to keep, every `consistency_every` gradient steps."""
        due = self._steps > 0 and self._steps % self.config.consistency_every == 0
        if due and self.config.consistency > 0.0:
            self._reference = deepcopy(self._keyed)

    @torch.no_grad()
    def _follow(self) -> None:
        """Moves the averaged weights towards the newest; statistics of vectors are taken over."""
        if self._average is None:
            return
        decay = min(self.config.average_decay, self._steps / (self._steps + 10.0))
        torch._foreach_lerp_(list(self._average.parameters()), list(self.network.parameters()), 1.0 - decay)
        for average, newest in zip(self._average.buffers(), self.network.buffers(), strict=True):
            average.copy_(newest)

    def anneal(self, progress: float) -> None:
        """Learning rate and bottleneck at `progress` of the run, in [0, 1]: the rate falls geometrically."""
        self._progress = progress
        self.network.bottleneck.anneal(progress)
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate()

    def _learning_rate(self) -> float:
        share = min(self._progress / self.config.decay_until, 1.0)
        fall: float = self.config.final_learning_rate**share
        return self.config.learning_rate * fall

    @property
    def _keyed(self) -> CodeNetwork:
        """The network that codes are made with."""
        return self.network if self._average is None else self._average

    def logits(self, observations: Observations) -> Tensor:
        """Logits float32 (B, L * logits_per_latent) that the codes are read from."""
        return self._keyed.logits(observations)

    def codes(self, observations: Observations) -> Codes:
        return self._keyed.codes(observations)

    def encode(self, observations: Observations) -> Keys:
        return pack(self.codes(observations), self.num_categories)

    def decode(self, keys: Keys) -> NDArray[np.uint8] | None:
        return self._keyed.decode(keys)

    def frozen_copy(self) -> FrozenEncoder:
        return FrozenEncoder(deepcopy(self._keyed))

    def state(self) -> dict[str, Tensor]:
        """Everything but the configuration: weights, averages, reference, optimiser, noise, progress."""
        state = prefixed("parts", self._parts.state_dict())
        for name, network in (("average", self._average), ("reference", self._reference)):
            state |= prefixed(name, network.state_dict()) if network is not None else {}
        for index, moments in self._optimiser.state_dict()["state"].items():
            state |= prefixed(f"optimiser.{index}", moments)
        state["noise"] = self._noise.get_state()
        state["steps"] = torch.tensor(self._steps)
        state["progress"] = torch.tensor(self._progress, dtype=torch.float64)
        return {name: value.detach().clone() for name, value in state.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continues from `state()` of an encoder with the same settings; `state` itself is never changed.

        Raises:
            UsageError: it belongs to an encoder with other settings.
        """
        parts, average, reference = (section(state, name) for name in ("parts", "average", "reference"))
        check_state(self._parts.state_dict(), parts)
        check_state(self._average.state_dict() if self._average is not None else {}, average)
        self._parts.load_state_dict(parts)
        if self._average is not None:
            self._average.load_state_dict(average)
        self._reference = deepcopy(self.network) if reference else None
        if self._reference is not None:
            self._reference.load_state_dict(reference)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in section(state, "optimiser").items():
            index, _, key = name.partition(".")
            parameter = self._parameters[int(index)]  # fused Adam wants its moments laid out in memory like it
            like = parameter if value.shape == parameter.shape else value
            moments.setdefault(int(index), {})[key] = torch.empty_like(like).copy_(value)
        optimiser = self._optimiser.state_dict()
        optimiser["state"] = moments
        self._optimiser.load_state_dict(optimiser)
        self._noise.set_state(state["noise"])
        self._steps = int(state["steps"])
        self.anneal(float(state["progress"]))


def code_nats(logits: Tensor, codes: Tensor) -> Tensor:
    """-log probability of codes int64 (B, L) under logits (B, L) of bits or (B, L * K) of categories, (B,), nats."""
    if logits.shape == codes.shape:
        return F.softplus(torch.where(codes > 0, -logits, logits)).sum(-1)
    classes = logits.unflatten(1, (codes.shape[1], -1)).transpose(1, 2)  # (B, K, L)
    return F.cross_entropy(classes, codes, reduction="none").sum(-1)


def check_learning(config: EncoderConfig) -> None:
    """Raises UsageError for settings outside their ranges."""
    for name in ("learning_rate", "vector_noise"):
        if not 0.0 < getattr(config, name) < math.inf:
            raise UsageError(f"{name} must be > 0 and finite, got {getattr(config, name)}")
    for name in ("final_learning_rate", "decay_until"):
        if not 0.0 < getattr(config, name) <= 1.0:
            raise UsageError(f"{name} must be in (0, 1], got {getattr(config, name)}")
    for name in ("gradient_clip", "consistency", "foresight", "beta_prior"):
        if not 0.0 <= getattr(config, name) < math.inf:
            raise UsageError(f"{name} must be >= 0 and finite, got {getattr(config, name)}")
    if config.consistency_every < 1:
        raise UsageError(f"consistency_every must be >= 1, got {config.consistency_every}")
    if not 0.0 <= config.average_decay < 1.0:
        raise UsageError(f"average_decay must be in [0, 1), got {config.average_decay}")
