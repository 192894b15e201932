"""Where codes live: the true places of observations, coloured by their codes and by their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rl_discrete.analysis.code_statistics import labels
from rl_discrete.analysis.true_states import TrueStates
from rl_discrete.bench.charts import WIDTH
from rl_discrete.bench.palette import LIGHT
from rl_discrete.mdp.tabular import Keys

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
MOST_ARROWS = 3000
NAMED_CODES = 12
"""More colours than this cannot be told apart where codes overlap."""


def state_map(keys: Keys, values: Floats, truth: TrueStates) -> Figure | None:
    """Two maps of N observations, coloured by code and by value; None where nothing is known of places.

    A tile shows its most frequent code and its mean value, and how many codes it has where there are several; tiles
    that were never left are blank. A pose is an arrow from the place in the direction of the heading, coloured if its
    code is one of the most frequent.

    Args:
        keys: uint64 (N, W).
        values: (N,).
        truth: their true states.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    if truth.positions is None:
        return None
    codes = labels("keys", keys)
    shades, norm = _value_colours(values)
    span = np.ptp(truth.positions, axis=0).clip(1.0)
    height = float(np.clip(0.45 * WIDTH * span[1] / span[0], 1.0, 6.0)) + 0.35
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    left, right = figure.subplots(1, 2)
    if truth.kind == "cell":
        _tiles(left, right, truth.positions, codes, values, shades, norm)
        left.set_title(f"one colour a code: {codes.max() + 1} codes", fontsize=9)
    else:
        _arrows(left, right, truth, codes, values, shades, norm)
        left.set_title(f"the most frequent of {codes.max() + 1} codes", fontsize=9)
    right.set_title("value, as the agent sees it", fontsize=9)
    for axes in (left, right):
        axes.set_aspect("equal")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    bar = figure.colorbar(ScalarMappable(norm, shades), ax=right, shrink=0.7, aspect=16)
    bar.outline.set_visible(False)
    return figure


def _tiles(
    left: Axes, right: Axes, positions: Floats, codes: npt.NDArray[np.int64], values: Floats, shades: Any, norm: Any
) -> None:
    """Unit squares."""
    from matplotlib.collections import PolyCollection

    places, place_of = np.unique(positions, axis=0, return_inverse=True)
    square = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    corners = places[:, None] + square  # (P, 4, 2)
    colours = _code_colours(int(codes.max()) + 1)
    shown = np.zeros(len(places), np.int64)
    for place in range(len(places)):
        own = np.bincount(codes[place_of.reshape(-1) == place])
        shown[place] = own.argmax()
        if (several := int((own > 0).sum())) > 1:
            left.annotate(str(several), places[place], ha="center", va="center", fontsize=6.5, color=LIGHT["ink"])
    means = np.bincount(place_of.reshape(-1), values) / np.bincount(place_of.reshape(-1))
    left.add_collection(PolyCollection(list(corners), facecolors=colours[shown], edgecolors="white", linewidths=0.6))
    right.add_collection(
        PolyCollection(list(corners), facecolors=shades(norm(means)), edgecolors="white", linewidths=0.6)
    )
    for axes in (left, right):
        axes.set_facecolor("#ffffff")
        axes.set(xlim=_around(places[:, 0]), ylim=_around(places[:, 1]))


def _arrows(
    left: Axes, right: Axes, truth: TrueStates, codes: npt.NDArray[np.int64], values: Floats, shades: Any, norm: Any
) -> None:
    """Arrows where there are headings, else points; of many observations every so many-th."""
    from matplotlib.colors import hsv_to_rgb, to_rgb

    assert truth.positions is not None
    chosen = np.arange(0, len(codes), -(-len(codes) // MOST_ARROWS))
    named = np.argsort(-np.bincount(codes), kind="stable")[:NAMED_CODES]
    colours = np.tile(to_rgb(LIGHT["grid"]), (int(codes.max()) + 1, 1))
    colours[named] = hsv_to_rgb([(rank / len(named), 0.75, (0.9, 0.6)[rank % 2]) for rank in range(len(named))])
    chosen = chosen[np.argsort(np.isin(codes[chosen], named), kind="stable")]  # those with a name lie on top
    x, y = truth.positions[chosen].T
    fills = colours[codes[chosen]], shades(norm(values[chosen]))
    length = 0.035 * max(np.ptp(x), np.ptp(y), 1.0)
    for axes, fill in zip((left, right), fills, strict=True):
        if truth.headings is None:
            axes.scatter(x, y, c=fill, s=7, linewidths=0)
            continue
        angles = np.deg2rad(truth.headings[chosen])
        axes.quiver(
            *(x, y, length * np.cos(angles), length * np.sin(angles)),
            color=fill,
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.005,
            headwidth=3.4,
            headlength=3.2,
            headaxislength=3.2,
        )


def _code_colours(number: int) -> Floats:
    """(number, 3): hues a golden angle apart in three tones, so that few neighbours look alike."""
    from matplotlib.colors import hsv_to_rgb

    rank = np.arange(number)
    tones = np.array([(0.55, 0.80), (0.35, 0.92), (0.70, 0.60)])[rank % 3]
    return np.asarray(hsv_to_rgb(np.column_stack([rank * 0.6180339887 % 1.0, tones])), np.float64)


def _value_colours(values: Floats) -> tuple[Colormap, Normalize]:
    """From pale to dark, without the extreme hundredths; with a white middle at zero where both signs are common."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    low, high = np.quantile(values, (0.01, 0.99)).tolist()
    if low < 0.0 < high:
        limit = max(-low, high)
        shades = LinearSegmentedColormap.from_list("signed", [LIGHT["gs"], "#f4f4f2", LIGHT["ish"]])
        return shades, Normalize(-limit, limit)
    names = ["#edf1f5", LIGHT["ish"], LIGHT["ink"]]
    return LinearSegmentedColormap.from_list("values", names), Normalize(low, high if high > low else low + 1.0)


def _around(places: Floats) -> tuple[float, float]:
    return float(places.min()) - 0.6, float(places.max()) + 0.6
