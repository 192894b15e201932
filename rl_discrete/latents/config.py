"""Defaults of bottlenecks, autoencoder, priors and their fitting. Free of torch, so that `--help` stays fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Estimator = Literal["relaxed", "straight_through", "gumbel_rao", "reinmax"]


@dataclass(frozen=True)
class GumbelSoftmaxConfig:
    """Gumbel-softmax bottleneck (Jang et al. 2016, arXiv 1611.01144)."""

    estimator: Estimator = "relaxed"
    """Gradient estimator."""
    temperature_start: float = 1.0
    """Temperature at the start of training, > 0."""
    temperature_end: float = 0.3
    """Temperature reached, exactly, at `anneal_until`, > 0."""
    anneal_until: float = 0.9
    """Share of the training, in (0, 1], over which the temperature falls geometrically."""
    beta: float = 0.1
    """Weight of the KL divergence to the uniform distribution, >= 0, from `beta_until` on."""
    beta_start: float = 0.0
    """The weight at the start of training, >= 0: below `beta` a warm-up, above it a pull to even use of the codes."""
    beta_until: float = 0.0
    """Share of the training, in [0, 1], over which the weight moves linearly from `beta_start` to `beta`."""
    free_nats: float = 0.0
    """KL per latent, in nats, that costs nothing, >= 0."""
    uniform_mix: float = 0.0
    """Share of the uniform distribution mixed into every posterior, in [0, 1)."""
    rao_samples: int = 10
    """Conditional Gumbel draws averaged by the estimator `gumbel_rao`, >= 1."""


@dataclass(frozen=True)
class SemanticHashingConfig:
    """Improved semantic hashing bottleneck (Kaiser and Bengio 2018, arXiv 1801.09797)."""

    noise: float = 1.0
    """Standard deviation of the Gaussian noise on the logits, >= 0."""
    hard_share: float = 0.5
    """Share of bits that the decoder sees rounded, in [0, 1]; the others pass the saturating sigmoid."""
    hard_warmup: float = 0.0
    """Share of the training, in [0, 1], over which `hard_share` is reached linearly from 0."""
    flip_probability: float = 0.0
    """Probability of a random bit flip in training, in [0, 0.5)."""


@dataclass(frozen=True)
class BinaryConcreteConfig:
    """Binary concrete bottleneck (Maddison et al. 2017, arXiv 1611.00712)."""

    temperature: float = 2.0 / 3.0
    """Temperature of the posterior, > 0."""
    prior_temperature: float = 0.5
    """Temperature of the prior that the posterior is compared with, > 0."""


@dataclass(frozen=True)
class NetworkConfig:
    """Encoder and decoder: fully connected, the decoder the mirror image of the encoder."""

    kind: Literal["plain", "residual"] = "residual"
    """`plain`: linear layers with ReLU; `residual`: pre-norm residual layers with GELU."""
    hidden: tuple[int, ...] = (512,)
    """Widths of the hidden layers, image side first."""
    residual_layers: int = 2
    """Residual layers after the last hidden layer (`residual` only)."""


@dataclass(frozen=True)
class FitConfig:
    """How a model is fitted: AdamW, linear warm-up, cosine decay, averaged weights."""

    epochs: int = 12
    """Passes over the training data, >= 1."""
    batch_size: int = 200
    """Examples per step, >= 1."""
    learning_rate: float = 2e-3
    """Peak learning rate, > 0."""
    final_learning_rate: float = 0.0
    """Learning rate at the end of the cosine, as a share of the peak, in [0, 1]."""
    warmup_steps: int = 200
    """Steps over which the learning rate rises linearly."""
    weight_decay: float = 0.0
    """Decoupled weight decay of matrices, >= 0."""
    gradient_clip: float = 0.0
    """Largest norm of the gradient; 0 leaves it as it is."""
    average_decay: float = 0.0
    """Decay per step of the exponential moving average of the weights used for evaluation; 0: none."""


@dataclass(frozen=True)
class AugmentationConfig:
    """Training on distorted copies of the images, against overfitting; the last part sees the images as they are."""

    strength: float = 0.0
    """Amount of rotation, scale, shear, shift and bending; 1 is what the judge is trained with, 0 none."""
    share: float = 0.5
    """Share of each batch that is distorted, in [0, 1]."""
    until: float = 0.7
    """Share of the training, in [0, 1], after which nothing is distorted."""


@dataclass(frozen=True)
class LSTMPriorConfig:
    """LSTM over chunks of latents."""

    chunk: int | None = None
    """Latents predicted jointly; `num_categories ** chunk` may not exceed 4,096. Null: as many as fit in 256."""
    hidden: int = 256
    """Width of the recurrent state."""
    embedding: int = 64
    """Width of the embedding of a chunk."""
    layers: int = 1
    """Stacked LSTM layers."""
    dropout: float = 0.0
    """Dropout before the output layer, in [0, 1)."""


@dataclass(frozen=True)
class ConditionalLSTMConfig(LSTMPriorConfig):
    """LSTM over chunks of latents, given a context: the prior of world models.

    A class of its own, so that runs without a context know nothing of these settings.
    """

    base: Literal["none", "factorised"] = "factorised"
    """`factorised`: the LSTM corrects, from zero, the logits of latents that are independent given the context."""
    context_inputs: bool = True
    """Whether the context enters every step of the LSTM; it always enters the first state."""
