"""Distorted copies of the training images, for autoencoders and for the codes that priors are trained on."""

from __future__ import annotations

import torch
from torch import Tensor

from rl_discrete.data.distortion import distort
from rl_discrete.latents.autoencoder import DiscreteAutoencoder
from rl_discrete.latents.config import AugmentationConfig
from rl_discrete.latents.train import Draw
from rl_discrete.runs.errors import UsageError


def check_augmentation(config: AugmentationConfig) -> None:
    """Raises UsageError for settings outside their ranges."""
    if not 0.0 <= config.strength <= 1.0:
        raise UsageError(f"strength must be in [0, 1], got {config.strength}")
    if not (0.0 <= config.share <= 1.0 and 0.0 <= config.until <= 1.0):
        raise UsageError(f"share and until must be in [0, 1], got {config.share} and {config.until}")


def augmented_images(images: Tensor, config: AugmentationConfig) -> Draw | None:
    """What an autoencoder is trained on: float32 in [0, 1], part of each batch distorted; None without distortion.

    images: uint8 (N, 28, 28), the training images.
    """
    if config.strength == 0.0 or config.share == 0.0:
        return None

    def draw(indices: Tensor, progress: float, generator: torch.Generator) -> Tensor:
        pixels = images[indices].float() / 255.0
        count = _count(config, progress, len(pixels))
        return torch.cat((distort(pixels[:count], config.strength, generator), pixels[count:])) if count else pixels

    return draw


def augmented_codes(
    images: Tensor, codes: Tensor, autoencoder: DiscreteAutoencoder, config: AugmentationConfig
) -> Draw | None:
    """What a prior is trained on: part of each batch the codes of distorted images; None without distortion.

    images: uint8 (N, 28, 28), the training images; codes: int64 (N, L), theirs; autoencoder: frozen.
    """
    if config.strength == 0.0 or config.share == 0.0:
        return None

    @torch.no_grad()
    def draw(indices: Tensor, progress: float, generator: torch.Generator) -> Tensor:
        count = _count(config, progress, len(indices))
        if count == 0:
            return codes[indices]
        distorted = distort(images[indices[:count]].float() / 255.0, config.strength, generator)
        return torch.cat((autoencoder.encode(distorted), codes[indices[count:]]))

    return draw


def _count(config: AugmentationConfig, progress: float, batch_size: int) -> int:
    return round(config.share * batch_size) if progress < config.until else 0
