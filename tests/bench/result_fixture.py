"""A full benchmark result with plausible figures, made from a handful of numbers per row."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOOR = 45.534
REAL_SCORE = 9.87

# name: method, L, K, BCE, score of reconstructions, code length of the LSTM as a share of the capacity,
# and the scores of samples drawn uniformly, independently and from the LSTM
ROWS: dict[str, tuple[str, int, int, float, float, float, tuple[float, float, float]]] = {
    "gs-16x2": ("gs", 16, 2, 104.6, 9.02, 0.96, (6.91, 6.95, 8.61)),
    "ish-16x2": ("ish", 16, 2, 106.2, 8.94, 0.95, (6.35, 6.41, 8.52)),
    "gs-32x2": ("gs", 32, 2, 85.1, 9.41, 0.81, (5.31, 5.28, 8.88)),
    "ish-32x2": ("ish", 32, 2, 84.3, 9.45, 0.77, (4.99, 4.93, 8.79)),
    "gs-10x10": ("gs", 10, 10, 86.9, 9.38, 0.80, (4.71, 4.84, 8.70)),
    "gs-96x2": ("gs", 96, 2, 66.8, 9.75, 0.66, (3.94, 3.90, 8.32)),
    "ish-96x2": ("ish", 96, 2, 65.2, 9.77, 0.62, (4.19, 4.05, 8.21)),
    "gs-30x10": ("gs", 30, 10, 70.9, 9.70, 0.68, (3.73, 3.81, 7.78)),
}


def stat(mean: float, seeds: int = 3, std: float | None = None) -> dict[str, Any]:
    """A statistic of `seeds` values around `mean`; `std` defaults to 0.4 % of it."""
    if seeds == 1:
        return {"mean": mean, "std": 0.0, "values": [mean]}
    wide = 0.004 * abs(mean) if std is None else std
    offsets = np.linspace(-1.0, 1.0, seeds)
    values = mean + offsets * wide / offsets.std(ddof=1)
    return {"mean": mean, "std": wide, "values": [float(v) for v in values]}


def make_row(name: str, seeds: int = 3) -> dict[str, Any]:
    """One row in the form of result.json."""
    method, latents, categories, bce, score, share, scores = ROWS[name]
    nats = latents * math.log(categories)
    noise = np.random.default_rng(latents * categories)
    entropy = math.log(categories) * (1 - noise.beta(1.2, 22.0, size=(seeds, latents)))
    priors = {}
    for prior, length, sample_score in zip(
        ("uniform", "independent", "lstm"), (nats, 0.985 * nats, share * nats), scores, strict=True
    ):
        priors[prior] = {
            "code_length": stat(length, seeds),
            "total_nats": stat(length + bce, seeds),
            "bits_per_dim": stat((length + bce) / (784 * math.log(2)), seeds),
            "inception_score": stat(sample_score, seeds, 0.04),
            "log_inception_score": stat(math.log(sample_score), seeds),
            "inception_score_splits": [{"mean": sample_score - 0.02, "std": 0.07}] * seeds,
            "frechet_distance": stat(260.0 * (REAL_SCORE - sample_score) / REAL_SCORE + 2, seeds),
            "score_over_reconstructions": stat(sample_score / score, seeds),
        }
    return {
        "name": name,
        "method": method,
        "num_latents": latents,
        "num_categories": categories,
        "capacity_bits": latents * math.log2(categories),
        "capacity_nats": nats,
        "seeds": list(range(seeds)),
        "reconstruction_bce": stat(bce, seeds, 0.25),
        "excess_bce": stat(bce - FLOOR, seeds, 0.25),
        "sampled_bce": stat(bce + 1.9, seeds, 0.3),
        "reconstruction": {
            "inception_score": stat(score, seeds, 0.02),
            "log_inception_score": stat(math.log(score), seeds),
            "frechet_distance": stat(60 * (REAL_SCORE - score) / REAL_SCORE + 1.3, seeds),
            "score_over_real": stat(score / REAL_SCORE, seeds),
        },
        "codes": {
            "entropy": stat(float(entropy.mean()), seeds),
            "perplexity": stat(float(np.exp(entropy).mean()), seeds),
            "usage": stat(1.0, seeds, 0.0),
            "dead": stat(0.0, seeds, 0.0),
            "total_correlation_bound": stat(0.985 * nats - share * nats, seeds),
        },
        "variables": [
            {
                "seed": seed,
                "entropy": entropy[seed].tolist(),
                "perplexity": np.exp(entropy[seed]).tolist(),
                "usage": [1.0] * latents,
            }
            for seed in range(seeds)
        ],
        "priors": priors,
        "seconds": {
            "autoencoder": stat(182.0, seeds),
            "prior": stat(74.0, seeds),
            "evaluation": stat(21.0, seeds),
            "total": stat(277.0, seeds),
        },
        "images_per_second": stat(15400.0, seeds),
        "codes_per_second": stat(31200.0, seeds),
        "peak_memory_bytes": stat(7.4e8, seeds),
        "parameters": {"autoencoder": 1_893_000, "prior": 412_000},
    }


def make_curves() -> list[dict[str, Any]]:
    """The curves of the full profile: four series over five sizes, one seed."""
    points = []
    for method, categories, start in (
        ("gs", 2, 126.0),
        ("gs", 5, 112.0),
        ("gs", 10, 106.0),
        ("ish", 2, 129.0),
    ):
        for latents in (8, 16, 32, 64, 96):
            bits = latents * math.log2(categories)
            bce = 62 + (start - 62) * (8 / latents) ** (0.62 if method == "gs" else 0.68)
            scores = [9.1 - 1.05 * math.log2(bits / 6), 9.12 - 1.03 * math.log2(bits / 6), 8.9 - bits / 130]
            points.append(
                {
                    "method": method,
                    "num_categories": categories,
                    "num_latents": latents,
                    "seed": 0,
                    "reconstruction_bce": bce,
                    "inception_score": dict(zip(("uniform", "independent", "lstm"), scores, strict=True)),
                    "reconstruction_score": 9.8 - 4.2 / math.sqrt(bits),
                    "code_length": 0.75 * bits * math.log(2),
                }
            )
    return points


def make_result(names: list[str] | None = None, seeds: int = 3, curves: bool = True) -> dict[str, Any]:
    """A whole result of the full profile, or of the rows `names`."""
    return {
        "schema_version": 1,
        "command": "rl-discrete mnist-bench --profile full --out runs/mnist",
        "profile": "full",
        "preset": "best",
        "seeds": list(range(seeds)),
        "complete": True,
        "data": {"name": "mnist", "train": 55000, "validation": 5000, "test": 10000},
        "versions": {"rl-discrete": "0.1.0", "python": "3.12.3", "torch": "2.14.1"},
        "machine": {
            "cpu": "Example CPU @ 2.80GHz",
            "cores": 2,
            "workers": 2,
            "threads_per_worker": 1,
            "device": "cpu",
        },
        "seconds_total": 7420.0,
        "peak_memory_bytes": 912_000_000,
        "reference": {
            "bce_floor": FLOOR,
            "factorial_bce": 205.65,
            "judge": {"accuracy": 0.9963, "sha256": "ab" * 32},
            "test_images": {
                "inception_score": REAL_SCORE,
                "log_inception_score": math.log(REAL_SCORE),
                "inception_score_splits": {"mean": 9.84, "std": 0.03},
                "frechet_distance": 0.9,
            },
        },
        "rows": [make_row(name, seeds) for name in (names or list(ROWS))],
        "curves": make_curves() if curves else [],
        "conclusions": [],
    }


def partial_result() -> dict[str, Any]:
    """What a stopped smoke run leaves: two rows, one seed, no LSTM prior in one of them, nulls, no curves."""
    result = copy.deepcopy(make_result(["gs-16x2", "ish-32x2"], seeds=1, curves=False))
    result |= {
        "profile": "smoke",
        "complete": False,
        "reference": {"bce_floor": FLOOR},
        "machine": {},
        "versions": {},
    }
    del result["seconds_total"]
    first, second = result["rows"]
    del first["priors"]["lstm"]
    del first["codes"]
    first["variables"] = []
    second["reconstruction_bce"] = {"mean": None, "std": None, "values": [None]}
    second["sampled_bce"] = None
    return result


def blob_images(count: int = 64, seed: int = 0) -> dict[str, dict[str, NDArray[np.uint8]]]:
    """Round blobs for every row, in the form of the arrays of images.npz."""
    draw = np.random.default_rng(seed)
    axis = np.arange(28)
    names = ("originals", "reconstructions", "samples_uniform", "samples_independent", "samples_lstm")

    def blobs() -> NDArray[np.uint8]:
        x, y = draw.uniform(8, 20, size=(2, count, 1, 1))
        radius = draw.uniform(2, 5, size=(count, 1, 1))
        distance = (axis[None, :, None] - y) ** 2 + (axis[None, None, :] - x) ** 2
        return np.asarray(255 * np.exp(-distance / (2 * radius**2)), dtype=np.uint8)

    return {row: {name: blobs() for name in names} for row in ROWS}
