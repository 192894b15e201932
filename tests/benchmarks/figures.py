"""Where measured figures go."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def keep(file: str, name: str, figures: Mapping[str, Any]) -> None:
    """Print the figures, and put them into `file` of the folder that RL_DISCRETE_RESULTS names, if it names one."""
    print(f"\n{name}: {json.dumps(figures)}")
    folder = os.environ.get("RL_DISCRETE_RESULTS")
    if folder:
        path = Path(folder, file)
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**kept, name: figures}, indent=1) + "\n", encoding="utf-8")
