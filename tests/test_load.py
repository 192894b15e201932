"""`rl_discrete.load`: it asks the folder which command made it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import rl_discrete
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.folder import RunFolder


def make_run(path: Path, command: str) -> None:
    with RunFolder.open(path, command=command, subject="mnist", seed=0, config={}, resume=False):
        pass


def test_a_run_of_the_benchmark_is_loaded_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "run", "mnist-bench")
    module = ModuleType("rl_discrete.bench.mnist")

    def load_run(path: Path, **named: Any) -> tuple[Path, dict[str, Any]]:
        return path, named

    vars(module)["load_run"] = load_run
    monkeypatch.setitem(sys.modules, "rl_discrete.bench.mnist", module)
    loaded: object = rl_discrete.load(str(tmp_path / "run"), row="ish-32x2", seed=3)
    assert loaded == (tmp_path / "run", {"row": "ish-32x2", "seed": 3})


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=str(tmp_path)):
        rl_discrete.load(tmp_path)


@pytest.mark.parametrize("content", ["[]", "{}", '{"run": 3}', '{"run": {"command": "train-judge"}}'])
def test_another_command_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "versions.json").write_text(content)
    with pytest.raises(UsageError, match=str(tmp_path)):
        rl_discrete.load(tmp_path)
