"""What is installed: every package and data file on disk, inside one top-level package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

import rl_discrete

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS: dict[str, Any] = PROJECT["tool"]["setuptools"]
MOVED = ("agents", "configs", "envs")


def packages_on_disk() -> dict[str, Path]:
    """Dotted name -> real folder of every package, those behind the symlinks included."""
    folders = {"rl_discrete": ROOT / "rl_discrete"} | {f"rl_discrete.{name}": ROOT / name for name in MOVED}
    found = {}
    for package, folder in folders.items():
        for init in folder.rglob("__init__.py"):
            relative = init.parent.relative_to(folder).parts
            if package != "rl_discrete" or not relative or relative[0] not in MOVED:
                found[".".join([package, *relative])] = init.parent
    return found


def test_every_package_on_disk_is_declared() -> None:
    assert sorted(SETUPTOOLS["packages"]) == sorted(packages_on_disk())


def undeclared(files: Iterable[Path], owners: Mapping[Path, str]) -> list[str]:
    """Files that are neither modules nor matched by package data: they would be missing from the wheel."""
    missing = []
    for path in files:
        folder = next(parent for parent in path.parents if parent in owners)
        relative = path.relative_to(folder)
        patterns = SETUPTOOLS["package-data"].get(owners[folder], [])
        if path.suffix != ".py" and not any(relative.match(pattern) for pattern in patterns):
            missing.append(path.relative_to(ROOT).as_posix())
    return missing


def test_every_file_of_a_package_is_declared() -> None:
    owners = {folder: package for package, folder in packages_on_disk().items()}
    roots = [ROOT / name for name in ("rl_discrete", *MOVED)]
    files = [path for root in roots for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert undeclared(files, owners) == []
    assert undeclared([ROOT / "rl_discrete" / "runs" / "table.npz"], owners) == ["rl_discrete/runs/table.npz"]


@pytest.mark.parametrize("name", MOVED)
def test_symlink_is_relative_and_reaches_the_folder(name: str) -> None:
    link = ROOT / "rl_discrete" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../{name}"
    assert SETUPTOOLS["package-dir"][f"rl_discrete.{name}"] == name


def test_version_is_the_same_everywhere() -> None:
    assert rl_discrete.__version__ == PROJECT["project"]["version"]
    assert f"## {rl_discrete.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_extra_dev_contains_the_other_extras() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert f"rl-discrete[{','.join(name for name in extras if name != 'dev')}]" in extras["dev"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Archive name -> content of a wheel built from a copy of the sources, without a network."""
    copy = tmp_path_factory.mktemp("sources")
    for name in ("rl_discrete", *MOVED):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", build, str(copy)], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = copy.glob("*.whl")
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_wheel_holds_one_top_level_package(wheel: dict[str, bytes]) -> None:
    metadata = f"rl_discrete-{rl_discrete.__version__}.dist-info"
    assert {name.split("/")[0] for name in wheel} == {"rl_discrete", metadata}


def test_wheel_holds_every_file_of_the_packages(wheel: dict[str, bytes]) -> None:
    expected = {"rl_discrete/py.typed"}
    for package, folder in packages_on_disk().items():
        at = package.replace(".", "/")
        expected |= {f"{at}/{path.name}" for path in folder.glob("*.py")}
        for pattern in SETUPTOOLS["package-data"].get(package, []):
            expected |= {f"{at}/{path.relative_to(folder).as_posix()}" for path in folder.glob(pattern)}
    packed = {name for name in wheel if name.startswith("rl_discrete/")}
    assert packed == expected
    for needed in (
        "rl_discrete/envs/__init__.py",
        "rl_discrete/data/files/train-images-idx3-ubyte.gz",
        "rl_discrete/bench/judge.safetensors",
    ):
        assert needed in packed


def test_wheel_names_the_command_and_the_licence(wheel: dict[str, bytes]) -> None:
    metadata = f"rl_discrete-{rl_discrete.__version__}.dist-info"
    assert b"rl-discrete = rl_discrete.cli:main" in wheel[f"{metadata}/entry_points.txt"]
    assert f"{metadata}/licenses/LICENSE" in wheel
