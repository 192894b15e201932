"""Settings of `rl-discrete train-judge`. No torch in here: `--help` reads these defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rl_discrete.runs.errors import UsageError


@dataclass(frozen=True)
class JudgeConfig:
    """How the judge (the frozen MNIST classifier) is trained. The shipped judge comes from these defaults.

    Attributes:
        seed: seed of the initial weights, the order of the images and their distortions.
        epochs: passes over the training images that are not held out.
        batch_size: images per gradient step.
        learning_rate: peak of the schedule (linear warm-up, then cosine to zero).
        device: torch device. The weights repeat bit for bit only on the same device type.
        threads: torch threads while training. The weights repeat bit for bit only for the same number.
        data_dir: folder of MNIST-like IDX files; None means the embedded MNIST.
        out: run folder that receives the weights and the card; None makes a new one below runs/train-judge/.
        resume: continue the training that was stopped in `out`.
    """

    seed: int = 0
    epochs: int = 18
    batch_size: int = 128
    learning_rate: float = 0.004
    device: str = "cpu"
    threads: int = 1
    data_dir: Path | None = None
    out: Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "threads"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be >= 1, got {getattr(self, name)}")
        if self.batch_size < 2:
            raise UsageError(f"batch_size must be >= 2 (batch normalisation needs a spread), got {self.batch_size}")
        if not 0.0 < self.learning_rate < 1.0:
            raise UsageError(f"learning_rate must lie in (0, 1), got {self.learning_rate}")
        if self.seed < 0:
            raise UsageError(f"seed must be >= 0, got {self.seed}")
