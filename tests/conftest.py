"""One torch thread in every test and in every process that a test starts: runs then repeat bit for bit."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"
