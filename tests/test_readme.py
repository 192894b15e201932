"""What the README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

README = Path(__file__).parents[1] / "README.md"


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_library_example_runs_and_gives_what_its_comments_say() -> None:
    names: dict[str, Any] = {}
    exec(compile(python_blocks()[0], "README.md", "exec"), names)
    images, codes = names["images"], names["codes"]
    assert codes.shape == (len(images), 32)
    assert set(codes.unique().tolist()) <= {0, 1}
    assert torch.equal(codes, names["encode"](names["autoencoder"], images))
    assert names["pictures"].shape == images.shape
    assert names["samples"].shape == (64, 28, 28)
    assert 0.0 <= names["samples"].min() <= names["samples"].max() <= 1.0
    assert names["nats"].shape == (len(images),)
    assert bool((names["nats"] > 0.0).all())


def test_the_two_commands_stand_in_the_readme_word_for_word() -> None:
    text = README.read_text(encoding="utf-8")
    for command in (
        "python -m venv .venv && .venv/bin/pip install . && .venv/bin/rl-discrete mnist-bench",
        "python -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest",
    ):
        assert f"```\n{command}\n```" in text
