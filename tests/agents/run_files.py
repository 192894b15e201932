"""What a run folder holds: to see that a command leaves it alone, and that two runs are the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from rl_discrete.runs.checkpoint import load_checkpoint

MADE = {"evaluation.json", "videos", "replans"}
"""What commands on a finished run add to its folder."""
UNREPEATABLE = {"command", "resumed", "seconds", "seconds_total"}
"""Keys of result.json that differ between equal runs."""


def contents(run: Path) -> dict[str, str]:
    """sha256 by path of every file of the run itself."""
    files = (path.relative_to(run) for path in sorted(run.rglob("*")) if path.is_file())
    return {
        str(path): hashlib.sha256((run / path).read_bytes()).hexdigest() for path in files if path.parts[0] not in MADE
    }


def repeatable(run: Path) -> dict[str, str]:
    """What result.json says, by key, where equal runs say the same; nan equals nan."""
    result = json.loads((run / "result.json").read_text())
    return {name: json.dumps(value) for name, value in result.items() if name not in UNREPEATABLE}


def assert_same_run(one: Path, other: Path) -> None:
    """Two finished runs have the same result, metrics and newest checkpoint, bit for bit."""
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    assert repeatable(one) == repeatable(other)
    left, right = (load_checkpoint(folder / "checkpoints") for folder in (one, other))
    assert left is not None
    assert right is not None
    assert left.step == right.step
    texts = [json.dumps({**found.meta, "seconds": None}, sort_keys=True) for found in (left, right)]
    assert texts[0] == texts[1]
    assert left.arrays.keys() == right.arrays.keys()
    for part, arrays in left.arrays.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, right.arrays[part][name], err_msg=f"{part}/{name}")
    assert left.tensors.keys() == right.tensors.keys()
    for part, tensors in left.tensors.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, right.tensors[part][name]), f"{part}/{name}"
