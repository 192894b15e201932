"""The judge: one frozen MNIST classifier whose file scores every row of the benchmark.

Scores by different classifiers cannot be compared, so the weights are shipped (`judge.safetensors`) with a
card that states accuracy, calibration and checksum (`judge_card.json`, readable as `judge_card.md`).
`rl-discrete train-judge` rebuilds them. The same idea as TF-GAN's `mnist_score`: one frozen classifier file
for everybody.
"""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from rl_discrete.runs.errors import RunError, UsageError

WEIGHTS_NAME = "judge.safetensors"
CARD_NAME = "judge_card.json"
NUM_CLASSES = 10
NUM_FEATURES = 96
PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081  # of the MNIST training images


class Stage(nn.Module):
    """Halve the resolution, then one residual convolution; batch normalisation and ReLU after each."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.down = nn.Conv2d(in_channels, out_channels, kernel_size, stride=2, padding=padding, bias=False)
        self.down_norm = nn.BatchNorm2d(out_channels)
        self.residual = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.residual_norm = nn.BatchNorm2d(out_channels)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, in_channels, S, S) to (B, out_channels, ceil(S / 2), ceil(S / 2))."""
        hidden = F.relu(self.down_norm(self.down(inputs)))
        return F.relu(hidden + self.residual_norm(self.residual(hidden)))


class Judge(nn.Module):
    """Convolutional classifier of 28 x 28 grey images into ten digits: 0.2 million weights, 7 million
    products."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(Stage(1, 32, 5), Stage(32, 64, 3), Stage(64, NUM_FEATURES, 3))
        self.head = nn.Linear(NUM_FEATURES, NUM_CLASSES)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Return the penultimate features, float32 (B, 96): what the Fréchet distance is measured on.

        Args:
            images: (B, 28, 28), uint8 in 0..255 or floating point in [0, 1].

        Raises:
            UsageError: images of another shape.
        """
        if images.ndim != 3 or images.shape[1:] != (28, 28):
            raise UsageError(f"the judge takes images of shape (B, 28, 28), got {tuple(images.shape)}")
        pixels = images.float() / 255.0 if images.dtype == torch.uint8 else images.float()
        pixels = ((pixels - PIXEL_MEAN) / PIXEL_STD)[:, None]  # (B, 1, 28, 28)
        hidden = self.stages(pixels.contiguous(memory_format=torch.channels_last))  # (B, 96, 4, 4)
        return cast(Tensor, hidden.mean(dim=(2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, float32 (B, 10), of images as in `features`."""
        return cast(Tensor, self.head(self.features(images)))


def load_judge(device: str | torch.device = "cpu", folder: Path | None = None) -> Judge:
    """Return the frozen judge in evaluation mode, its file verified against the checksum on its card.

    Args:
        device: where it goes.
        folder: output folder of `rl-discrete train-judge`; None means the judge that ships with the package.

    Raises:
        UsageError: `folder` holds no judge.
        RunError: the file is not the one that the card describes, or the card cannot be read.
    """
    source = files("rl_discrete.bench") if folder is None else folder
    try:
        weights, card = (source / WEIGHTS_NAME).read_bytes(), load_card(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"no judge in {source}: {error.filename} is missing; make one with train-judge") from None
    digest = hashlib.sha256(weights).hexdigest()
    if digest != card.get("sha256"):
        raise RunError(
            f"{source / WEIGHTS_NAME} is altered: sha256 {digest}, its card says {card.get('sha256')}; "
            "reinstall the package or run train-judge again"
        )
    with torch.device("meta"):  # no memory and, above all, no draw from torch's global generator
        judge = Judge()
    judge.load_state_dict(load_tensors(weights), assign=True)
    judge.to(memory_format=torch.channels_last)
    return judge.to(device).requires_grad_(False).eval()


def load_card(folder: Path | None = None) -> dict[str, Any]:
    """Return the card of the judge in `folder` (None: the shipped one): accuracy, calibration, checksum, origin.

    Raises:
        FileNotFoundError: there is none.
        RunError: it is not a JSON object.
    """
    path = (files("rl_discrete.bench") if folder is None else folder) / CARD_NAME
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is not JSON ({error}); reinstall the package or run train-judge again") from None
    if not isinstance(card, dict):
        raise RunError(f"{path} is not a JSON object; reinstall the package or run train-judge again")
    return card


def judge_outputs(judge: Judge, images: Tensor, batch: int = 500) -> tuple[Tensor, Tensor]:
    """Judge many images in evaluation mode, without gradients.

    Args:
        judge: as from `load_judge`; its training mode is put back afterwards.
        images: (N, 28, 28), floating point in [0, 1] or uint8; moved to the judge's device batch by batch.
        batch: images at a time. It bounds the memory and changes the outputs by rounding only.

    Returns:
        log probabilities of the ten digits, float32 (N, 10), and features, float32 (N, 96), both on the CPU.
    """
    if batch < 1:
        raise UsageError(f"batch must be >= 1, got {batch}")
    device = judge.head.weight.device
    log_probs, features = [], []
    training = judge.training
    judge.eval()
    try:
        with torch.no_grad():
            for part in torch.split(images, batch):
                part_features = judge.features(part.to(device))
                log_probs.append(F.log_softmax(judge.head(part_features), dim=1).cpu())
                features.append(part_features.cpu())
    finally:
        judge.train(training)
    if not features:
        return torch.zeros(0, NUM_CLASSES), torch.zeros(0, NUM_FEATURES)
    return torch.cat(log_probs), torch.cat(features)
