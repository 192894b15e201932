"""Replay of single frames on disk: see `Replay`."""

from __future__ import annotations

from rl_discrete.data.transition_batch import TransitionBatch

__all__ = ["TransitionBatch"]
