"""A hundred kills -9 of `mnist-bench --profile smoke` lose at most the work since the last completed save.

The smoke run has one of its rows; five kills of a run with several are in the fast suite (test_bench_faults.py). These
take about half an hour on two idle cores:

    RL_DISCRETE_KILLS_JSON=docs/results/mnist_kills.json pytest -m slow -s tests/faults/test_bench_kills.py

which prints a summary and, where the variable names a file, writes it there.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from rl_discrete.runs.folder import collect_versions
from tests.bench_runs import (
    Kills,
    Run,
    assert_equal_rows,
    kill,
    leftovers,
    read_result,
    repeatable,
    run,
    stages_of,
)

SMOKE = ("--profile", "smoke", "--rows", "ish-32x2", "--device", "cpu", "--checkpoint-seconds", "1")
SMOKE_ROWS = ("ish-32x2-s0",)
KILLS = 100


def moment_of(out: Path, since: float) -> str:
    """What a session that began at the time `since` was about when it ended."""
    rows = [out / "rows" / name for name in SMOKE_ROWS]
    written = [path for row in rows for path in row.rglob("*") if path.is_file() and path.stat().st_mtime > since]
    if all((row / "result.json").exists() for row in rows):
        return "report"
    if not written:
        return "start"
    row = max(written, key=lambda path: path.stat().st_mtime).relative_to(out / "rows").parts[0]
    held = stages_of(out / "rows" / row)
    return "evaluation" if "models" in held else "prior" if "prior" in held else "autoencoder"


def same_figures(ours: Path, theirs: Path) -> None:
    assert repeatable(read_result(ours)) == repeatable(read_result(theirs))
    for name in SMOKE_ROWS:
        assert_equal_rows(ours / "rows" / name, theirs / "rows" / name)
    assert leftovers(ours) == []


@pytest.mark.slow
def test_a_hundred_kills_of_a_smoke_run(tmp_path: Path) -> None:
    """Killed at random moments and resumed until it ends, again and again, each time like one that nobody disturbed."""
    begin = time.monotonic()
    whole = run(*SMOKE, "--out", tmp_path / "whole")
    assert whole.code == 0, whole.err
    seconds = time.monotonic() - begin
    moments, seen, about = random.Random(0), Kills(), Counter[str]()
    failures: list[str] = []
    killed = completed = 0
    while killed < KILLS:
        out = tmp_path / f"run-{completed}"
        rows = [out / "rows" / name for name in SMOKE_ROWS]
        since = time.time()
        running = Run(*SMOKE, "--out", out, *(["--resume"] if out.exists() else []))
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.process.wait(moments.uniform(0.0, 0.7 * seconds))
        try:
            if running.process.poll() is None:
                killed += 1
                kill(running, rows, seen, "everything" if killed % 2 == 1 else "parent")
                about[moment_of(out, since)] += 1
                continue
            completed += 1
            outcome = running.outcome()
            assert outcome.code == 0, outcome.err
            same_figures(out, tmp_path / "whole")
        except AssertionError as failure:
            failures.append(f"kill {killed}: {failure}")
    out = tmp_path / f"run-{completed}"
    last = run(*SMOKE, "--out", out, *(["--resume"] if out.exists() else []))
    assert last.code == 0, last.err
    same_figures(out, tmp_path / "whole")
    summary = {
        "command": " ".join(["rl-discrete mnist-bench", *SMOKE]),
        "kills": killed,
        "failures": len(failures),
        "largest_loss_of_saved_steps": max(seen.lost),
        "largest_work_redone_in_steps": max(seen.redone),
        "kills_during_a_write": seen.during_saves,
        "moments": dict(sorted(about.items())),
        "runs_completed_and_equal_bit_for_bit": completed + 1,
        "seconds_of_an_undisturbed_run": round(seconds, 1),
        "seconds_in_all": round(time.monotonic() - begin, 1),
        "versions": collect_versions(),
    }
    print(json.dumps(summary, indent=1))
    if name := os.environ.get("RL_DISCRETE_KILLS_JSON"):
        Path(name).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    assert failures == []
    assert max(seen.lost) == 0
