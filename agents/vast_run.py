"""The whole state of a VaST run between two env steps, and what a checkpoint says of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.config import Change, VastConfig
from rl_discrete.agents.exploration import Exploration
from rl_discrete.agents.learner import Learner
from rl_discrete.agents.probes import ENCODED_AT_A_TIME, Probes, encode
from rl_discrete.agents.tabulation import Tabulation
from rl_discrete.agents.window import Window
from rl_discrete.data.replay import Replay
from rl_discrete.encoders.base import Encoder
from rl_discrete.envs.episodes import EpisodeEnvs
from rl_discrete.envs.make import check_discrete
from rl_discrete.mdp.tabular import Keys
from rl_discrete.runs.checkpoint import save_checkpoint
from rl_discrete.runs.errors import RunError

WEIGHTS, LEARNER, TABLE = "weights", "learner", "table"  # parts of a checkpoint that loading looks for

Rows = NDArray[np.int64]


@dataclass
class VastRun:
    """A run between two env steps. Made by `vast_start.open_run`; everything in it is in its checkpoints."""

    config: VastConfig
    envs: EpisodeEnvs
    replay: Replay
    learner: Learner
    acting: Encoder
    """Makes the keys: a frozen copy (snapshot), else the learner's own encoder."""
    tabulation: Tabulation
    exploration: Exploration
    sampling: np.random.Generator
    """Draws the batches of the gradient steps."""
    step: int = 0
    """Env steps so far, over all envs."""
    relabels: int = 0
    """Rebuilds, or for lazy measurements, so far."""
    changed: list[str] = field(default_factory=list)
    """Changes of the world so far, as the configuration writes them."""
    forced_episode: int = -1
    """The newest episode of env 0 that began as a forced run."""
    forcing: bool = False
    """Whether that run is still under way. Its pilot is in no checkpoint, so none is saved meanwhile."""
    probes: Probes | None = None
    reassigned: dict[str, float] = field(default_factory=dict)
    """What the newest rebuild changed."""
    window: Window = field(default_factory=Window)
    returns: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(B,) sums of the rewards of the running episodes so far."""
    lengths: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """(B,) and their steps."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time by component, over resumes."""
    committed: list[dict[str, Any]] = field(default_factory=list)
    """What the replay committed for the checkpoints from which the run can go on."""
    resumed_at: int | None = None

    @contextmanager
    def clock(self, component: str) -> Iterator[None]:
        """Adds the time spent inside to a component's."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[component] = self.seconds.get(component, 0.0) + time.perf_counter() - begin

    @property
    def learns(self) -> bool:
        """Whether the encoder is one that learns."""
        return self.learner.encoder_learns

    def changes_due(self) -> list[str]:
        """Changes of the world that hold from this step on and have not been made, the earliest first."""
        steps = {text: Change.parse(text).step for text in self.config.changes if text not in self.changed}
        return sorted((text for text, step in steps.items() if step <= self.step), key=lambda text: steps[text])

    def updates_due(self) -> int:
        """Gradient steps that the env steps so far call for; a count, so that no jump of the steps loses any."""
        training, passed = self.config.training, self.step - self.config.burn_in
        if passed < 0 or not self.learns:
            return 0
        return training.burn_in_updates + passed // training.steps_per_update

    def relabels_due(self) -> int:
        """Rebuilds that the env steps so far call for: the first at the end of the burn-in."""
        passed = self.step - self.config.burn_in
        return 0 if passed < 0 or not self.learns else 1 + passed // self.config.relabel_every

    def encode(self, observations: NDArray[Any]) -> Keys:
        """The keys (N, W) that the agent acts by."""
        return encode(self.acting, observations)

    def encode_replay(self) -> Keys:
        """The keys (N, W) of all rows of the replay, read a part at a time."""
        rows = self.replay.rows()
        parts = np.array_split(rows, -(-len(rows) // ENCODED_AT_A_TIME))
        return np.concatenate([self.encode(self.replay.observations(part)) for part in parts])

    def keep_losses(self) -> None:
        """Adds what the gradient steps since the last call cost to the window."""
        for terms in self.learner.take_losses():
            self.window.add(updates=1, **{f"loss/{name}": value for name, value in terms.items()})

    def close(self) -> None:
        """Ends the learner's thread."""
        self.learner.close()

    def save(self, folder: Path) -> None:
        """Saves a checkpoint, after which frames that none of the last two needs are deleted.

        Raises:
            RunError: a weight is not finite (nothing is saved), or the disk is full.
        """
        encoder = self.learner.wait()
        self.keep_losses()
        tensors = {WEIGHTS: self.acting.state()}
        if self.acting is not encoder:
            tensors[LEARNER] = encoder.state()
        for state in tensors.values():
            bad = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
            if bad:
                raise RunError(
                    f"the encoder's {bad[0]} is not finite at step {self.step}; the last good checkpoint is kept: "
                    "lower model.learning_rate"
                )
        arrays: dict[str, dict[str, NDArray[Any]]] = {**self.tabulation.state(), "envs": self.envs.state()}
        arrays["running"] = {"returns": self.returns, "lengths": self.lengths}
        arrays["replay"] = self.replay.state()
        if self.probes is not None:
            arrays["probes"] = {"observations": self.probes.observations, "keys": self.probes.keys}
        committed = self.replay.commit()
        self.committed = [*self.committed[-1:], committed]
        space = self.envs.observation_space
        meta = {
            "observation_shape": list(space.shape or ()),
            "num_actions": check_discrete(self.envs.envs[0]),
            "replay": committed,
            "exploration": self.exploration.state(),
            "sampling": self.sampling.bit_generator.state,
            "updates": self.learner.updates,
            "relabels": self.relabels,
            "changed": self.changed,
            "forced_episode": self.forced_episode,
            "reassigned": self.reassigned,
            "window": self.window.totals,
            "seconds": self.seconds,
        }
        save_checkpoint(
            folder / "checkpoints", self.step, tensors=tensors, arrays=arrays, meta=meta, older_parts=(WEIGHTS, TABLE)
        )
        self.replay.release(self.committed)


def append_starts(run: VastRun, observations: NDArray[Any], mask: NDArray[np.bool_]) -> Rows:
    """Puts the first observations of the episodes that begin in the envs of `mask` (B,) into the replay."""
    which = np.flatnonzero(mask)
    nothing = np.zeros(len(which), np.int64)
    drop_leaving(run, len(which))
    rows = run.replay.append(observations[which], nothing, nothing, nothing, nothing, np.ones(len(which)), envs=which)
    with run.clock("encode"):
        run.tabulation.assign(rows, run.encode(run.replay.observations(rows)))
    run.returns[which], run.lengths[which] = 0.0, 0
    return rows


def drop_leaving(run: VastRun, num_rows: int) -> None:
    """With `forget`, takes the transitions out of the table that `num_rows` more rows will push out of the replay."""
    if run.config.forget and len(leaving := run.replay.leaving(num_rows)):
        run.tabulation.forget(leaving)
