"""How the kernels of this package are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numba import njit

Index: TypeAlias = int | np.integer[Any]
"""Inside a kernel every integer is 64 bits wide."""

_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "_nrt": False}
_Function = TypeVar("_Function", bound=Callable[..., object])


def kernel(function: _Function) -> _Function:
    """Compile `function` at its first call, and keep the machine code beside its file.

    Kernels allocate nothing (numba's run time is off: counting references to a dozen arrays in every call costs more
    than a small backup), divide like numpy, and check no bounds. Their callers do.

    numba looks at a function's own file alone when it decides whether what it kept is stale: after an edit of
    something that other kernels call, delete `rl_discrete/mdp/__pycache__`.
    """
    compiled: _Function = njit(**_OPTIONS)(function)
    return compiled
