"""Fifty kills -9 of `train --agent simple` lose nothing that was saved, with the real world model over codes.

The run is tiny, on a grid world, and every part of the loop is in it: the final diagnosis and its figures too. Each
session is a process of its own, forked from one that has imported everything, so that kills fall into the run and not
into its imports. It takes a few minutes on two idle cores:

    RL_DISCRETE_RESULTS=docs/results pytest -m slow -s tests/faults/test_simple_kills.py

which prints a summary and, where the variable names a folder, writes it to `simple_kills.json` there.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from rl_discrete import cli
from rl_discrete.agents.simple_config import DiagnosisConfig
from rl_discrete.runs.checkpoint import list_checkpoints, read_checkpoint
from rl_discrete.runs.config import to_mapping
from rl_discrete.runs.folder import collect_versions
from tests.agents.run_files import assert_same_run
from tests.agents.simple_runs import SMALL
from tests.bench_runs import PATIENCE, assert_sound, leftovers, saved_step

RUN = replace(
    SMALL,
    real_steps=320,
    schedule=replace(SMALL.schedule, iterations=3, first_steps=120, fit_updates=40, imagined_steps=256),
    diagnosis=DiagnosisConfig(steps=200, starts=32),
)
KILLS = 50
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["rl_discrete.agents.simple", "rl_discrete.analysis.world_diagnosis"])


class Session:
    """A process of `rl-discrete train`, from the beginning of the run or from where it is."""

    def __init__(self, config: Path, out: Path) -> None:
        argv = ["train", "--config", str(config), "--out", str(out), *(["--resume"] if out.exists() else [])]
        self.process = PROCESSES.Process(target=cli.main, args=(argv,))
        self.process.start()

    def ended(self, seconds: float) -> bool:
        """Whether it ends by itself within so many seconds."""
        self.process.join(seconds)
        return not self.process.is_alive()

    def kill(self) -> bool:
        """kill -9; whether it had not ended by itself before."""
        self.process.kill()
        self.process.join()
        return self.process.exitcode == -signal.SIGKILL


def moment_of(out: Path) -> str:
    """What a run that was killed goes on from."""
    saved = list_checkpoints(out / "checkpoints")
    if not saved:
        return "first collection"
    if (out / "result.json").exists():
        return "figures"
    meta = read_checkpoint(saved[-1], ()).meta
    fits, trainings, iterations = meta["fits"], meta["trainings"], RUN.schedule.iterations
    if fits > trainings:
        return "training"
    if trainings == iterations:
        return "last collection or diagnosis"
    return "collection or fit"


@pytest.mark.slow
def test_fifty_kills_of_a_run(tmp_path: Path) -> None:
    """Killed at random moments and resumed until it ends, again and again, each time like one that nobody disturbed."""
    config, begin = tmp_path / "config.yaml", time.monotonic()
    config.write_text(yaml.safe_dump({"agent": "simple", "profile": "smoke", **to_mapping(RUN)}))
    assert Session(config, tmp_path / "warm").ended(PATIENCE)  # imports and compiled code stay in the parent's caches
    since = time.monotonic()
    assert Session(config, tmp_path / "whole").ended(PATIENCE)
    seconds = time.monotonic() - since
    moments, about = random.Random(0), Counter[str]()
    failures: list[str] = []
    killed = completed = equal = during_saves = largest_loss = 0
    while killed < KILLS or (tmp_path / f"run-{completed}").exists():
        out = tmp_path / f"run-{completed}"
        session = Session(config, out)
        try:
            wait = moments.uniform(0.0, 0.7 * seconds) if killed < KILLS else PATIENCE
            if not session.ended(wait) and session.kill():
                killed += 1
                during_saves += bool(leftovers(out))
                announced = saved_step(out)
                largest_loss = max(largest_loss, announced - assert_sound(out))
                about[moment_of(out)] += 1
                continue
            completed += 1
            assert (out / "result.json").exists(), f"{out} ended before its result"
            assert_same_run(out, tmp_path / "whole")
            assert leftovers(out) == []
            equal += 1
        except AssertionError as failure:
            failures.append(f"kill {killed}: {failure}")
    summary = {
        "command": "rl-discrete train --config, of tests/faults/test_simple_kills.py: grid, code model, 320 real steps",
        "kills": killed,
        "failures": len(failures),
        "largest_loss_of_saved_steps": largest_loss,
        "kills_during_a_write": during_saves,
        "moments": dict(sorted(about.items())),
        "runs_completed": completed,
        "of_these_equal_bit_for_bit": equal,
        "seconds_of_an_undisturbed_run": round(seconds, 1),
        "seconds_in_all": round(time.monotonic() - begin, 1),
        "versions": collect_versions(),
    }
    print(json.dumps(summary, indent=1))
    if folder := os.environ.get("RL_DISCRETE_RESULTS"):
        Path(folder, "simple_kills.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    assert failures == []
    assert largest_loss == 0
