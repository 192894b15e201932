from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from rl_discrete.data.mnist import FILE_MD5, ImageDataset, load_images, split, validate_images
from rl_discrete.runs.errors import RunError, UsageError


@pytest.fixture(scope="module")
def mnist() -> ImageDataset:
    return load_images()


def idx_bytes(array: npt.NDArray[np.generic], code: int) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


def write_folder(folder: Path, images: npt.NDArray[np.generic], code: int = 0x08, packed: bool = False) -> None:
    folder.mkdir()
    labels = (np.arange(len(images)) % 10).astype(np.uint8)
    for stem in FILE_MD5:
        content = idx_bytes(images, code) if "images" in stem else idx_bytes(labels, 0x08)
        if packed:
            (folder / f"{stem}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / stem).write_bytes(content)


def grey_images(count: int = 12) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(256, size=(count, 28, 28), dtype=np.uint8)


def test_embedded_mnist_is_the_canonical_one(mnist: ImageDataset) -> None:
    assert mnist.name == "mnist"
    assert mnist.train_images.shape == (60000, 28, 28)
    assert mnist.test_images.shape == (10000, 28, 28)
    assert mnist.train_images.dtype == mnist.test_images.dtype == torch.uint8
    assert mnist.train_labels.dtype == mnist.test_labels.dtype == torch.int64
    assert mnist.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert mnist.train_labels.bincount().tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert mnist.train_images.double().mean().item() / 255 == pytest.approx(0.1306604762738429)


def test_the_license_stands_beside_the_files() -> None:
    import rl_discrete.data

    text = (Path(rl_discrete.data.__path__[0]) / "files" / "LICENSE-MNIST.txt").read_text()
    for words in ("LeCun", "Cortes", "Burges", "NIST", "Attribution-ShareAlike 3.0", *FILE_MD5.values()):
        assert words in text


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_idx_files(tmp_path: Path, packed: bool) -> None:
    images = grey_images()
    write_folder(tmp_path / "fashion", images, packed=packed)
    loaded = load_images(tmp_path / "fashion")
    assert loaded.name == "fashion"
    assert torch.equal(loaded.train_images, torch.from_numpy(images))
    assert torch.equal(loaded.test_images, torch.from_numpy(images))
    assert loaded.train_labels.tolist() == [i % 10 for i in range(12)]
    assert loaded.train_labels.dtype == torch.int64
    loaded.train_images[0] = 0  # in memory and writable, apart from the test images
    assert torch.equal(loaded.test_images, torch.from_numpy(images))


def test_name_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "kmnist", grey_images())
    monkeypatch.chdir(tmp_path / "kmnist")
    assert load_images(Path(".")).name == "kmnist"


@pytest.mark.parametrize(("code", "dtype"), [(0x0D, ">f4"), (0x0E, ">f8")])
def test_float_images_come_back_as_the_same_grey_values(tmp_path: Path, code: int, dtype: str) -> None:
    images = np.arange(784, dtype=np.int64).reshape(1, 28, 28) % 256
    write_folder(tmp_path / "floats", (images / 255).astype(dtype), code)
    loaded = load_images(tmp_path / "floats")
    assert loaded.train_images.dtype == torch.uint8
    assert torch.equal(loaded.train_images, torch.from_numpy(images.astype(np.uint8)))


def test_a_plain_file_may_carry_the_gz_name(tmp_path: Path) -> None:
    write_folder(tmp_path / "set", grey_images())
    plain = tmp_path / "set" / "t10k-images-idx3-ubyte"
    plain.rename(plain.with_name(plain.name + ".gz"))
    assert torch.equal(load_images(tmp_path / "set").test_images, torch.from_numpy(grey_images()))


def test_split_is_disjoint_covering_sorted_and_decided_by_the_seed() -> None:
    train, validation = split(60000, seed=3)
    assert train.shape == (55000,)
    assert validation.shape == (5000,)
    assert train.dtype == validation.dtype == torch.int64
    assert torch.equal(torch.cat([train, validation]).sort().values, torch.arange(60000))
    assert torch.equal(train, train.sort().values)
    assert torch.equal(validation, validation.sort().values)
    again = split(60000, 5000, seed=3)
    assert torch.equal(again[0], train)
    assert torch.equal(again[1], validation)
    assert not torch.equal(split(60000, 5000, seed=4)[1], validation)
    assert 28500 < validation.double().mean() < 31500  # from the whole set: 3.7 standard errors


def test_split_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    split(100, 10, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_split_without_validation_images() -> None:
    train, validation = split(10, 0, seed=0)
    assert train.tolist() == list(range(10))
    assert validation.shape == (0,)


@pytest.mark.parametrize(("num_images", "num_validation"), [(5000, 5000), (10, 11), (10, -1), (0, 0)])
def test_split_that_cannot_be(num_images: int, num_validation: int) -> None:
    with pytest.raises(UsageError, match=f"got {num_validation}"):
        split(num_images, num_validation, seed=0)


def test_validated_uint8_images_are_the_same() -> None:
    images = torch.from_numpy(grey_images())
    assert validate_images(images) is images
    assert torch.equal(validate_images(grey_images()), images)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_validated_float_images_are_rounded_to_grey_values(dtype: torch.dtype) -> None:
    images = torch.tensor([0.0, 1.0, 0.5, 0.25], dtype=dtype).view(1, 2, 2)
    before = images.clone()
    assert validate_images(images).flatten().tolist() == [0, 255, 128, 64]
    assert torch.equal(images, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -0.5, 1.25, 255.0])
def test_the_first_bad_image_is_named(value: float) -> None:
    images = torch.rand(6, 3, 5, generator=torch.Generator().manual_seed(0))
    images[4, 0, 0] = float("nan")
    images[2, 2, 4] = value
    with pytest.raises(RunError, match=rf"image 2 holds the value {value}, "):
        validate_images(images)


@pytest.mark.parametrize("shape", [(784,), (2, 784), (2, 1, 28, 28), (0, 28, 28), (2, 0, 28)])
def test_images_of_the_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"shape \(N, H, W\)"):
        validate_images(torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64])
def test_images_of_the_wrong_type(dtype: torch.dtype) -> None:
    with pytest.raises(UsageError, match=f"got {dtype}"):
        validate_images(torch.zeros(2, 4, 4, dtype=dtype))
