"""What a run folder holds, to see that a command leaves it alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

MADE = {"evaluation.json", "videos", "replans"}
"""What commands on a finished run add to its folder."""


def contents(run: Path) -> dict[str, str]:
    """sha256 by path of every file of the run itself."""
    files = (path.relative_to(run) for path in sorted(run.rglob("*")) if path.is_file())
    return {
        str(path): hashlib.sha256((run / path).read_bytes()).hexdigest() for path in files if path.parts[0] not in MADE
    }
