"""Whatever way a data set is missing or damaged, one line names the file and a remedy."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rl_discrete.data import mnist
from rl_discrete.data.mnist import FILE_MD5, load_images
from rl_discrete.runs.errors import RunError, UsageError

IMAGES = "train-images-idx3-ubyte"
LABELS = "t10k-labels-idx1-ubyte"
COUNT = 12


def idx_bytes(array: npt.NDArray[np.generic], code: int) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


def good_content(stem: str) -> bytes:
    rng = np.random.default_rng(len(stem))
    if "images" in stem:
        return idx_bytes(rng.integers(256, size=(COUNT, 28, 28), dtype=np.uint8), 0x08)
    return idx_bytes(rng.integers(10, size=COUNT, dtype=np.uint8), 0x08)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound data set; each test damages one file of it."""
    for stem in FILE_MD5:
        (tmp_path / stem).write_bytes(good_content(stem))
    assert load_images(tmp_path).train_images.shape == (COUNT, 28, 28)
    return tmp_path


def run_error(folder: Path) -> str:
    with pytest.raises(RunError) as caught:
        load_images(folder)
    return one_line(caught.value)


def one_line(error: Exception) -> str:
    assert "\n" not in str(error)
    assert ";" in str(error)  # what is wrong; what to do
    return str(error)


def images_with(shape: tuple[int, ...]) -> bytes:
    return idx_bytes(np.zeros(shape, np.uint8), 0x08)


def floats_with(value: float, dtype: str = ">f4", code: int = 0x0D) -> bytes:
    images = np.full((COUNT, 28, 28), 0.5, dtype)
    images[7, 3, 3] = value
    return idx_bytes(images, code)


def labels_with(value: int) -> bytes:
    labels = np.zeros(COUNT, np.uint8)
    labels[5] = value
    return idx_bytes(labels, 0x08)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist") as caught:
        load_images(tmp_path / "no-such-folder")
    assert str(tmp_path / "no-such-folder") in one_line(caught.value)


def test_a_file_in_place_of_the_folder(folder: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        load_images(folder / IMAGES)


@pytest.mark.parametrize("stem", list(FILE_MD5))
def test_missing_file(folder: Path, stem: str) -> None:
    (folder / stem).unlink()
    with pytest.raises(UsageError, match=f"{stem} is missing in") as caught:
        load_images(folder)
    message = one_line(caught.value)
    assert all(name in message for name in FILE_MD5)
    assert str(folder) in message
    assert ".gz" in message


DAMAGE: list[tuple[str, str, Callable[[bytes], bytes], str]] = [
    ("empty", IMAGES, lambda content: b"", "truncated"),
    ("cut in the magic number", IMAGES, lambda content: content[:3], "truncated"),
    ("cut in the header", IMAGES, lambda content: content[:9], "truncated inside the IDX header"),
    ("one byte short", IMAGES, lambda content: content[:-1], f"and {COUNT * 784 - 1} bytes follow"),
    ("labels one short", LABELS, lambda content: content[:-1], f"and {COUNT - 1} bytes follow"),
    ("one byte long", IMAGES, lambda content: content + b"\0", "wrong element count"),
    ("count too small", IMAGES, lambda content: content[:7] + b"\x0b" + content[8:], "wrong element count"),
    ("count too large", IMAGES, lambda content: content[:7] + b"\x0d" + content[8:], "truncated"),
    ("not IDX", IMAGES, lambda content: b"<!DOCTYPE html><html></html>", "magic number 0x3c21444f"),
    ("unknown type", IMAGES, lambda content: b"\0\0\x0a" + content[3:], "magic number 0x00000a03"),
    ("labels for images", IMAGES, lambda content: good_content(LABELS), "magic number 0x00000801"),
    ("images for labels", LABELS, lambda content: good_content(IMAGES), "magic number 0x00000803"),
    ("27 rows", IMAGES, lambda content: images_with((COUNT, 27, 28)), r"\(12, 27, 28\), expected"),
    ("32 x 32", IMAGES, lambda content: images_with((COUNT, 32, 32)), "resize the images to 28 x 28"),
    ("no images", IMAGES, lambda content: images_with((0, 28, 28)), "N >= 1"),
    ("an image too few", IMAGES, lambda content: images_with((11, 28, 28)), "12 labels for the 11 images"),
    ("label 10", LABELS, lambda content: labels_with(10), "label 5 is 10, and labels go from 0 to 9"),
    ("signed label", LABELS, lambda content: idx_bytes(np.full(COUNT, -1, ">i2"), 0x0B), "label 0 is -1"),
    ("float labels", LABELS, lambda content: idx_bytes(np.ones(COUNT, ">f4"), 0x0D), "must be integers"),
    ("signed pixels", IMAGES, lambda content: content[:2] + b"\x09" + content[3:], "must be uint8"),
    ("NaN", IMAGES, lambda content: floats_with(float("nan")), "image 7 holds the value nan"),
    ("NaN in float64", IMAGES, lambda content: floats_with(float("nan"), ">f8", 0x0E), "image 7 .* nan"),
    ("infinity", IMAGES, lambda content: floats_with(float("inf")), "image 7 holds the value inf"),
    ("floats to 255", IMAGES, lambda content: floats_with(255.0), r"image 7 .* 255\.0.*divide by 255"),
]  # fmt: skip


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(("stem", "damage", "words"), [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_damaged_file(folder: Path, stem: str, damage: Callable[[bytes], bytes], words: str, packed: bool) -> None:
    path = folder / stem
    content = damage(path.read_bytes())
    if packed:
        path.unlink()
        path = folder / f"{stem}.gz"
        content = gzip.compress(content)
    path.write_bytes(content)
    with pytest.raises(RunError, match=words) as caught:
        load_images(folder)
    assert path.name in one_line(caught.value)


def test_truncated_gzip_at_every_length(folder: Path) -> None:
    (folder / LABELS).unlink()
    packed = gzip.compress(good_content(LABELS))
    for length in range(len(packed)):
        (folder / f"{LABELS}.gz").write_bytes(packed[:length])
        assert "truncated" in run_error(folder)


def test_corrupt_gzip_at_every_byte(folder: Path) -> None:
    """A flipped byte in the compressed data, its CRC or its length never goes through as good data."""
    expected = load_images(folder).test_labels.tolist()
    (folder / LABELS).unlink()
    packed = gzip.compress(good_content(LABELS))
    for position in range(10, len(packed)):
        damaged = bytearray(packed)
        damaged[position] ^= 0xFF
        (folder / f"{LABELS}.gz").write_bytes(damaged)
        assert LABELS in run_error(folder)
    (folder / f"{LABELS}.gz").write_bytes(packed)
    assert load_images(folder).test_labels.tolist() == expected


def test_a_file_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: str = "r") -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)  # file modes do not stop a test that runs as root
    assert "Permission denied" in run_error(folder)


def peak_memory_of_fault(folder: Path) -> tuple[int, str]:
    tracemalloc.start()
    try:
        message = run_error(folder)
        return tracemalloc.get_traced_memory()[1], message
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_not_unpacked(folder: Path) -> None:
    (folder / IMAGES).unlink()
    bomb = gzip.compress(good_content(IMAGES) + bytes(32 << 20), compresslevel=1)
    (folder / f"{IMAGES}.gz").write_bytes(bomb)
    peak, message = peak_memory_of_fault(folder)
    assert "wrong element count" in message
    assert peak < 4 << 20


@pytest.mark.parametrize(("count", "words"), [(5_000_000, "truncated"), (2**32 - 1, "at most 4294967296 are taken")])
def test_a_header_that_promises_too_much_allocates_nothing(folder: Path, count: int, words: str) -> None:
    (folder / IMAGES).write_bytes(struct.pack(">HBB3I", 0, 0x08, 3, count, 28, 28) + bytes(1000))
    peak, message = peak_memory_of_fault(folder)
    assert words in message
    assert peak < 4 << 20


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the embedded files, as links, in the place of the real ones."""
    source = Path(str(files("rl_discrete.data") / "files"))
    for stem in FILE_MD5:
        (tmp_path / f"{stem}.gz").symlink_to(source / f"{stem}.gz")
    monkeypatch.setattr(mnist, "_EMBEDDED", tmp_path)
    return tmp_path


@pytest.mark.parametrize("stem", list(FILE_MD5))
def test_altered_embedded_file(embedded: Path, stem: str) -> None:
    path = embedded / f"{stem}.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1  # one grey value or label off by one: sound in every other respect
    path.unlink()
    path.write_bytes(gzip.compress(content, compresslevel=1))
    with pytest.raises(RunError, match=f"{stem}.*altered.*{FILE_MD5[stem]}") as caught:
        load_images()
    assert "install rl-discrete again" in one_line(caught.value)


def test_missing_embedded_file_is_no_usage_error(embedded: Path) -> None:
    (embedded / f"{LABELS}.gz").unlink()
    with pytest.raises(RunError, match=r"install rl-discrete again.*is missing"):
        load_images()
