"""From the figures of single seeds to the rows of result.json (schema in docs/result_schema.md)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rl_discrete.bench.config import Row
from rl_discrete.runs.statistics import Statistic, summarize

SCHEMA_VERSION = 1
PRIORS = ("uniform", "independent", "lstm")

Figures = Mapping[str, Any]
"""What one worker measured: one row with one seed."""


def row_entry(
    row: Row, seeds: Sequence[int], figures: Sequence[Figures], bce_floor: float, real_score: float
) -> dict[str, Any]:
    """One entry of `rows`: every figure as mean, sample standard deviation and one value per seed.

    Args:
        row: the row.
        seeds: its seeds, in the order of `figures`.
        figures: what the workers measured.
        bce_floor: strict floor of the BCE on the test images, nats.
        real_score: Inception score of the real test images.
    """

    def over_seeds(value: Callable[[Figures], float]) -> Statistic:
        return summarize([value(seed) for seed in figures])

    stages = ("autoencoder", "prior", "evaluation")
    return {
        "name": row.name,
        "method": row.method,
        "num_latents": row.num_latents,
        "num_categories": row.num_categories,
        "capacity_bits": row.num_latents * math.log2(row.num_categories),
        "capacity_nats": row.num_latents * math.log(row.num_categories),
        "seeds": list(seeds),
        "reconstruction_bce": over_seeds(lambda f: f["reconstruction_bce"]),
        "excess_bce": over_seeds(lambda f: f["reconstruction_bce"] - bce_floor),
        "sampled_bce": over_seeds(lambda f: f["sampled_bce"]),
        "reconstruction": {
            **{key: over_seeds(_under("reconstruction", key)) for key in _SCORES},
            "score_over_real": over_seeds(lambda f: f["reconstruction"]["inception_score"] / real_score),
        },
        "codes": {
            **{key: over_seeds(_mean_over_variables(key)) for key in ("entropy", "perplexity", "usage")},
            "dead": over_seeds(lambda f: f["dead"]),
            "total_correlation_bound": over_seeds(lambda f: f["total_correlation_bound"]),
        },
        "variables": [{"seed": seed, **one["variables"]} for seed, one in zip(seeds, figures, strict=True)],
        "priors": {name: _prior_entry(name, figures) for name in PRIORS},
        "seconds": {
            **{stage: over_seeds(_under("seconds", stage)) for stage in stages},
            "total": over_seeds(lambda f: sum(f["seconds"][stage] for stage in stages)),
        },
        "images_per_second": over_seeds(lambda f: f["images_per_second"]),
        "codes_per_second": over_seeds(lambda f: f["codes_per_second"]),
        "peak_memory_bytes": over_seeds(lambda f: f["peak_memory_bytes"]),
        "parameters": dict(figures[0]["parameters"]),
    }


_SCORES = ("inception_score", "log_inception_score", "frechet_distance")


def _prior_entry(name: str, figures: Sequence[Figures]) -> dict[str, Any]:
    measured = [one["priors"][name] for one in figures]
    keys = ("code_length", "total_nats", "bits_per_dim", *_SCORES)
    shares = [one["priors"][name]["inception_score"] / one["reconstruction"]["inception_score"] for one in figures]
    return {
        **{key: summarize([one[key] for one in measured]) for key in keys},
        "inception_score_splits": [one["inception_score_splits"] for one in measured],
        "score_over_reconstructions": summarize(shares),
    }


def curve_point(row: Row, seed: int, figures: Figures) -> dict[str, Any]:
    """One point of the curves over the number of latents."""
    return {
        "method": row.method,
        "num_categories": row.num_categories,
        "num_latents": row.num_latents,
        "seed": seed,
        "reconstruction_bce": figures["reconstruction_bce"],
        "inception_score": {name: figures["priors"][name]["inception_score"] for name in PRIORS},
        "reconstruction_score": figures["reconstruction"]["inception_score"],
        "code_length": figures["priors"]["lstm"]["code_length"],
    }


def _under(group: str, key: str) -> Callable[[Figures], float]:
    return lambda figures: float(figures[group][key])


def _mean_over_variables(key: str) -> Callable[[Figures], float]:
    return lambda figures: math.fsum(figures["variables"][key]) / len(figures["variables"][key])
