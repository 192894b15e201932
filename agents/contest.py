"""Several agents that learn in the same world model, one after the other, of which the best paid is kept.

Agents that differ in nothing but their first weights and their luck differ widely in what they find in a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from rl_discrete.agents.sb3_state import Parts

_PREFIX = "best_"


@dataclass
class Contest:
    """The agents of one training that have finished; its state goes into checkpoints."""

    paid: list[float] = field(default_factory=list)
    """Mean imagined reward per step of each, at the end of its time."""
    rates: list[dict[str, float]] = field(default_factory=list)
    """What else was counted of each then."""
    best: Parts | None = None
    """The best paid one, the first of equals; None before the first."""

    def __len__(self) -> int:
        """How many have finished."""
        return len(self.paid)

    @property
    def winner(self) -> int:
        """The place of the best paid one; there is one."""
        return self.paid.index(max(self.paid))

    def add(self, paid: float, rates: dict[str, float], parts: Parts) -> None:
        """Takes in one that has finished, with its weights and counters."""
        if self.best is None or paid > max(self.paid):
            self.best = Parts(tensors=parts.tensors, meta=parts.meta)
        self.paid.append(paid)
        self.rates.append(rates)

    def state(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        """For a checkpoint: tensors by part, and the rest."""
        tensors = {} if self.best is None else {f"{_PREFIX}{name}": named for name, named in self.best.tensors.items()}
        meta = {"paid": self.paid, "rates": self.rates, "best": None if self.best is None else self.best.meta}
        return tensors, meta

    @classmethod
    def restore(cls, tensors: Mapping[str, dict[str, Tensor]], meta: Mapping[str, Any]) -> Contest:
        """The one that gave the state; `tensors` may hold other parts too."""
        own = {name.removeprefix(_PREFIX): named for name, named in tensors.items() if name.startswith(_PREFIX)}
        best = None if meta["best"] is None else Parts(tensors=own, meta=meta["best"])
        return cls(list(meta["paid"]), list(meta["rates"]), best)
