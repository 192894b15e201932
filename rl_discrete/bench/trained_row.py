"""The models of one row of the benchmark, and how they come back from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rl_discrete.bench.config import AutoencoderConfig, Row
from rl_discrete.latents.autoencoder import DiscreteAutoencoder, build_bottleneck
from rl_discrete.latents.config import LSTMPriorConfig
from rl_discrete.latents.lstm_prior import LSTMPrior
from rl_discrete.latents.prior import IndependentPrior
from rl_discrete.runs.checkpoint import load_checkpoint
from rl_discrete.runs.config import from_mapping
from rl_discrete.runs.errors import UsageError

AUTOENCODER, PRIOR, MODELS = "autoencoder", "prior", "models"  # parts of a checkpoint, the first two also stages


@dataclass(frozen=True)
class TrainedRow:
    """The models of one row: an autoencoder and the priors on its codes, all in evaluation mode."""

    autoencoder: DiscreteAutoencoder
    independent: IndependentPrior
    lstm: LSTMPrior

    @property
    def num_parameters(self) -> dict[str, int]:
        models: dict[str, nn.Module] = {AUTOENCODER: self.autoencoder, PRIOR: self.lstm}
        return {name: sum(p.numel() for p in model.parameters()) for name, model in models.items()}

    def state(self) -> dict[str, Tensor]:
        """The weights of all three."""
        return dict(self._modules().state_dict())

    def load_state(self, state: dict[str, Tensor]) -> None:
        self._modules().load_state_dict(state)

    def _modules(self) -> nn.ModuleDict:
        return nn.ModuleDict({"autoencoder": self.autoencoder, "independent": self.independent, "lstm": self.lstm})


def build_models(row: Row, autoencoder: AutoencoderConfig, prior: LSTMPriorConfig) -> TrainedRow:
    """Models of one row with fresh weights.

    Raises:
        UsageError: sizes or settings that cannot work.
    """
    bottleneck = build_bottleneck(row.method, row.num_latents, row.num_categories, autoencoder.gs, autoencoder.ish)
    model = DiscreteAutoencoder(bottleneck, (28, 28), autoencoder.network)
    # Not on the meta device of a rehearsal: there its softmax would import torch's compiler, which takes seconds.
    independent = IndependentPrior(torch.zeros(row.num_latents, row.num_categories, device="cpu"))
    return TrainedRow(model, independent, LSTMPrior(row.num_latents, row.num_categories, prior))


def load_row(folder: Path) -> TrainedRow:
    """The models of a finished row, on the CPU, from its folder.

    Raises:
        UsageError: the folder holds no finished row.
        RunError: its checkpoints are damaged.
    """
    checkpoint = load_checkpoint(folder / "checkpoints", parts=(MODELS,))
    if checkpoint is None:
        raise UsageError(f"{folder} holds no finished row: finish the run with --resume")
    job = checkpoint.meta["job"]
    source = str(folder)
    trained = build_models(
        Row.parse(job["row"]),
        from_mapping(AutoencoderConfig, job["autoencoder"], source),
        from_mapping(LSTMPriorConfig, job["prior"], source),
    )
    trained.load_state(checkpoint.tensors[MODELS])
    for model in (trained.autoencoder, trained.independent, trained.lstm):
        model.eval()
    return trained
