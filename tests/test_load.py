"""`rl_discrete.load`: it asks the folder which command made it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
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


def test_a_run_of_train_is_loaded_as_what_acts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "run", "train")
    module = ModuleType("rl_discrete.agents.trained_agent")
    vars(module)["load_agent"] = lambda *given: SimpleNamespace(policy=given)
    monkeypatch.setitem(sys.modules, "rl_discrete.agents.trained_agent", module)
    loaded: object = rl_discrete.load(str(tmp_path / "run"))
    assert loaded == (tmp_path / "run", None, 0.05, 0)
    loaded = rl_discrete.load(tmp_path / "run", checkpoint="step-000400", epsilon=0.0, seed=3)
    assert loaded == (tmp_path / "run", Path("step-000400"), 0.0, 3)


@pytest.mark.parametrize(
    ("command", "argument"),
    [("train", {"row": "ish-32x2"}), ("mnist-bench", {"epsilon": 0.1}), ("mnist-bench", {"checkpoint": "step-000400"})],
)
def test_an_argument_of_the_other_kind_of_run_is_refused(
    tmp_path: Path, command: str, argument: dict[str, Any]
) -> None:
    make_run(tmp_path / "run", command)
    with pytest.raises(UsageError, match=f"run of {command}, which has no {next(iter(argument))}"):
        rl_discrete.load(tmp_path / "run", **argument)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=str(tmp_path)):
        rl_discrete.load(tmp_path)


@pytest.mark.parametrize(
    "content", ['{"run": {"command": []}}', "[]", "{}", '{"run": 3}', '{"run": {"command": "train-judge"}}']
)
def test_another_command_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "versions.json").write_text(content)
    with pytest.raises(UsageError, match=str(tmp_path)):
        rl_discrete.load(tmp_path)
