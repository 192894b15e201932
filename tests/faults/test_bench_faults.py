"""What happens to a run of `mnist-bench` that began well: bad numbers, signals, a full disk, lost workers."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rl_discrete import cli
from rl_discrete.bench.config import MnistBenchConfig, Row
from rl_discrete.bench.job import RowJob, train_row
from rl_discrete.data.mnist import load_images
from rl_discrete.latents.autoencoder import DiscreteAutoencoder
from rl_discrete.latents.config import FitConfig, LSTMPriorConfig, NetworkConfig
from rl_discrete.latents.lstm_prior import LSTMPrior
from rl_discrete.runs.errors import RunError
from rl_discrete.runs.signals import StopSignal
from tests.bench_runs import (
    Kills,
    Outcome,
    Run,
    assert_equal_rows,
    assert_sound,
    kill,
    leftovers,
    logged,
    read_result,
    repeatable,
    run,
    saved_step,
    stages_of,
    tiny,
)


def a_job(folder: Path, row: str = "ish-8x2", batch_size: int = 220) -> RowJob:
    """A row that saves after every ten steps and at the end of every epoch (1,100 images)."""
    fit = FitConfig(epochs=8, warmup_steps=5, batch_size=batch_size)
    config = MnistBenchConfig(rows=(row,), training=fit, prior_training=fit)
    config = replace(config, prior=LSTMPriorConfig(hidden=16, embedding=8), checkpoint_seconds=0.0)
    config = replace(config, autoencoder=replace(config.autoencoder, network=NetworkConfig(hidden=(32,))))
    return RowJob(Row.parse(row), 0, config, folder)


def train(
    job: RowJob, digits: Path, report: Callable[[str, int, int, str], None] = lambda *_: None
) -> dict[str, Tensor]:
    with StopSignal() as stop:
        trained, _ = train_row(job, load_images(digits), torch.device("cpu"), stop, report)
    return trained.state()


@pytest.mark.parametrize(
    ("model", "stage", "row", "kept"),
    [(DiscreteAutoencoder, "autoencoder", "gs-4x2", 20), (LSTMPrior, "prior", "ish-8x2", 60)],
)
def test_a_loss_that_is_nan_says_where_and_keeps_the_last_good_checkpoint(
    model: type[torch.nn.Module],
    stage: str,
    row: str,
    kept: int,
    digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The 25th step of either stage fails; a checkpoint was saved at its 20th, from which it goes on bit for bit."""
    honest, calls = model.loss, iter(range(1000))  # type: ignore[attr-defined]

    def loss(self: torch.nn.Module, *given: object) -> Tensor:
        value: Tensor = honest(self, *given)
        return value * torch.nan if next(calls) == 24 else value

    monkeypatch.setattr(model, "loss", loss)
    job = a_job(tmp_path, row)
    with pytest.raises(RunError, match=rf"^{stage}: the loss became nan at step 24 \(epoch 4\.80\)") as caught:
        train(job, digits)
    assert "\n" not in str(caught.value)
    assert assert_sound(tmp_path) == kept
    monkeypatch.undo()
    resumed = train(job, digits)
    whole = train(a_job(tmp_path / "whole", row), digits)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_weights_that_are_nan_are_never_saved(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient can be NaN where the loss is not: the last step before a save spoils the weights unseen."""
    honest, calls = DiscreteAutoencoder.loss, iter(range(1000))

    def loss(self: DiscreteAutoencoder, images: Tensor, generator: torch.Generator) -> Tensor:
        value = honest(self, images, generator)
        if next(calls) == 19:
            value.register_hook(lambda gradient: gradient * torch.nan)
        return value

    monkeypatch.setattr(DiscreteAutoencoder, "loss", loss)
    with pytest.raises(RunError, match=r"^autoencoder: .* is not finite at step 20; .* kept"):
        train(a_job(tmp_path, batch_size=50), digits)
    assert assert_sound(tmp_path) == 10


def test_an_absurd_learning_rate_is_found_and_the_stage_before_is_kept(digits: Path, tmp_path: Path) -> None:
    job = a_job(tmp_path)
    absurd = replace(job.config.prior_training, learning_rate=1e38)
    with pytest.raises(RunError, match=r"^prior: .* (step|epoch) .* learning rate"):
        train(replace(job, config=replace(job.config, prior_training=absurd)), digits)
    assert assert_sound(tmp_path) >= 40  # the autoencoder's last


# --- one run with every trouble in it, which ends like one that nobody disturbed ----------------------------------


@dataclass(frozen=True)
class Troubled:
    """A run of one row with the settings of `finished`, and what was seen at each of its ends."""

    out: Path
    ends: dict[str, Outcome]
    stages: dict[str, set[str]]
    """What the newest checkpoint held then."""
    unfinished: dict[str, list[str]]
    """What was half-written then."""
    second_writer: tuple[int, str, int]
    """Exit code and words of a second run in the same folder, and the process that it should name."""
    kills: Kills


@pytest.fixture(scope="module")
def troubled(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Troubled:
    """Stopped once in each stage, killed five times, once without room on the disk; then left alone."""
    out = tmp_path_factory.mktemp("troubled") / "run"
    row = out / "rows" / "ish-8x2-s0"
    moments, kills = random.Random(0), Kills()
    ends: dict[str, Outcome] = {}
    stages: dict[str, set[str]] = {}
    unfinished: dict[str, list[str]] = {}

    def note(name: str, end: Outcome) -> None:
        ends[name], stages[name], unfinished[name] = end, stages_of(row), leftovers(out)

    def resumed_to_a_random_moment() -> Run:
        running = Run("--out", out, "--resume")
        wanted = saved_step(row) + moments.randrange(5, 35)
        running.wait_for(lambda: saved_step(row) >= wanted)
        time.sleep(moments.uniform(0.0, 0.02))  # before, in or after the next save
        return running

    running = Run(*tiny(digits, out, "--rows", "ish-8x2", "--checkpoint-seconds", "0"))
    running.wait_for(lambda: " tasks on " in running.err)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = cli.main(["mnist-bench", *map(str, tiny(digits, out, "--resume"))])
    second_writer = (code, said.getvalue(), running.process.pid)
    running.wait_for(lambda: logged(row, "autoencoder") > 0)
    note("interrupt", running.stop(signal.SIGINT, group=True))

    kill(resumed_to_a_random_moment(), [row], kills, "parent")
    kill(resumed_to_a_random_moment(), [row], kills, "everything")
    note("full disk", run("--out", out, "--resume", file_limit=50_000))
    note("dead worker", kill(resumed_to_a_random_moment(), [row], kills, "workers"))

    running = Run("--out", out, "--resume")
    running.wait_for(lambda: logged(row, "prior") > 0)
    note("termination", running.stop(signal.SIGTERM))
    kill(resumed_to_a_random_moment(), [row], kills, "parent")
    kill(resumed_to_a_random_moment(), [row], kills, "everything")
    note("end", run("--out", out, "--resume", "--checkpoint-seconds", "15"))
    assert ends["end"].code == 0, ends["end"].err
    return Troubled(out, ends, stages, unfinished, second_writer, kills)


def test_ctrl_c_saves_and_ends_with_130(troubled: Troubled) -> None:
    assert troubled.ends["interrupt"].code == 130
    assert "--resume" in troubled.ends["interrupt"].error
    assert troubled.stages["interrupt"] == {"autoencoder"}
    assert troubled.unfinished["interrupt"] == []


def test_sigterm_saves_and_ends_with_143(troubled: Troubled) -> None:
    assert troubled.ends["termination"].code == 143
    assert "--resume" in troubled.ends["termination"].error
    assert troubled.stages["termination"] == {"autoencoder", "prior"}
    assert troubled.unfinished["termination"] == []


def test_a_second_run_in_the_same_folder_is_told_who_is_there(troubled: Troubled) -> None:
    code, line, pid = troubled.second_writer
    assert code == 2
    assert f"process {pid}" in line
    assert line.count("\n") == 1


def test_a_full_disk_ends_in_one_line_and_leaves_nothing_half_written(troubled: Troubled) -> None:
    assert troubled.ends["full disk"].code == 1
    assert "cannot write" in troubled.ends["full disk"].error
    assert "--resume" in troubled.ends["full disk"].error
    assert troubled.unfinished["full disk"] == []


def test_a_worker_that_dies_is_reported(troubled: Troubled) -> None:
    """As when the system runs out of memory and picks the worker."""
    assert troubled.ends["dead worker"].code == 1
    assert "--workers 1" in troubled.ends["dead worker"].error


def test_a_kill_loses_no_completed_save(troubled: Troubled) -> None:
    assert troubled.kills.lost == [0] * 5
    assert troubled.kills.steps == sorted(set(troubled.kills.steps))
    assert max(troubled.kills.redone) <= 10  # it saves at least every ten steps


def test_stopped_and_resumed_equals_the_uninterrupted_run_bit_for_bit(troubled: Troubled, finished: Path) -> None:
    ours, theirs = read_result(troubled.out), read_result(finished)
    assert repeatable(ours["reference"]) == repeatable(theirs["reference"])
    assert repeatable(ours["rows"]) == repeatable(theirs["rows"][1:])
    assert_equal_rows(troubled.out / "rows" / "ish-8x2-s0", finished / "rows" / "ish-8x2-s0")
    assert troubled.unfinished["end"] == []


# --- before the training and after it -----------------------------------------------------------------------------


@pytest.mark.parametrize(("signum", "codes"), [(signal.SIGINT, (130,)), (signal.SIGTERM, (143, -signal.SIGTERM))])
@pytest.mark.parametrize("module", ["libtorch_cpu", "libtorch_python"])
def test_a_signal_before_the_run_began(
    signum: int, codes: tuple[int, ...], module: str, digits: Path, tmp_path: Path
) -> None:
    """While the modules that the run needs are still imported. -15 is what a shell shows as 143, too."""
    early = Run(*tiny(digits, tmp_path / "run"))
    early.wait_for(lambda: module in Path(f"/proc/{early.process.pid}/maps").read_text())
    outcome = early.stop(signum, group=signum == signal.SIGINT)
    assert outcome.code in codes
    assert "Traceback" not in outcome.err


@pytest.fixture
def undrawn(finished: Path, tmp_path: Path) -> Path:
    """A finished run without its figures and its report."""
    shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("figures", "report.html"))
    return tmp_path / "run"


def test_a_signal_while_the_figures_are_drawn(undrawn: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is to be saved then: the run leaves at once, and can draw them again."""

    def interrupt() -> None:
        while not any((undrawn / "figures").glob("*.png")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code = cli.main(["mnist-bench", "--out", str(undrawn), "--resume"])
    thread.join()
    assert code == 143
    assert "--resume" in Outcome(code, *capfd.readouterr()).error
    assert leftovers(undrawn) == []
    assert not (undrawn / "report.html").exists()


def test_a_disk_that_is_full_when_the_report_is_due(undrawn: Path) -> None:
    outcome = run("--out", undrawn, "--resume", file_limit=25_000)
    assert outcome.code == 1
    assert "cannot write" in outcome.error
    assert leftovers(undrawn) == []
    assert not (undrawn / "report.html").exists()
