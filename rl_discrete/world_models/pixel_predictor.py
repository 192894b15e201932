"""The network of the world model of pixels: frames and an action to the next frame, its reward, and whether it ends.

Source: SimPLe (Kaiser et al. 2019, arXiv 1903.00374) as Tensor2Tensor has it. Departures: the end is predicted; every
action has an embedding, action 0 too, and there is one table of them; reward and end have no cutoff; frames may be
colours of a palette, in squares of pixels, and start as copies of the last one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.outcome_heads import OutcomeHeads, RewardKind
from rl_discrete.world_models.pixel_backbone import Encoded, PixelBackbone
from rl_discrete.world_models.pixel_coding import PixelCoding
from rl_discrete.world_models.pixel_config import PixelModelConfig, PixelNetworkConfig
from rl_discrete.world_models.pixel_latents import Corruption, PixelLatents
from rl_discrete.world_models.pixel_layers import from_patches, scale_weights, to_patches


@dataclass(frozen=True)
class Prediction:
    """What the network says of the next frames."""

    pixels: Tensor
    """(B, H, W, P, V) logits of each symbol."""
    reward: Tensor
    """(B, V) logits of the values of rewards."""
    end: Tensor
    """(B,) log-odds of the end."""

    def symbols(self) -> Tensor:
        """The likeliest symbols, uint8 (B, P, H, W): the only thing that is drawn in a frame is its bits."""
        return self.pixels.detach().argmax(-1).to(torch.uint8).movedim(-1, 1)


class PixelPredictor(nn.Module):
    """One step of the model, as a network; whether frames are stacked or remembered is for `see` and `remember`.

    Args:
        coding: of the frames.
        num_actions: A.
        reward_kind: what rewards look like.
        config: sizes.

    Raises:
        UsageError: a size outside its range.
    """

    def __init__(
        self, coding: PixelCoding, num_actions: int, reward_kind: RewardKind, config: PixelModelConfig
    ) -> None:
        super().__init__()
        network = config.network
        _check(network)
        self.planes, self.values = coding.planes, coding.values
        self.height, self.width = coding.height, coding.width
        self.config, self.context = config, network.context
        size = (-(-self.height // network.patch), -(-self.width // network.patch))
        per_pixel = self.planes if coding.colours is None else self.values
        self.frame_channels, self.recurrent = per_pixel * network.patch**2, network.recurrent
        self._state_shape = (self.recurrent, *size)
        inside = self.frame_channels + self.recurrent if self.recurrent else self.frame_channels * self.context
        self.backbone = PixelBackbone(inside, size, network)
        self.actions = nn.Embedding(num_actions, network.hidden)
        self.memory = nn.Conv2d(inside, 2 * self.recurrent, 3, padding=1) if self.recurrent else None
        symbols = self.planes * self.values
        self.pixels = nn.Conv2d(network.hidden, symbols * network.patch**2, 1)
        scale_weights(self)
        self.outcomes = OutcomeHeads(self.backbone.map_shape[0], network.hidden, reward_kind, network.outcome_hidden)
        self.latents: PixelLatents | None = None
        if config.latents.num_latents > 0:
            shape, hidden = self.backbone.map_shape, network.hidden
            latents = PixelLatents(self.frame_channels, size, shape, hidden, config.latents)
            scale_weights(latents.posterior)
            scale_weights(latents.injection)
            self.latents = latents
        self.copying = nn.Parameter(torch.tensor(network.copy_weight)) if network.copy_weight > 0.0 else None
        if self.copying is not None:  # a fresh network says what was there
            nn.init.zeros_(self.pixels.weight)
        self.register_buffer("_one_hot", torch.eye(self.values), persistent=False)
        self._coloured = coding.colours is not None

    _one_hot: Tensor

    def frame(self, symbols: Tensor) -> Tensor:
        """Frames (B, frame_channels, h, w) as the network sees them, of symbols uint8 (B, P, H, W).

        Colours are one-hot; values of channels are standardised over each image, channel by channel.
        """
        if self._coloured:
            shown = nn.functional.embedding(symbols[:, 0].int(), self._one_hot)  # (B, H, W, V)
        else:
            floats = symbols.float()
            mean = floats.mean((2, 3), keepdim=True)
            deviation = (floats - mean).square().mean((2, 3), keepdim=True).sqrt()
            shown = ((floats - mean) / deviation.clamp(min=(self.height * self.width) ** -0.5)).movedim(1, -1)
        return to_patches(shown, self.config.network.patch)

    def forget(self, num_rows: int) -> Tensor:
        """The state (num_rows, recurrent, h, w) that remembers nothing."""
        state = torch.zeros((num_rows, *self._state_shape), device=self._one_hot.device)
        return state.contiguous(memory_format=torch.channels_last)

    def remember(self, state: Tensor, frame: Tensor) -> Tensor:
        """The state after a frame: a gated mix with what a convolution makes of both. Actions play no part."""
        assert self.memory is not None
        gate, candidate = self.memory(torch.cat((frame, state), dim=1)).chunk(2, dim=1)
        return torch.lerp(candidate.tanh(), state, gate.sigmoid())

    def encode(self, seen: Tensor, actions: Tensor, generator: torch.Generator | None = None) -> Encoded:
        """Down to the smallest map. `seen`: the newest frame and the state before it, or all stacked frames.

        In channels: `torch.cat((frame, state), 1)`, or the `context` frames, oldest first, zeros where there is none.
        """
        return self.backbone.encode(seen, self.actions(actions), generator)

    def infer(
        self,
        encoded: Encoded,
        frame: Tensor,
        target: Tensor,
        corruption: Corruption,
        generator: torch.Generator | None,
    ) -> tuple[Encoded, Tensor]:
        """Training: with posterior bits from the frame to come, and the prior's nats (B,) per chunk."""
        if self.latents is None:
            return encoded, encoded.map.new_zeros(len(encoded.map))
        put_in, nats = self.latents.infer(encoded.map, frame, target, encoded.action, corruption, generator)
        return replace(encoded, map=put_in), nats

    def imagine(
        self, encoded: Encoded, noise: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Encoded:
        """Simulation: with bits from the prior. noise (B, prior.noise_dim), or drawn from `generator`."""
        if self.latents is None:
            return encoded
        put_in = self.latents.imagine(encoded.map, noise, self.latents.config.temperature, generator)
        return replace(encoded, map=put_in)

    def decode(self, encoded: Encoded, last: Tensor, generator: torch.Generator | None = None) -> Prediction:
        """Up to the prediction; `last` uint8 (B, P, H, W) are the symbols of the newest frame."""
        features = self.backbone.decode(encoded, generator)
        pixels = from_patches(self.pixels(features), self.config.network.patch, self.height, self.width)
        pixels = pixels.unflatten(-1, (self.planes, self.values))  # (B, H, W, P, V)
        if self.copying is not None:
            same = nn.functional.embedding(last.movedim(1, -1).int(), self._one_hot)
            pixels = pixels + self.copying * same
        came = 0.5 * features.mean((2, 3)) + 0.5  # the heads take bits, and see them as -1 and 1
        return Prediction(pixels, *self.outcomes(encoded.map.mean((2, 3)), came))

    def anneal(self, progress: float) -> None:
        """Sets the bottleneck's schedules to `progress` of the warm-up, in [0, 1]."""
        if self.latents is not None:
            self.latents.anneal(progress)

    @property
    def code_noise(self) -> int:
        """Uniform numbers that the bits of one frame take."""
        return 0 if self.latents is None else self.latents.prior.noise_dim


def _check(config: PixelNetworkConfig) -> None:
    for name in ("context", "patch", "levels", "middle_layers", "outcome_hidden"):
        if getattr(config, name) < 1:
            raise UsageError(f"{name} must be >= 1, got {getattr(config, name)}")
    for name in ("doublings", "recurrent", "copy_weight"):
        if not 0 <= getattr(config, name) < float("inf"):
            raise UsageError(f"{name} must be >= 0, got {getattr(config, name)}")
    for name in ("dropout", "middle_dropout"):
        if not 0.0 <= getattr(config, name) < 1.0:
            raise UsageError(f"{name} must be in [0, 1), got {getattr(config, name)}")
    if config.hidden < 4 or config.hidden % 4:
        raise UsageError(f"hidden must be a multiple of 4, got {config.hidden}")
