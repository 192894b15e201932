"""How images and vectors enter a network and are reconstructed: preparation, networks and likelihood."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rl_discrete.encoders.config import EncoderConfig
from rl_discrete.encoders.networks import image_decoder, image_encoder, layers

_VECTOR_LIMIT = 10.0  # standard deviations beyond which a number of a vector says no more
_IMAGES_NOTED = 2400  # observations that the mean image is made of: from then on it stays, so that codes do not drift
_STANDARD_LIMIT = 6.0  # deviations beyond which a pixel says no more: else what is seldom is all that counts
_STANDARD_NOISE = 0.5  # standard deviation that a reconstruction is judged by, in those units
_STEADY = 0.01  # standard deviation of a pixel, of its range, below which it counts as that (`standard`)
_FAINT = 1e-3  # probability nearest to 0 and 1 that the mean image may have


class ObservationModel(nn.Module, ABC):
    """The part of an encoder that knows what observations are.

    Attributes:
        encoder: prepared observations -> logits (B, num_logits).
        decoder: features (B, num_features) -> whatever `nats` and `pictures` take.
    """

    encoder: nn.Module
    decoder: nn.Module

    @abstractmethod
    def prepare(self, observations: Tensor) -> Tensor:
        """Observations as the encoder takes them, float32."""

    @abstractmethod
    def nats(self, decoded: Tensor, prepared: Tensor) -> Tensor:
        """-log p(observation | features), (B,), nats of the full resolution, of what the decoder made."""

    def pictures(self, decoded: Tensor) -> Tensor | None:
        """The newest frames, uint8 (B, C, H, W), that the decoder made; None for vectors."""
        return None

    def observe(self, observations: Tensor) -> None:
        """Takes note of the scale of observations, before it is asked for codes that are to last."""


class ImageModel(ObservationModel):
    """Stacks of frames, uint8 (B, stack * C, H, W); the newest frame is reconstructed, pixel by pixel.

    The encoder sees how a frame differs from the mean frame, in units of the standard deviation of all pixels, and the
    decoder adds to the mean frame: what never moves costs nothing to learn, and a small thing that moves is not lost
    beside it. With `half_resolution` the target is the mean of 2x2 pixels and each of its pixels counts four times;
    with `shrink` encoder and target see the means of larger blocks.
    Weights and images lie channels last in memory, which a CPU computes faster.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(
        self, shape: tuple[int, int, int], stack: int, num_logits: int, num_features: int, config: EncoderConfig
    ) -> None:
        super().__init__()
        network = config.network
        channels, height, width = shape
        self.frame_channels, self.standard = channels // stack, network.likelihood == "standard"
        self.block = max(network.shrink, 2 if network.half_resolution else 1)
        target = -(-height // self.block), -(-width // self.block)
        self.scale = height * width / (target[0] * target[1])
        self.encoder = image_encoder(shape, num_logits, network)
        self.decoder = image_decoder(num_features, (self.frame_channels, *target), network)
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(self.frame_channels, height, width))
        self.register_buffer("squares", torch.zeros(self.frame_channels, height, width, dtype=torch.float64))
        self.to(memory_format=torch.channels_last)

    @property
    def _deviation(self) -> Tensor:
        variance = self.squares.mean() / self.count.clamp(min=1.0)
        return torch.where(variance > 0.0, variance, 1.0).sqrt().float()

    def prepare(self, observations: Tensor) -> Tensor:
        stack = observations.shape[1] // self.frame_channels
        pixels = observations.contiguous(memory_format=torch.channels_last).float() / 255.0
        return (pixels - self.mean.repeat(stack, 1, 1)) / self._deviation

    def nats(self, decoded: Tensor, prepared: Tensor) -> Tensor:
        newest = prepared[:, : self.frame_channels] * self._deviation
        if self.standard:
            errors = decoded - (self._reduced(newest) / self._pixel_deviations()).clamp(
                -_STANDARD_LIMIT, _STANDARD_LIMIT
            )
            return 0.5 * self.scale / _STANDARD_NOISE**2 * errors.square().sum((1, 2, 3))
        target = (newest + self.mean).clamp(0.0, 1.0)
        entropy = F.binary_cross_entropy_with_logits(
            decoded + self._mean_logits(), self._reduced(target), reduction="none"
        )
        return self.scale * entropy.sum((1, 2, 3))

    def pictures(self, decoded: Tensor) -> Tensor:
        if self.standard:
            shown = decoded * self._pixel_deviations() + self._reduced(self.mean[None])
        else:
            shown = (decoded + self._mean_logits()).sigmoid()
        return (shown.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)

    def _pixel_deviations(self) -> Tensor:
        """Standard deviation of each pixel (1, C, H', W') at the decoder's resolution, in [0, 1]."""
        deviations = (self.squares / self.count.clamp(min=1.0)).sqrt().float()
        return self._reduced(deviations[None]).clamp(min=_STEADY)

    def _mean_logits(self) -> Tensor:
        """Logits (1, C, H', W') of the mean frame at the decoder's resolution; zeros before anything was seen."""
        mean = torch.where(self.count > 0, self.mean, 0.5)
        return torch.logit(self._reduced(mean[None]), eps=_FAINT)

    def _reduced(self, frames: Tensor) -> Tensor:
        return F.avg_pool2d(frames, self.block, ceil_mode=True) if self.block > 1 else frames

    def observe(self, observations: Tensor) -> None:
        if self.count >= _IMAGES_NOTED:
            return
        new = observations[:, : self.frame_channels].float() / 255.0
        total = self.count + len(new)
        shift = new.mean(0) - self.mean
        within = (new - new.mean(0)).double().square().sum(0)
        self.squares += within + shift.double().square() * self.count * len(new) / total
        self.mean += shift * (len(new) / total)
        self.count.copy_(total)


class VectorModel(ObservationModel):
    """Vectors float32 (B, D), brought to mean 0 and deviation 1 as observed so far, with a Gaussian likelihood."""

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, size: int, num_logits: int, num_features: int, config: EncoderConfig) -> None:
        super().__init__()
        hidden = config.network.hidden
        self.precision = config.vector_noise**-2
        self.encoder = layers((size, *hidden, num_logits))
        self.decoder = layers((num_features, *reversed(hidden), size))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(size, dtype=torch.float64))  # sums of squared deviations

    def prepare(self, observations: Tensor) -> Tensor:
        variance = self.squares / self.count.clamp(min=1.0)
        deviation = torch.where(variance > 1e-12, variance, 1.0).sqrt()
        return ((observations - self.mean) / deviation).float().clamp(-_VECTOR_LIMIT, _VECTOR_LIMIT)

    def nats(self, decoded: Tensor, prepared: Tensor) -> Tensor:
        return 0.5 * self.precision * (decoded - prepared).square().sum(-1)

    def observe(self, observations: Tensor) -> None:
        new = observations.double()
        total = self.count + len(new)
        shift = new.mean(0) - self.mean
        self.squares += (new - new.mean(0)).square().sum(0) + shift.square() * self.count * len(new) / total
        self.mean += shift * len(new) / total
        self.count.copy_(total)
