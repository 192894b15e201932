"""Configuration of the MNIST benchmark. Free of torch, so that `--help` stays fast."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from rl_discrete.latents.config import (
    AugmentationConfig,
    FitConfig,
    GumbelSoftmaxConfig,
    LSTMPriorConfig,
    NetworkConfig,
    SemanticHashingConfig,
)
from rl_discrete.runs.config import from_mapping, merge, nearest, to_mapping
from rl_discrete.runs.errors import UsageError

DECK_ROWS = ("gs-16x2", "ish-32x2", "gs-30x10", "ish-96x2")
PARTNER_ROWS = ("gs-32x2", "gs-96x2", "ish-16x2", "gs-10x10")
CURVE_LATENTS = (8, 16, 32, 64, 96)
CURVE_CATEGORIES = (2, 5, 10)
PROFILES = ("smoke", "default", "full")
PRESETS = ("deck", "best")
DECISIVE = ("autoencoder", "training", "prior", "prior_training", "augmentation", "prior_augmentation")
"""The settings that a row's weights depend on."""


@dataclass(frozen=True)
class AutoencoderConfig:
    """Autoencoder of every row; a row takes the bottleneck settings of its method."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    gs: GumbelSoftmaxConfig = field(default_factory=GumbelSoftmaxConfig)
    ish: SemanticHashingConfig = field(default_factory=SemanticHashingConfig)


@dataclass(frozen=True)
class MnistBenchConfig:
    """One run of `rl-discrete mnist-bench`."""

    rows: tuple[str, ...] = DECK_ROWS
    """Rows METHOD-LxK: method gs or ish, L latents, K categories; for example gs-30x10."""
    seeds: tuple[int, ...] = (0,)
    """Seeds that each row is run with."""
    curves: bool = False
    """Whether to run the curves over the number of latents (20 points, first seed)."""
    curve_epochs: int = 3
    """Epochs of autoencoder and prior for each point of the curves."""
    num_samples: int = 10_000
    """Samples per prior that the judge scores, >= 100."""
    out: Path | None = None
    """Run folder; by default a new one below runs/mnist-bench/."""
    resume: bool = False
    """Continue the run in `out`."""
    data_dir: Path | None = None
    """Folder with four IDX files to use instead of the embedded MNIST."""
    device: str = "auto"
    """auto, cpu or cuda."""
    workers: int = 0
    """Rows trained at the same time, one thread each; 0: one per core on a CPU, 1 on a GPU."""
    checkpoint_seconds: float = 15.0
    """Seconds of training between two checkpoints of a row, >= 0: the most work that a kill can cost."""
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    training: FitConfig = field(default_factory=FitConfig)
    """How the autoencoders are fitted."""
    prior: LSTMPriorConfig = field(default_factory=LSTMPriorConfig)
    prior_training: FitConfig = field(default_factory=FitConfig)
    """How the LSTM priors are fitted."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """Distorted images for the autoencoders."""
    prior_augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """Codes of distorted images for the priors."""
    row_settings: dict[str, Any] = field(default_factory=dict)
    """Settings of some rows, by pattern of their names, over those of all rows (not of the curves); for example
    {"*-96x2": {training: {epochs: 30}}}."""

    def of_row(self, row: Row) -> MnistBenchConfig:
        """The config of one row: the settings of every pattern that fits its name, in order, over those of all rows.

        Raises:
            UsageError: a pattern's settings are no settings of a row.
        """
        mapping = {key: value for key, value in to_mapping(self).items() if key in DECISIVE}
        for pattern, settings in self.row_settings.items():
            source = f"row_settings of {pattern!r}"
            if not isinstance(settings, dict) or not settings.keys() <= set(DECISIVE):
                raise UsageError(f"{source} must be a mapping with keys among {', '.join(DECISIVE)}, got {settings!r}")
            merged = merge(mapping, settings)
            from_mapping(MnistBenchConfig, merged, source)  # where no row fits too: a wrong key is an error
            mapping = merged if fnmatchcase(row.name, pattern) else mapping
        built = from_mapping(MnistBenchConfig, mapping, "row_settings")
        return replace(self, row_settings={}, **{key: getattr(built, key) for key in DECISIVE})


@dataclass(frozen=True)
class Row:
    """A method with L latents of K categories each."""

    method: Literal["gs", "ish"]
    num_latents: int
    num_categories: int

    @property
    def name(self) -> str:
        return f"{self.method}-{self.num_latents}x{self.num_categories}"

    @classmethod
    def parse(cls, name: str) -> Row:
        """The row of a name such as ish-32x2.

        Raises:
            UsageError: not of that form, or sizes that cannot work; names the nearest known row.
        """
        match = re.fullmatch(r"(gs|ish)-(0|[1-9]\d{0,4})x(0|[1-9]\d{0,4})", name)
        if match is None:
            known = (*DECK_ROWS, *PARTNER_ROWS)
            hint = nearest(name, known)
            suggestion = f"; did you mean {hint}?" if hint else f": for example {', '.join(known)}"
            raise UsageError(f"unknown row {name!r}, rows are METHOD-LxK with method gs or ish{suggestion}")
        method, latents, categories = match[1], int(match[2]), int(match[3])
        if latents < 1 or categories < 2 or (method == "ish" and categories != 2):
            allowed = "K = 2" if method == "ish" else "K >= 2"
            raise UsageError(f"row {name!r} cannot work: L must be >= 1 and, for {method}, {allowed}")
        return cls("gs" if method == "gs" else "ish", latents, categories)


def curve_rows() -> tuple[Row, ...]:
    """The points of the deck's curves: GS with 2, 5 and 10 categories and ISH, over the number of latents."""
    gs = [Row("gs", latents, categories) for categories in CURVE_CATEGORIES for latents in CURVE_LATENTS]
    return (*gs, *(Row("ish", latents, 2) for latents in CURVE_LATENTS))


def num_validation(num_images: int) -> int:
    """Training images held out for validation: 5,000 of MNIST's 60,000, the same share of a smaller set."""
    return min(5000, num_images // 12)
