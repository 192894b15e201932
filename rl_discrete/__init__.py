"""Reinforcement learning on discrete codes.

Importing this package imports neither torch nor gymnasium: its subpackages and `load` import what they need.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rl_discrete.bench.trained_row import TrainedRow

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(run: str | Path, *, row: str | None = None, seed: int | None = None) -> TrainedRow:
    """Give back what a run trained, whatever command made its folder.

    Args:
        run: the run folder, as given to `--out`.
        row: row of a benchmark, such as `ish-32x2`; None where the run holds only one.
        seed: seed of the row; None for the first that it was run with.

    Returns:
        The trained models of a row of `mnist-bench`, as from `rl_discrete.bench.mnist.load_run`.

    Raises:
        UsageError: no run of such a command in that folder, or no such row or seed in it.
        RunError: its checkpoints are damaged.
    """
    from rl_discrete.runs.config import read_yaml
    from rl_discrete.runs.errors import UsageError

    path = Path(run)
    owner = read_yaml(path / "versions.json").get("run")  # JSON is YAML
    command = owner.get("command") if isinstance(owner, dict) else None
    if command != "mnist-bench":
        raise UsageError(f"{path} holds no run of mnist-bench, the only command whose runs can be loaded")

    from rl_discrete.bench.mnist import load_run

    return load_run(path, row=row, seed=seed)
