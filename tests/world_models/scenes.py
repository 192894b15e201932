"""Made-up frames of a game, by rules that a test knows: two paddles, a ball, a score, one of them a flash."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BACK, LEFT, RIGHT, BALL = 87, 148, 147, 236
HEIGHT, WIDTH = 40, 48
COURT = 8  # rows above it show the score


def scenes(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Frames uint8 (N, 1, 40, 48), and the (row, column) of the ball's upper left pixel, -1 where there is none.

    A ball of 2x2 pixels in nine of ten frames, a paddle of 8x2 in the left and in the right column, and a score of one
    digit out of six, coloured like the left paddle. The border is as bright as the ball and never changes.
    """
    rng = np.random.default_rng(seed)
    frames = np.full((count, 1, HEIGHT, WIDTH), BACK, np.uint8)
    frames[:, :, COURT - 2] = frames[:, :, -1] = BALL
    balls = np.stack((rng.integers(COURT, HEIGHT - 3, count), rng.integers(5, WIDTH - 7, count)), 1)
    balls[rng.random(count) < 0.1] = -1
    paddles = rng.integers(COURT, HEIGHT - 9, (count, 2))
    scores = rng.integers(0, 6, count)
    for frame, ball, (left, right), score in zip(frames[:, 0], balls, paddles, scores, strict=True):
        frame[left : left + 8, 2:4] = LEFT
        frame[right : right + 8, -4:-2] = RIGHT
        frame[1:5, 8 : 9 + score] = LEFT
        if ball[0] >= 0:
            frame[ball[0] : ball[0] + 2, ball[1] : ball[1] + 2] = BALL
    return frames, balls
