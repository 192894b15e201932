"""What the README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

README = Path(__file__).parents[1] / "README.md"


def run_block_with(word: str, **shorter: str) -> dict[str, Any]:
    """The names that the README's only block of Python with this word leaves, with some of its arguments changed."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = (block for block in blocks if word in block)
    for name, value in shorter.items():
        block, found = re.subn(rf"\b{name}(=|\()[\w.]+", rf"{name}\g<1>{value}", block)
        assert found == 1, name
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    return names


def test_the_library_example_runs_and_gives_what_its_comments_say() -> None:
    names = run_block_with("fit_autoencoder")
    images, codes = names["images"], names["codes"]
    assert codes.shape == (len(images), 32)
    assert set(codes.unique().tolist()) <= {0, 1}
    assert torch.equal(codes, names["encode"](names["autoencoder"], images))
    assert names["pictures"].shape == images.shape
    assert names["samples"].shape == (64, 28, 28)
    assert 0.0 <= names["samples"].min() <= names["samples"].max() <= 1.0
    assert names["nats"].shape == (len(images),)
    assert bool((names["nats"] > 0.0).all())


def test_the_table_example_runs_and_gives_what_its_comments_say() -> None:
    names = run_block_with("PrioritizedSweeping")
    assert names["values"][:, 1].tolist() == pytest.approx([0.729, 0.81, 0.9, 1.0])
    assert np.isnan(names["values"][:, 0]).all()
    assert names["other"].q_values[:, 1].tolist() == pytest.approx([-3.439, -2.71, -1.9, -1.0])


def test_the_world_model_examples_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    short = {"iterations": "1", "first_steps": "400", "imagined_steps": "2_000, fit_updates=30", "real_steps": "640"}
    run = run_block_with("train_simple", **short)["run"]
    assert (run / "result.json").is_file()
    names = run_block_with("EncodedPolicy", learn="2_048")
    assert names["terminated"] or names["truncated"]
    assert names["agent"].num_timesteps == 2048


def test_the_two_commands_stand_in_the_readme_word_for_word() -> None:
    text = README.read_text(encoding="utf-8")
    for command in (
        "python -m venv .venv && .venv/bin/pip install . && .venv/bin/rl-discrete mnist-bench",
        "python -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest",
    ):
        assert f"```\n{command}\n```" in text
