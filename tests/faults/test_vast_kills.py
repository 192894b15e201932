"""Kills -9 of `train --agent vast` at random moments lose nothing that a resumed run does not make again, bit for bit.

    pytest -m slow -s tests/faults/test_vast_kills.py

prints a summary after a few minutes. Faults that are not random are in tests/agents/test_vast_resume.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from rl_discrete.runs.checkpoint import list_checkpoints
from rl_discrete.runs.config import to_mapping
from tests.agents.test_vast_resume import assert_same_run
from tests.agents.vast_runs import result, small
from tests.bench_runs import PATIENCE, PROGRAM

KILLS = 20


class Session:
    """A process of `train --agent vast`, a run begun or resumed, that has opened its run folder or has ended."""

    def __init__(self, config: Path, out: Path) -> None:
        self._err = out.with_suffix(".err")
        resume = ["--resume"] if (out / "config.yaml").exists() else []
        command = [str(PROGRAM), "train", "--config", str(config), "--out", str(out), *resume]
        with self._err.open("w") as err:
            self.process = subprocess.Popen(command, stdout=err, stderr=err, start_new_session=True)
        self.wait_for("replay: at most")

    def ends_within(self, seconds: float) -> bool:
        """Whether it ends by itself, which must then be well."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert self.process.wait(seconds) == 0, self._err.read_text()
            return True
        return False

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait_for(self, text: str) -> None:
        """Waits until it has said so, or has ended."""
        deadline = time.monotonic() + PATIENCE
        while text not in self._err.read_text() and self.process.poll() is None:
            assert time.monotonic() < deadline, self._err.read_text()
            time.sleep(0.003)


@pytest.mark.slow
def test_random_kills_of_a_run(tmp_path: Path) -> None:
    """Killed and resumed until it ends, again and again, each time like one that nobody disturbed."""
    config = tmp_path / "config.yaml"
    settings = small(steps=1600, relabel_every=120, checkpoint_every=80)
    config.write_text(yaml.safe_dump({"agent": "vast", **to_mapping(settings)}))
    whole = Session(config, tmp_path / "whole")
    begin = time.monotonic()
    whole.wait_for("vast on grid: done")
    seconds = time.monotonic() - begin
    assert whole.ends_within(PATIENCE)
    moments, completed = random.Random(0), 0
    kills: list[int] = []  # the step of the newest checkpoint at each
    while len(kills) < KILLS or (tmp_path / f"run-{completed}").exists():
        out = tmp_path / f"run-{completed}"
        session = Session(config, out)
        if not session.ends_within(moments.uniform(0.0, seconds) if len(kills) < KILLS else PATIENCE):
            session.kill()
        if (out / "result.json").exists():  # nothing is left to be done, though the process may still have been ending
            assert_same_run(tmp_path / "whole", out)
            assert result(out)["windows"] == result(tmp_path / "whole")["windows"]
            completed += 1
        else:
            saved = list_checkpoints(out / "checkpoints")
            kills.append(int(saved[-1].name.removeprefix("step-")) if saved else 0)
    summary = {"kills": len(kills), "checkpoints_then": sorted(kills), "runs_equal_bit_for_bit": completed}
    print(json.dumps({**summary, "seconds_of_an_undisturbed_run": round(seconds, 1)}))
    assert len(set(kills)) > 3, "the kills fell at different moments"
