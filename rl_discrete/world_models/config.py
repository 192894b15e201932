"""Defaults of world models and of the codes that they predict. Free of torch, so that `--help` stays fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rl_discrete.latents.config import ConditionalLSTMConfig, GumbelSoftmaxConfig, SemanticHashingConfig
from rl_discrete.world_models.pixel_config import PixelModelConfig
from rl_discrete.world_models.table_config import TableModelConfig


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
    """Places told apart, >= 1, all colours together; beyond it the nearest of one colour are joined."""
    max_bits: int = 80
    """Bits of an image, >= 8; each place, or several that always change together, has a multiple of 8,
    by how many of its pictures were seen."""
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
    moved_share: float = 0.5
    """Share of the pictures of each place, in [0, 1], that a fit sees moved, no further than `region_gap` from where
    the place was ever seen: a thing is to be coded wherever it may come, not only where it was in these frames."""
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
    refit_updates: int = 2000
    """Gradient steps of each later fit, >= 0."""
    refit_rate: float = 0.25
    """Peak learning rate of each later fit, as a share of that of the first, > 0."""
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


@dataclass(frozen=True)
class DynamicsConfig:
    """The network that tells the next bits from the last ones and the action."""

    history: int = 4
    """Frames, >= 1, whose bits the network and the agent see; with the actions between them."""
    hidden: int = 512
    """Width of its three layers, >= 1."""
    dropout: float = 0.2
    """Share of the numbers in the last two layers, in [0, 1), that a fit leaves out at random: a replay is seen a
    hundred times, and is learned by heart without."""
    inject_actions: bool = True
    """Whether the action scales and shifts two layers, besides being an input. Without it, it is soon ignored."""
    recurrent: int = 128
    """Width of a recurrent summary of earlier frames; 0: none. Without it what the last frames do not show, such as
    how long ago a ball was lost, is not there to be predicted from."""
    burn_in: int = 12
    """Frames, >= 0, before the last `history` ones, that the summary is told of at the start (`recurrent` > 0)."""
    prior: Literal["lstm", "factorised"] = "lstm"
    """What draws the next bits: an LSTM over chunks of them that starts as independent bits, or these alone."""
    lstm: ConditionalLSTMConfig = field(default_factory=lambda: ConditionalLSTMConfig(hidden=96, embedding=32))
    """The LSTM."""
    temperature: float = 0.0
    """Temperature at which bits are drawn in imagination, >= 0: at 1 as likely as in the world, at 0 only the
    likeliest. At 0 what the world does in the minority of cases, such as an opponent's mistake, never happens, and no
    reward that is seen to come with it is ever paid. In Pong held-out rollouts were much the same at 0 and at 1, see
    the page of results."""
    outcome_hidden: int = 64
    """Width of the layer that reward and end are read from, >= 1."""
    outcomes: Literal["likeliest", "sampled"] = "sampled"
    """Whether imagined rewards and ends are the likeliest ones (the mean, of rewards other than -1, 0, 1) or drawn,
    given the imagined code: one that the code does not show is then paid as often as in the world."""
    ensemble: int = 1
    """Models fitted side by side, 1 to 3; a rollout is cut where they disagree."""
    disagreement: int = 8
    """Bits, >= 1, in which two models must differ to disagree."""


@dataclass(frozen=True)
class DynamicsFitConfig:
    """How the dynamics is fitted: AdamW, linear warm-up, cosine decay, on rollouts of its own samples."""

    updates: int = 2500
    """Gradient steps of the first fit, at most, where the caller names no number, >= 1."""
    refit_updates: int = 1200
    """Gradient steps of each later fit, at most, >= 1."""
    patience: int = 0
    """Looks at held-out steps, of twenty in a fit, that may be no better before the independent bits, or the LSTM, go
    no further, and the weights of the best look are kept; 0: fits go to their end. The weights that tell held-out
    steps in the fewest nats are not those whose likeliest bits are wrong least, which is what counts at temperature
    0."""
    batch_size: int = 128
    """Rollouts per gradient step, >= 1."""
    unroll: int = 4
    """Steps of a rollout, >= 1."""
    own_share: float = 0.5
    """Probability, in [0, 1], that a rollout goes on from what the model drew, not from what was recorded."""
    own_warmup: float = 0.15
    """Share of a fit, in [0, 1], over which that probability is reached linearly from 0."""
    flip_probability: float = 0.01
    """Probability of a flip of each bit that the network sees, in [0, 0.5)."""
    targets: Literal["hard", "soft"] = "hard"
    """Whether to predict the bits or how sure the encoder was of them."""
    lstm_from: float = 0.6
    """Share of a fit, in [0, 1), after which the LSTM is switched on; before it the bits are independent."""
    rare_share: float = 0.0625
    """Share of a batch, in [0, 0.25], that rewards of either sign and ends are each raised to where they are rarer, but
    not beyond twenty times their number; the probabilities are corrected for it."""
    learning_rate: float = 1.5e-3
    """Peak learning rate, > 0."""
    warmup_steps: int = 50
    """Gradient steps over which the learning rate rises linearly; at most a tenth of a fit."""
    weight_decay: float = 0.01
    """Decoupled weight decay of matrices, >= 0."""
    gradient_clip: float = 5.0
    """Largest norm of the gradient; 0 leaves it as it is."""
    codec_growth: float = 1.5
    """How many times the replay must have grown since the encoder was last fitted for it to be fitted again, > 1; 0:
    never again. New codes are new to the agent too."""
    held_out_share: float = 0.1
    """Share of the replay, in [0, 0.5], that is only measured on."""
    held_out_steps: int = 64
    """Steps of each env that are held out together, >= 1."""


@dataclass(frozen=True)
class CodeModelConfig:
    """The world model in the space of codes: encoder, dynamics, and how they are fitted."""

    codec: CodecConfig = field(default_factory=CodecConfig)
    """Frames to bits and back."""
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    """Bits and action to the next bits, reward and end."""
    fit: DynamicsFitConfig = field(default_factory=DynamicsFitConfig)
    """How the dynamics is fitted."""


@dataclass(frozen=True)
class WorldModelConfig:
    """Settings of all world models; one of them is used."""

    code: CodeModelConfig = field(default_factory=CodeModelConfig)
    """In the space of codes (`--world-model code`)."""
    pixel: PixelModelConfig = field(default_factory=PixelModelConfig)
    """In the space of pixels (`--world-model pixel`)."""
    table: TableModelConfig = field(default_factory=TableModelConfig)
    """Counts of a table (`--world-model table`)."""
