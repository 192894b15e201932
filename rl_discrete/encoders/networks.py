"""Networks between images or vectors and codes: convolutional encoders and decoders, and plain layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from rl_discrete.encoders.config import EncoderNetworkConfig
from rl_discrete.runs.errors import UsageError

_SHUFFLE = 4  # pixels along each axis that one position of the fast decoder's last layer stands for
_DOUBLINGS = 4  # of the transposed convolutions


def layers(widths: Sequence[int]) -> nn.Sequential:
    """Fully connected layers (B, widths[0]) -> (B, widths[-1]), with ReLU between them."""
    stack: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        stack += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*stack[:-1])


def image_encoder(shape: tuple[int, int, int], num_outputs: int, config: EncoderNetworkConfig) -> nn.Sequential:
    """Images (B, C, H, W) -> (B, num_outputs): convolutions that divide the size by their stride, rounded up."""
    channels, height, width = shape[0], -(-shape[1] // config.shrink), -(-shape[2] // config.shrink)
    stack: list[nn.Module] = [nn.AvgPool2d(config.shrink, ceil_mode=True)] if config.shrink > 1 else []
    for out, kernel, stride in zip(config.channels, config.kernels, config.strides, strict=True):
        padding = _padding(height, kernel, stride), _padding(width, kernel, stride)
        stack += [nn.Conv2d(channels, out, kernel, stride, padding), nn.ReLU()]
        channels = out
        height, width = (
            (size + 2 * pad - kernel) // stride + 1 for size, pad in zip((height, width), padding, strict=True)
        )
    widths = (channels * height * width, *config.hidden, num_outputs)
    return nn.Sequential(*stack, nn.Flatten(), layers(widths))


def _padding(size: int, kernel: int, stride: int) -> int:
    """Pixels on each side, so that a strided convolution gives ceil(size / stride)."""
    return max(0, (-(-size // stride) - 1) * stride + kernel - size + 1) // 2


def image_decoder(num_features: int, shape: tuple[int, int, int], config: EncoderNetworkConfig) -> nn.Module:
    """Features (B, num_features) -> pixel logits (B, C, H, W)."""
    if config.decoder == "shuffle":
        return ShuffleDecoder(num_features, shape, config.decoder_channels)
    if config.decoder == "dense":
        return nn.Sequential(layers((num_features, *reversed(config.hidden), math.prod(shape))), nn.Unflatten(1, shape))
    return DeconvDecoder(num_features, shape, config.decoder_channels)


class ShuffleDecoder(nn.Module):
    """A fully connected layer, one 3x3 convolution at a quarter of the size, and PixelShuffle."""

    def __init__(self, num_features: int, shape: tuple[int, int, int], channels: tuple[int, ...]) -> None:
        super().__init__()
        (width,) = channels
        out, self.height, self.width = shape
        self.small = width, -(-self.height // _SHUFFLE), -(-self.width // _SHUFFLE)
        self.linear = nn.Linear(num_features, self.small[0] * self.small[1] * self.small[2])
        self.conv = nn.Conv2d(width, out * _SHUFFLE**2, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        small = self.linear(features).relu().unflatten(1, self.small)
        pixels = nn.functional.pixel_shuffle(self.conv(small), _SHUFFLE)
        return pixels[:, :, : self.height, : self.width]


class DeconvDecoder(nn.Module):
    """The paper's decoder: a fully connected layer and four transposed convolutions, with a bias for each pixel."""

    def __init__(self, num_features: int, shape: tuple[int, int, int], channels: tuple[int, ...]) -> None:
        super().__init__()
        out, height, width = shape
        sizes = [(-(-height // 2**level), -(-width // 2**level)) for level in range(_DOUBLINGS, -1, -1)]
        self.small = (channels[0], *sizes[0])
        self.linear = nn.Linear(num_features, channels[0] * sizes[0][0] * sizes[0][1])
        self.doublings = nn.ModuleList(
            Doubling(fan_in, fan_out, size)
            for (fan_in, fan_out), size in zip(pairwise((*channels, out)), sizes[1:], strict=True)
        )

    def forward(self, features: Tensor) -> Tensor:
        pixels: Tensor = self.linear(features).unflatten(1, self.small)
        for doubling in self.doublings:
            pixels = doubling(pixels.relu())
        return pixels


class Doubling(nn.Module):
    """A transposed 4x4 convolution with stride 2, cut to `size`, and a bias for each channel and pixel."""

    def __init__(self, fan_in: int, fan_out: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.conv = nn.ConvTranspose2d(fan_in, fan_out, 4, 2, 1, bias=False)
        self.bias = nn.Parameter(self.conv.weight.new_zeros(fan_out, *size))

    def forward(self, pixels: Tensor) -> Tensor:
        doubled: Tensor = self.conv(pixels)
        return doubled[:, :, : self.size[0], : self.size[1]] + self.bias


def initialise(network: nn.Module) -> None:
    """Xavier weights and biases of zero, as in the paper, from torch's global generator."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def check_network(config: EncoderNetworkConfig) -> None:
    """Raises UsageError for sizes that cannot work."""
    lengths = {len(config.channels), len(config.kernels), len(config.strides)}
    if len(lengths) > 1:
        raise UsageError(
            f"channels, kernels and strides need the same number of entries: got {config.channels}, "
            f"{config.kernels} and {config.strides}"
        )
    if config.shrink < 1:
        raise UsageError(f"shrink must be >= 1, got {config.shrink}")
    for name in ("channels", "kernels", "strides", "hidden", "decoder_channels", "prior_hidden"):
        if min(getattr(config, name), default=1) < 1:
            raise UsageError(f"{name} must hold numbers >= 1, got {getattr(config, name)}")
    needed = {"shuffle": 1, "deconv": _DOUBLINGS, "dense": 0}.get(config.decoder)
    if needed is None:
        raise UsageError(f"decoder must be shuffle, deconv or dense, got {config.decoder!r}")
    if len(config.decoder_channels) != needed:
        raise UsageError(f"decoder_channels of {config.decoder} needs {needed} numbers, got {config.decoder_channels}")
