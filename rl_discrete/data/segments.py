"""Frames on disk in append-only files of equal size: `segment-000000.bin`, `segment-000001.bin`, ...

Row r is frame `r % segment_rows` of segment `r // segment_rows`: raw values in C order, no header. Writes go
through `pwrite`, because a write to a mapped file on a full disk kills the process; reads go through read-only
maps of exactly what was written, so what was read lately stays in the page cache and costs no system call.
No file stays open for writing: between two calls there is nothing to close.
"""

from __future__ import annotations

import math
import mmap
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.data.layout import ReplayLayout
from rl_discrete.runs import durable
from rl_discrete.runs.errors import RunError, UsageError

_NAME = re.compile(r"segment-(\d{6,})\.bin")


class FrameSegments:
    """The frames of rows `first_row` to `next_row - 1`. Made by `create` or `open`.

    Attributes:
        first_row: the oldest row, always the first of its segment.
        next_row: the row that the next frame gets; rows only ever grow.
    """

    def __init__(self, folder: Path, layout: ReplayLayout, read_only: bool = False) -> None:
        """Use `create` or `open`, which look after the files."""
        self.first_row = 0
        self.next_row = 0
        self._folder = folder
        self._layout = layout
        self._read_only = read_only
        self._maps: dict[int, NDArray[Any]] = {}  # segment -> (rows, values of a frame)
        self._unsynced: set[int] = set()
        self._held: set[int] = set()  # segments that a kept checkpoint may refer to

    @classmethod
    def create(cls, folder: Path, layout: ReplayLayout) -> FrameSegments:
        """Begin with no frame. Segments that a run left in `folder` before its first checkpoint are deleted.

        Raises:
            RunError: the disk refused.
        """
        segments = cls(folder, layout)
        with durable.disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            segments._delete(segments._on_disk())
        return segments

    @classmethod
    def open(cls, folder: Path, layout: ReplayLayout, lengths: Mapping[str, int], *, read_only: bool) -> FrameSegments:
        """Go on from what `commit` returned: `lengths`, name -> bytes.

        Unless `read_only`, everything written after that commit is cut off. Older segments stay until `release`.

        Raises:
            RunError: a segment is missing or shorter than it was, or the disk refused.
        """
        segments = cls(folder, layout, read_only)
        numbers = sorted(_number(name) for name in lengths)
        if numbers:
            last = lengths[segments._path(numbers[-1]).name]
            segments.first_row = numbers[0] * layout.segment_rows
            segments.next_row = numbers[-1] * layout.segment_rows + last // layout.frame_bytes
        for name, size in lengths.items():
            _check_size(folder / name, size)
        if not read_only:
            with durable.disk_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
                for name, size in lengths.items():
                    if (folder / name).stat().st_size > size:
                        os.truncate(folder / name, size)
                segments._delete(number for number in segments._on_disk() if number > max(numbers, default=-1))
                segments._held = segments._on_disk()
        return segments

    def append(self, frames: NDArray[Any]) -> None:
        """Write frames (N, ...) as rows `next_row`, `next_row + 1`, ...

        Raises:
            RunError: the disk refused (it is full, say). No row was added, and those before are intact.
        """
        self._check_writable()
        done = 0
        while done < len(frames):
            segment, offset = divmod(self.next_row + done, self._layout.segment_rows)
            part = frames[done : done + self._layout.segment_rows - offset]
            path = self._path(segment)
            with durable.disk_errors(path):
                _write_at(path, np.ascontiguousarray(part), offset * self._layout.frame_bytes)
            self._unsynced.add(segment)
            done += len(part)
        self.next_row += len(frames)

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Frames (N, *frame_shape) of rows (N,) between `first_row` and `next_row`, zeros where a row is -1.

        Raises:
            RunError: a segment cannot be read.
        """
        frames = np.empty((len(rows), math.prod(self._layout.frame_shape)), self._layout.dtype)
        segments, offsets = np.divmod(rows, self._layout.segment_rows)
        order = np.argsort(segments, kind="stable")
        bounds = np.flatnonzero(np.diff(segments[order], prepend=-2, append=-2))
        for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            places = order[begin:end]
            segment = int(segments[places[0]])
            frames[places] = 0 if segment < 0 else self._map(segment).take(offsets[places], axis=0)
        return frames.reshape(len(rows), *self._layout.frame_shape)

    def forget(self, first_row: int) -> None:
        """Let the segments before the one of `first_row` go; a file stays while a kept checkpoint refers to it."""
        first = first_row // self._layout.segment_rows
        gone = set(range(self.first_row // self._layout.segment_rows, first))
        self.first_row = first * self._layout.segment_rows
        for segment in gone:
            self._maps.pop(segment, None)
        self._unsynced -= gone
        with durable.disk_errors(self._folder):
            self._delete(gone - self._held)

    def commit(self) -> dict[str, int]:
        """Put all frames safely on the disk, and hold their files until `release`; name -> bytes.

        Raises:
            RunError: the disk refused.
        """
        self._check_writable()
        with durable.disk_errors(self._folder):
            for segment in sorted(self._unsynced):
                _sync(self._path(segment))
            durable.sync_folder(self._folder)
        self._unsynced.clear()
        live = range(self.first_row // self._layout.segment_rows, -(-self.next_row // self._layout.segment_rows))
        self._held.update(live)
        return {self._path(segment).name: self._written(segment) * self._layout.frame_bytes for segment in live}

    def release(self, kept: Iterable[Mapping[str, int]]) -> None:
        """Delete the files that neither this object nor any of the `kept` results of `commit` refers to."""
        self._check_writable()
        self._held = {_number(name) for lengths in kept for name in lengths}
        with durable.disk_errors(self._folder):
            first = self.first_row // self._layout.segment_rows
            self._delete(number for number in self._on_disk() - self._held if number < first)

    def _check_writable(self) -> None:
        if self._read_only:
            raise UsageError(f"the replay in {self._folder} was opened to be read; restore it without read_only")

    def _path(self, segment: int) -> Path:
        return self._folder / f"segment-{segment:06d}.bin"

    def _written(self, segment: int) -> int:
        return min(self.next_row - segment * self._layout.segment_rows, self._layout.segment_rows)

    def _on_disk(self) -> set[int]:
        return {int(match[1]) for path in self._folder.iterdir() if (match := _NAME.fullmatch(path.name))}

    def _delete(self, segments: Iterable[int]) -> None:
        for segment in segments:
            self._path(segment).unlink(missing_ok=True)

    def _map(self, segment: int) -> NDArray[Any]:
        found = self._maps.get(segment)
        if found is None or len(found) < self._written(segment):
            path = self._path(segment)
            size = self._written(segment) * self._layout.frame_bytes
            try:
                with path.open("rb") as file:
                    content = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise RunError(
                    f"cannot read {path}: {error}; put the file back, or continue from a checkpoint with --resume"
                ) from error
            found = np.frombuffer(content, self._layout.dtype).reshape(self._written(segment), -1)
            self._maps[segment] = found
        return found


def _number(name: str) -> int:
    match = _NAME.fullmatch(name)
    if match is None:
        raise RunError(f"{name!r} is no segment of a replay; they are called segment-000000.bin and so on")
    return int(match[1])


def _check_size(path: Path, needed: int) -> None:
    found = path.stat().st_size if path.exists() else None
    if found is None or found < needed:
        raise RunError(
            f"{path} {'is missing' if found is None else f'holds {found} bytes'}, and the checkpoint needs {needed} "
            "bytes of it; put the file back, or start again with another --out"
        )


def _write_at(path: Path, frames: NDArray[Any], position: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        rest = frames.reshape(-1).view(np.uint8).data
        while rest:
            written = os.pwrite(descriptor, rest, position)
            rest, position = rest[written:], position + written
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
