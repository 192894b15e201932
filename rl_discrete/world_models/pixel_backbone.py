"""The convolutions of SimPLe's world model: down to a small map, the action put in, and up again.

Source: Kaiser et al. 2019 (arXiv 1903.00374), `next_frame_basic_deterministic` in Tensor2Tensor.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rl_discrete.world_models.pixel_config import PixelNetworkConfig
from rl_discrete.world_models.pixel_layers import ChannelNorm, Dropout, Injection, timing_signal


@dataclass(frozen=True)
class Encoded:
    """Frames on their way down: the smallest map, with the action in it, and what the way up needs."""

    map: Tensor
    """(B, channels, h, w)"""
    skips: tuple[Tensor, ...]
    """The images before each halving, outermost first."""
    action: Tensor
    """(B, hidden) the action's embedding."""


class PixelBackbone(nn.Module):
    """What the network sees (B, in_channels, H, W), and an action, to features (B, hidden, H, W).

    Down: `levels` convolutions 4x4 of stride 2. Middle: convolutions 3x3, the first plain, the others residual. Up:
    the same transposed, with additive skips. ReLU, then normalisation over channels, after each; a timing signal before
    each; the action before the middle and again before each step up, with weights of its own.

    Args:
        in_channels: of what the network sees.
        size: (H, W).
        config: widths and levels.
    """

    def __init__(self, in_channels: int, size: tuple[int, int], config: PixelNetworkConfig) -> None:
        super().__init__()
        hidden, levels = config.hidden, config.levels
        widths = [hidden * 2 ** min(level, config.doublings) for level in range(levels + 1)]
        sizes = [size]
        for _ in range(levels):
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        self.map_shape = (widths[-1], *sizes[-1])
        self._sizes, self._levels = sizes, levels
        self.dropout, self.middle_dropout = Dropout(config.dropout), Dropout(config.middle_dropout)
        self.stem = nn.Conv2d(in_channels, hidden, 1)
        self.down = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 4, 2, padding=1) for i in range(levels))
        self.down_norms = nn.ModuleList(ChannelNorm(width) for width in widths[1:])
        self.action = Injection(hidden, widths[-1])
        layers = range(config.middle_layers)
        self.middle = nn.ModuleList(nn.Conv2d(widths[-1], widths[-1], 3, padding=1) for _ in layers)
        self.middle_norms = nn.ModuleList(ChannelNorm(widths[-1]) for _ in layers[1:])
        self.up_actions = nn.ModuleList(Injection(hidden, widths[i + 1]) for i in reversed(range(levels)))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(widths[i + 1], widths[i], 4, 2, padding=1) for i in reversed(range(levels))
        )
        self.up_norms = nn.ModuleList(ChannelNorm(widths[i]) for i in reversed(range(levels)))
        for level in range(levels):  # before the halving of a level, where sizes are even, and after its doubling
            height, width = sizes[level]
            even = timing_signal(widths[level], height + height % 2, width + width % 2)
            self.register_buffer(f"_timing_{level}", even, persistent=False)

    def encode(self, seen: Tensor, action: Tensor, generator: torch.Generator | None) -> Encoded:
        """Down to the smallest map; dropout from `generator` in training mode."""
        x = self.stem(seen) + self._timing(0, self._sizes[0])
        skips: list[Tensor] = []
        for level, (convolution, norm) in enumerate(zip(self.down, self.down_norms, strict=True)):
            skips.append(x)
            x = self.dropout(x, generator)
            height, width = self._sizes[level]
            x = nn.functional.pad(x, (0, width % 2, 0, height % 2))
            x = norm(convolution(x + self._timing(level, x.shape[-2:])).relu())
        return Encoded(self.action(x, action), tuple(skips), action)

    def decode(self, encoded: Encoded, generator: torch.Generator | None) -> Tensor:
        """Up again to features (B, hidden, H, W)."""
        x = encoded.map
        for index, convolution in enumerate(self.middle):
            y = convolution(self.middle_dropout(x, generator)).relu()
            x = y if index == 0 else self.middle_norms[index - 1](x + y)
        steps = zip(self.up_actions, self.up, self.up_norms, strict=True)
        for step, (action, convolution, norm) in enumerate(steps):
            level = self._levels - 1 - step
            height, width = self._sizes[level]
            x = action(self.dropout(x, generator), encoded.action)
            x = convolution(x).relu()[..., :height, :width]
            x = norm(x + encoded.skips[level]) + self._timing(level, (height, width))
        return x

    def _timing(self, level: int, size: tuple[int, ...]) -> Tensor:
        signal: Tensor = getattr(self, f"_timing_{level}")
        return signal[:, : size[0], : size[1]]
