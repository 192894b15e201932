"""The network of a learned encoder: observations to codes and back, through a bottleneck."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rl_discrete.encoders.config import EncoderConfig
from rl_discrete.encoders.networks import initialise
from rl_discrete.encoders.observation_model import ImageModel, ObservationModel, VectorModel
from rl_discrete.encoders.observations import Observations, check_observations
from rl_discrete.latents.bottleneck import Bottleneck
from rl_discrete.latents.codes import Codes, Keys, unpack

_CHUNK = 256  # observations encoded at once: bounds memory


class CodeNetwork(nn.Module):
    """observations --encoder--> logits --bottleneck--> codes, and codes --decoder--> the newest frame.

    Args:
        shape: of one observation, (C, H, W) or (D,).
        stack: frames in the channel axis of an image.
        bottleneck: fixes the number of logits and features.
        config: sizes of the networks.
    """

    def __init__(self, shape: tuple[int, ...], stack: int, bottleneck: Bottleneck, config: EncoderConfig) -> None:
        super().__init__()
        self.shape = shape
        sizes = bottleneck.num_logits, bottleneck.num_features
        self.bottleneck = bottleneck
        self.model: ObservationModel
        if len(shape) == 3:
            self.model = ImageModel((shape[0], shape[1], shape[2]), stack, *sizes, config)
        else:
            self.model = VectorModel(shape[0], *sizes, config)
        initialise(self)

    def tensor(self, observations: Observations) -> Tensor:
        """A copy of checked observations as a tensor, of their own type."""
        check_observations(observations, self.shape)
        return torch.tensor(np.ascontiguousarray(observations))

    @torch.no_grad()
    def logits(self, observations: Observations) -> Tensor:
        """Logits float32 (B, num_logits) of observations, chunk by chunk, without gradient."""
        chunks = self.tensor(observations).split(_CHUNK)
        return torch.cat([self.model.encoder(self.model.prepare(chunk)) for chunk in chunks])

    def codes(self, observations: Observations) -> Codes:
        """Codes int64 (B, L): deterministic, no noise."""
        codes: Codes = self.bottleneck.discretize(self.logits(observations)).numpy()
        return codes

    @torch.no_grad()
    def decode(self, keys: Keys) -> NDArray[np.uint8] | None:
        """The newest frames, uint8 (B, C, H, W), that the codes stand for; None for vectors."""
        codes = torch.from_numpy(unpack(keys, self.bottleneck.num_latents, self.bottleneck.num_categories))
        chunks = [self.model.pictures(self.model.decoder(self.bottleneck.embed(c))) for c in codes.split(_CHUNK)]
        pictures = [chunk for chunk in chunks if chunk is not None]
        return torch.cat(pictures).contiguous().numpy() if pictures else None
