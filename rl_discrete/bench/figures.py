"""The figures of a benchmark run: image grids and charts, written into the run's ``figures`` folder."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.bench.aggregate import PRIORS
from rl_discrete.bench.charts import bce_chart, code_length_chart, score_chart
from rl_discrete.bench.code_charts import entropy_chart, rate_distortion_chart
from rl_discrete.bench.curve_charts import reconstruction_curves, score_curves
from rl_discrete.bench.measured import PRIOR_LABELS, measured, name_of, rows_of
from rl_discrete.bench.palette import LIGHT
from rl_discrete.runs.durable import disk_errors, replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHARTS: dict[str, Callable[[Mapping[str, Any]], Figure | None]] = {
    "reconstruction-bce": bce_chart,
    "inception-score": score_chart,
    "code-length": code_length_chart,
    "rate-distortion": rate_distortion_chart,
    "variable-entropy": entropy_chart,
    "curves-reconstruction": reconstruction_curves,
    "curves-score": score_curves,
}
RECONSTRUCTIONS, SAMPLES = "reconstructions-", "samples-"
PIXEL = 2  # screen pixels per image pixel
PADDING = 2  # image pixels between images
COLUMNS = 16  # images in a line of the reconstruction grid
GRID_DPI = 100
CHART_DPI = 170
_SVG_METADATA = ("Creator", "Date", "Format", "Type")  # left out: equal results, equal files

STYLE: Any = {  # any, because matplotlib's annotation is a literal of all its setting names
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": LIGHT["ink"],
    "text.parse_math": False,
    "axes.labelcolor": LIGHT["muted"],
    "axes.labelsize": 8.5,
    "axes.edgecolor": LIGHT["mid"],
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 0.8,
    "xtick.color": LIGHT["mid"],
    "xtick.labelcolor": LIGHT["muted"],
    "ytick.color": LIGHT["mid"],
    "ytick.labelcolor": LIGHT["ink"],
    "legend.fontsize": 8.5,
    "svg.fonttype": "none",
}
"""Settings of every figure, applied in a context: the user's own settings of matplotlib stay as they are."""


def write_figures(
    result: Mapping[str, Any], images: Mapping[str, Mapping[str, NDArray[np.uint8]]], folder: Path
) -> list[Path]:
    """Draw every figure that the data allow and return the files, in the order of the report.

    Args:
        result: the content of result.json, complete or not. images: row name to the arrays of its
        images.npz, uint8 (N, 28, 28); rows or arrays may be missing. folder: receives ``<chart>.png`` and
        ``<chart>.svg``, ``reconstructions-<row>.png`` and ``samples-<row>.png``;
            made where it does not exist. Each file is replaced atomically.

    Raises:
        RunError: the disk refused.
    """
    import matplotlib

    written = []
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, draw in CHARTS.items():
            with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):  # no id occurs in two charts of a page
                figure = draw(result)
                if figure is not None:
                    written += [_save(figure, folder / f"{name}{suffix}") for suffix in (".png", ".svg")]
        with matplotlib.rc_context(STYLE):
            for row in rows_of(result):
                for prefix, grid in ((RECONSTRUCTIONS, reconstruction_grid), (SAMPLES, sample_grid)):
                    figure = grid(row, images.get(name_of(row), {}))
                    if figure is not None:
                        path = folder / f"{prefix}{file_name(name_of(row))}.png"
                        written.append(_save(figure, path, GRID_DPI))
    return written


def file_name(row: str) -> str:
    """A row's name as a part of a file name: letters, digits, dash and underscore."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", row)


def reconstruction_grid(row: Mapping[str, Any], arrays: Mapping[str, NDArray[np.uint8]]) -> Figure | None:
    """Test images in pairs of lines: the originals above, their reconstructions below."""
    originals, reconstructions = arrays.get("originals"), arrays.get("reconstructions")
    if originals is None or reconstructions is None or not len(originals):
        return None
    count = min(len(originals), len(reconstructions))
    lines = []
    for start in range(0, count, COLUMNS):
        lines += [_line(originals[start : start + COLUMNS]), _line(reconstructions[start : start + COLUMNS])]
    return _contact_sheet([(f"{name_of(row)}: originals above, reconstructions below", np.concatenate(lines))], COLUMNS)


def sample_grid(row: Mapping[str, Any], arrays: Mapping[str, NDArray[np.uint8]]) -> Figure | None:
    """Samples of the row, one panel per prior, with the panel's Inception score."""
    panels: list[tuple[str, NDArray[np.uint8]]] = []
    for prior in PRIORS:
        samples = arrays.get(f"samples_{prior}")
        if samples is not None and len(samples):
            score = measured(row, "priors", prior, "inception_score")
            title = f"{PRIOR_LABELS[prior]} prior" + (f", score {score.mean:.2f}" if score else "")
            panels.append((title if panels else f"{name_of(row)}: {title}", samples))
    return _contact_sheet(panels, 8) if panels else None


def _line(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill a short line with black images, so that pairs of lines stay pairs."""
    return np.pad(images, ((0, COLUMNS - len(images)), (0, 0), (0, 0)))


def _contact_sheet(panels: list[tuple[str, NDArray[np.uint8]]], columns: int) -> Figure:
    """Grids side by side on black, one image pixel exactly `PIXEL` screen pixels wide."""
    from matplotlib.figure import Figure

    grids = [(title, _grid(images, columns)) for title, images in panels]
    header, gap = 32, 10
    width = sum(PIXEL * grid.shape[1] for _, grid in grids) + gap * (len(grids) - 1)
    height = header + max(PIXEL * grid.shape[0] for _, grid in grids)
    figure = Figure(figsize=(width / GRID_DPI, height / GRID_DPI), dpi=GRID_DPI, facecolor="#15181c")
    left = 0
    for title, grid in grids:
        tall, wide = PIXEL * grid.shape[0], PIXEL * grid.shape[1]
        axes = figure.add_axes((left / width, (height - header - tall) / height, wide / width, tall / height))
        axes.imshow(grid, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        figure.text((left + PADDING * PIXEL) / width, 1 - 21 / height, title, color="#e4e6ea", fontsize=11)
        left += wide + gap
    return figure


def _grid(images: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    import torch
    from torchvision.utils import make_grid

    grid = make_grid(torch.from_numpy(np.array(images))[:, None], nrow=columns, padding=PADDING, pad_value=44)
    return np.asarray(grid[0].numpy(), dtype=np.uint8)


def _save(figure: Figure, path: Path, dpi: int = CHART_DPI) -> Path:
    """Render in memory, then replace the file: a reader never sees half a picture."""
    content = io.BytesIO()
    if path.suffix == ".svg":
        figure.savefig(content, format="svg", transparent=True, metadata=dict.fromkeys(_SVG_METADATA))
    else:
        figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    replace_file(path, content.getvalue())
    return path
