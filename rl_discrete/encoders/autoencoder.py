"""Plain autoencoders with a bottleneck of `latents`: semantic hashing (`ish`) and Gumbel-softmax (`gs`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rl_discrete.data.transition_batch import TransitionBatch
from rl_discrete.encoders.code_network import CodeNetwork
from rl_discrete.encoders.config import EncoderConfig
from rl_discrete.encoders.learned import LearnedEncoder
from rl_discrete.encoders.networks import layers
from rl_discrete.encoders.seeded import seeded
from rl_discrete.latents.autoencoder import build_bottleneck
from rl_discrete.runs.seeding import derive_seed


class AutoencoderEncoder(LearnedEncoder):
    """The newest frame reconstructed from the code of its observation.

    The loss, in nats, is the reconstruction and the bottleneck's regularizer, and, with some `foresight`, so many times
    the reconstruction of the frame that followed upon the observation before, from its code and the action; where an
    episode starts, nothing did. Without it actions and the order of time play no part.

    Args:
        method: `ish` or `gs`.
        shape: of one observation, (C, H, W) or (D,).
        num_actions: A.
        config: sizes and learning; `num_categories` counts for `gs` only.
        seed: of weights and noise.
        stack: frames in the channel axis of an image.
    """

    def __init__(
        self, method: str, shape: tuple[int, ...], num_actions: int, config: EncoderConfig, seed: int, stack: int = 1
    ) -> None:
        categories = config.num_categories if method == "gs" else 2
        self._bottleneck = build_bottleneck(method, config.num_latents, categories, config.gs, config.ish)
        network = seeded(seed, lambda: CodeNetwork(shape, stack, self._bottleneck, config))
        parts: dict[str, nn.Module] = {"network": network}
        self._num_actions, self._following = num_actions, nn.Sequential()
        if config.foresight > 0.0:
            width = self._bottleneck.num_features
            sizes = width + num_actions, *config.network.prior_hidden, width
            parts["following"] = self._following = seeded(derive_seed(seed, "following"), lambda: layers(sizes))
        super().__init__(network, parts, config, seed)

    def terms(self, batch: TransitionBatch, noise: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Reconstruction, regularizer and foresight, as in `LearnedEncoder.terms`."""
        model, size = self.network.model, len(batch)
        current = model.prepare(self.network.tensor(batch.current))
        seen = current
        if self.config.foresight > 0.0:
            seen = torch.cat((current, model.prepare(self.network.tensor(batch.previous))))
        logits = model.encoder(seen)
        sampled = self._bottleneck(logits, noise)
        terms = {
            "reconstruction": model.nats(model.decoder(sampled.features[:size]), current),
            "regularizer": sampled.regularizer[:size],
        }
        if self.config.foresight > 0.0:
            taken = F.one_hot(torch.from_numpy(batch.actions), self._num_actions).float()
            following = self._following(torch.cat((sampled.features[size:], taken), 1))
            nats = model.nats(model.decoder(following), current) * torch.from_numpy(~batch.starts)
            terms["foresight"] = self.config.foresight * nats
        return terms, logits[:size]
