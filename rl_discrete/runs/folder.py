"""The run folder: one directory that holds everything about one run and belongs to one process at a time.

DIR/
  config.yaml      the resolved configuration; `--config DIR/config.yaml` repeats it
  versions.json    which command made the folder, with which versions
  .lock            held while a process works here; it contains the process id
  metrics.jsonl  tensorboard/  checkpoints/  figures/  result.json  ...
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import yaml

from rl_discrete.runs import durable
from rl_discrete.runs.config import differences, read_yaml
from rl_discrete.runs.errors import RunError, UsageError

_CONFIG, _VERSIONS, _LOCK = "config.yaml", "versions.json", ".lock"
_PACKAGES = (
    "rl-discrete",
    "torch",
    "numpy",
    "numba",
    "safetensors",
    "gymnasium",
    "ale-py",
    "stable-baselines3",
)


class RunFolder:
    """A run folder that this process holds, until it leaves the context. Made by `RunFolder.open`.

    Attributes:
        path: the folder. `checkpoints`, `figures` and `tensorboard` are paths inside it.
        resumed: whether it holds an earlier part of this run.
    """

    def __init__(self, path: Path, resumed: bool, lock: TextIO) -> None:
        """Use `RunFolder.open`, which takes the lock."""
        self.path = path
        self.resumed = resumed
        self.checkpoints = path / "checkpoints"
        self.figures = path / "figures"
        self.tensorboard = path / "tensorboard"
        self._lock = lock

    @classmethod
    def open(
        cls,
        out: Path | None,
        *,
        command: str,
        subject: str,
        seed: int,
        config: Mapping[str, Any],
        resume: bool,
        log: Callable[[str], None] = print,
        examine: Callable[[Path], None] | None = None,
    ) -> RunFolder:
        """Make the folder of a new run, or continue in that of an earlier one, and hold it.

        A folder in which a run was killed before it could write its config counts as empty.

        Args:
            out: the folder; None makes `runs/<command>/<subject>/<timestamp>-s<seed>/`.
            command: the command that owns the folder ("mnist-bench").
            subject: what it is about: a benchmark or an environment.
            seed: the run's seed.
            config: the resolved configuration, in plain values (`runs.config.to_mapping`).
            resume: continue the run in `out`.
            log: receives one line for each config value or version that differs from the run that is resumed.
            examine: called with the folder of a run that is resumed, before anything in it changes; it raises
                where the run cannot go on with this config.

        Raises:
            UsageError: the folder is occupied and `resume` is off; it is missing or holds another command's
                run and `resume` is on; another process holds it; it cannot be made.
            RunError: the disk refused.
        """
        if out is None:
            if resume:
                raise UsageError("--resume needs --out DIR, the folder of the run to continue")
            out = Path("runs", command, subject, f"{time.strftime('%Y%m%d-%H%M%S')}-s{seed}")
        identity = {"command": command, "subject": subject, "seed": seed}
        if not (out / _LOCK).exists():  # leave no lock in a folder that turns out to be somebody else's
            _check(out, identity, resume)
        lock = _acquire(out)
        with ExitStack() as on_error:
            on_error.callback(lock.close)
            resumed = _check(out, identity, resume)
            content = {"run": identity, "versions": collect_versions()}
            if resumed:
                if examine is not None:
                    examine(out)
                old = {"config": read_yaml(out / _CONFIG), **read_yaml(out / _VERSIONS)}  # JSON is YAML
                for line in differences(old, {"config": config, **content}):
                    log(f"resumed with a difference: {line}")
            durable.sweep(out)
            durable.write_json(out / _VERSIONS, content)
            with durable.disk_errors(out / _CONFIG):
                durable.replace_file(out / _CONFIG, yaml.safe_dump(dict(config), sort_keys=False).encode())
            on_error.pop_all()
        return cls(out, resumed, lock)

    def write_json(self, name: str, value: object) -> None:
        """Write `path/name` atomically; NaN and the infinities become null.

        Raises:
            RunError: the disk refused.
        """
        durable.write_json(self.path / name, value)

    def close(self) -> None:
        """Let the folder go. Closing twice is harmless."""
        self._lock.close()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def collect_versions() -> dict[str, str]:
    """The versions of Python, the platform and the installed packages that decide what a run computes."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _check(path: Path, identity: Mapping[str, Any], resume: bool) -> bool:
    """Whether `path` holds a run to be resumed. Raises UsageError where it must not be touched."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"--out {path} is a file; name a folder")
    if resume and not path.exists():
        raise UsageError(f"there is no run to resume: {path} does not exist; drop --resume to start one there")
    # A run writes versions.json and config.yaml first of all: without its config it has done nothing yet.
    started = {_LOCK, _VERSIONS}
    names = [entry.name for entry in path.iterdir()] if path.exists() else []
    if all(name in started or name.startswith(durable.TEMPORARY) for name in names):
        return False
    if _CONFIG not in names or _VERSIONS not in names:
        raise UsageError(f"{path} is not empty and holds no run; choose another --out")
    owner = read_yaml(path / _VERSIONS).get("run", {})
    if not resume:
        raise UsageError(f"{path} holds a run of {_words(owner)}; continue it with --resume or choose another --out")
    if (owner.get("command"), owner.get("subject")) != (identity["command"], identity["subject"]):
        raise UsageError(f"{path} holds a run of {_words(owner)}, not of {_words(identity)}; choose another --out")
    return True


def _words(identity: Mapping[str, Any]) -> str:
    return f"{identity.get('command')} on {identity.get('subject')}"


def _acquire(path: Path) -> TextIO:
    """Make the folder if need be and take its lock; the operating system lets it go when the process ends."""
    with durable.disk_errors(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = (path / _LOCK).open("a+")
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise UsageError(f"cannot use --out {path}: {error.strerror}; choose another --out") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        pid = lock.read().strip() or "unknown"
        lock.close()
        raise UsageError(f"{path} is in use by process {pid}; wait for it or choose another --out") from None
    except OSError as error:
        lock.close()
        raise RunError(f"cannot lock {path}: {error.strerror or error}; choose an --out on a local disk") from error
    with durable.disk_errors(path / _LOCK):
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
    return lock
