"""Configuration of the world model of a table's counts. Free of torch, so that `--help` stays fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rl_discrete.encoders.config import EncoderConfig


@dataclass(frozen=True)
class TableModelConfig:
    """How observations become keys, and how the table of their transitions is sampled."""

    encoder: Literal["vast", "ish", "gs", "simhash", "downsample", "exact"] = "ish"
    """Encoder that the keys come from; the last two are controls, which learn nothing."""
    codes: EncoderConfig = field(default_factory=EncoderConfig)
    """Sizes and learning of the encoder."""
    updates: int = 4000
    """Gradient steps of the encoder in the first fit, >= 0."""
    refit_updates: int = 1000
    """Gradient steps in each later fit, >= 0."""
    schedule_updates: int = 10_000
    """Gradient steps of all fits together, >= 1: the encoder's schedules end here, and its codes stay as they are."""
    batch_size: int = 64
    """Transitions per gradient step, >= 1."""
    untried: Literal["nearest", "stay"] = "nearest"
    """What an action does in a state where it was never tried: what it did in the nearest state that has tried it, by
    Hamming distance, or nothing at all."""
    max_bytes: int = 2_000_000_000
    """Memory that the table may take; transitions beyond it are left out."""
    held_out_share: float = 0.1
    """Share of the rows, in [0, 0.5], that are only measured on."""
    held_out_steps: int = 64
    """Consecutive steps of each env in a held-out block, >= 1."""
