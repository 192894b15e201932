"""One row with one seed: autoencoder, then priors on its frozen codes, then the figures. Resumable at any moment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rl_discrete.bench.augmentation import augmented_codes, augmented_images, check_augmentation
from rl_discrete.bench.config import DECISIVE, MnistBenchConfig, Row, num_validation
from rl_discrete.bench.trained_row import AUTOENCODER, MODELS, PRIOR, TrainedRow, build_models
from rl_discrete.data.mnist import ImageDataset, split
from rl_discrete.latents.autoencoder import DiscreteAutoencoder, bernoulli_nats, build_bottleneck
from rl_discrete.latents.fit import Fit, check_fit
from rl_discrete.latents.lstm_prior import LSTMPrior
from rl_discrete.latents.prior import IndependentPrior
from rl_discrete.latents.train import begin_autoencoder, begin_prior, encode
from rl_discrete.runs.checkpoint import load_checkpoint, save_checkpoint
from rl_discrete.runs.config import differences, to_mapping
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.runs.metrics import MetricLog
from rl_discrete.runs.seeding import derive_seed
from rl_discrete.runs.signals import StopSignal

STEPS_AT_A_TIME = 10

Report = Callable[[str, int, int, str], None]
"""Called with stage, units done, units in all and a note, several times a second."""


@dataclass(frozen=True)
class RowJob:
    """What decides the figures of one row with one seed, and the folder that holds them."""

    row: Row
    seed: int
    config: MnistBenchConfig
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.row.name}-s{self.seed}"

    def settings(self) -> dict[str, Any]:
        """Every setting that its weights depend on, in plain values."""
        config = to_mapping(self.config)
        kept = {key: config[key] for key in (*DECISIVE, "data_dir")}
        return {"row": self.row.name, "seed": self.seed, **kept}


@dataclass(frozen=True)
class Effort:
    """What training took, summed over resumes: by stage, seconds and examples seen."""

    seconds: dict[str, float]
    num_examples: dict[str, int]


def rehearse(row: Row, config: MnistBenchConfig) -> None:
    """Raises UsageError for whatever is wrong with a row's sizes and settings, without allocating anything."""
    with torch.device("meta"), _Undrawn():
        build_models(row, config.autoencoder, config.prior)
    for training in (config.training, config.prior_training):
        check_fit(training, num_examples=1)
    for augmentation in (config.augmentation, config.prior_augmentation):
        check_augmentation(augmentation)


class _Undrawn(TorchFunctionMode):
    """Leaves fresh weights as they are: drawn on the meta device they would import torch's compiler, for seconds."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)


def check_begun(job: RowJob) -> None:
    """Raises UsageError where the job's folder holds a row, finished or not, that was begun with other settings."""
    checkpoint = load_checkpoint(job.folder / "checkpoints", parts=(), warn=lambda line: None)
    changed = [] if checkpoint is None else differences(checkpoint.meta["job"], job.settings())
    if changed:
        raise UsageError(
            f"{job.folder} was begun with other settings ({'; '.join(changed)}): drop the flags that changed, or "
            "choose another --out"
        )


class _Training:
    """The state of a job between two steps: which stage, its fit, and the clocks."""

    def __init__(self, job: RowJob, images: Tensor, validation: Tensor) -> None:
        self.job, self.images, self.validation = job, images, validation
        self.seconds = {AUTOENCODER: 0.0, PRIOR: 0.0}
        config = job.config
        self.autoencoder = begin_autoencoder(
            images,
            self._bottleneck,
            config.autoencoder.network,
            config.training,
            derive_seed(job.seed, AUTOENCODER),
            augmented_images(images, config.augmentation),
        )
        self.prior: Fit[LSTMPrior] | None = None
        self.codes: Tensor | None = None

    def _bottleneck(self) -> Any:
        row, settings = self.job.row, self.job.config.autoencoder
        return build_bottleneck(row.method, row.num_latents, row.num_categories, settings.gs, settings.ish)

    @property
    def step(self) -> int:
        """Steps of both fits so far: the number of the checkpoint."""
        return self.autoencoder.step + (self.prior.step if self.prior is not None else 0)

    def start_prior(self) -> Fit[LSTMPrior]:
        """Freezes the autoencoder, with its averaged weights, and begins the prior on its codes."""
        self.autoencoder.close()
        self.codes = encode(self.autoencoder.model, self.images)
        config, seed = self.job.config, derive_seed(self.job.seed, PRIOR)
        self.prior = begin_prior(
            self.codes,
            self.job.row.num_categories,
            config.prior,
            config.prior_training,
            seed,
            draw=augmented_codes(self.images, self.codes, self.autoencoder.model, config.prior_augmentation),
        )
        return self.prior

    def save(self, trained: TrainedRow | None = None) -> None:
        """Saves both fits and, at the end of the training, the models for use.

        Raises:
            RunError: a weight or a moment is not finite (nothing is saved), or the disk is full.
        """
        fits: list[tuple[str, Fit[Any]]] = [(AUTOENCODER, self.autoencoder)]
        if self.prior is not None:
            fits.append((PRIOR, self.prior))
        tensors = {name: fit.state() for name, fit in fits}
        for name, state in tensors.items():
            bad = [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
            if bad:  # the loss tells only at the next step
                raise RunError(
                    f"{name}: {bad[0]} is not finite at step {int(state['step'])}; the last good checkpoint is kept: "
                    "lower the learning rate"
                )
        if trained is not None:
            tensors[MODELS] = trained.state()
        meta = {"job": self.job.settings(), "seconds": self.seconds}
        save_checkpoint(self.job.folder / "checkpoints", self.step, tensors=tensors, meta=meta)

    def load(self) -> int | None:
        """Continues from the newest good checkpoint; the step it stands at, None where there is none."""
        checkpoint = load_checkpoint(self.job.folder / "checkpoints")
        if checkpoint is None:
            return None
        self.seconds = dict(checkpoint.meta["seconds"])
        self.autoencoder.load_state(checkpoint.tensors[AUTOENCODER])
        if PRIOR in checkpoint.tensors:
            self.start_prior().load_state(checkpoint.tensors[PRIOR])
        return checkpoint.step


def train_row(
    job: RowJob, data: ImageDataset, device: torch.device, stop: StopSignal, report: Report
) -> tuple[TrainedRow, Effort]:
    """Trains one row, or continues it from its newest checkpoint.

    Raises:
        Interrupted: a signal came; a checkpoint was saved.
        RunError: a loss is not finite (the last good checkpoint is kept), or the disk is full.
        UsageError: the folder holds a row begun with other settings.
    """
    check_begun(job)
    num_images = len(data.train_images)
    train, held_out = split(num_images, num_validation(num_images), job.seed)
    training = _Training(job, data.train_images[train].to(device), data.train_images[held_out].to(device))
    resumed_at = training.load()
    with MetricLog(job.folder, resumed_at) as log:
        if training.prior is None:
            _advance(training, training.autoencoder, AUTOENCODER, log, stop, report)
            log.flush()
            training.save()  # whatever happens to the prior, this work is kept
        prior = training.prior or training.start_prior()
        _advance(training, prior, PRIOR, log, stop, report)
        log.flush()
    fits: dict[str, Fit[Any]] = {AUTOENCODER: training.autoencoder, PRIOR: prior}
    effort = Effort(training.seconds, {name: fit.step * fit.batch_size for name, fit in fits.items()})
    prior.close()
    assert training.codes is not None
    independent = IndependentPrior.from_codes(training.codes, job.row.num_categories).to(device)
    trained = TrainedRow(training.autoencoder.model, independent.eval(), prior.model)
    training.save(trained)
    return trained, effort


def _advance(training: _Training, fit: Fit[Any], stage: str, log: MetricLog, stop: StopSignal, report: Report) -> None:
    """Trains until the fit is finished or a checkpoint is due, with a report every few steps."""
    saved_at, interval = time.monotonic(), training.job.config.checkpoint_seconds
    while not fit.finished:
        begin = time.perf_counter()
        try:
            loss = fit.advance(min(STEPS_AT_A_TIME, fit.steps_per_epoch - fit.step % fit.steps_per_epoch))
        except RunError as error:
            raise RunError(f"{stage}: {error}") from error
        training.seconds[stage] += time.perf_counter() - begin
        report(stage, fit.step, fit.total_steps, f"{loss:.2f} nats")
        if fit.step % fit.steps_per_epoch == 0:
            _log_epoch(training, fit, stage, loss, log)
        if stop.requested or time.monotonic() - saved_at > interval:
            log.flush()
            training.save()
            saved_at = time.monotonic()
        stop.raise_if_requested()


def _log_epoch(training: _Training, fit: Fit[Any], stage: str, loss: float, log: MetricLog) -> None:
    epoch = fit.step // fit.steps_per_epoch
    with fit.evaluation() as model:
        if stage == AUTOENCODER:
            nats = _validation_bce(model, training.validation)
            log.scalars(training.step, {"autoencoder/loss": loss, "autoencoder/validation_bce": nats})
            grid = _comparison(model, training.validation[:16])
            log.image("reconstructions", training.step, grid)
        else:
            codes = encode(training.autoencoder.model, training.validation)
            nats = -float(model.log_prob(codes).mean())
            log.scalars(training.step, {"prior/loss": loss, "prior/validation_code_length": nats})
    if not math.isfinite(nats):
        raise RunError(
            f"{stage}: the validation figure became {nats} in epoch {epoch}; the last good checkpoint is kept: "
            "lower the learning rate"
        )


def _validation_bce(model: DiscreteAutoencoder, images: Tensor) -> float:
    parts = [bernoulli_nats(model(part).pixel_logits, model.pixels(part)) for part in images.split(1000)]
    return float(torch.cat(parts).mean())


def _comparison(model: DiscreteAutoencoder, images: Tensor) -> Tensor:
    """Originals above reconstructions, uint8 (2 * 28, N * 28)."""
    decoded = (model.decode(model.encode(images)) * 255.0).round().to(torch.uint8)
    return torch.cat([torch.cat(list(images), dim=1), torch.cat(list(decoded), dim=1)], dim=0)
