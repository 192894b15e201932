"""Pictures side by side on one canvas, each with a line above and a line below it, for eyes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

HEIGHT = 210
"""Pixels that a picture is brought to at least, by a whole factor, so that its own pixels stay squares."""
_MARGIN, _LINE = 4, 16
_BACK, _INK, _MARK = (24, 26, 30), (225, 227, 231), (240, 150, 60)  # RGB
_NARROWEST = 120  # so that a line of text has room


@dataclass(frozen=True)
class Panel:
    """One picture of a canvas."""

    picture: Picture
    """uint8 (H, W, 3)."""
    title: str
    """Above it."""
    note: str = ""
    """Below it."""
    share: float | None = None
    """Length of a bar below it, in [0, 1]; None: no bar."""
    is_marked: bool = False
    """Whether it has a bright frame."""


def side_by_side(panels: Sequence[Panel]) -> Picture:
    """The panels from left to right; the size of the canvas depends on the sizes of their pictures alone."""
    drawn = [_drawn(panel) for panel in panels]
    tallest = max(len(canvas) for canvas in drawn)
    whole = np.empty((tallest, sum(canvas.shape[1] for canvas in drawn), 3), np.uint8)
    whole[:] = _BACK
    left = 0
    for canvas in drawn:
        whole[: len(canvas), left : left + canvas.shape[1]] = canvas
        left += canvas.shape[1]
    return whole


def _drawn(panel: Panel) -> Picture:
    tall, wide = panel.picture.shape[:2]
    factor = -(-HEIGHT // tall)
    shown = np.repeat(np.repeat(panel.picture, factor, axis=0), factor, axis=1)
    tall, wide = tall * factor, wide * factor
    canvas = np.empty((tall + 2 * _LINE + 3 * _MARGIN, max(wide, _NARROWEST) + 2 * _MARGIN, 3), np.uint8)
    canvas[:] = _BACK
    top, left = _LINE + _MARGIN, (canvas.shape[1] - wide) // 2
    if panel.is_marked:
        canvas[top - 2 : top + tall + 2, left - 2 : left + wide + 2] = _MARK
    canvas[top : top + tall, left : left + wide] = shown
    if panel.share is not None:
        canvas[top + tall + 3 : top + tall + 6, left : left + round(wide * min(max(panel.share, 0.0), 1.0))] = _MARK
    for text, baseline in ((panel.title, _LINE - 3), (panel.note, canvas.shape[0] - 5)):
        cv2.putText(canvas, text, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.38, _INK, 1, cv2.LINE_AA)
    return canvas
