"""Configuration of the world model of pixels, and its presets. Free of torch, so that `--help` stays fast."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from rl_discrete.latents.config import ConditionalLSTMConfig, GumbelSoftmaxConfig, SemanticHashingConfig


@dataclass(frozen=True)
class PixelNetworkConfig:
    """Frames in, frame out: convolutions down, the action, convolutions up, with skips between equal sizes."""

    context: int = 4
    """Frames that the model looks at before it predicts, and that agents see, >= 1."""
    palette: int = 16
    """Colours of a predicted frame, found in collected frames, from 2 to 256; 0: 256 values of every channel."""
    patch: int = 2
    """Side of the squares of pixels that enter and leave the network together, >= 1."""
    hidden: int = 32
    """Channels at full size, a multiple of 4."""
    levels: int = 3
    """Times that the size is halved, >= 1."""
    doublings: int = 1
    """Of those, how many double the channels, the outermost first, >= 0."""
    middle_layers: int = 2
    """Convolutions at the smallest size, >= 1."""
    recurrent: int = 16
    """Channels of the state that remembers earlier frames; 0: the `context` frames are stacked instead."""
    dropout: float = 0.0
    """Dropout before every convolution that halves or doubles the size, in [0, 1)."""
    middle_dropout: float = 0.1
    """Dropout before the convolutions at the smallest size, in [0, 1)."""
    copy_weight: float = 4.0
    """Log-odds by which a fresh network predicts that a pixel stays as it is, learned from there on; 0: none."""
    outcome_hidden: int = 128
    """Width of the layer that reward and end are read from, >= 1."""


@dataclass(frozen=True)
class PixelLatentConfig:
    """Bits that stand for what frames and action do not tell: inferred in training, drawn from the prior afterwards."""

    num_latents: int = 32
    """Bits for each frame; 0: the deterministic model."""
    bottleneck: Literal["ish", "gs"] = "ish"
    """What makes them discrete: improved semantic hashing, or Gumbel-softmax."""
    ish: SemanticHashingConfig = field(
        default_factory=lambda: SemanticHashingConfig(noise=0.2, hard_share=1.0, hard_warmup=1.0, flip_probability=0.1)
    )
    """Bottleneck `ish`; its training is the first `warmup_updates`."""
    gs: GumbelSoftmaxConfig = field(default_factory=GumbelSoftmaxConfig)
    """Bottleneck `gs`; likewise."""
    posterior_channels: tuple[int, ...] = (16, 32)
    """Channels of the convolutions that look at the frame to come."""
    posterior_kernel: int = 3
    """Their kernel size, >= `posterior_stride`."""
    posterior_stride: int = 2
    """Their stride, >= 1."""
    posterior_heads: int = 0
    """Places that each of them attends to, beside the mean over the image; 0: the mean alone."""
    prior: ConditionalLSTMConfig = field(
        default_factory=lambda: ConditionalLSTMConfig(chunk=8, hidden=64, embedding=32)
    )
    """The LSTM that predicts the bits from what the network sees."""
    prior_share: float = 0.5
    """Share of bits, in [0, 1], that the prior draws in training too, reached at `warmup_updates`."""
    latent_use: float = 0.8
    """Share of examples, in [0, 1], that are shown the bits in training, reached at half of `warmup_updates`."""
    temperature: float = 1.0
    """Temperature at which bits are drawn in simulation, > 0."""


@dataclass(frozen=True)
class PixelTrainingConfig:
    """How the model is fitted."""

    updates: int = 3000
    """Gradient steps of a fit where the caller names no number, >= 0."""
    batch_size: int = 16
    """Windows of consecutive frames for each gradient step, >= 1."""
    predicted: int = 4
    """Frames predicted after the context, on the model's own predictions as these get better, >= 1."""
    context_loss: bool = False
    """Whether the context's own frames are predicted too (recurrent models only)."""
    loss_cutoff: float = 0.03
    """Nats of a pixel below which its loss has no gradient, >= 0: pixels that are sure leave the others room."""
    pixel_noise: float = 0.0
    """Share of input pixels, in [0, 1), replaced by the most frequent value."""
    reward_share: float = 0.25
    """Share of windows, in [0, 1), drawn among those with a reward or an end; the heads are corrected for it."""
    warmup_updates: int = 3000
    """Gradient steps, over all fits, after which the model is fed its own predictions and bits are always rounded,
    >= 1."""
    optimiser: Literal["adamw", "adafactor"] = "adamw"
    """AdamW, or Adafactor without momentum, its steps in proportion to the size of the weights; torch's Adafactor
    keeps the learning rate below one over the square root of the gradient steps as well."""
    learning_rate: float = 1e-3
    """Largest learning rate, > 0."""
    rate_warmup: int = 200
    """Gradient steps over which the learning rate rises linearly, >= 0."""
    rate_decay: Literal["none", "rsqrt"] = "none"
    """What follows: the same rate for ever, or a fall with the square root of the gradient steps."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient; 0 leaves it as it is."""
    held_out_share: float = 0.1
    """Share of the replay, in [0, 0.5], that is only measured on."""
    held_out_steps: int = 64
    """Steps of each env that are held out together, >= 1."""
    held_out_windows: int = 64
    """Windows that a fit is measured on, >= 1."""
    device: str = "auto"
    """Where the network lives: cpu, cuda, or auto, which is cuda where there is one."""


@dataclass(frozen=True)
class PixelModelConfig:
    """SimPLe's world model (Kaiser et al. 2019, arXiv 1903.00374). The default is the preset `small`."""

    network: PixelNetworkConfig = field(default_factory=PixelNetworkConfig)
    """Frames in, frame out."""
    latents: PixelLatentConfig = field(default_factory=PixelLatentConfig)
    """The bits of the stochastic model."""
    training: PixelTrainingConfig = field(default_factory=PixelTrainingConfig)
    """How it is fitted."""
    outcomes: Literal["likeliest", "sampled"] = "likeliest"
    """Whether imagined rewards and ends are the likeliest ones (the mean, of rewards other than -1, 0, 1) or drawn."""


SMALL = PixelModelConfig()
"""For 2 cores: 16 colours, squares of 2x2 pixels, 32 bits."""

SMALL_DETERMINISTIC = replace(
    SMALL, network=replace(SMALL.network, recurrent=0), latents=replace(SMALL.latents, num_latents=0)
)
"""The same without bits and state: the last frames are stacked."""

PAPER = PixelModelConfig(
    network=PixelNetworkConfig(
        palette=0,
        patch=1,
        hidden=96,
        levels=5,
        doublings=3,
        recurrent=64,
        dropout=0.15,
        middle_dropout=0.5,
        copy_weight=0.0,
    ),
    latents=PixelLatentConfig(
        num_latents=128,
        posterior_channels=(128, 512),
        posterior_kernel=8,
        posterior_stride=4,
        posterior_heads=4,
        prior=ConditionalLSTMConfig(chunk=8, hidden=128, embedding=64, dropout=0.1, base="none", context_inputs=False),
    ),
    training=PixelTrainingConfig(
        updates=15_000,
        batch_size=4,
        predicted=6,
        context_loss=True,
        warmup_updates=40_000,
        optimiser="adafactor",
        learning_rate=2e-3,
        rate_warmup=2000,
    ),
)
"""The stochastic discrete model at full size, for a GPU: 74 million weights, 5 levels (its code says 6)."""

PAPER_DETERMINISTIC = PixelModelConfig(
    network=replace(PAPER.network, hidden=64, levels=6, doublings=2, recurrent=0, dropout=0.1),
    latents=replace(PAPER.latents, num_latents=0),
    training=replace(
        PAPER.training,
        predicted=1,
        context_loss=False,
        loss_cutoff=0.01,
        pixel_noise=0.05,
        learning_rate=0.0168,
        rate_warmup=8000,
        rate_decay="rsqrt",
    ),
)
"""The deterministic model at full size: 11 million weights."""

PRESETS = {
    "small": SMALL,
    "small-deterministic": SMALL_DETERMINISTIC,
    "paper": PAPER,
    "paper-deterministic": PAPER_DETERMINISTIC,
}
"""By name."""
