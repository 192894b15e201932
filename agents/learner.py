"""Gradient steps beside the env steps: on a thread of their own where nothing that acts reads the weights."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from rl_discrete.data.replay import TransitionBatch
from rl_discrete.encoders.base import Encoder


class Learner:
    """Owns the encoder while it learns. Whoever reads the encoder calls `wait` first.

    The order of gradient steps and what each of them sees do not depend on the thread, so results do not either.

    Attributes:
        updates: gradient steps asked for so far, over resumes.
        encoder_learns: whether the encoder is one that can; otherwise `learn` is never called.
    """

    def __init__(self, encoder: Encoder, background: bool, updates: int = 0) -> None:
        self.updates = updates
        self._encoder = encoder
        self.encoder_learns = encoder.trainable
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="learner") if background else None
        self._pending: Future[dict[str, float]] | None = None
        self._losses: list[dict[str, float]] = []

    def learn(self, batch: TransitionBatch, progress: float) -> None:
        """A gradient step, at a progress in [0, 1] of the whole run; it may go on after this returns.

        Raises:
            RunError: a loss is not finite, in this step or the one under way.
        """
        self.wait()
        self.updates += 1
        if self._thread is None:
            self._losses.append(self._learn(batch, progress))
        else:
            self._pending = self._thread.submit(self._learn, batch, progress)

    def wait(self) -> Encoder:
        """Waits for the step under way; the encoder, which nobody changes until `learn` is called again.

        Raises:
            RunError: a loss is not finite.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self._losses.append(pending.result())
        return self._encoder

    def take_losses(self) -> list[dict[str, float]]:
        """The loss terms of every gradient step since the last call, in nats."""
        self.wait()
        losses, self._losses = self._losses, []
        return losses

    def close(self) -> None:
        """Stops the thread, after the step under way."""
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)

    def _learn(self, batch: TransitionBatch, progress: float) -> dict[str, float]:
        self._encoder.anneal(min(progress, 1.0))
        return self._encoder.learn(batch)
