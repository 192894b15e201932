"""The manifest of a checkpoint: what it holds, and how to tell that nothing of it was lost or altered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rl_discrete.runs.errors import RunError

FORMAT = 1
MANIFEST = "manifest.json"


class CheckpointError(RunError):
    """A checkpoint does not verify: a file is missing, cut or altered, or a part was thinned away."""


@dataclass(frozen=True)
class FileEntry:
    """One file of a checkpoint: the part it holds, its size in bytes and the sha256 of its content."""

    part: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, part: str, file: Path) -> FileEntry:
        """Describe `file` as it is on the disk. Raises OSError."""
        with file.open("rb") as opened:
            return cls(part, file.stat().st_size, hashlib.file_digest(opened, "sha256").hexdigest())

    def verify(self, file: Path) -> None:
        """Raise CheckpointError unless `file` is what this entry describes."""
        try:
            found = FileEntry.of(self.part, file)
        except OSError as error:
            raise CheckpointError(f"{file} cannot be read ({error.strerror or error})") from error
        if found.bytes != self.bytes:
            raise CheckpointError(f"{file} has {found.bytes} bytes instead of {self.bytes}")
        if found != self:
            raise CheckpointError(f"{file} was altered (its sha256 differs)")


@dataclass(frozen=True)
class Manifest:
    """Step, the caller's `meta` (JSON), and the files by name; `complete` until parts are thinned away."""

    step: int
    meta: dict[str, Any]
    files: dict[str, FileEntry]
    complete: bool = True

    @property
    def parts(self) -> set[str]:
        return {entry.part for entry in self.files.values()}

    def keeping(self, parts: Collection[str]) -> Manifest:
        """The same without the files of other parts."""
        files = {name: entry for name, entry in self.files.items() if entry.part in parts}
        return replace(self, files=files, complete=self.complete and files == self.files)

    def encode(self) -> bytes:
        """As JSON, signed with the sha256 of its own content. Raises TypeError where `meta` is not JSON."""
        content = {"format": FORMAT, **asdict(self)}
        return json.dumps({**content, "sha256": _digest(content)}, indent=1).encode() + b"\n"

    @classmethod
    def read(cls, checkpoint: Path) -> Manifest:
        """Read and verify the manifest in the folder `checkpoint`.

        Raises:
            CheckpointError: it is missing, cut or altered.
            RunError: a newer version of this library wrote it.
        """
        file = checkpoint / MANIFEST
        try:
            content = json.loads(file.read_bytes())
        except OSError as error:
            raise CheckpointError(f"{file} cannot be read ({error.strerror or error})") from error
        except ValueError as error:  # not JSON, or not even text
            raise CheckpointError(f"{file} is not JSON: cut or altered") from error
        if not isinstance(content, dict) or content.pop("sha256", None) != _digest(content):
            raise CheckpointError(f"{file} was altered (its sha256 differs)")
        if content["format"] > FORMAT:
            raise RunError(
                f"{checkpoint} has checkpoint format {content['format']}, this version reads up to {FORMAT}: "
                "update rl-discrete"
            )
        files = {name: FileEntry(**entry) for name, entry in content["files"].items()}
        return cls(content["step"], content["meta"], files, content["complete"])


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
