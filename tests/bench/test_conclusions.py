"""Every verdict is planted both ways: it must follow the figures, and be withheld where they do not suffice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from rl_discrete.bench.conclusions import conclude
from rl_discrete.bench.scaling import equal_bits_deviation
from tests.bench.result_fixture import FLOOR, ROWS, make_result, stat

COMPARABLE, SAMPLING, SCALING, CATEGORIES, HYPERPARAMETERS, BINARY = range(6)


@dataclass(frozen=True)
class TwoSettings:
    first: float = 0.0
    shared: float = 0.0
    second: float = 0.0


@dataclass(frozen=True)
class OneSetting:
    shared: float = 0.0
    own: float = 0.0


def row(result: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in result["rows"] if entry["name"] == name)


def plant_bce(result: dict[str, Any], values: dict[str, float], std: float = 0.2, seeds: int = 3) -> None:
    for name, value in values.items():
        row(result, name)["reconstruction_bce"] = stat(value, seeds, std)
        row(result, name)["excess_bce"] = stat(value - FLOOR, seeds, std)


def plant_scores(result: dict[str, Any], values: dict[str, float], prior: str = "lstm", std: float = 0.03) -> None:
    for name, value in values.items():
        row(result, name)["priors"][prior]["inception_score"] = stat(value, 3, std)
        row(result, name)["priors"][prior]["frechet_distance"] = stat(100 - 10 * value, 3, 0.1)


def verdict(result: dict[str, Any], claim: int, **kwargs: Any) -> str:
    return conclude(result, **kwargs)[claim]["verdict"]


def evidence(result: dict[str, Any], claim: int, **kwargs: Any) -> str:
    return conclude(result, **kwargs)[claim]["evidence"]


def alike() -> dict[str, Any]:
    """Every row of one size has the same BCE and every row the same scores."""
    result = make_result(curves=False)
    sizes = {"16x2": 105.0, "32x2": 85.0, "10x10": 85.0, "96x2": 67.0, "30x10": 67.0}
    plant_bce(result, {name: sizes[name.split("-")[1]] for name in ROWS})
    plant_scores(result, dict.fromkeys(ROWS, 8.5))
    return result


def test_there_are_six_claims_with_plain_evidence() -> None:
    conclusions = conclude(make_result())
    assert len(conclusions) == 6
    for conclusion in conclusions:
        assert set(conclusion) == {"claim", "verdict", "evidence"}
        assert conclusion["verdict"] in ("supported", "contradicted", "undecided")
        assert "<" not in conclusion["evidence"]


def test_comparable() -> None:
    result = alike()
    assert verdict(result, COMPARABLE) == "supported"
    plant_bce(result, {"gs-32x2": 95.0})
    assert verdict(result, COMPARABLE) == "contradicted"
    assert "gs-32x2 95.0" in evidence(result, COMPARABLE)
    result = alike()
    plant_scores(result, {"ish-96x2": 7.5})
    assert verdict(result, COMPARABLE) == "contradicted"


def test_comparable_is_undecided_under_a_wide_spread() -> None:
    result = alike()
    plant_bce(result, {"gs-32x2": 95.0}, std=9.0)
    assert verdict(result, COMPARABLE) == "undecided"


def test_one_pair_can_contradict_but_not_support_comparable() -> None:
    result = make_result(["gs-30x10", "ish-96x2"], curves=False)
    plant_bce(result, {"gs-30x10": 66.0, "ish-96x2": 66.0})
    plant_scores(result, {"gs-30x10": 8.5, "ish-96x2": 8.5})
    assert verdict(result, COMPARABLE) == "undecided"
    assert "Not in this run: gs-16x2" in evidence(result, COMPARABLE)
    plant_bce(result, {"gs-30x10": 76.0})
    assert verdict(result, COMPARABLE) == "contradicted"


@pytest.mark.parametrize(("better", "expected"), [("gs", "supported"), ("ish", "contradicted"), ("", "undecided")])
def test_sampling(better: str, expected: str) -> None:
    result = alike()
    plant_scores(result, {name: 8.9 for name in ROWS if better and name.startswith(better + "-")})
    assert verdict(result, SAMPLING) == expected


def test_sampling_needs_the_frechet_distance_to_agree() -> None:
    result = alike()
    plant_scores(result, {name: 8.9 for name in ROWS if name.startswith("gs-")})
    for name in ROWS:
        if name.startswith("gs-"):
            row(result, name)["priors"]["lstm"]["frechet_distance"] = stat(90.0, 3, 0.1)
    assert verdict(result, SAMPLING) == "undecided"


def test_sampling_is_undecided_where_the_methods_share_the_pairs() -> None:
    result = alike()
    plant_scores(result, {"gs-16x2": 8.9, "gs-32x2": 8.9, "gs-96x2": 8.9, "ish-96x2": 9.3})
    assert verdict(result, SAMPLING) == "undecided"


def test_sampling_is_undecided_under_a_wide_spread_or_with_one_pair() -> None:
    result = alike()
    plant_scores(result, {name: 8.9 for name in ROWS if name.startswith("gs-")}, std=0.4)
    assert verdict(result, SAMPLING) == "undecided"
    result["rows"] = [entry for entry in result["rows"] if "32x2" in entry["name"]]
    plant_scores(result, {"gs-32x2": 9.5})
    assert verdict(result, SAMPLING) == "undecided"
    assert ": gs-32x2." in evidence(result, SAMPLING)


def test_scaling_by_rows() -> None:
    result = alike()
    assert verdict(result, SCALING) == "undecided"
    plant_bce(result, {"gs-96x2": 70.0})
    assert verdict(result, SCALING) == "supported"
    plant_bce(result, {"gs-96x2": 64.0})
    assert verdict(result, SCALING) == "contradicted"
    plant_bce(result, {"gs-96x2": 64.0}, std=4.0)
    assert verdict(result, SCALING) == "undecided"


def test_scaling_needs_hashing_not_to_be_behind() -> None:
    result = alike()
    plant_bce(result, {"ish-16x2": 125.0, "ish-96x2": 70.0})
    assert verdict(result, SCALING) == "undecided"
    assert "still behind" in evidence(result, SCALING)


def test_scaling_by_rows_and_curves_must_agree() -> None:
    result = alike()
    result["curves"] = make_result()["curves"]  # on these, hashing gains more
    plant_bce(result, {"gs-96x2": 70.0})
    assert verdict(result, SCALING) == "supported"
    plant_bce(result, {"gs-96x2": 64.0})
    assert verdict(result, SCALING) == "undecided"
    assert "do not agree" in evidence(result, SCALING)
    result["rows"] = []
    assert verdict(result, SCALING) == "supported"


def test_category_sensitivity() -> None:
    result = alike()
    assert verdict(result, CATEGORIES) == "contradicted"
    plant_bce(result, {"gs-30x10": 72.0})
    assert verdict(result, CATEGORIES) == "supported"
    plant_bce(result, {"gs-30x10": 72.0}, std=5.0)
    assert verdict(result, CATEGORIES) == "undecided"
    result["rows"] = [entry for entry in alike()["rows"] if entry["name"] in ("gs-32x2", "gs-10x10")]
    assert verdict(result, CATEGORIES) == "undecided"
    assert "gs-30x10" in evidence(result, CATEGORIES)


def test_hyperparameters_are_counted_without_the_shared_ones() -> None:
    result = alike()
    assert verdict(result, HYPERPARAMETERS, configs={"gs": TwoSettings, "ish": OneSetting}) == "supported"
    assert verdict(result, HYPERPARAMETERS, configs={"gs": OneSetting, "ish": TwoSettings()}) == "contradicted"
    assert verdict(result, HYPERPARAMETERS, configs={"gs": OneSetting, "ish": OneSetting}) == "undecided"
    assert verdict(result, HYPERPARAMETERS, configs={}) == "undecided"
    text = evidence(result, HYPERPARAMETERS, configs={"gs": TwoSettings, "ish": OneSetting})
    assert "gs: 2 settings of its own (first and second)" in text
    assert "ish: 1 settings of its own (own)" in text


def test_binary_and_recurrent() -> None:
    result = alike()
    assert verdict(result, BINARY) == "undecided"  # the categories make no difference
    plant_scores(result, {"gs-10x10": 8.0, "gs-30x10": 8.0})
    assert verdict(result, BINARY) == "supported"
    plant_scores(result, dict.fromkeys(ROWS, 9.0), prior="independent")
    assert verdict(result, BINARY) == "contradicted"
    result = alike()
    plant_scores(result, {"gs-10x10": 8.9, "gs-30x10": 8.9})
    assert verdict(result, BINARY) == "contradicted"


def test_a_single_seed_gets_an_assumed_spread() -> None:
    result = alike()
    for name in ("gs-96x2", "ish-96x2", "gs-16x2", "ish-16x2"):
        plant_bce(result, {name: {"gs-96x2": 68.3}.get(name, 67.0 if "96" in name else 105.0)}, seeds=1)
    assert verdict(result, SCALING) == "supported"  # 1.3 nats, four runs of 0.5 each: spread 1.0
    assert "spread 1.0" in evidence(result, SCALING)
    plant_bce(result, {"gs-96x2": 67.9}, seeds=1)
    assert verdict(result, SCALING) == "undecided"


def test_smoke_decides_nothing_that_needs_training() -> None:
    result = alike() | {"profile": "smoke"}
    verdicts = [conclusion["verdict"] for conclusion in conclude(result)]
    assert [v for i, v in enumerate(verdicts) if i != HYPERPARAMETERS] == ["undecided"] * 5


def drop_rows(result: dict[str, Any]) -> None:
    result["rows"] = []


def keep_deck_pairs_of_unequal_bits(result: dict[str, Any]) -> None:
    result["rows"] = [entry for entry in result["rows"] if entry["name"] in ("gs-16x2", "ish-32x2")]


def drop_priors(result: dict[str, Any]) -> None:
    for entry in result["rows"]:
        del entry["priors"]


def null_figures(result: dict[str, Any]) -> None:
    for entry in result["rows"]:
        for key in ("reconstruction_bce", "excess_bce"):
            entry[key] = {"mean": None, "std": None, "values": [None]}


@pytest.mark.parametrize("damage", [drop_rows, keep_deck_pairs_of_unequal_bits])
def test_missing_rows_are_named(damage: Callable[[dict[str, Any]], None]) -> None:
    result = alike()
    damage(result)
    for claim in (COMPARABLE, SAMPLING, SCALING, CATEGORIES, BINARY):
        assert verdict(result, claim) == "undecided"
        assert "x2" in evidence(result, claim)


def test_missing_figures_withhold_the_verdicts_that_need_them() -> None:
    result = alike()
    drop_priors(result)
    assert verdict(result, SAMPLING) == verdict(result, BINARY) == "undecided"
    assert verdict(result, COMPARABLE) == "supported"
    result = alike()
    null_figures(result)
    assert verdict(result, SCALING) == "undecided"


def test_equal_bits_deviation_interpolates_and_never_extrapolates() -> None:
    points = [("gs", 2, 8, 120.0), ("gs", 2, 32, 80.0), ("gs", 4, 8, 97.0), ("gs", 4, 32, 50.0)]
    curves = [
        {"method": m, "num_categories": k, "num_latents": n, "reconstruction_bce": bce} for m, k, n, bce in points
    ]
    # 8 variables of 4 categories hold 16 bits, half-way between 8 and 32 on the logarithmic axis: 100 nats
    deviation = equal_bits_deviation({"curves": curves}, 4)
    assert deviation is not None
    assert list(deviation) == pytest.approx([-3.0, -3.0])
    assert equal_bits_deviation({"curves": curves[:2]}, 4) is None
