"""The global random numbers that Stable-Baselines3 draws from, borrowed for the length of a run."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


@contextmanager
def global_randomness(seed: int) -> Iterator[None]:
    """Inside, the global generators of Python, numpy and torch start from `seed`; after it they are as before."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


def randomness_state() -> dict[str, NDArray[Any]]:
    """Where the generators of numpy and torch stand, as arrays for a checkpoint (Python's is never drawn from)."""
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    return {
        "numpy": np.array(keys, np.uint32),
        "numpy_position": np.array([position, has_gauss], np.int64),
        "numpy_gauss": np.array(gauss, np.float64),
        "torch": torch.get_rng_state().numpy(),
    }


def load_randomness(state: Mapping[str, NDArray[Any]]) -> None:
    """Go on from `randomness_state`."""
    position, has_gauss = (int(value) for value in state["numpy_position"])
    np.random.set_state(("MT19937", state["numpy"], position, has_gauss, float(state["numpy_gauss"])))  # noqa: NPY002
    torch.set_rng_state(torch.from_numpy(state["torch"].copy()))
