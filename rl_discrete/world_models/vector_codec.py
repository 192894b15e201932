"""Bits of observation vectors, for envs without images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rl_discrete.latents.bottleneck import Bottleneck, BottleneckOutput
from rl_discrete.runs.seeding import make_generator
from rl_discrete.world_models.bits import bit_bottleneck, confidence
from rl_discrete.world_models.config import CodecConfig
from rl_discrete.world_models.frame_codec import CodecState, Frames, check_bits, check_frames
from rl_discrete.world_models.frame_source import FrameSource
from rl_discrete.world_models.sprite_network import linear, spread

_LIMIT = 10.0  # standard deviations beyond which a number says no more


class VectorNetwork(nn.Module):
    """Standardised vectors -> logits, and features -> standardised vectors; fully connected."""

    def __init__(self, size: int, config: CodecConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.bottleneck: Bottleneck = bit_bottleneck(config, config.vector_bits)
        hidden = config.vector_hidden
        self.encoder = _layers((size, *hidden, self.bottleneck.num_logits), generator)
        self.decoder = _layers((self.bottleneck.num_features, *reversed(hidden), size), generator)

    def logits(self, vectors: Tensor) -> Tensor:
        """Logits (B, num_logits), of mean 0 and deviation 1.5 in every vector."""
        return spread(self.encoder(vectors))


class VectorCodec:
    """A `FrameCodec` of vectors: each number in units of its deviation, with a Gaussian likelihood.

    Args:
        mean, deviation: (D,) float64, of collected vectors; numbers that never change have deviation 1.
        config: sizes and bottleneck.
        seed: of the initial weights.
    """

    num_categories = 2

    def __init__(
        self, mean: NDArray[np.float64], deviation: NDArray[np.float64], config: CodecConfig, seed: int
    ) -> None:
        self.mean, self.deviation, self.config = mean, deviation, config
        self.frame_shape: tuple[int, ...] = (len(mean),)
        self.num_latents = config.vector_bits
        self.groups: tuple[int, ...] = (config.vector_bits,)
        self.network = VectorNetwork(len(mean), config, make_generator(seed, "codec")).eval()

    @classmethod
    def begin(cls, source: FrameSource, config: CodecConfig, seed: int) -> VectorCodec:
        """A codec, not fitted yet, that knows the scale of collected vectors (N, D).

        Raises:
            UsageError: there are no vectors.
            RunError: one of them is not finite.
        """
        blocks = source.at_most(config.max_frames).blocks()
        vectors = np.concatenate([np.asarray(block) for block in blocks])
        check_frames(vectors, vectors.shape[1:])
        deviation = vectors.std(0, dtype=np.float64)
        return cls(vectors.mean(0, dtype=np.float64), np.where(deviation > 1e-6, deviation, 1.0), config, seed)

    def encode(self, frames: Frames) -> NDArray[np.uint8]:
        codes: NDArray[np.uint8] = self.network.bottleneck.discretize(self._logits(frames)).numpy().astype(np.uint8)
        return codes

    def encode_soft(self, frames: Frames) -> NDArray[np.float32]:
        sure: NDArray[np.float32] = confidence(self.network.bottleneck, self._logits(frames)).numpy()
        return sure

    @torch.no_grad()
    def _logits(self, frames: Frames) -> Tensor:
        check_frames(frames, self.frame_shape)
        logits: Tensor = self.network.logits(self._standardised(frames))
        return logits

    def _standardised(self, frames: Frames) -> Tensor:
        scaled = ((frames - self.mean) / self.deviation).clip(-_LIMIT, _LIMIT)
        return torch.from_numpy(np.asarray(scaled, np.float32))

    @torch.no_grad()
    def decode(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        check_bits(codes, self.num_latents)
        features = self.network.bottleneck.embed(torch.from_numpy(np.asarray(codes, np.int64)))
        standardised = self.network.decoder(features).numpy()
        return np.asarray(standardised * self.deviation + self.mean, np.float32)

    def objective(self, source: FrameSource) -> Callable[[Tensor, torch.Generator], Tensor]:
        """Loss (B,) of rows int64 (B,) of the source, in nats; noise from the generator."""
        vectors = torch.cat([self._standardised(block) for block in source.blocks()])
        precision = self.config.vector_noise**-2

        def loss(rows: Tensor, noise: torch.Generator) -> Tensor:
            wanted = vectors[rows]
            output: BottleneckOutput = self.network.bottleneck(self.network.logits(wanted), noise)
            away: Tensor = (self.network.decoder(output.features) - wanted).square().sum(1)
            return output.regularizer + 0.5 * precision * away

        return loss

    def errors(self, source: FrameSource) -> dict[str, float]:
        """`error`: root of the mean squared error of a number, in units of its deviation; `worst_error`: the worst's.

        Those of a codec that knew the mean alone would be 1.
        """
        squares, seen = np.zeros(self.frame_shape), 0
        for block in source.blocks():
            away = (self.decode(self.encode(block)) - block) / self.deviation
            squares += np.square(away).sum(0)
            seen += len(block)
        return {"error": float(np.sqrt(squares.mean() / seen)), "worst_error": float(np.sqrt(squares.max() / seen))}

    def state(self) -> CodecState:
        tensors = {f"network.{name}": value.detach().clone() for name, value in self.network.state_dict().items()}
        tensors |= {"mean": torch.from_numpy(self.mean.copy()), "deviation": torch.from_numpy(self.deviation.copy())}
        return tensors, {"kind": "vector", "config": asdict(self.config)}

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor], meta: dict[str, Any], config: CodecConfig) -> VectorCodec:
        """The codec whose `state` gave `tensors` and `meta`; `config` is the one in `meta`."""
        codec = cls(tensors["mean"].numpy().copy(), tensors["deviation"].numpy().copy(), config, 0)
        start = "network."
        codec.network.load_state_dict(
            {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
        )
        return codec


def _layers(widths: tuple[int, ...], generator: torch.Generator) -> nn.Sequential:
    """Fully connected layers with ReLU between them."""
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        modules += [linear(inputs, outputs, generator), nn.ReLU()]
    return nn.Sequential(*modules[:-1])
