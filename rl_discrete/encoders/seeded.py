"""Weights that depend on the run's seed alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from rl_discrete.runs.seeding import derive_seed

Built = TypeVar("Built")


def seeded(seed: int, build: Callable[[], Built]) -> Built:
    """What `build` makes with weights from the stream of `seed`; torch's global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "encoder", "weights"))
        return build()
