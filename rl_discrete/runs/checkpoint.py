"""Checkpoints: a folder `step-000123/` is there, complete and verified, or it is not there.

    checkpoints/
      LATEST                   the name of the newest, for people and scripts; loading never trusts it
      step-000123/
        manifest.json          format, step, meta, size and sha256 of every file and of the manifest itself
        weights.safetensors    one file per part: named tensors ...
        table.npz              ... or named arrays, without pickle

A part is a group of tensors or arrays that is kept or thinned together: weights, optimizer, table. Everything
small (counters, the best loss so far, committed lengths of replay segments) goes into `meta`, which is JSON;
there NaN and the infinities come back as they were.

Torch is imported only for a checkpoint that holds tensors.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rl_discrete.runs import durable
from rl_discrete.runs.manifest import MANIFEST, CheckpointError, FileEntry, Manifest

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "list_checkpoints",
    "load_checkpoint",
    "read_checkpoint",
    "save_checkpoint",
]

_REPLACED = ".old"  # step-000123.old: on its way out while its successor of the same step moves in
_NAME = re.compile(rf"step-(\d+)({re.escape(_REPLACED)})?")


@dataclass(frozen=True)
class Checkpoint:
    """What was loaded: `tensors[part][name]` on the CPU, `arrays[part][name]`, and `meta` as it was saved."""

    step: int
    meta: dict[str, Any]  # JSON
    tensors: dict[str, dict[str, Tensor]]
    arrays: dict[str, dict[str, NDArray[Any]]]
    path: Path


def save_checkpoint(
    folder: Path,
    step: int,
    *,
    tensors: Mapping[str, Mapping[str, Tensor]],
    arrays: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    meta: Mapping[str, Any],
    keep: int = 2,
    older_parts: Collection[str] = (),
) -> Path:
    """Write `folder/step-<step>/`, then tidy up the other checkpoints.

    A run is one line in time: a checkpoint of the same step is replaced, and later ones, left by a run that
    was resumed from before them, are removed. The newest `keep` hold everything; from older ones all parts
    but `older_parts` go, and a checkpoint without any part left goes itself.

    Returns:
        The checkpoint's folder.

    Raises:
        RunError: the disk refused (it is full, say). The checkpoints before this one are intact.
        ValueError: a negative step, `keep` below 1, a part name other than lower-case letters, digits and
            `_`, or an array of Python objects.
    """
    if step < 0 or keep < 1:
        raise ValueError(f"step must be >= 0 and keep >= 1, got {step} and {keep}")
    target = folder / f"step-{step:06d}"
    temporary = durable.temporary_sibling(target)
    with durable.disk_errors(target):
        folder.mkdir(parents=True, exist_ok=True)
        durable.sweep(folder)
        try:
            temporary.mkdir()
            manifest = Manifest(step, dict(meta), _write_parts(temporary, tensors, arrays or {}))
            durable.write_file(temporary / MANIFEST, lambda file: file.write(manifest.encode()))
            durable.sync_folder(temporary)
            _install(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        durable.replace_file(folder / "LATEST", f"{target.name}\n".encode())
        _tidy(folder, step, keep, older_parts)
    return target


def load_checkpoint(
    folder: Path, parts: Collection[str] | None = None, warn: Callable[[str], None] = print
) -> Checkpoint | None:
    """Load the newest checkpoint in `folder` that verifies; where it is not the newest, say so in one line.

    Args:
        folder: the run's `checkpoints` folder.
        parts: only these parts are read and verified, and a thinned checkpoint that has them will do. None:
            all of them, and a thinned checkpoint will not do.
        warn: receives the line.

    Returns:
        None where there is no checkpoint at all.

    Raises:
        CheckpointError: there are checkpoints, but none verifies.
        RunError: a newer version of this library wrote the newest.
    """
    problems: list[str] = []
    for _, path in _newest_first(folder):
        try:
            checkpoint = read_checkpoint(path, parts)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        if problems:
            warn(f"{'; '.join(problems)}; continuing from {path.name}")
        return checkpoint
    if problems:
        raise CheckpointError(f"no checkpoint is usable: {'; '.join(problems)}; start again with another --out")
    return None


def read_checkpoint(path: Path, parts: Collection[str] | None = None) -> Checkpoint:
    """Load the checkpoint at `path`; `parts` as in `load_checkpoint` (an empty collection reads only `meta`).

    Raises:
        CheckpointError: it does not verify, or lacks one of the parts.
        RunError: a newer version of this library wrote it.
    """
    manifest = Manifest.read(path)
    held = ", ".join(sorted(manifest.parts)) or "nothing"
    if parts is None and not manifest.complete:
        raise CheckpointError(f"{path} is an older checkpoint that holds only {held}")
    wanted = manifest.parts if parts is None else set(parts)
    if wanted - manifest.parts:
        raise CheckpointError(f"{path} lacks {', '.join(sorted(wanted - manifest.parts))}: it holds {held}")
    tensors: dict[str, dict[str, Tensor]] = {}
    arrays: dict[str, dict[str, NDArray[Any]]] = {}
    for name, entry in manifest.files.items():
        if entry.part in wanted:
            entry.verify(path / name)
            if name.endswith(".npz"):
                arrays[entry.part] = _read_arrays(path / name)
            else:
                tensors[entry.part] = _read_tensors(path / name)
    return Checkpoint(manifest.step, manifest.meta, tensors, arrays, path)


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first, for sliders and curves; `read_checkpoint` verifies them."""
    return [path for _, path in _newest_first(folder)][::-1]


def _write_parts(
    folder: Path,
    tensors: Mapping[str, Mapping[str, Tensor]],
    arrays: Mapping[str, Mapping[str, NDArray[Any]]],
) -> dict[str, FileEntry]:
    """Write one file per part; what the manifest says of each."""
    writers: list[tuple[str, str, Callable[[BinaryIO], object]]] = [
        *((part, ".safetensors", partial(_write_tensors, tensors=named)) for part, named in tensors.items()),
        *((part, ".npz", partial(_write_arrays, arrays=named)) for part, named in arrays.items()),
    ]
    entries = {}
    for part, suffix, write in writers:
        if not re.fullmatch(r"[a-z0-9_]+", part):
            raise ValueError(f"a part is named by lower-case letters, digits and '_', got {part!r}")
        file = folder / (part + suffix)
        durable.write_file(file, write)
        entries[file.name] = FileEntry.of(part, file)
    return entries


def _write_tensors(file: BinaryIO, tensors: Mapping[str, Tensor]) -> None:
    import torch
    from safetensors.torch import save

    # Copies, because safetensors refuses tensors that share memory (tied weights, slices of one buffer).
    copies = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    file.write(save(copies))


def _read_tensors(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(file)


def _write_arrays(file: BinaryIO, arrays: Mapping[str, NDArray[Any]]) -> None:
    """The npz format, uncompressed. `np.savez` keeps some names for itself; here an array may have any."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def _read_arrays(file: Path) -> dict[str, NDArray[Any]]:
    with np.load(file, allow_pickle=False) as archive:
        return dict(archive)


def _newest_first(folder: Path) -> list[tuple[int, Path]]:
    matches = ((_NAME.fullmatch(path.name), path) for path in folder.glob("step-*") if path.is_dir())
    found = [(int(match[1]), match[2] is None, path) for match, path in matches if match]
    return [(step, path) for step, _, path in sorted(found, reverse=True)]


def _install(temporary: Path, target: Path) -> None:
    """Rename into place. At every moment the old checkpoint of this step or the new one can be loaded."""
    if target.exists():
        replaced = target.with_name(target.name + _REPLACED)
        _remove(replaced)
        os.replace(target, replaced)
    os.replace(temporary, target)
    durable.sync_folder(target.parent)


def _tidy(folder: Path, newest: int, keep: int, older_parts: Collection[str]) -> None:
    """Remove what was replaced or abandoned, thin what is old. `newest` is safe on the disk by now."""
    current = []
    for step, path in _newest_first(folder):
        if step > newest or path.name.endswith(_REPLACED):
            _remove(path)
        else:
            current.append(path)
    for path in current[keep:]:
        _thin(path, older_parts)


def _thin(path: Path, parts: Collection[str]) -> None:
    """Reduce a checkpoint to `parts`: first its manifest forgets the other files, then they go."""
    try:
        manifest = Manifest.read(path)
    except CheckpointError:  # nothing could ever load it
        _remove(path)
        return
    thinned = manifest.keeping(parts)
    if not thinned.files:
        _remove(path)
        return
    if thinned != manifest:
        durable.replace_file(path / MANIFEST, thinned.encode())
    for file in path.iterdir():
        if file.name not in thinned.files and file.name != MANIFEST:
            file.unlink()


def _remove(path: Path) -> None:
    """Remove a checkpoint, renamed first: half of one under its own name would look like an altered one."""
    if path.exists():
        doomed = durable.temporary_sibling(path)
        os.replace(path, doomed)
        shutil.rmtree(doomed)
