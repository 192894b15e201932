"""Defaults of world models and of the codes that they predict. Free of torch, so that `--help` stays fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rl_discrete.latents.config import GumbelSoftmaxConfig, SemanticHashingConfig


@dataclass(frozen=True)
class CodecConfig:
    """How single frames become bits and back: images by the coloured things in them, vectors as they are."""

    bottleneck: Literal["ish", "gs"] = "ish"
    """Bits by improved semantic hashing (`ish`) or by Gumbel-softmax with two categories (`gs`)."""
    max_classes: int = 6
    """Colours told apart in images, >= 1; rarer ones count as the nearest."""
    rare_share: float = 0.005
    """Share of the frames, in [0, 1), below which a colour is no class of its own."""
    region_gap: int = 3
    """Pixels, >= 0: places of one colour that are further apart than this are coded by bits of their own."""
    max_groups: int = 10
    """Places of a colour that have bits of their own, >= 1, all colours together; beyond it the nearest are joined."""
    max_bits: int = 80
    """Bits of an image, >= 8; a place gets 8, 16 or 24, by how many appearances of it were seen."""
    features: int = 128
    """Width of the tables of rows and of columns that a place's pixels are summed up in, >= 2."""
    hidden: int = 192
    """Width of the networks of each place, >= 1."""
    rank: int = 3
    """Smallest rank of a decoded place, rows by columns, >= 1."""
    max_rank: int = 10
    """Largest rank of a decoded place: as many as its appearances ask for, >= `rank`."""
    object_weight: float = 0.15
    """What the pixels of a place weigh together in the loss, as a share of all pixels of a frame, > 0."""
    max_weight: float = 500.0
    """Largest weight of one pixel, >= 1."""
    vector_bits: int = 32
    """Bits of a vector, >= 1."""
    vector_hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers between a vector and its bits, vector side first."""
    vector_noise: float = 0.1
    """Standard deviation, > 0, that a vector's reconstruction is judged by, in units of each number's own."""
    updates: int = 4000
    """Gradient steps of the first fit, >= 1."""
    refit_updates: int = 1000
    """Gradient steps of each later fit, >= 0."""
    max_frames: int = 20_000
    """Frames that one fit looks at, >= 1, spread evenly over those there are: they are held in memory."""
    batch_size: int = 32
    """Frames per gradient step, >= 1."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW, > 0."""
    warmup_steps: int = 200
    """Gradient steps over which the learning rate rises linearly; at most a tenth of a fit."""
    weight_decay: float = 0.01
    """Decoupled weight decay of matrices, >= 0."""
    gradient_clip: float = 5.0
    """Largest norm of the gradient; 0 leaves it as it is."""
    ish: SemanticHashingConfig = field(default_factory=SemanticHashingConfig)
    """Bottleneck of `ish`."""
    gs: GumbelSoftmaxConfig = field(default_factory=GumbelSoftmaxConfig)
    """Bottleneck of `gs`."""
