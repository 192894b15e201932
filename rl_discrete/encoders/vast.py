"""The variational encoder of VaST: bits that can be predicted from the bits before them and the action.

Source: Corneil, Gerstner, Brea 2018 (arXiv 1802.04325), and its authors' code where the paper is silent. One logit
per bit instead of two, whose difference alone mattered; networks by `EncoderNetworkConfig`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rl_discrete.data.transition_batch import TransitionBatch
from rl_discrete.encoders.code_network import CodeNetwork
from rl_discrete.encoders.config import EncoderConfig
from rl_discrete.encoders.learned import LearnedEncoder
from rl_discrete.encoders.seeded import seeded
from rl_discrete.encoders.transition_prior import TransitionPrior
from rl_discrete.latents.binary_concrete import BinaryConcrete


class VastEncoder(LearnedEncoder):
    """Filtering variational autoencoder over single transitions.

    The loss of a transition, in nats, is the negative evidence bound: the reconstruction of the newest frame from the
    current code, and `beta_prior` times the divergence of the current posterior from the prior, which is the
    transition network's at the sampled previous code, or the start prior. No gradient is stopped: the divergence
    moves the encoder through both observations. Rewards and ends play no part.

    Args:
        shape: of one observation, (C, H, W) or (D,).
        num_actions: A.
        config: sizes and learning.
        seed: of weights and noise.
        stack: frames in the channel axis of an image.
    """

    def __init__(
        self, shape: tuple[int, ...], num_actions: int, config: EncoderConfig, seed: int, stack: int = 1
    ) -> None:
        self._bottleneck = BinaryConcrete(config.num_latents, config=config.concrete)
        hidden = config.network.prior_hidden
        network, prior = seeded(
            seed,
            lambda: (
                CodeNetwork(shape, stack, self._bottleneck, config),
                TransitionPrior(self._bottleneck.num_features, config.num_latents, num_actions, hidden),
            ),
        )
        self.prior = prior
        super().__init__(network, {"network": network, "prior": prior}, config, seed)

    def terms(self, batch: TransitionBatch, noise: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Reconstruction and divergence, as in `LearnedEncoder.terms`."""
        model, size = self.network.model, len(batch)
        current = model.prepare(self.network.tensor(batch.current))
        previous = model.prepare(self.network.tensor(batch.previous))
        logits = model.encoder(torch.cat((current, previous)))  # (2B, L)
        sampled = self._bottleneck(logits, noise)
        log_odds = self.prior(sampled.features[size:], torch.from_numpy(batch.actions), torch.from_numpy(batch.starts))
        kl = self._bottleneck.kl(sampled.noisy_logits[:size], logits[:size], log_odds)
        reconstruction = model.nats(model.decoder(sampled.features[:size]), current)
        return {"reconstruction": reconstruction, "prior": self.config.beta_prior * kl}, logits[:size]
