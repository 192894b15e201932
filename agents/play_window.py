"""A window with a keyboard, by pygame: there where a display is."""

from __future__ import annotations

import os
import sys

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.play import Window
from rl_discrete.runs.errors import UsageError

_HEADLESS = "without a window: --script FILE, or --script random, with --video FILE"


def open_window(title: str, fps: float) -> Window:
    """A window that shows `fps` pictures a second.

    Raises:
        UsageError: there is no display, or no pygame.
    """
    if sys.platform.startswith("linux") and not {"DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"} & set(os.environ):
        raise UsageError(f"no window can be opened here: there is no display; {_HEADLESS}")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError:
        raise UsageError(f"no window can be opened without pygame: pip install pygame-ce, or {_HEADLESS}") from None
    try:
        pygame.display.init()
        pygame.display.set_caption(title)
    except pygame.error as error:
        raise UsageError(f"no window can be opened here: {error}; {_HEADLESS}") from None
    return PygameWindow(fps)


class PygameWindow:
    """A window that grows to the first picture it shows; see `play.Window`. Made by `open_window`."""

    def __init__(self, fps: float) -> None:
        import pygame

        self._fps, self._clock = fps, pygame.time.Clock()
        names = {"UP": pygame.K_UP, "DOWN": pygame.K_DOWN, "LEFT": pygame.K_LEFT, "RIGHT": pygame.K_RIGHT}
        digits = {str(digit): pygame.K_0 + digit for digit in range(10)}
        self._keys = {**names, "FIRE": pygame.K_SPACE, "R": pygame.K_r, **digits}
        self._down: set[str] = set()
        self._is_open = True

    def show(self, picture: NDArray[np.uint8]) -> None:
        import pygame

        size = (picture.shape[1], picture.shape[0])
        screen = pygame.display.get_surface()
        if screen is None or screen.get_size() != size:
            screen = pygame.display.set_mode(size)
        pygame.surfarray.blit_array(screen, picture.transpose(1, 0, 2))
        pygame.display.flip()
        self._clock.tick(self._fps)

    def keys(self) -> frozenset[str] | None:
        """Keys pressed since the last call count, even those that are up again, so that no tap is lost."""
        import pygame

        tapped: set[str] = set()
        for event in pygame.event.get():
            if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE):
                self._is_open = False
            for name, key in self._keys.items():
                if event.type == pygame.KEYDOWN and event.key == key:
                    self._down.add(name)
                    tapped.add(name)
                elif event.type == pygame.KEYUP and event.key == key:
                    self._down.discard(name)
        held = self._down - {"R"}  # a held R would begin one game after the other
        return frozenset(held | tapped) if self._is_open else None

    def close(self) -> None:
        import pygame

        pygame.display.quit()
