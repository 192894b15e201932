"""Configuration of the encoders. Free of torch, so that `--help` stays fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rl_discrete.latents.config import BinaryConcreteConfig, GumbelSoftmaxConfig, SemanticHashingConfig

ENCODERS = ("vast", "ish", "gs", "simhash", "downsample", "exact")
"""Names of the encoders; the last three learn nothing."""


@dataclass(frozen=True)
class EncoderNetworkConfig:
    """Networks between observations and codes. The default is small enough for two cores."""

    shrink: int = 1
    """Side of the blocks of pixels, >= 1, that are averaged before the encoder sees an image, and in what it
    reconstructs."""
    channels: tuple[int, ...] = (16, 32)
    """Output channels of the encoder's convolutions; none, with as many kernels and strides: fully connected layers see
    the pixels, which costs less where images are small."""
    kernels: tuple[int, ...] = (8, 4)
    """Kernel sizes of the convolutions, one each."""
    strides: tuple[int, ...] = (4, 2)
    """Strides of the convolutions, one each."""
    hidden: tuple[int, ...] = (128,)
    """Widths of the fully connected layers after the convolutions; for vectors, all there is."""
    decoder: Literal["shuffle", "deconv", "dense"] = "shuffle"
    """`shuffle`: one convolution and PixelShuffle, fast; `deconv`: four transposed convolutions, as in the paper;
    `dense`: the layers of `hidden` backwards."""
    decoder_channels: tuple[int, ...] = (32,)
    """Channels of the decoder, code side first: 1 for `shuffle`, 4 for `deconv`, none for `dense`."""
    half_resolution: bool = True
    """Reconstruct frames at half their height and width; the loss is scaled up to the full number of pixels."""
    likelihood: Literal["bernoulli", "standard"] = "bernoulli"
    """How an image's reconstruction is judged. `bernoulli`: pixel by pixel, by cross-entropy; `standard`: by squared
    errors in units of each pixel's own standard deviation (at most six of them), so that a small thing that moves over
    a large field, such as the ball in Pong, counts like what is large."""
    prior_hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers between codes that follow each other: of the transition prior (`vast`), or with
    `foresight`."""


@dataclass(frozen=True)
class EncoderConfig:
    """How observations become codes, and how the encoder learns."""

    num_latents: int = 32
    """Discrete variables of a code, >= 1 (`vast`, `ish`, `gs`)."""
    num_categories: int = 2
    """Values of each variable, >= 2 (`gs` only; the others have bits)."""
    network: EncoderNetworkConfig = field(default_factory=EncoderNetworkConfig)
    """Encoder, decoder and transition prior."""
    learning_rate: float = 7e-4
    """Learning rate of Adam at the start, > 0."""
    final_learning_rate: float = 0.15
    """Learning rate reached at `decay_until`, as a share of the first, in (0, 1]."""
    decay_until: float = 1.0
    """Share of the run, in (0, 1], over which the learning rate falls geometrically."""
    gradient_clip: float = 5000.0
    """Largest norm of the gradient of the loss in nats; 0 leaves it as it is."""
    average_decay: float = 0.995
    """Decay per gradient step of the moving average of the weights that codes are made with, in [0, 1); 0: none."""
    consistency: float = 10.0
    """Weight at the end of the run, >= 0, of the cross-entropy, in nats, between codes and those of an earlier copy of
    the encoder: it keeps codes as they were, and away from the edge at which a bit flips. It rises linearly from 0,
    so that codes are free to form."""
    consistency_every: int = 200
    """Gradient steps after which the earlier copy is renewed, >= 1."""
    foresight: float = 0.0
    """Weight, >= 0, of telling the next frame too, from the code and the action (`ish`, `gs`): a code then holds what
    the next frame depends on, such as the way in which a thing moves, which only `frame_stack` >= 2 shows."""
    beta_prior: float = 1.0
    """Weight of the KL divergence from the transition prior, >= 0 (`vast` only)."""
    vector_noise: float = 0.1
    """Standard deviation, > 0, that a vector's reconstruction is judged by, in units of each number's own."""
    concrete: BinaryConcreteConfig = field(default_factory=BinaryConcreteConfig)
    """Bottleneck of `vast`."""
    ish: SemanticHashingConfig = field(default_factory=SemanticHashingConfig)
    """Bottleneck of `ish`."""
    gs: GumbelSoftmaxConfig = field(default_factory=GumbelSoftmaxConfig)
    """Bottleneck of `gs`."""
    simhash_bits: int = 16
    """Random projections of `simhash`, one bit each, >= 1."""
    simhash_size: tuple[int, int] = (15, 20)
    """Rows and columns that an image is averaged to before it is projected."""
    downsample_size: tuple[int, int] = (6, 8)
    """Rows and columns of the grey image that is the code of `downsample`."""
    downsample_levels: int = 4
    """Grey levels of each of its pixels, >= 2."""
