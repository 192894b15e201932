"""What the user of `mnist-bench` names wrongly ends with 2, damaged data with 1: before anything is made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rl_discrete import cli
from tests.bench_runs import files, run, tiny, write_digits, write_idx

IMAGES = "train-images-idx3-ubyte"


def refused(capfd: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str]:
    """Exit code and the one line on stderr of a command that never comes to training."""
    code = cli.main(["mnist-bench", *map(str, argv)])
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("rl-discrete: error: ")
    return code, printed.err.removeprefix("rl-discrete: error: ").rstrip()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--rows", "gs-16x3x"), ("unknown row 'gs-16x3x'", "did you mean gs-16x2?")),
        (("--rows", "isch-32x2"), ("unknown row 'isch-32x2'", "did you mean ish-32x2?")),
        (("--rows", "gs-016x2"), ("unknown row 'gs-016x2'", "did you mean gs-16x2?")),
        (("--rows", "gs-0x2"), ("gs-0x2", "L must be >= 1")),
        (("--rows", "gs-4x1"), ("gs-4x1", "K >= 2")),
        (("--rows", "ish-8x3"), ("ish-8x3", "K = 2")),
        (("--rows", "gs-4x2,gs-4x2"), ("'gs-4x2' is named twice",)),
        (("--seeds", "3,3"), ("3 is named twice",)),
        (("--seeds", "-1"), ("seeds must be >= 0",)),
        (("--rows", "gs-30x10", "--prior.chunk", "4"), ("chunk 4", "4,096", "at most 3")),
        (("--rows", "ish-32x2", "--prior.chunk", "13"), ("chunk 13", "4,096", "at most 12")),
        (("--prior.chunk", "0"), ("chunk", ">= 1")),
        (("--profile", "smok"), ("smok", "smoke")),
        (("--preset", "dekc"), ("dekc", "deck")),
        (("--num-sampels", "200"), ("unknown flag '--num-sampels'", "did you mean --num-samples?")),
        (("--training.epoch", "3"), ("unknown flag '--training.epoch'", "did you mean --training.epochs?")),
        (("--training.epochs", "many"), ("--training.epochs", "many")),
        (("--training.epochs", "0"), ("epochs", ">= 1", "0")),
        (("--training.learning_rate", "nan"), ("learning_rate", "nan")),
        (("--num-samples", "9"), ("num_samples must be >= 100, got 9",)),
        (("--checkpoint-seconds", "-1"), ("checkpoint_seconds must be >= 0, got -1",)),
        (("--workers", "-1"), ("workers must be >= 0, got -1",)),
        (("--device", "gpu"), ("auto, cpu or cuda", "gpu")),
        (("--autoencoder.network.hidden", "0"), ("hidden", "0")),
        (("--config", "no-such.yaml"), ("no-such.yaml",)),
    ],
)
def test_wrong_words_are_named_before_anything_is_written(
    flags: tuple[str, ...], words: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, line = refused(capfd, *flags, "--out", tmp_path / "run")
    assert code == 2
    for word in words:
        assert word in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("trainig: {epochs: 3}", ("unknown key 'trainig'", "did you mean 'training'?")),
        ("training: {epoch: 3}", ("unknown key 'training.epoch'", "did you mean 'training.epochs'?")),
        ("training: {epochs: many}", ("training.epochs must be an integer, got 'many'",)),
        ("profile: smok", ("'smok'", "did you mean smoke?")),
        ("rows: [gs-4x2", ("not valid YAML",)),
        ("- rows", ("must hold 'key: value' lines",)),
    ],
)
def test_a_config_file_is_held_to_the_same(
    content: str, words: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    code, line = refused(capfd, "--config", file, "--out", tmp_path / "run")
    assert code == 2
    for word in (*words, str(file)):
        assert word in line
    assert not (tmp_path / "run").exists()


def test_a_gpu_that_is_not_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, line = refused(capfd, "--device", "cuda", "--out", tmp_path / "run")
    assert code == 2
    assert "--device cpu" in line


def test_the_process_itself_ends_so(tmp_path: Path) -> None:
    """Once through the program: the same line, the same code, and no process is left."""
    outcome = run("--rows", "gs-16x", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "did you mean gs-16x2?" in outcome.error
    assert outcome.out == ""


def test_an_occupied_folder_is_left_alone(
    finished: Path, digits: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = files(finished)
    code, line = refused(capfd, *tiny(digits, finished))
    assert (code, "--resume" in line, "--out" in line) == (2, True, True)
    assert files(finished) == before
    (tmp_path / "letter.txt").write_text("not a run")
    for more in ((), ("--resume",)):
        code, line = refused(capfd, *tiny(digits, tmp_path), *more)
        assert (code, "--out" in line) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    code, line = refused(capfd, *tiny(digits, tmp_path / "letter.txt"))
    assert (code, "letter.txt" in line) == (2, True)
    code, line = refused(capfd, *tiny(digits, tmp_path / "nowhere"), "--resume")
    assert (code, "nowhere does not exist" in line) == (2, True)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--training.epochs", "41"), ("training.epochs: 40 -> 41",)),
        (("--prior.hidden", "17", "--seeds", "0,1"), ("prior.hidden: 16 -> 17",)),
        (("--preset", "deck", "--rows", "gs-4x2"), ("training.epochs: 40 -> ", "training.warmup_steps: 10 -> ")),
    ],
)
def test_changed_settings_are_refused_for_rows_that_were_begun(
    finished: Path, digits: Path, flags: tuple[str, ...], words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    before = files(finished)
    code, line = refused(capfd, "--out", finished, "--resume", "--data-dir", digits, *flags)
    assert code == 2
    for word in (*words, "rows/gs-", "--out"):
        assert word in line
    assert files(finished) == before  # config.yaml too: the next --resume without the flag goes on


# --- data: a missing file 2, whatever is wrong inside it 1 --------------------------------------------------------


def altered(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(b"\x12" + content[1:])


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def smaller_images(path: Path) -> None:
    write_idx(path, torch.zeros(1200, 27, 28, dtype=torch.uint8))


def nan_pixels(path: Path) -> None:
    images = torch.rand(1200, 28, 28)
    images[77, 3, 4] = torch.nan
    write_idx(path, images)


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        (Path.unlink, 2, "is missing in"),
        (truncated, 1, "truncated"),
        (altered, 1, "magic number"),
        (smaller_images, 1, "resize the images to 28 x 28"),
        (nan_pixels, 1, "image 77"),
    ],
)
def test_damaged_data_is_named_before_a_folder_is_made(
    damage: Callable[[Path], None],
    code: int,
    words: str,
    digits: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(digits, folder)
    damage(folder / IMAGES)
    found, line = refused(capfd, *tiny(folder, tmp_path / "run"))
    assert found == code
    assert words in line
    assert IMAGES in line
    assert not (tmp_path / "run").exists()


def test_data_that_cannot_be_enough(digits: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, line = refused(capfd, *tiny(tmp_path / "nowhere", tmp_path / "run"))
    assert (code, "nowhere does not exist" in line) == (2, True)
    code, line = refused(capfd, *tiny(digits / IMAGES, tmp_path / "run"))
    assert (code, "is not a folder" in line) == (2, True)
    code, line = refused(capfd, *tiny(write_digits(tmp_path / "few", 99, 300), tmp_path / "run"))
    assert (code, "got 99" in line) == (2, True)
    assert not (tmp_path / "run").exists()
