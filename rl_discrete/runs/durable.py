"""Files that are written whole or not at all, and stay written when the power fails.

The order is always the same: write a temporary sibling, fsync it, rename it over the target, fsync the
folder. A reader therefore sees the old content or the new one. What a killed process leaves behind is a
temporary sibling, recognisable by its name and swept by the next writer.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rl_discrete.runs.errors import RunError, UsageError

TEMPORARY = ".tmp-"


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn whatever the disk refuses while `path` is written (it is full, say) into one clear line.

    Raises:
        RunError: instead of any OSError.
    """
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}; what was saved before is intact: "
            "make room or mend the cause, then continue with --resume"
        ) from error


def temporary_sibling(path: Path) -> Path:
    """Where this process prepares the next content of `path`: the same folder, so the same disk."""
    return path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")


def check_free(path: Path) -> None:
    """Refuse to write over what the user did not mean.

    Raises:
        UsageError: `path` exists, or no file can have that name.
    """
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder; name a file")
    try:
        taken = path.exists() or path.is_symlink() or temporary_sibling(path).exists()  # the last has the longest name
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; choose another file") from error
    if taken:
        raise UsageError(f"{path} exists; choose another file, or remove it")


def sweep(folder: Path) -> None:
    """Remove the temporary siblings in `folder` whose process is gone; those of another live process stay."""
    for path in folder.glob(f"{TEMPORARY}*"):
        owner = path.name.rpartition("-")[2]
        if owner.isdigit() and int(owner) != os.getpid() and _alive(int(owner)):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it exists and belongs to somebody else
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a rename is safe only after this."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Create `path`, let `write` fill it, and return only when its content is on the disk."""
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def create_file(path: Path, content: bytes) -> None:
    """Make a new file: of several processes that try, one succeeds. A kill may leave only a part of it.

    Raises:
        FileExistsError: `path` is there.
        OSError: the disk refused; `path` is not there.
    """
    with path.open("xb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Give `path` a new content atomically.

    Raises:
        OSError: the disk refused; `path` still has its old content and no sibling is left.
    """
    temporary = temporary_sibling(path)
    try:
        write_file(temporary, lambda file: file.write(content))
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON, atomically.

    Arrays and tensors become lists, paths become strings, and NaN and the infinities become null, because
    strict JSON has no word for them.

    Raises:
        RunError: the disk refused, for example because it is full.
        TypeError: `value` holds something that JSON cannot say.
    """
    with disk_errors(path):
        replace_file(path, json_bytes(value))


def json_bytes(value: object) -> bytes:
    """The content of a file for `write_json`."""
    return (json.dumps(plain(value), indent=1, allow_nan=False) + "\n").encode()


def plain(value: Any) -> Any:
    """`value` in the types of strict JSON: see `write_json`. `Any`, because that is what JSON holds."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy arrays and scalars, torch tensors
        return plain(value.tolist())
    return value
