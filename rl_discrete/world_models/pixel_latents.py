"""The bits of the stochastic model: inferred from the frame to come in training, drawn by the LSTM prior afterwards.

Source: Kaiser et al. 2019 (arXiv 1903.00374), `next_frame_basic_stochastic_discrete` in Tensor2Tensor; bottleneck and
prior are those of `rl_discrete.latents`. Departures: bits pass the saturating sigmoid of semantic hashing where
Tensor2Tensor has tanh, or are Gumbel-softmax pairs; the prior has weights for each position and a learned start.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from rl_discrete.latents.bottleneck import Bottleneck
from rl_discrete.latents.gumbel_softmax import GumbelSoftmax
from rl_discrete.latents.lstm_prior import LSTMPrior
from rl_discrete.latents.semantic_hashing import SemanticHashing
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.pixel_config import PixelLatentConfig
from rl_discrete.world_models.pixel_layers import Injection, pad_same, timing_signal


@dataclass(frozen=True)
class Corruption:
    """What keeps the model from relying on bits that a prior could not tell, at one point of the training."""

    prior_share: float
    """Share of bits drawn by the prior, in [0, 1]."""
    latent_use: float
    """Share of examples that are shown the bits, in [0, 1]."""


class AttentionPool(nn.Module):
    """The mean over the image, and means over places that heads attend to, as one vector of 2 C numbers."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.places = nn.Linear(channels, heads)
        self.output = nn.Linear((heads + 1) * channels, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, 2 C)."""
        pixels = x.flatten(2).transpose(1, 2)  # (B, H * W, C)
        weights = self.places(pixels).softmax(1)  # (B, H * W, heads)
        attended = weights.transpose(1, 2) @ pixels  # (B, heads, C)
        return self.output(torch.cat((pixels.mean(1), attended.flatten(1)), dim=1))  # type: ignore[no-any-return]


class Posterior(nn.Module):
    """Logits of the bits from a frame, the frame after it, and the action between them: a tower of convolutions.

    Each convolution's image is pooled, and all pooled vectors are read together (`double_discriminator`).
    """

    def __init__(
        self, frame_channels: int, size: tuple[int, int], hidden: int, num_logits: int, config: PixelLatentConfig
    ) -> None:
        super().__init__()
        kernel, stride, heads = config.posterior_kernel, config.posterior_stride, config.posterior_heads
        widths = (hidden, *config.posterior_channels)
        self._kernel, self._stride = kernel, stride
        self.stem = nn.Conv2d(2 * frame_channels, hidden, 1)
        self.action = Injection(hidden, hidden)
        self.convolutions = nn.ModuleList(nn.Conv2d(*pair, kernel, stride) for pair in pairwise(widths))
        self.pools = nn.ModuleList(AttentionPool(width, heads) for width in widths[1:] if heads > 0)
        pooled = sum(widths[1:]) * (2 if heads > 0 else 1)
        self.logits = nn.Linear(pooled, num_logits)
        self.register_buffer("_timing", timing_signal(hidden, *size), persistent=False)

    _timing: Tensor

    def forward(self, frame: Tensor, target: Tensor, action: Tensor) -> Tensor:
        """Logits (B, num_logits) of frames (B, F, H, W) and the embedding of the action (B, hidden)."""
        x = self.action(self.stem(torch.cat((frame, target), dim=1)) + self._timing, action)
        pooled: list[Tensor] = []
        for index, convolution in enumerate(self.convolutions):
            x = convolution(pad_same(x if index == 0 else x.relu(), self._kernel, self._stride))
            pooled.append(self.pools[index](x) if self.pools else x.mean((2, 3)))
        return self.logits(torch.cat(pooled, dim=1))  # type: ignore[no-any-return]


class PixelLatents(nn.Module):
    """Posterior, bottleneck, prior, and the injection of bits into the smallest map.

    Args:
        frame_channels: of a frame as the network sees it.
        size: (H, W) of it.
        map_shape: (channels, h, w) of the smallest map, which is the prior's context.
        hidden: width of the action's embedding.
        config: sizes.

    Raises:
        UsageError: sizes outside their ranges.
    """

    def __init__(
        self,
        frame_channels: int,
        size: tuple[int, int],
        map_shape: tuple[int, int, int],
        hidden: int,
        config: PixelLatentConfig,
    ) -> None:
        super().__init__()
        channels, height, width = map_shape
        self.config = config
        self.bottleneck = _bottleneck(config)
        self.posterior = Posterior(frame_channels, size, hidden, self.bottleneck.num_logits, config)
        self.prior = LSTMPrior(config.num_latents, 2, config.prior, context_dim=channels * height * width)
        self.injection = Injection(self.bottleneck.num_features, channels)

    def anneal(self, progress: float) -> None:
        """Sets the bottleneck's schedules to `progress` of the warm-up, in [0, 1]."""
        self.bottleneck.anneal(progress)

    def infer(
        self,
        map_: Tensor,
        frame: Tensor,
        target: Tensor,
        action: Tensor,
        corruption: Corruption,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        """The map (B, C, h, w) with posterior bits in it, and the prior's nats (B,) per chunk of the clean bits.

        The prior's loss reaches the map, but never the bits, which are integers to it. Bits that the prior drew carry
        the gradient of the inferred ones; examples whose bits are left out go on with the map as it was.
        """
        logits = self.posterior(frame, target, action)
        clean = self.bottleneck.discretize(logits)
        context = map_.flatten(1)
        nats = self.prior.loss(clean, context, generator) / self.prior.num_chunks
        features = self.bottleneck(logits, generator).features
        if corruption.prior_share > 0.0:
            drawn = self.bottleneck.embed(self.prior.sample(len(map_), context.detach(), generator=generator))
            replaced = self._chance(
                corruption.prior_share, (len(map_), self.bottleneck.num_latents, 1), map_, generator
            )
            replaced = replaced.expand(-1, -1, self.bottleneck.feature_dim).flatten(1)
            features = features + torch.where(replaced, drawn - features, 0.0).detach()
        used = self._chance(corruption.latent_use, (len(map_), 1, 1, 1), map_, generator)
        return torch.where(used, self.injection(map_, features), map_), nats

    def nats(self, map_: Tensor, frame: Tensor, target: Tensor, action: Tensor) -> Tensor:
        """What the prior asks for the posterior bits of `target`, (B,), exactly and of all of them."""
        codes = self.bottleneck.discretize(self.posterior(frame, target, action))
        return -self.prior.log_prob(codes, map_.flatten(1))

    def imagine(
        self, map_: Tensor, noise: Tensor | None, temperature: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """The map with bits in it that the prior draws: noise (B, prior.noise_dim), or from `generator`."""
        codes = self.prior.sample(len(map_), map_.flatten(1), temperature, noise, generator)
        return self.injection(map_, self.bottleneck.embed(codes))  # type: ignore[no-any-return]

    @staticmethod
    def _chance(share: float, shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.rand(shape, generator=generator, device=like.device) < share


def _bottleneck(config: PixelLatentConfig) -> Bottleneck:
    for name in ("prior_share", "latent_use"):
        value = getattr(config, name)
        if not 0.0 <= value <= 1.0:
            raise UsageError(f"{name} must be in [0, 1], got {value}")
    if not 1 <= config.posterior_stride <= config.posterior_kernel or config.posterior_heads < 0:
        raise UsageError(
            "posterior_stride must be between 1 and posterior_kernel, and posterior_heads >= 0, got "
            f"{config.posterior_stride}, {config.posterior_kernel} and {config.posterior_heads}"
        )
    if not config.posterior_channels or min(config.posterior_channels) < 1:
        raise UsageError(f"posterior_channels must hold widths >= 1, got {config.posterior_channels}")
    if not 0.0 < config.temperature < float("inf"):
        raise UsageError(f"temperature must be > 0 and finite, got {config.temperature}")
    if config.bottleneck == "ish":
        return SemanticHashing(config.num_latents, 2, config.ish)
    if config.bottleneck == "gs":
        return GumbelSoftmax(config.num_latents, 2, config.gs)
    raise UsageError(f"bottleneck must be ish or gs, got {config.bottleneck!r}")
