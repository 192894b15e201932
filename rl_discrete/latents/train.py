"""Autoencoders and priors from data in memory: as a fit to be advanced step by step, or in one call."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from rl_discrete.latents.autoencoder import DiscreteAutoencoder
from rl_discrete.latents.bottleneck import Bottleneck
from rl_discrete.latents.config import FitConfig, LSTMPriorConfig, NetworkConfig
from rl_discrete.latents.fit import Fit
from rl_discrete.latents.lstm_prior import LSTMPrior
from rl_discrete.latents.prior import check_codes
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.runs.seeding import derive_seed

Module = TypeVar("Module", bound=nn.Module)
Draw = Callable[[Tensor, float, torch.Generator], Tensor]
"""Training data of a batch of indices int64 (B,) at a progress in [0, 1], with randomness from the generator."""


def begin_autoencoder(
    images: Tensor,
    make_bottleneck: Callable[[], Bottleneck],
    network: NetworkConfig | None = None,
    training: FitConfig | None = None,
    seed: int = 0,
    draw: Draw | None = None,
) -> Fit[DiscreteAutoencoder]:
    """A fit of a fresh autoencoder to images, not yet advanced.

    Args:
        images: uint8 or float32 in [0, 1], (N, *image_shape), on the device to train on; kept, not copied.
        make_bottleneck: for example `lambda: SemanticHashing(32)`.
        network: encoder and decoder.
        training: how to fit.
        seed: of weights, order and noise.
        draw: images to train on in place of `images[indices]`, for example distorted ones.

    Raises:
        UsageError: no images, pixels outside [0, 1], or settings outside their ranges.
        RunError: pixels that are NaN.
    """
    _check_images(images)
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    means = torch.stack([part.float().sum(0) for part in images.split(5000)]).sum(0) / (scale * len(images))
    model = _seeded(
        seed, lambda: DiscreteAutoencoder(make_bottleneck(), tuple(images.shape[1:]), network, means.cpu())
    ).to(images.device)

    def objective(indices: Tensor, generator: torch.Generator) -> Tensor:
        batch = images[indices] if draw is None else draw(indices, fit.progress, generator)
        return model.loss(batch, generator)

    fit = Fit(model, objective, len(images), training or FitConfig(), seed, model.bottleneck.anneal)
    return fit


def fit_autoencoder(
    images: Tensor,
    make_bottleneck: Callable[[], Bottleneck],
    network: NetworkConfig | None = None,
    training: FitConfig | None = None,
    seed: int = 0,
) -> DiscreteAutoencoder:
    """A trained autoencoder, in evaluation mode; arguments and errors as in `begin_autoencoder`.

    Raises:
        RunError: the loss is not finite.
    """
    return _finish(begin_autoencoder(images, make_bottleneck, network, training, seed))


@torch.no_grad()
def encode(autoencoder: DiscreteAutoencoder, images: Tensor, batch: int = 1000) -> Tensor:
    """Codes int64 (N, L) of many images, in evaluation mode, batch by batch."""
    num_latents = autoencoder.bottleneck.num_latents
    codes = torch.empty((len(images), num_latents), dtype=torch.int64, device=images.device)
    for start in range(0, len(images), batch):  # filled in place: a list of parts would hold everything twice
        codes[start : start + batch] = autoencoder.encode(images[start : start + batch])
    return codes


def begin_prior(
    codes: Tensor,
    num_categories: int,
    config: LSTMPriorConfig | None = None,
    training: FitConfig | None = None,
    seed: int = 0,
    context: Tensor | None = None,
    draw: Draw | None = None,
) -> Fit[LSTMPrior]:
    """A fit of a fresh LSTM prior to codes, not yet advanced.

    Args:
        codes: int64 (N, L) in [0, num_categories), on the device to train on.
        num_categories: K.
        config: the prior's sizes.
        training: how to fit.
        seed: of weights, order and dropout.
        context: float32 (N, context_dim), one row per code, for a conditional prior.
        draw: codes to train on in place of `codes[indices]`, for example those of distorted images.

    Raises:
        UsageError: no codes, codes outside their range, a context of another length, or settings outside theirs.
    """
    if codes.ndim != 2 or len(codes) == 0:
        raise UsageError(f"codes must have shape (N, L) with N >= 1, got {tuple(codes.shape)}")
    check_codes(codes, codes.shape[1], num_categories)
    if context is not None and (context.ndim != 2 or len(context) != len(codes)):
        raise UsageError(f"context must have shape ({len(codes)}, context_dim), got {tuple(context.shape)}")
    context_dim = 0 if context is None else context.shape[1]
    prior = _seeded(seed, lambda: LSTMPrior(codes.shape[1], num_categories, config, context_dim)).to(codes.device)

    def objective(indices: Tensor, generator: torch.Generator) -> Tensor:
        given = None if context is None else context[indices]
        batch = codes[indices] if draw is None else draw(indices, fit.progress, generator)
        return prior.loss(batch, given, generator)

    fit = Fit(prior, objective, len(codes), training or FitConfig(), seed)
    return fit


def fit_prior(
    codes: Tensor,
    num_categories: int,
    config: LSTMPriorConfig | None = None,
    training: FitConfig | None = None,
    seed: int = 0,
    context: Tensor | None = None,
) -> LSTMPrior:
    """A trained LSTM prior, in evaluation mode; arguments and errors as in `begin_prior`.

    Raises:
        RunError: the loss is not finite.
    """
    return _finish(begin_prior(codes, num_categories, config, training, seed, context))


def _check_images(images: Tensor) -> None:
    if images.ndim < 2 or images.numel() == 0:
        raise UsageError(f"images must have shape (N, ...) with N >= 1, got {tuple(images.shape)}")
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise UsageError(f"images must be uint8 or floating point in [0, 1], got {images.dtype}")
    low, high = (float(value) for value in images.aminmax())  # both are NaN where any pixel is
    if math.isnan(low):
        bad = int(images.flatten(1).isnan().any(1).nonzero()[0])
        raise RunError(f"image {bad} holds pixels that are NaN: repair the data")
    if low < 0.0 or high > 1.0:
        raise UsageError(f"pixels must be in [0, 1], got values from {low:g} to {high:g}: divide them by 255")


def _finish(fit: Fit[Module]) -> Module:
    fit.advance(fit.total_steps)
    fit.close()
    return fit.model


def _seeded(seed: int, build: Callable[[], Module]) -> Module:
    """What `build` makes with weights that depend on `seed` alone; the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        return build()
