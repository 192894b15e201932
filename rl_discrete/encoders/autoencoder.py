"""Plain autoencoders with a bottleneck of `latents`: semantic hashing (`ish`) and Gumbel-softmax (`gs`)."""

from __future__ import annotations

import torch
from torch import Tensor

from rl_discrete.data.transition_batch import TransitionBatch
from rl_discrete.encoders.code_network import CodeNetwork
from rl_discrete.encoders.config import EncoderConfig
from rl_discrete.encoders.learned import LearnedEncoder
from rl_discrete.encoders.seeded import seeded
from rl_discrete.latents.autoencoder import build_bottleneck


class AutoencoderEncoder(LearnedEncoder):
    """The newest frame reconstructed from the code of its observation; actions and the order of time play no part.

    The loss, in nats, is the reconstruction and the bottleneck's regularizer.

    Args:
        method: `ish` or `gs`.
        shape: of one observation, (C, H, W) or (D,).
        config: sizes and learning; `num_categories` counts for `gs` only.
        seed: of weights and noise.
        stack: frames in the channel axis of an image.
    """

    def __init__(self, method: str, shape: tuple[int, ...], config: EncoderConfig, seed: int, stack: int = 1) -> None:
        categories = config.num_categories if method == "gs" else 2
        self._bottleneck = build_bottleneck(method, config.num_latents, categories, config.gs, config.ish)
        network = seeded(seed, lambda: CodeNetwork(shape, stack, self._bottleneck, config))
        super().__init__(network, {"network": network}, config, seed)

    def terms(self, batch: TransitionBatch, noise: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Reconstruction and regularizer, as in `LearnedEncoder.terms`."""
        model = self.network.model
        current = model.prepare(self.network.tensor(batch.current))
        logits = model.encoder(current)
        sampled = self._bottleneck(logits, noise)
        reconstruction = model.nats(model.decoder(sampled.features), current)
        return {"reconstruction": reconstruction, "regularizer": sampled.regularizer}, logits
