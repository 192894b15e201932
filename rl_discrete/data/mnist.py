"""MNIST, embedded in the package, and any data set in the same four IDX files (Fashion-MNIST, KMNIST).

The four canonical files of LeCun, Cortes and Burges lie in `files/` with their license and are verified by
the md5 of their unpacked bytes whenever they are loaded. Images stay uint8.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rl_discrete.data.idx import read_idx
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.runs.seeding import make_generator

IMAGE_SIZE = 28
NUM_CLASSES = 10
FILE_MD5 = {  # of the unpacked canonical files
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
_EMBEDDED: Traversable = files("rl_discrete.data") / "files"


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Grey images and their classes, in memory.

    Attributes:
        name: "mnist" for the embedded files, else the name of the folder.
        train_images: uint8 (N, 28, 28), 0 is background, 255 full ink.
        train_labels: int64 (N,) in [0, 10).
        test_images: uint8 (M, 28, 28); for final figures only.
        test_labels: int64 (M,) in [0, 10).
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load_images(data_dir: Path | None = None) -> ImageDataset:
    """The embedded MNIST, or the data set in the four IDX files of a folder.

    A folder holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, each plain or with `.gz` (the plain one wins where both exist). Images of a
    float type (0x0D, 0x0E) are taken when every value is in [0, 1], and rounded to 256 grey values.

    Raises:
        UsageError: the folder or one of its files is missing.
        RunError: a file is truncated, altered or not what its name says; labels and images do not match.
    """
    if data_dir is None:
        try:
            return _load_folder(_EMBEDDED, "mnist", FILE_MD5)
        except (UsageError, RunError) as error:  # nothing that the user named
            raise RunError(f"the embedded MNIST is damaged, install rl-discrete again: {error}") from error
    folder = Path(os.path.abspath(Path(data_dir).expanduser()))
    if not folder.is_dir():
        fault = "is not a folder" if folder.exists() else "does not exist"
        raise UsageError(
            f"data folder {folder} {fault}; name a folder that holds {_expected_names()}, or leave it out for MNIST"
        )
    return _load_folder(folder, folder.name, {})


def split(num_images: int, num_validation: int = 5000, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A random split of `num_images` images by its own generator: the same seed gives the same split.

    Returns:
        (train, validation): int64 index tensors, sorted, disjoint, together every image;
        (num_images - num_validation,) and (num_validation,).

    Raises:
        UsageError: `num_validation` is negative or leaves no image to train on.
    """
    if not 0 <= num_validation < num_images:
        raise UsageError(
            f"num_validation must be >= 0 and below the number of training images {num_images}, got "
            f"{num_validation}; hold out fewer images or take a larger data set"
        )
    order = torch.randperm(num_images, generator=make_generator(seed, "data", "split"))
    return order[num_validation:].sort().values, order[:num_validation].sort().values


def validate_images(images: Tensor | npt.NDArray[Any]) -> Tensor:
    """The images of a caller as uint8, checked; the input is not modified.

    Args:
        images: (N, H, W), N, H, W >= 1; uint8, or floating point with finite values in [0, 1].

    Returns:
        uint8 (N, H, W) on the same device; floats are rounded to 256 grey values.

    Raises:
        UsageError: wrong shape or element type.
        RunError: a value is NaN, infinite or outside [0, 1]; names the index of the first such image.
    """
    tensor = torch.as_tensor(images)
    if tensor.ndim != 3 or tensor.numel() == 0:
        raise UsageError(
            f"images must have shape (N, H, W) with at least one image, got {tuple(tensor.shape)}; "
            "a channel axis goes with images[:, 0]"
        )
    if tensor.dtype == torch.uint8:
        return tensor
    if not tensor.is_floating_point():
        raise UsageError(
            f"images must be uint8, or floating point in [0, 1], got {tensor.dtype}; "
            "convert them, e.g. with images.to(torch.uint8) where the values are 0 to 255"
        )
    good = ((tensor >= 0) & (tensor <= 1)).flatten(1).all(1)  # NaN compares false
    if not good.all():
        index = int((~good).nonzero()[0, 0])
        bad = tensor[index][~((tensor[index] >= 0) & (tensor[index] <= 1))][0].item()
        raise RunError(
            f"image {index} holds the value {bad}, and floating point images must be finite and in [0, 1]; "
            "drop or repair it, or divide by 255 where the values are 0 to 255"
        )
    return (tensor.float() * 255).round().to(torch.uint8)


def _load_folder(folder: Traversable, name: str, md5: dict[str, str]) -> ImageDataset:
    paths = {stem: _find(folder, stem) for stem in FILE_MD5}
    arrays = {stem: read_idx(path, 3 if "images" in stem else 1, md5.get(stem)) for stem, path in paths.items()}
    tensors: list[Tensor] = []
    for part in ("train", "t10k"):
        image_stem, label_stem = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
        images = _as_images(arrays[image_stem], paths[image_stem])
        labels = _as_labels(arrays[label_stem], paths[label_stem])
        if len(images) != len(labels):
            raise RunError(
                f"{paths[label_stem]}: {len(labels)} labels for the {len(images)} images of "
                f"{paths[image_stem].name}; take both files from the same data set"
            )
        tensors += [images, labels]
    return ImageDataset(name, *tensors)


def _find(folder: Traversable, stem: str) -> Traversable:
    for name in (stem, f"{stem}.gz"):
        if (folder / name).is_file():
            return folder / name
    raise UsageError(f"data file {stem} is missing in {folder}; a data folder holds {_expected_names()}")


def _expected_names() -> str:
    return f"{', '.join(FILE_MD5)}, each plain or with .gz"


def _as_images(array: npt.NDArray[Any], path: Traversable) -> Tensor:
    if len(array) == 0 or array.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
        raise RunError(
            f"{path}: holds images of shape {array.shape}, expected (N, {IMAGE_SIZE}, {IMAGE_SIZE}) with "
            f"N >= 1; resize the images to {IMAGE_SIZE} x {IMAGE_SIZE}"
        )
    try:
        return validate_images(array)
    except (UsageError, RunError) as error:
        raise RunError(f"{path}: {error}") from error


def _as_labels(array: npt.NDArray[Any], path: Traversable) -> Tensor:
    if not np.issubdtype(array.dtype, np.integer):
        raise RunError(f"{path}: labels must be integers, got {array.dtype}; fetch the file again from its source")
    bad = np.flatnonzero((array < 0) | (array >= NUM_CLASSES))
    if len(bad) > 0:
        raise RunError(
            f"{path}: label {bad[0]} is {array[bad[0]]}, and labels go from 0 to {NUM_CLASSES - 1}; "
            f"take a data set of at most {NUM_CLASSES} classes"
        )
    return torch.from_numpy(array.astype(np.int64))
