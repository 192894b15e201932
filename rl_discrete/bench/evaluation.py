"""The figures of one trained row, on the test set: each metric as `metrics.py` defines it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.bench.job import RowJob
from rl_discrete.bench.judge import Judge, judge_outputs
from rl_discrete.bench.metrics import (
    bits_per_dim,
    code_statistics,
    factorial_bce,
    grey_entropy_floor,
    inception_score,
    judge_frechet_distance,
    reconstruction_bce,
    total_correlation_bound,
)
from rl_discrete.bench.trained_row import TrainedRow
from rl_discrete.data.mnist import ImageDataset
from rl_discrete.latents.autoencoder import DiscreteAutoencoder
from rl_discrete.latents.prior import Prior, UniformPrior
from rl_discrete.latents.train import encode
from rl_discrete.runs.seeding import make_generator

NUM_SPLITS = 10
NUM_SHOWN = 64
_BATCH = 1000

Beat = Callable[[int, int, str], None]
"""Called with parts done, parts in all and what is being evaluated; may raise to stop the evaluation."""


def judge_scores(judge: Judge, images: Tensor, real_features: Tensor) -> dict[str, Any]:
    """Inception score (full set, its logarithm, 10 splits) and Fréchet distance to the real test images.

    images: float32 in [0, 1] or uint8, (N, 28, 28); real_features: float32 (M, F), the judge's of the test images.
    """
    log_probs, features = judge_outputs(judge, images)
    score = inception_score(log_probs)[0]
    splits = inception_score(log_probs, NUM_SPLITS)
    return {
        "inception_score": score,
        "log_inception_score": float(np.log(score)),
        "inception_score_splits": {"mean": float(np.mean(splits)), "std": float(np.std(splits, ddof=1))},
        "frechet_distance": judge_frechet_distance(real_features, features),
    }


def evaluate_reference(judge: Judge, data: ImageDataset) -> tuple[dict[str, Any], Tensor]:
    """What every row is compared with: the floor, the factorial model, and real images before the judge.

    Returns:
        `reference` of result.json without the judge's card, and the judge's features of the test images (M, F).
    """
    _, features = judge_outputs(judge, data.test_images)
    scores = judge_scores(judge, data.test_images, features)
    _, train_features = judge_outputs(judge, data.train_images[: len(data.test_images)])
    scores["frechet_distance"] = judge_frechet_distance(features, train_features)
    reference = {
        "bce_floor": grey_entropy_floor(data.test_images),
        "factorial_bce": factorial_bce(data.train_images, data.test_images),
        "test_images": scores,
    }
    return reference, features


def evaluate_row(
    job: RowJob, trained: TrainedRow, data: ImageDataset, judge: Judge, real_features: Tensor, beat: Beat
) -> tuple[dict[str, Any], dict[str, NDArray[np.uint8]]]:
    """Every metric of one row with one seed, flat figures, and the pictures for the grids.

    Returns:
        The figures of one seed as result.json names them, and uint8 arrays (64, 28, 28): `originals`,
        `reconstructions`, `samples_<prior>`.
    """
    parts = ["reconstructions", "uniform", "independent", "lstm"]
    beat(0, len(parts), parts[0])
    model = trained.autoencoder
    images = data.test_images.to(trained.independent.device)
    codes = encode(model, images)
    bce = _code_bce(model, codes, images)
    decoded = _decode(model, codes)
    scores = judge_scores(judge, decoded, real_features)
    statistics = code_statistics(codes, job.row.num_categories)
    generator = make_generator(job.seed, "evaluation", device=images.device)
    figures: dict[str, Any] = {
        "reconstruction_bce": bce,
        "sampled_bce": _code_bce(model, _noisy_codes(model, images, generator), images),
        "reconstruction": scores,
        "variables": {
            "entropy": statistics.entropy.tolist(),
            "perplexity": statistics.perplexity.tolist(),
            "usage": statistics.usage.tolist(),
        },
        "dead": statistics.dead,
        "priors": {},
    }
    pictures = {"originals": _bytes(images[:NUM_SHOWN]), "reconstructions": _bytes(decoded[:NUM_SHOWN])}
    priors: dict[str, Prior] = {
        "uniform": UniformPrior(job.row.num_latents, job.row.num_categories).to(images.device),
        "independent": trained.independent,
        "lstm": trained.lstm,
    }
    for done, (name, prior) in enumerate(priors.items(), start=1):
        beat(done, len(parts), f"samples of the {name} prior")
        noise = make_generator(job.seed, "samples", name, device=images.device)
        samples = _decode(model, _sample(prior, job.config.num_samples, noise))
        length = _code_length(prior, codes)
        figures["priors"][name] = {
            "code_length": length,
            "total_nats": length + bce,
            "bits_per_dim": bits_per_dim(length + bce, model.num_pixels),
            **judge_scores(judge, samples, real_features),
        }
        pictures[f"samples_{name}"] = _bytes(samples[:NUM_SHOWN])
    length = figures["priors"]["lstm"]["code_length"]
    figures["total_correlation_bound"] = total_correlation_bound(statistics.sum_entropy, length)
    beat(len(parts), len(parts), "done")
    return figures, pictures


@torch.no_grad()
def _code_bce(model: DiscreteAutoencoder, codes: Tensor, images: Tensor) -> float:
    """Mean reconstruction BCE, nats per image, from codes alone: nothing else of the image reaches the decoder."""
    parts = [
        reconstruction_bce(model.decoder(model.bottleneck.embed(part)), target)
        for part, target in zip(codes.split(_BATCH), images.split(_BATCH), strict=True)
    ]
    return float(torch.cat(parts).double().mean())


@torch.no_grad()
def _noisy_codes(model: DiscreteAutoencoder, images: Tensor, generator: torch.Generator) -> Tensor:
    """Codes drawn with the bottleneck's training noise, (N, L)."""
    model.bottleneck.train()
    parts = [model.bottleneck(model.encoder(model.pixels(part)), generator).codes for part in images.split(_BATCH)]
    model.bottleneck.eval()
    return torch.cat(parts)


@torch.no_grad()
def _code_length(prior: Prior, codes: Tensor) -> float:
    """Mean of -log p(codes), nats per image."""
    return -float(torch.cat([prior.log_prob(part) for part in codes.split(_BATCH)]).double().mean())


def _sample(prior: Prior, num_samples: int, generator: torch.Generator) -> Tensor:
    """Codes (num_samples, L), a few at a time: 10,000 at once would take 100 MB of logits."""
    sizes = [min(_BATCH, num_samples - start) for start in range(0, num_samples, _BATCH)]
    return torch.cat([prior.sample(size, generator=generator) for size in sizes])


@torch.no_grad()
def _decode(model: DiscreteAutoencoder, codes: Tensor) -> Tensor:
    """Pixel probabilities (N, 28, 28), filled in place: a list of parts would hold everything twice."""
    images = torch.empty((len(codes), *model.image_shape), device=codes.device)
    for start in range(0, len(codes), _BATCH):
        images[start : start + _BATCH] = model.decode(codes[start : start + _BATCH])
    return images


def _bytes(images: Tensor) -> NDArray[np.uint8]:
    """Images (N, 28, 28), uint8 or in [0, 1], as a uint8 array."""
    pixels = images if images.dtype == torch.uint8 else (images * 255.0).round().to(torch.uint8)
    array: NDArray[np.uint8] = pixels.cpu().numpy()
    return array
