"""One seed for a run, and an independent stream for every purpose inside it.

A purpose is named by words and numbers, `derive_seed(0, "gs-16x2", "prior", 3)`, so that adding a new
consumer of randomness never changes what the others draw.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """The seed of the stream called `names` within the run seeded by `seed`.

    The same on every machine and in every Python version (SHA-256, not `hash`). `1` and `"1"` are different
    names, and `("ab", "c")` differs from `("a", "bc")`.

    Returns:
        An integer in [0, 2**63).
    """
    purpose = (int(seed), *(name if isinstance(name, str) else int(name) for name in names))
    digest = hashlib.sha256(repr(purpose).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def make_generator(seed: int, *names: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator for the stream called `names`, seeded by `derive_seed(seed, *names)`."""
    import torch

    return torch.Generator(device=device).manual_seed(derive_seed(seed, *names))
