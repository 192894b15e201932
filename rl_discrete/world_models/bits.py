"""The bits of frame codecs: which bottleneck makes them, and how sure it is of each."""

from __future__ import annotations

import torch
from torch import Tensor

from rl_discrete.latents.bottleneck import Bottleneck
from rl_discrete.latents.gumbel_softmax import GumbelSoftmax
from rl_discrete.latents.semantic_hashing import SemanticHashing
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.config import CodecConfig

_SHARPNESS = 3.0  # of a hashed bit's soft target: sigmoid(3 * logit)


def bit_bottleneck(config: CodecConfig, num_latents: int) -> Bottleneck:
    """The bottleneck that `config` names, of bits.

    Raises:
        UsageError: an unknown name.
    """
    if config.bottleneck == "ish":
        return SemanticHashing(num_latents, config=config.ish)
    if config.bottleneck == "gs":
        return GumbelSoftmax(num_latents, 2, config.gs)
    raise UsageError(f"the codec's bottleneck must be ish or gs, got {config.bottleneck!r}")


def confidence(bottleneck: Bottleneck, logits: Tensor) -> Tensor:
    """Probability (B, L) that each bit is 1, above one half where `discretize` gives 1.

    For two categories their posterior; for hashing, whose logits have no scale of their own, sigmoid(3 * logit).
    """
    if bottleneck.logits_per_latent == 1:
        return torch.sigmoid(_SHARPNESS * logits)
    pairs = logits.unflatten(1, (-1, 2))  # (B, L, 2)
    return torch.sigmoid(pairs[..., 1] - pairs[..., 0])
