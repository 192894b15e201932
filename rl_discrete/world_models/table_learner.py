"""Fits the world model of a table's counts to a replay: first the encoder, then the counts of its keys."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from rl_discrete.data.replay import Replay
from rl_discrete.encoders.base import Encoder, build_encoder
from rl_discrete.encoders.restoring import prefixed, section
from rl_discrete.mdp.checks import TransitionArrays
from rl_discrete.mdp.tabular import Keys, TabularMDP
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.seeding import derive_seed
from rl_discrete.world_models.config import WorldModelConfig
from rl_discrete.world_models.held_out import HeldOut
from rl_discrete.world_models.learner import LearnerState, Report
from rl_discrete.world_models.starts import Histories
from rl_discrete.world_models.table_config import TableModelConfig
from rl_discrete.world_models.table_metrics import measure_table
from rl_discrete.world_models.tabular import TabularWorldModel

_CHUNK = 512  # observations encoded together
_RECENT = 100  # gradient steps whose loss is averaged in the metrics of a fit
_REPORTS = 50  # gradient steps between two reports


class TableLearner:
    """Gradient steps of the encoder, then a table of all transitions but the held-out ones; a `WorldModelLearner`.

    The batches of a fit follow from the seed and its number. When the settings' gradient steps are spent, the codes
    stay as they are, and a fit only counts.

    Attributes:
        model: as of the last fit; before the first, of codes that nothing was learned for.
        fits: how many there were.
        updates: gradient steps of all fits.

    Args:
        encoder: kept, and changed in place by fits.
        transitions: what its keys have counted.
        stack: frames in an observation.
        config: settings.
        seed: of batches.

    Raises:
        UsageError: a setting outside its range, or no transition at all.
    """

    def __init__(
        self, encoder: Encoder, transitions: Transitions, stack: int, config: WorldModelConfig, seed: int
    ) -> None:
        self.config = config.table
        _check(self.config)
        self._encoder, self._stack, self._seed = encoder, stack, seed
        self.fits = self.updates = 0
        self.model = self._sampling(transitions)

    @classmethod
    def begin(cls, replay: Replay, num_actions: int, config: WorldModelConfig, seed: int) -> TableLearner:
        """A learner whose encoder has not learned anything.

        Raises:
            UsageError: a setting outside its range, or a replay without a transition.
        """
        _check(config.table)
        encoder = _fresh_encoder(replay, num_actions, config.table, seed)
        table, _ = _tabulated(replay, encoder, num_actions, config.table)
        return cls(encoder, table.transitions(), replay.layout.stack, config, seed)

    @classmethod
    def restore(
        cls, state: LearnerState, replay: Replay, num_actions: int, config: WorldModelConfig, seed: int
    ) -> TableLearner:
        """The learner that gave `state`.

        Raises:
            UsageError: a state of a learner with other settings.
        """
        encoder = _fresh_encoder(replay, num_actions, config.table, seed)
        encoder.load_state(section(state.tensors, "encoder"))
        learner = cls(encoder, Transitions(**state.arrays), replay.layout.stack, config, seed)
        learner.fits, learner.updates = int(state.meta["fits"]), int(state.meta["updates"])
        return learner

    def histories(self, replay: Replay) -> Histories:
        """Frames as they are: see `WorldModelLearner`."""
        return replay.history

    def state(self) -> LearnerState:
        """For a checkpoint between two fits: copies."""
        transitions = self.model.transitions
        return LearnerState(
            tensors=prefixed("encoder", self._encoder.state()),
            arrays={field.name: getattr(transitions, field.name).copy() for field in fields(transitions)},
            meta={"fits": self.fits, "updates": self.updates},
        )

    def fit(self, replay: Replay, updates: int | None, report: Report) -> dict[str, float]:
        """Gradient steps of the encoder, as far as the schedule goes, then new counts; see `WorldModelLearner`.

        Raises:
            UsageError: no transition to learn from.
            RunError: a loss is not finite.
        """
        wanted = updates if updates is not None else (self.config.refit_updates if self.fits else self.config.updates)
        measured = self._learn(replay, min(wanted, self.config.schedule_updates - self.updates), report)
        table, held_out = _tabulated(replay, self._encoder, self.model.num_actions, self.config)
        report("table", 1.0)
        transitions = table.transitions()
        self.model = self._sampling(transitions)
        self.fits += 1
        sizes = {"states": float(transitions.num_states), "edges": float(transitions.num_edges)}
        return measured | sizes | measure_table(table, transitions, held_out)

    def _learn(self, replay: Replay, updates: int, report: Report) -> dict[str, float]:
        """Gradient steps on transitions drawn from all that are not held out; the mean loss of the last ones."""
        if not self._encoder.trainable or updates < 1:
            return {}
        rows = replay.rows()
        columns = replay.columns(rows)
        rows = rows[(columns.starts | (columns.previous >= 0)) & ~_held_out(replay, self.config).mask(rows)]
        if not len(rows):
            raise UsageError("the replay holds no transition to learn from: collect steps first")
        generator = np.random.default_rng(derive_seed(self._seed, "table", self.fits))
        losses = []
        for update in range(updates):
            self._encoder.anneal(self.updates / self.config.schedule_updates)
            losses.append(self._encoder.learn(replay.batch(generator.choice(rows, self.config.batch_size)))["loss"])
            self.updates += 1
            if update % _REPORTS == 0:
                report("encoder", update / updates)
        return {"train_loss_nats": float(np.mean(losses[-_RECENT:]))}

    def _sampling(self, transitions: Transitions) -> TabularWorldModel:
        return TabularWorldModel(transitions, self._encoder.frozen_copy(), self._stack, self.config.untried)


def _fresh_encoder(replay: Replay, num_actions: int, config: TableModelConfig, seed: int) -> Encoder:
    layout = replay.layout
    shape = (layout.frame_shape[0] * layout.stack, *layout.frame_shape[1:])
    return build_encoder(config.encoder, shape, num_actions, config.codes, derive_seed(seed, "encoder"), layout.stack)


def _tabulated(
    replay: Replay, encoder: Encoder, num_actions: int, config: TableModelConfig
) -> tuple[TabularMDP, TransitionArrays]:
    """A table of the transitions that the replay holds, as far as the memory goes, and those held out."""
    rows = replay.rows()
    if not len(rows):
        raise UsageError("the replay holds no transition to learn from: collect steps first")
    keys = _keys(replay, encoder, rows)
    columns = replay.columns(rows)
    ends = np.flatnonzero(columns.previous >= 0)  # a row names the transition that ends in it
    begins = np.searchsorted(rows, columns.previous[ends])
    every = TransitionArrays(
        keys[begins], columns.actions[ends], columns.rewards[ends], keys[ends], columns.terminated[ends]
    )
    held = _held_out(replay, config).mask(rows[ends])
    table = TabularMDP(num_actions, encoder.key_words, config.max_bytes)
    table.add_many(*(array[~held] for array in every))
    return table, TransitionArrays._make(array[held] for array in every)


def _keys(replay: Replay, encoder: Encoder, rows: NDArray[np.int64]) -> Keys:
    chunks = [rows[begin : begin + _CHUNK] for begin in range(0, len(rows), _CHUNK)]
    return np.concatenate([encoder.encode(replay.observations(chunk)) for chunk in chunks])


def _held_out(replay: Replay, config: TableModelConfig) -> HeldOut:
    return HeldOut(config.held_out_share, config.held_out_steps, replay.layout.num_envs)


def _check(config: TableModelConfig) -> None:
    for name in ("updates", "refit_updates"):
        if getattr(config, name) < 0:
            raise UsageError(f"table.{name} must be >= 0, got {getattr(config, name)}")
    for name in ("schedule_updates", "batch_size", "max_bytes"):
        if getattr(config, name) < 1:
            raise UsageError(f"table.{name} must be >= 1, got {getattr(config, name)}")
