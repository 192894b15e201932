"""What `rl-discrete train-judge` runs, from the training images to the weights and their card."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from rl_discrete.bench.calibration import fit_temperature
from rl_discrete.bench.judge import CARD_NAME, WEIGHTS_NAME, Judge, judge_outputs
from rl_discrete.bench.judge_card import card_text, fold_temperature, make_card, score
from rl_discrete.bench.judge_config import JudgeConfig
from rl_discrete.bench.judge_fit import JudgeFit
from rl_discrete.data.mnist import ImageDataset, load_images, split
from rl_discrete.runs import durable
from rl_discrete.runs.checkpoint import load_checkpoint, save_checkpoint
from rl_discrete.runs.config import to_mapping
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.folder import RunFolder
from rl_discrete.runs.progress import Progress
from rl_discrete.runs.signals import StopSignal
from rl_discrete.runs.torch_threads import torch_threads

HELD_OUT = 12  # one training image of twelve: 5,000 of MNIST's 60,000
SAVE_EVERY = 500  # steps, about a minute


def train_judge(config: JudgeConfig) -> Path:
    """Train a judge and write `judge.safetensors`, `judge_card.json` and `judge_card.md` into its run folder.

    The weights depend on nothing but the settings, the data and the number of threads; a training that was
    stopped and resumed gives the same file. The test images are scored once, when the weights are final.

    Returns:
        The run folder.

    Raises:
        UsageError: an occupied folder, an unknown device, a data folder that does not exist.
        RunError: altered data, a loss that is not finite, a full disk.
        Interrupted: a signal came; `resume` continues.
    """
    _check_device(config.device)
    dataset = load_images(config.data_dir)
    settings = {key: value for key, value in to_mapping(config).items() if key not in ("out", "resume")}
    with (
        RunFolder.open(
            config.out,
            command="train-judge",
            subject=dataset.name,
            seed=config.seed,
            config=settings,
            resume=config.resume,
        ) as folder,
        torch_threads(config.threads),
    ):
        count = len(dataset.train_images)
        train, held_out = split(count, count // HELD_OUT, config.seed)
        judge, seconds = _fit(dataset.train_images[train], dataset.train_labels[train], config, folder)
        _finish(judge, seconds, dataset, held_out, config, folder)
        return folder.path


def _fit(images: Tensor, labels: Tensor, config: JudgeConfig, folder: RunFolder) -> tuple[Judge, float]:
    """Train, with a checkpoint every minute and on a signal; return the judge and the seconds taken."""
    fit = JudgeFit(images, labels, config)
    begin = time.perf_counter()
    if checkpoint := load_checkpoint(folder.checkpoints):
        fit.restore(checkpoint.step, checkpoint.tensors)
        begin -= checkpoint.meta["seconds"]

    def save() -> None:
        seconds = time.perf_counter() - begin
        save_checkpoint(folder.checkpoints, fit.step, tensors=fit.tensors(), meta={"seconds": seconds})

    recent: float | None = None
    with StopSignal() as stop, Progress() as progress:
        task = progress.add("judge", fit.total)
        while fit.step < fit.total:
            loss = fit.advance()
            recent = loss if recent is None else 0.98 * recent + 0.02 * loss
            progress.update(task, fit.step, f"loss {recent:.4f} nats")
            if stop.requested or fit.step % SAVE_EVERY == 0:
                save()
                stop.raise_if_requested()
        progress.finish(task)
    return fit.average, time.perf_counter() - begin


def _finish(
    judge: Judge,
    seconds: float,
    dataset: ImageDataset,
    held_out: Tensor,
    config: JudgeConfig,
    folder: RunFolder,
) -> None:
    """Calibrate on the held-out images, write the weights, then score the test images and write the card."""
    images, labels = dataset.train_images[held_out], dataset.train_labels[held_out]
    temperature = fit_temperature(judge_outputs(judge, images)[0], labels)
    fold_temperature(judge, temperature)
    weights = save_tensors({name: value.cpu().contiguous() for name, value in judge.state_dict().items()})
    card = make_card(
        judge,
        weights,
        config,
        data=dataset.name,
        training_images=len(dataset.train_images) - len(held_out),
        validation={**score(judge_outputs(judge, images)[0], labels), "temperature": temperature},
        test_images=dataset.test_images,
        test_labels=dataset.test_labels,
        seconds=seconds,
    )
    path = folder.path
    with durable.disk_errors(path):
        durable.replace_file(path / WEIGHTS_NAME, weights)
        durable.replace_file(path / "judge_card.md", card_text(card).encode())
    folder.write_json(CARD_NAME, card)  # last: a folder with a card is complete
    print(
        f"{path / WEIGHTS_NAME}: test accuracy {card['accuracy']:.2%} ({card['errors']} errors), expected "
        f"calibration error {card['expected_calibration_error']:.4f}, sha256 {card['sha256']}"
    )


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"device {device!r} cannot be used ({reason}); cpu always can") from None
