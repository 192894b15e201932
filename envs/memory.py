"""How much memory there is, and how much something takes: asked before it is filled, since the kernel kills."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl_discrete.runs.errors import UsageError

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")  # of the container that this process runs in, version 2


def check_num_envs(num_envs: int, bytes_per_env: int, max_bytes: int | None = None) -> None:
    """Whether memory holds so many model envs.

    Args:
        num_envs: asked for.
        bytes_per_env: what each takes, more or less.
        max_bytes: to be used at most; None: what is available.

    Raises:
        UsageError: it does not; names the largest number that fits.
    """
    free = available_bytes() if max_bytes is None else max_bytes
    if free is None or num_envs * bytes_per_env <= free:
        return
    needed = f"{num_envs} model envs take about {num_envs * bytes_per_env / 1e6:,.1f} MB of memory"
    most = free // bytes_per_env
    remedy = f"num_envs can be {most} at most" if most > 0 else "not even one fits: take a smaller model"
    raise UsageError(f"{needed}, and {free / 1e6:,.1f} MB are there; {remedy}")


def available_bytes() -> int | None:
    """Bytes that this process may still fill; None where the system does not say (it is not Linux)."""
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    try:
        limit, used = ((_GROUP / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current"))
        statistics = (_GROUP / "memory.stat").read_text(encoding="ascii").splitlines()
        cached = next(int(line.split()[1]) for line in statistics if line.startswith("inactive_file "))
        return min(free, int(limit) - int(used) + cached)
    except (OSError, StopIteration, ValueError):  # no container, or one without a limit, which says "max"
        return free


def num_bytes(value: Any) -> int:
    """Bytes of all arrays and tensors in `value`: itself one, or a dataclass, mapping, tuple, list or object of them.

    Memory that two of them share counts twice.
    """
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    if isinstance(value, Mapping):
        return sum(num_bytes(part) for part in value.values())
    if isinstance(value, (tuple, list)):
        return sum(num_bytes(part) for part in value)
    if dataclasses.is_dataclass(value):
        return sum(num_bytes(getattr(value, field.name)) for field in dataclasses.fields(value))
    return sum(num_bytes(part) for part in getattr(value, "__dict__", {}).values())
