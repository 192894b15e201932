"""Bits of images: what is in each place, for every colour of the palette found in collected frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from rl_discrete.latents.bottleneck import Bottleneck, BottleneckOutput
from rl_discrete.runs.seeding import make_generator
from rl_discrete.world_models.active_pixels import ActivePixels
from rl_discrete.world_models.bits import bit_bottleneck, confidence
from rl_discrete.world_models.config import CodecConfig
from rl_discrete.world_models.frame_codec import CodecState, Frames, check_bits, check_frames
from rl_discrete.world_models.frame_source import FrameSource
from rl_discrete.world_models.movement import Movement
from rl_discrete.world_models.palette import Palette, find_palette
from rl_discrete.world_models.places import Lists, Place, Places, find_places
from rl_discrete.world_models.sprite_errors import sprite_errors
from rl_discrete.world_models.sprite_network import PlaceDecoder, PlaceEncoder, PlaceEntropy, linear, spread

_CHUNK = 256  # frames coded or decoded at once: bounds memory
_SEEN = 8192  # frames that palette and places are found in
_SCALE = 0.01  # of the loss, so that clipped gradients and learning rates mean the same as elsewhere


class SpriteNetwork(nn.Module):
    """An encoder and a decoder for each place, a layer of logits for each group, one bottleneck for all bits."""

    def __init__(self, places: Places, config: CodecConfig, generator: torch.Generator) -> None:
        super().__init__()
        height, width = places.palette.background.shape[1:]
        self.bottleneck: Bottleneck = bit_bottleneck(config, sum(places.bits))
        logits, features = self.bottleneck.logits_per_latent, self.bottleneck.feature_dim
        self.encoders = nn.ModuleList()
        self.decoders = nn.ModuleList()
        self.heads = nn.ModuleList([linear(config.hidden, bits * logits, generator) for bits in places.bits])
        self._groups = [place.group for place in places.each]
        self._features = [bits * features for bits in places.bits]
        for index, place in enumerate(places.each):
            sizes = height, width, config.features, config.hidden, place.pixels
            self.encoders.append(PlaceEncoder(*sizes, generator))
            top, bottom, left, right = places.box(index)
            inner = self._features[place.group], bottom - top, right - left, place.rank, config.hidden
            self.decoders.append(PlaceDecoder(*inner, generator))

    def logits(self, active: Callable[[int], tuple[Tensor, Tensor]], batch: int) -> Tensor:
        """Logits (batch, num_logits), where `active` gives example and pixel of a place's pixels."""
        hidden = [torch.zeros(())] * len(self.heads)
        for index, (group, encoder) in enumerate(zip(self._groups, self.encoders, strict=True)):
            hidden[group] = hidden[group] + encoder(*active(index), batch)
        each = [head(F.relu(own)) for head, own in zip(self.heads, hidden, strict=True)]
        return torch.cat([spread(logits) for logits in each], 1)

    def pixels(self, features: Tensor) -> list[Tensor]:
        """Logits (B, rows, columns) of the pixels in each place's box, of features (B, num_features)."""
        parts = features.split(self._features, 1)
        return [decoder(parts[group]) for decoder, group in zip(self.decoders, self._groups, strict=True)]


class SpriteCodec:
    """A `FrameCodec` of images with a background that stands still.

    Every place (one colour in one part of the picture) has an encoder that sums over its active pixels, bits of its
    own, unless it changes together with others, and a decoder of low rank. The loss is the Bernoulli likelihood of
    each place's pixels, those that are active weighted so that a small thing counts as much as a large one. Decoding
    takes the weights out again.
    A pixel is given the colour of the most likely place, the background where none is more likely than not.

    Args:
        places: palette and places found in collected frames.
        config: sizes and bottleneck.
        seed: of the initial weights.
    """

    num_categories = 2

    def __init__(self, places: Places, config: CodecConfig, seed: int) -> None:
        self.places, self.config = places, config
        shape = places.palette.background.shape
        self.frame_shape: tuple[int, ...] = tuple(int(size) for size in shape)
        self.groups = places.bits
        self.num_latents = sum(self.groups)
        self.network = SpriteNetwork(places, config, make_generator(seed, "codec")).eval()
        self._boxes = [places.box(index) for index in range(len(places.each))]

    @classmethod
    def begin(cls, source: FrameSource, config: CodecConfig, seed: int) -> SpriteCodec:
        """A codec, not fitted yet, for the palette and the places found in collected frames (N, C, H, W).

        Raises:
            UsageError: frames that are no images of 1 to 4 channels, or none at all.
            RunError: all frames are the same.
        """
        seen = source.at_most(_SEEN)
        limit = min(config.max_groups, config.max_bits // 8)
        palette = find_palette(seen, config, min(config.max_classes, limit))
        return cls(find_places(palette, seen, config, limit), config, seed)

    def encode(self, frames: Frames) -> NDArray[np.uint8]:
        codes: NDArray[np.uint8] = self.network.bottleneck.discretize(self._logits(frames)).numpy().astype(np.uint8)
        return codes

    def encode_soft(self, frames: Frames) -> NDArray[np.float32]:
        sure: NDArray[np.float32] = confidence(self.network.bottleneck, self._logits(frames)).numpy()
        return sure

    @torch.no_grad()
    def _logits(self, frames: Frames) -> Tensor:
        check_frames(frames, self.frame_shape)
        images = np.asarray(frames, np.uint8)
        parts = [torch.empty(0, self.network.bottleneck.num_logits)]
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK]
            frame, pixel, place = (torch.from_numpy(part) for part in self.places.active(chunk))
            own = [place == index for index in range(len(self.places.each))]
            lists = [(frame[mine], pixel[mine]) for mine in own]
            parts.append(self.network.logits(lists.__getitem__, len(chunk)))
        logits: Tensor = torch.cat(parts)
        return logits

    @torch.no_grad()
    def decode(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        check_bits(codes, self.num_latents)
        bits = torch.from_numpy(np.asarray(codes, np.int64))
        parts = [self._paint(self.network.bottleneck.embed(chunk)) for chunk in bits.split(_CHUNK)]
        return np.concatenate(parts) if len(bits) else np.zeros((0, *self.frame_shape), np.uint8)

    def _paint(self, features: Tensor) -> NDArray[np.uint8]:
        """Frames (B, C, H, W) of features."""
        size = (len(features), *self.frame_shape[1:])
        best, shown = np.zeros(size, np.float32), np.full(size, -1)
        for place, box, logits in zip(self.places.each, self._boxes, self.network.pixels(features), strict=True):
            inside = np.s_[:, box[0] : box[1], box[2] : box[3]]
            unbiased = logits.numpy() - np.float32(np.log(place.weight))
            more = unbiased > best[inside]
            best[inside][more] = unbiased[more]
            shown[inside][more] = place.colour
        painted = np.moveaxis(self.places.palette.colours[shown], -1, 1)  # (B, C, H, W)
        return np.where(shown[:, None] >= 0, painted, self.places.palette.background)

    def objective(self, source: FrameSource) -> Callable[[Tensor, torch.Generator], Tensor]:
        """Loss (B,) of rows int64 (B,) of the source, in hundredths of nats; noise from the generator."""
        pixels, width = ActivePixels.of(self.places, source), self.frame_shape[2]
        owned = np.stack([self.places.owned(index) for index in range(len(self.places.each))])
        movement = Movement.of(pixels, owned, self.config.region_gap)

        def loss(rows: Tensor, noise: torch.Generator) -> Tensor:
            wanted = rows.numpy()
            lists = [
                movement.moved(index, *pixels.of_place(wanted, index), len(wanted), self.config.moved_share, noise)
                for index in range(len(self.places.each))
            ]
            active = [(torch.from_numpy(example), torch.from_numpy(pixel)) for example, pixel in lists]
            output: BottleneckOutput = self.network.bottleneck(
                self.network.logits(active.__getitem__, len(rows)), noise
            )
            total = output.regularizer
            decoded = self.network.pixels(output.features)
            for place, box, (example, pixel), shown in zip(self.places.each, self._boxes, active, decoded, strict=True):
                row, column = pixel // width - box[0], pixel % width - box[2]
                inside = row * (box[3] - box[2]) + column
                nats: Tensor = PlaceEntropy.apply(shown.flatten(1), example, inside, place.weight)
                total = total + nats
            return _SCALE * total

        return loss

    def errors(self, source: FrameSource) -> dict[str, float]:
        """How well frames come back: see `sprite_errors`."""
        return sprite_errors(self, source)

    def active(self, frames: Frames) -> Lists:
        """Frame, pixel and place of what is no background."""
        return self.places.active(np.asarray(frames, np.uint8))

    def state(self) -> CodecState:
        palette = self.places.palette
        tensors = {f"network.{name}": value.detach().clone() for name, value in self.network.state_dict().items()}
        tensors["background"] = torch.from_numpy(palette.background.copy())
        tensors["colours"] = torch.from_numpy(palette.colours.copy())
        tensors["owner"] = torch.from_numpy(self.places.owner.astype(np.int16))
        places = [asdict(place) for place in self.places.each]
        bits = list(self.places.bits)
        return tensors, {"kind": "sprites", "config": asdict(self.config), "places": places, "bits": bits}

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor], meta: dict[str, Any], config: CodecConfig) -> SpriteCodec:
        """The codec whose `state` gave `tensors` and `meta`; `config` is the one in `meta`."""
        palette = Palette(tensors["background"].numpy().copy(), tensors["colours"].numpy().copy())
        each = tuple(Place(**place) for place in meta["places"])
        codec = cls(Places(palette, tensors["owner"].numpy().astype(np.int64), each, tuple(meta["bits"])), config, 0)
        start = "network."
        codec.network.load_state_dict(
            {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
        )
        return codec
