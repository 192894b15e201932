"""The three ways in which a run ends early. The command line turns each into one line and an exit code."""

from __future__ import annotations


class UsageError(ValueError):
    """The user named something wrongly: a flag, a key, a path, a size. Exit code 2.

    The message is one line: the value given, what is allowed, what to do.
    """


class RunError(RuntimeError):
    """A fault found while running: altered data, a loss that is not finite, a full disk. Exit code 1."""


class Interrupted(Exception):
    """The run stopped in order, after a checkpoint, because a signal asked for it.

    Attributes:
        signum: number of the signal (2 for Ctrl-C, 15 for SIGTERM).
    """

    def __init__(self, signum: int, message: str = "") -> None:
        self.signum = signum
        super().__init__(message or f"stopped by signal {signum}; continue with --resume")

    @property
    def exit_code(self) -> int:
        """The shell's convention: 128 + signal number."""
        return 128 + self.signum
