"""What is said of many rollouts at once: means over what can be compared, precision and recall of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Columns: TypeAlias = dict[str, Floats]
"""(N,) or (N, horizons) each, nan where there is nothing to compare."""
Events: TypeAlias = dict[str, NDArray[Any]]
"""(N, steps) each."""
_LOGGED = ("mean", "median", "near", "lost", "ghost")  # of an object
REAL = "_real"
KINDS = ("", "_copy", "_reconstruction", REAL)
"""Pictures in which objects are looked for: imagined, the last frame repeated, true codes decoded, the real frames."""
NEAR = 2.0
"""Pixels within which an object counts as found where it is."""


def object_figures(columns: Mapping[str, Floats], name: str) -> dict[str, list[float]]:
    """What `rollout_errors` says of one object: for the model and its controls, `KINDS`."""
    figures: dict[str, list[float]] = {}
    for kind in KINDS:
        if f"{name}:error{kind}" in columns:
            distance = columns[f"{name}:error{kind}"]
            figures |= {f"mean{kind}": means(distance), f"median{kind}": medians(distance)}
            if kind != REAL:  # in which nothing is lost, by definition
                figures |= {f"{part}{kind}": means(columns[f"{name}:{part}{kind}"]) for part in ("lost", "ghost")}
            visible = ~np.isnan(columns[f"{name}:lost{kind}"])
            figures[f"near{kind}"] = means(np.where(visible, distance <= NEAR, np.nan))  # what is lost is not near
    return figures


def object_columns(places: Mapping[str, Floats], located: Mapping[str, Mapping[str, Floats]]) -> Columns:
    """Of each object and kind of picture: `error` in pixels, and whether it is `lost` or a `ghost`; (N,) each.

    Args:
        places: object -> where it is in truth (N, 2).
        located: kind -> object -> where it is seen (N, 2), nan where it is not; `REAL` decides whether it is there.
    """
    columns: Columns = {}
    for name, place in places.items():
        visible = ~np.isnan(located[REAL][name][:, 0])
        for kind, found in located.items():
            missing = np.isnan(found[name][:, 0])
            distance = np.linalg.norm(found[name] - place, axis=1)  # nan where it is missing
            columns[f"{name}:error{kind}"] = np.where(visible, distance, np.nan)
            columns[f"{name}:lost{kind}"] = np.where(visible, missing, np.nan)
            columns[f"{name}:ghost{kind}"] = np.where(visible, np.nan, ~missing)
    return columns


def event_figures(
    real: NDArray[np.bool_], imagined: NDArray[np.bool_], happened: Mapping[str, NDArray[Any]], horizons: Sequence[int]
) -> dict[str, list[float]]:
    """Precision and recall, exact to the step, in the steps since the horizon before.

    What a model says after an end of its own does not count; what happens in truth counts to the real end.
    """
    inside, ends = happened["inside"], happened["imagined_end"].astype(np.int64)
    goes_on = ends.cumsum(axis=1) - ends == 0  # (N, steps): no imagined end before this step
    real, imagined = real & inside, imagined & inside & goes_on
    figures: dict[str, list[float]] = {"real": [], "imagined": [], "precision": [], "recall": []}
    for begin, end in zip((0, *horizons), horizons, strict=False):
        truth, said = real[:, begin:end], imagined[:, begin:end]
        hits, numbers = int((truth & said).sum()), (int(truth.sum()), int(said.sum()))
        figures["real"].append(numbers[0])
        figures["imagined"].append(numbers[1])
        figures["recall"].append(hits / numbers[0] if numbers[0] else float("nan"))
        figures["precision"].append(hits / numbers[1] if numbers[1] else float("nan"))
    return figures


def rollout_metrics(errors: Mapping[str, Any]) -> dict[str, float]:
    """What a log says of `rollout_errors`: each figure by its name and the horizon, such as `ball_median_15`."""
    plain = ("bit_error", "pixel_error", "nats", "prior_nats")
    lists: dict[str, Sequence[float]] = {name: errors[name] for name in plain if name in errors}
    events = {"reward_plus": errors["reward"]["plus"], "reward_minus": errors["reward"]["minus"], "end": errors["end"]}
    for parts, wanted in ((events, ("precision", "recall")), (errors["objects"], _LOGGED)):
        for name, figures in parts.items():
            lists |= {f"{name}_{part}": figures[part] for part in wanted if part in figures}
    return {
        f"{name}_{steps}": value
        for name, values in lists.items()
        for steps, value in zip(errors["horizons"], values, strict=True)
    }


def means(values: Floats) -> list[float]:
    """Mean of each column over its numbers; nan where it has none."""
    return [float(column[~np.isnan(column)].mean()) if not np.isnan(column).all() else np.nan for column in values.T]


def medians(values: Floats) -> list[float]:
    """Median of each column over its numbers; nan where it has none."""
    return [
        float(np.median(column[~np.isnan(column)])) if not np.isnan(column).all() else np.nan for column in values.T
    ]
