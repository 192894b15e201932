"""Autoencoder with discrete latents and a Bernoulli likelihood in logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rl_discrete.latents.bottleneck import Bottleneck, BottleneckOutput
from rl_discrete.latents.config import GumbelSoftmaxConfig, NetworkConfig, SemanticHashingConfig
from rl_discrete.latents.gumbel_softmax import GumbelSoftmax
from rl_discrete.latents.networks import build_decoder, build_encoder
from rl_discrete.latents.semantic_hashing import SemanticHashing
from rl_discrete.runs.errors import UsageError


@dataclass(frozen=True)
class AutoencoderOutput:
    """Pixel logits (B, num_pixels) of a batch and what the bottleneck made of it."""

    pixel_logits: Tensor
    bottleneck: BottleneckOutput


class DiscreteAutoencoder(nn.Module):
    """pixels --encoder--> logits --bottleneck--> codes --decoder--> pixel logits.

    Images are uint8 in [0, 255] or float32 in [0, 1], (B, *image_shape) or flat (B, num_pixels).

    Args:
        bottleneck: any bottleneck; its sizes fix those of the networks.
        image_shape: shape of one image, for example (28, 28) or (3, 64, 64).
        network: encoder and decoder.
        pixel_means: float (num_pixels,) in [0, 1]; the output bias starts at their logits, so that the first
            reconstruction is the mean image. Without it the bias starts at 0.
    """

    def __init__(
        self,
        bottleneck: Bottleneck,
        image_shape: tuple[int, ...],
        network: NetworkConfig | None = None,
        pixel_means: Tensor | None = None,
    ) -> None:
        super().__init__()
        network = network or NetworkConfig()
        self.image_shape = tuple(image_shape)
        self.num_pixels = math.prod(self.image_shape)
        self.encoder = build_encoder(self.num_pixels, bottleneck.num_logits, network)
        self.bottleneck = bottleneck
        self.decoder = build_decoder(bottleneck.num_features, self.num_pixels, network)
        if pixel_means is not None:
            self._start_at(pixel_means)

    @torch.no_grad()
    def _start_at(self, pixel_means: Tensor) -> None:
        output = self.decoder[-1]
        assert isinstance(output, nn.Linear)
        output.bias.copy_(torch.logit(pixel_means.float().flatten(), eps=1e-3))
        output.weight.mul_(0.1)

    def pixels(self, images: Tensor) -> Tensor:
        """Images (B, *image_shape) as float32 (B, num_pixels) in [0, 1]."""
        if images.shape[1:] not in (self.image_shape, (self.num_pixels,)):
            wanted = ", ".join(map(str, self.image_shape))
            raise UsageError(f"images must have shape (B, {wanted}), got {tuple(images.shape)}")
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise UsageError(f"images must be uint8 or floating point in [0, 1], got {images.dtype}")
        flat = images.reshape(-1, self.num_pixels)
        return flat.float() / 255.0 if flat.dtype == torch.uint8 else flat.float()

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> AutoencoderOutput:
        """Reconstruction of images; noise (training mode) comes from `generator`."""
        bottleneck: BottleneckOutput = self.bottleneck(self.encoder(self.pixels(images)), generator)
        return AutoencoderOutput(self.decoder(bottleneck.features), bottleneck)

    def loss(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Binary cross-entropy summed over pixels plus the bottleneck's regularizer, (B,), nats per image."""
        output: AutoencoderOutput = self(images, generator)
        return bernoulli_nats(output.pixel_logits, self.pixels(images)) + output.bottleneck.regularizer

    def encode(self, images: Tensor) -> Tensor:
        """Codes int64 (B, L) of images, deterministic."""
        logits: Tensor = self.encoder(self.pixels(images))
        return self.bottleneck.discretize(logits)

    def decode(self, codes: Tensor) -> Tensor:
        """Pixel probabilities float32 (B, *image_shape) in [0, 1] of codes (B, L)."""
        logits: Tensor = self.decoder(self.bottleneck.embed(codes))
        return logits.sigmoid().view(-1, *self.image_shape)


def bernoulli_nats(logits: Tensor, pixels: Tensor) -> Tensor:
    """-log p(pixels | logits) under independent Bernoulli pixels, (B,), nats, summed over pixels.

    Grey pixels in [0, 1] count as the mean of binary ones.
    """
    return F.binary_cross_entropy_with_logits(logits, pixels, reduction="none").sum(-1)


def build_bottleneck(
    method: str,
    num_latents: int,
    num_categories: int,
    gs: GumbelSoftmaxConfig | None = None,
    ish: SemanticHashingConfig | None = None,
) -> Bottleneck:
    """The bottleneck named `gs` or `ish`."""
    if method == "gs":
        return GumbelSoftmax(num_latents, num_categories, gs)
    if method == "ish":
        return SemanticHashing(num_latents, num_categories, ish)
    raise UsageError(f"the bottleneck must be gs or ish, got {method!r}")
