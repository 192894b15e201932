"""The small parts of the world model of pixels. Images are (B, C, H, W), held with their channels innermost."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LONGEST_WAVE = 1e4


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation of each pixel over its channels alone, never over the image."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Injection(nn.Module):
    """x * sigmoid(W1 signal) + W2 signal, the same at every pixel (SimPLe's `multi_additive` and `complex_addn`)."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.scale = nn.Linear(width, channels)
        self.shift = nn.Linear(width, channels)

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        """x (B, channels, H, W), signal (B, width)."""
        scale, shift = self.scale(signal).sigmoid(), self.shift(signal)  # (B, channels)
        return torch.addcmul(shift[..., None, None], x, scale[..., None, None])


class Dropout(nn.Module):
    """Dropout in training mode, with noise from the caller's generator; nothing at all in evaluation mode."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        if not self.training or self.probability == 0.0:
            return x
        kept = torch.rand(x.shape, generator=generator, device=x.device) >= self.probability
        return x * kept / (1.0 - self.probability)


def timing_signal(channels: int, height: int, width: int) -> Tensor:
    """Sinusoids (channels, height, width) that tell each pixel where it is.

    The first half of the channels codes the row, the second the column, each by sines, then cosines, of wavelengths
    geometric from 2 pi to 2 pi 10,000 pixels (Tensor2Tensor's two-dimensional signal).
    """
    count = channels // 4
    rates = _LONGEST_WAVE ** -(torch.arange(count) / max(count - 1, 1))
    down, across = (rates[:, None] * torch.arange(size) for size in (height, width))  # (count, size)
    rows = torch.cat((down.sin(), down.cos()))[:, :, None].expand(-1, -1, width)
    columns = torch.cat((across.sin(), across.cos()))[:, None, :].expand(-1, height, -1)
    return F.pad(torch.cat((rows, columns)), (0, 0, 0, 0, 0, channels - 4 * count))


def pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zeros around images with which a convolution gives ceil(size / stride), the odd ones at the bottom and right."""
    (top, bottom), (left, right) = (_margins(size, kernel, stride) for size in x.shape[-2:])
    return F.pad(x, (left, right, top, bottom))


def to_patches(x: Tensor, patch: int) -> Tensor:
    """Images with channels last (B, H, W, F) as squares (B, patch * patch * F, ceil(H / patch), ceil(W / patch))."""
    x = F.pad(x, (0, 0, 0, -x.shape[2] % patch, 0, -x.shape[1] % patch))
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // patch, patch, width // patch, patch, channels)
    x = x.transpose(2, 3).reshape(batch, height // patch, width // patch, patch * patch * channels)
    return x.movedim(-1, 1)


def from_patches(x: Tensor, patch: int, height: int, width: int) -> Tensor:
    """Images (B, height, width, F), channels last: the inverse of `to_patches`."""
    batch, channels, down, across = x.shape
    x = x.movedim(1, -1).reshape(batch, down, across, patch, patch, channels // patch**2)
    x = x.transpose(2, 3).reshape(batch, down * patch, across * patch, channels // patch**2)
    return x[:, :height, :width]


def scale_weights(module: nn.Module, gain: float = 1.3) -> None:
    """Uniform weights of variance gain^2 / fan-in and zero biases, for every convolution and linear layer within."""
    for layer in module.modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            continue
        fan_in = layer.weight[0].numel()
        if isinstance(layer, nn.ConvTranspose2d):  # weights (in, out, k, k): each output sees k^2 / stride^2 of them
            fan_in = layer.weight[:, 0].numel() // (layer.stride[0] * layer.stride[1])
        bound = gain * (3.0 / fan_in) ** 0.5
        nn.init.uniform_(layer.weight, -bound, bound)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _margins(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
