"""One torch thread in every test and in every process that a test starts: runs then repeat bit for bit."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"

settings.register_profile("repeatable", derandomize=True)  # the same examples in every run: a red run can be repeated
settings.load_profile("repeatable")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background commands with Ctrl-C ignored, and every process that a test starts would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes for the whole fast suite; whoever names tests, or times them, gets one that shows its output."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return 2 if whole and config.option.markexpr == "not slow and not benchmark" else 0


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,200 training and 300 test images of MNIST in the four IDX files."""
    from tests.bench_runs import write_digits

    return write_digits(tmp_path_factory.mktemp("data") / "digits")


@pytest.fixture(scope="session")
def finished(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny run of mnist-bench, two rows with one seed, that nobody disturbed. Not to be changed."""
    from tests.bench_runs import run, tiny

    out = tmp_path_factory.mktemp("finished") / "run"
    outcome = run(*tiny(digits, out))
    assert outcome.code == 0, outcome.err
    return out
