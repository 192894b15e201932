"""The direction of the arrows, and what may never be imported: read from sources and from `sys.modules`."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rl_discrete.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
LEVELS = {
    "configs": 0,
    "runs": 0,
    "data": 1,
    "latents": 1,
    "mdp": 1,
    "encoders": 2,
    "world_models": 2,
    "bench": 3,
    "envs": 4,
    "agents": 5,
    "analysis": 6,
    "cli": 7,
}
SIDEWAYS = {("world_models", "encoders")}  # within one level, one way only
TOP = 8  # rl_discrete/__init__.py, whose functions import what they need when called
MOVED = ("agents", "configs", "envs")  # installed inside the package, kept at the top level of the repository
PICKLING = {"cloudpickle", "dill", "joblib", "pickle", "shelve"}
PARSERS = {"argparse", "jsonargparse"}
FORBIDDEN = {
    "mdp": {"torch", "torchvision", "gymnasium"},
    "latents": {"gymnasium", "ale_py", "stable_baselines3"},
}


def library() -> dict[str, Path]:
    """Dotted module name -> file, for every module of the library on disk."""
    folders = {ROOT / "rl_discrete": "rl_discrete"} | {ROOT / name: f"rl_discrete.{name}" for name in MOVED}
    found: dict[str, Path] = {}
    for folder, package in folders.items():
        for path in folder.rglob("*.py"):
            relative = path.relative_to(folder)
            if package == "rl_discrete" and relative.parts[0] in MOVED:
                continue  # seen again through the symlink
            parts = [part for part in relative.with_suffix("").parts if part != "__init__"]
            found[".".join([package, *parts])] = path
    return found


MODULES = library()


def imported(source: str) -> Iterator[str]:
    """Every dotted name a source imports: at the top, in a function, under TYPE_CHECKING, by a string."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.ImportFrom():
                yield "."  # relative: ruff bans it, and no rule below could read it
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield module


def level_of(module: str) -> int:
    parts = module.split(".")
    return LEVELS[parts[1]] if len(parts) > 1 else TOP


def upward(module: str, source: str) -> list[str]:
    """Imports of `module` that point up, or sideways into another package of the same level."""
    found = []
    for name in imported(source):
        parts = name.split(".")
        if name == "." or (parts[0] == "rl_discrete" and len(parts) == 1):
            found.append(name)
        elif parts[0] == "rl_discrete" and parts[1] != "__version__":
            same = len(module.split(".")) > 1 and parts[1] == module.split(".")[1]
            allowed = same or tuple(place.split(".")[1] for place in (module, name) if "." in place) in SIDEWAYS
            if not allowed and level_of(name) >= level_of(module):
                found.append(name)
    return found


def imports_any(source: str, banned: set[str]) -> list[str]:
    return [name for name in imported(source) if name.split(".")[0] in banned]


def pickles(source: str) -> list[str]:
    """Places that could unpickle: torch.load, torch.save, a pickling module, allow_pickle not False."""
    found = imports_any(source, PICKLING)
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="torch"), attr="load" | "save" as function):
                found.append(f"torch.{function}")
            case ast.ImportFrom(module="torch", names=names):
                found += [f"torch.{alias.name}" for alias in names if alias.name in ("load", "save")]
            case ast.keyword(arg="allow_pickle", value=value):
                if not (isinstance(value, ast.Constant) and value.value is False):
                    found.append("allow_pickle")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_no_arrow_points_up(module: str) -> None:
    assert upward(module, MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("rl_discrete.runs.folder", "from rl_discrete.bench.config import MnistBenchConfig"),
        ("rl_discrete.latents.fit", "def f():\n    import rl_discrete.bench.metrics"),
        ("rl_discrete.latents.fit", "from rl_discrete.data.mnist import load_images"),
        ("rl_discrete.encoders.base", "from rl_discrete.world_models.base import WorldModel"),
        ("rl_discrete.envs.sb3", "from rl_discrete import agents"),
        ("rl_discrete.runs.folder", "import rl_discrete"),
        ("rl_discrete.runs.folder", "import importlib\nimportlib.import_module('rl_discrete.cli')"),
        ("rl_discrete.runs.folder", "from ..cli import main"),
    ],
)
def test_a_planted_upward_arrow_is_found(module: str, source: str) -> None:
    assert upward(module, source) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "rl_discrete.bench.mnist",
            "from rl_discrete.latents.fit import fit\nfrom rl_discrete.runs import folder",
        ),
        ("rl_discrete.runs.folder", "from rl_discrete import __version__"),
        ("rl_discrete.world_models.tabular", "from rl_discrete.encoders.base import Encoder"),
        ("rl_discrete", "def load():\n    from rl_discrete.bench.mnist import load_run"),
    ],
)
def test_a_downward_arrow_is_allowed(module: str, source: str) -> None:
    assert upward(module, source) == []


def test_every_package_has_a_level() -> None:
    parts = {module.split(".")[1] for module in MODULES if "." in module}
    assert parts <= LEVELS.keys(), f"name the level of {sorted(parts - LEVELS.keys())} in design and test"
    assert {"runs", "latents", "data", "bench", "cli", *MOVED} <= parts


@pytest.mark.parametrize("package", FORBIDDEN)
def test_package_keeps_away_from_foreign_libraries(package: str) -> None:
    sources = {name: path for name, path in MODULES.items() if name.startswith(f"rl_discrete.{package}")}
    found = {name: imports_any(path.read_text(encoding="utf-8"), FORBIDDEN[package]) for name, path in sources.items()}
    assert not any(found.values()), found
    assert imports_any(f"def f():\n    import {min(FORBIDDEN[package])}.x", FORBIDDEN[package])


def test_only_the_command_line_parses_arguments() -> None:
    users = {name for name, path in MODULES.items() if imports_any(path.read_text(encoding="utf-8"), PARSERS)}
    assert "rl_discrete.cli.flags" in users
    assert {name.rpartition(".")[0] for name in users} == {"rl_discrete.cli"}


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_pickled(module: str) -> None:
    assert pickles(MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from torch import load",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.save({}, 'x')",
        "np.load('x', allow_pickle=True)",
        "np.load('x', allow_pickle=flag)",
        "from joblib import dump",
    ],
)
def test_planted_pickling_is_found(source: str) -> None:
    assert pickles(source) != []


def test_arrays_loaded_without_pickle_are_allowed() -> None:
    assert pickles("np.load('x')\nnp.load('x', allow_pickle=False)\nsafetensors.torch.load(b'')") == []


@pytest.mark.parametrize("path", [*MODULES.values(), *(ROOT / "tests").rglob("*.py")], ids=lambda path: path.name)
def test_no_bare_import_of_a_moved_package(path: Path) -> None:
    assert imports_any(path.read_text(encoding="utf-8"), set(MOVED)) == []


def test_a_planted_bare_import_is_found() -> None:
    assert imports_any("from envs.grid import Grid", set(MOVED)) == ["envs.grid.Grid"]


def loaded_after(statement: str) -> set[str]:
    """Top-level names in `sys.modules` after a statement in a fresh interpreter."""
    program = f"import sys\n{statement}\nprint('MODULES', *sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


HEAVY = {"torch", "torchvision", "gymnasium", "numba", "matplotlib", "stable_baselines3", "tensorboard"}


@pytest.mark.parametrize(
    "statement",
    [
        "import rl_discrete",
        *(f"from rl_discrete.cli import main; main(['{flag}'])" for flag in ("--help", "--version")),
    ],
)
def test_the_top_level_is_light(statement: str) -> None:
    assert loaded_after(statement) & (HEAVY | {"jsonargparse", "numpy", "rich", "yaml"}) == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_needs_no_torch(command: str) -> None:
    loaded = loaded_after(f"from rl_discrete.cli import main; main(['{command}', '--help'])")
    assert loaded & HEAVY == set()
    assert "jsonargparse" in loaded


def test_configs_and_package_roots_need_no_torch() -> None:
    light = [name for name in MODULES if name.endswith("config") or name in ("rl_discrete.runs", "rl_discrete.latents")]
    assert {"rl_discrete.bench.config", "rl_discrete.latents.config", "rl_discrete.runs.config"} <= set(light)
    assert loaded_after("import " + ", ".join(light)) & HEAVY == set()


def test_a_heavy_import_is_seen() -> None:
    assert "torch" in loaded_after("import torch")
