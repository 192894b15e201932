"""Arguments, messages and exit codes of `rl-discrete`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

import rl_discrete
from rl_discrete import cli
from rl_discrete.bench.config import PRESETS, PROFILES, MnistBenchConfig, Row
from rl_discrete.cli import flags
from rl_discrete.runs.errors import Interrupted, RunError, UsageError


@dataclass(frozen=True)
class Network:
    """Layers of the example."""

    hidden: int = 512
    """Units of the
    hidden layer, 100 % of them."""
    kind: Literal["plain", "residual"] = "plain"
    widths: tuple[int, ...] = (512, 256)


@dataclass(frozen=True)
class Example:
    """A config of two levels.

    Attributes:
        rate: peak of the schedule, where it
            is highest.
        flip: turns the images over.
    """

    rate: float = 0.1
    flip: bool = False
    folder: Path | None = None
    network: Network = field(default_factory=Network)


def run(*argv: str) -> int:
    return cli.main(argv)


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr; nothing may stand beside it."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("rl-discrete: error: ")
    return captured.err.removeprefix("rl-discrete: error: ").rstrip("\n")


def parse(*argv: str) -> dict[str, Any]:
    parser = flags.new_parser("train-judge", "an example")
    flags.add_fields(parser, Example)
    return flags.parse(parser, argv)


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_overview_names_every_command(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*argv) == 0
    printed = capsys.readouterr().out
    for name, command in cli.COMMANDS.items():
        assert name in printed
        assert command.summary in printed
        assert "\n" not in command.summary


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"rl-discrete {rl_discrete.__version__}\n"


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("mnist-bnech", "mnist-bench"), ("train_judge", "train-judge"), ("--versoin", "--version")],
)
def test_unknown_command_names_the_nearest(given: str, nearest: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(given) == 2
    line = error_line(capsys)
    assert given in line
    assert f"did you mean {nearest}?" in line


def test_a_word_far_from_every_command_gets_no_guess(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("qqqq") == 2
    line = error_line(capsys)
    assert "did you mean" not in line
    assert "rl-discrete --help" in line


def plant_failing_command(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(summary: str, argv: Sequence[str]) -> int:
        raise error

    module = ModuleType("failing")
    monkeypatch.setattr(module, "run", fail, raising=False)
    monkeypatch.setitem(sys.modules, "failing", module)
    monkeypatch.setitem(cli.COMMANDS, "fail", cli.Command("fails", "failing", "run"))


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (UsageError("num_latents must be >= 1,\ngot 0"), 2, "num_latents must be >= 1, got 0"),
        (RunError("disk full"), 1, "disk full"),
        (Interrupted(15), 143, "signal 15"),
        (Interrupted(2), 130, "signal 2"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_each_error_is_one_line_and_a_code(
    error: BaseException,
    code: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant_failing_command(error, monkeypatch)
    assert run("fail") == code
    assert text in error_line(capsys)


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_failing_command(KeyError("a bug"), monkeypatch)
    with pytest.raises(KeyError):
        run("fail")


def test_only_what_was_given_is_returned() -> None:
    assert parse() == {}
    assert parse("--rate", "1e-3") == {"rate": 0.001}
    given = parse("--network.hidden=64", "--network.widths", "[3, 4]", "--network.kind", "residual", "--flip", "true")
    assert given == {"network": {"hidden": 64, "widths": (3, 4), "kind": "residual"}, "flip": True}
    assert parse("--folder", "12") == {"folder": Path("12")}


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["--network.hiden", "3"], ["--network.hiden", "did you mean --network.hidden?"]),
        (["--network.hid=3"], ["--network.hid", "did you mean --network.hidden?"]),  # no abbreviation
        (["--rat", "3"], ["'--rat'", "did you mean --rate?"]),
        (["--network", "file.yaml"], ["unknown flag '--network'"]),
        (["--network.hidden", "many"], ["--network.hidden must be int, got 'many'"]),
        (["--network.hidden", "1.5"], ["--network.hidden must be int, got '1.5'"]),
        (["--network.kind", "plan"], ["--network.kind", "plain", "'plan'"]),
        (["--network.hidden"], ["--network.hidden", "expected one argument"]),
        (["--flip"], ["--flip", "expected one argument"]),
        (["surplus"], ["surplus"]),
    ],
)
def test_a_wrong_flag_or_value_is_named(argv: list[str], parts: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse(*argv)
    for part in parts:
        assert part in str(caught.value)


def test_help_shows_what_the_source_says_of_a_field() -> None:
    parser = flags.new_parser("train-judge", "an example")
    flags.add_fields(parser, Example)
    shown = " ".join(parser.format_help().split())
    assert "Units of the hidden layer, 100 % of them." in shown
    assert "peak of the schedule, where it is highest." in shown
    assert "turns the images over." in shown


@pytest.fixture
def benched(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The calls that `mnist-bench` makes, caught before anything heavy is imported."""
    calls: list[dict[str, Any]] = []
    module = ModuleType("rl_discrete.bench.mnist")
    vars(module)["run_mnist_bench"] = lambda config, **named: calls.append({"config": config, **named})
    monkeypatch.setitem(sys.modules, "rl_discrete.bench.mnist", module)
    return calls


def test_mnist_bench_layers_files_and_flags(benched: list[dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("training: {epochs: 7, batch_size: 11}\nnum_samples: 500\n")
    flags = [
        "--rows",
        "gs-16x2,ish-32x2",
        "--seeds",
        "0,3",
        "--out",
        "there",
        "--resume",
        "--data-dir",
        "mine",
    ]
    more = ["--workers", "2", "--config", str(file), "--training.epochs", "9", "--profile", "smoke"]
    assert run("mnist-bench", *flags, *more, "--preset", "deck", "--autoencoder.network.hidden", "64,32") == 0
    (call,) = benched
    config = call["config"]
    assert isinstance(config, MnistBenchConfig)
    assert config.rows == ("gs-16x2", "ish-32x2")
    assert config.seeds == (0, 3)
    assert config.out == Path("there")
    assert config.resume is True
    assert config.data_dir == Path("mine")
    assert config.workers == 2
    assert config.autoencoder.network.hidden == (64, 32)
    assert (config.training.epochs, config.training.batch_size, config.num_samples) == (9, 11, 500)
    assert (call["profile"], call["preset"]) == ("smoke", "deck")
    assert call["command"].startswith("rl-discrete mnist-bench --rows gs-16x2,ish-32x2 --seeds 0,3")


def test_what_is_set_for_all_rows_holds_for_rows_with_settings_of_their_own(
    benched: list[dict[str, Any]], tmp_path: Path
) -> None:
    single = "{'*-96x2': {training: {epochs: 30, batch_size: 7}}, gs-16x2: {prior: {hidden: 9}}}"
    assert run("mnist-bench", "--preset", "deck", "--row-settings", single, "--training.batch_size", "11") == 0
    (call,) = benched
    wide, small = (call["config"].of_row(Row.parse(name)) for name in ("ish-96x2", "gs-16x2"))
    assert (wide.training.epochs, wide.training.batch_size) == (30, 7)  # the last layer names both, the row's wins
    assert (small.training.batch_size, small.prior.hidden, wide.prior.hidden) == (11, 9, call["config"].prior.hidden)
    file = tmp_path / "config.yaml"
    file.write_text(f"preset: deck\nrow_settings: {single}\n")
    benched.clear()
    assert run("mnist-bench", "--config", str(file), "--training.batch_size", "11") == 0
    wide = benched[0]["config"].of_row(Row.parse("ish-96x2"))
    assert (wide.training.epochs, wide.training.batch_size) == (30, 11)  # a flag is above the file, for every row


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("[1]", ["--row-settings", "must be a mapping", "[1]"]),
        ("{unclosed", ["--row-settings", "must be a mapping"]),
    ],
)
def test_row_settings_that_are_no_mapping(
    given: str, parts: list[str], capsys: pytest.CaptureFixture[str], benched: list[dict[str, Any]]
) -> None:
    assert run("mnist-bench", "--row-settings", given) == 2
    line = error_line(capsys)
    assert all(part in line for part in parts), line
    assert benched == []


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"*-96x2": {"rows": ["gs-16x2"]}}, ["'*-96x2'", "autoencoder", "rows"]),
        ({"no-such-row": {"training": {"epoch": 3}}}, ["'no-such-row'", "training.epoch'", "training.epochs"]),
        ({"gs-16x2": 3}, ["'gs-16x2'", "3"]),
    ],
)
def test_row_settings_that_no_row_has(settings: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        MnistBenchConfig(row_settings=settings).of_row(Row.parse("gs-16x2"))
    assert all(part in str(caught.value) for part in parts), caught.value


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_profile_fits_every_preset(profile: str, preset: str, benched: list[dict[str, Any]]) -> None:
    assert run("mnist-bench", "--profile", profile, "--preset", preset) == 0
    assert len(benched) == 1


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["--profile", "smok"], ["unknown profile 'smok'", "did you mean smoke?"]),
        (["--preset", "dek"], ["unknown preset 'dek'", "did you mean deck?"]),
        (["--rows", "gs16x2"], ["'gs16x2'", "gs-16x2"]),
        (["--rows", "gs-16x2,"], ["unknown row ''"]),
        (["--seeds", "0,one"], ["--seeds must be int values separated by commas, got '0,one'"]),
        (["--data_dir", "x"], ["unknown flag '--data_dir'", "did you mean --data-dir?"]),
        (["--training.epoch", "3"], ["did you mean --training.epochs?"]),
        (["--workers", "two"], ["--workers must be int, got 'two'"]),
        (["--config", "missing.yaml"], ["missing.yaml"]),
        (["--out"], ["--out"]),
    ],
)
def test_mnist_bench_names_what_is_wrong(
    argv: list[str], parts: list[str], capsys: pytest.CaptureFixture[str], benched: list[dict[str, Any]]
) -> None:
    assert run("mnist-bench", *argv) == 2
    line = error_line(capsys)
    for part in parts:
        assert part in line
    assert benched == []


def test_an_unknown_key_names_key_file_and_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], benched: list[dict[str, Any]]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("training:\n  epoch: 7\n")
    assert run("mnist-bench", "--config", str(file)) == 2
    line = error_line(capsys)
    for part in (str(file), "training.epoch'", "training.epochs"):
        assert part in line
    assert benched == []


def test_the_config_of_a_run_names_profile_and_preset(tmp_path: Path, benched: list[dict[str, Any]]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("profile: smoke\npreset: deck\nnum_samples: 500\n")
    assert run("mnist-bench", "--config", str(file)) == 0
    assert run("mnist-bench", "--config", str(file), "--profile", "full") == 0
    assert [(call["profile"], call["preset"]) for call in benched] == [("smoke", "deck"), ("full", "deck")]
    assert [call["config"].num_samples for call in benched] == [500, 500]
    assert len(benched[0]["config"].seeds) < len(benched[1]["config"].seeds)


def test_an_unknown_preset_in_a_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], benched: list[dict[str, Any]]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("preset: dek\n")
    assert run("mnist-bench", "--config", str(file)) == 2
    line = error_line(capsys)
    for part in (str(file), "'dek'", "did you mean deck?"):
        assert part in line
    assert benched == []


@pytest.mark.parametrize("command", ["mnist-bench", "train-judge"])
def test_help_of_a_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    for flag in {"mnist-bench": ("--profile", "--prior.chunk"), "train-judge": ("--epochs", "--data-dir")}[command]:
        assert flag in captured.out


def test_help_shows_the_defaults_of_the_chosen_files_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("mnist-bench", "--training.epochs", "1234", "--help") == 0
    assert "(default: 1234)" in " ".join(capsys.readouterr().out.split())


def test_the_process_ends_with_the_code(tmp_path: Path) -> None:
    program = "import sys; from rl_discrete.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "mnist-bench", "--rows", "gs-x"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("rl-discrete: error: ")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
