"""Fits the world model of codes to a replay: first the codec of its frames, then the dynamics of their codes."""

from __future__ import annotations

import copy
import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.data.history import CodedHistory, History
from rl_discrete.data.replay import Replay
from rl_discrete.encoders.restoring import check_state, prefixed, section
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.seeding import derive_seed
from rl_discrete.world_models.code import CodeWorldModel
from rl_discrete.world_models.code_dynamics import CodeDynamics
from rl_discrete.world_models.code_fit import check_fit, fit_dynamics
from rl_discrete.world_models.code_metrics import measure_code_model
from rl_discrete.world_models.codec_fit import Codec, begin_codec, codec_errors, fit_codec, restore_codec
from rl_discrete.world_models.coded_replay import CodedReplay
from rl_discrete.world_models.config import WorldModelConfig
from rl_discrete.world_models.frame_source import FrameSource
from rl_discrete.world_models.held_out import HeldOut, split_rows
from rl_discrete.world_models.learner import LearnerState, Report
from rl_discrete.world_models.outcome_heads import RewardKind, reward_kind_of
from rl_discrete.world_models.starts import Histories

_MEASURED_FRAMES = 1000


class CodeLearner:
    """Fits codec and dynamics, again and again as the replay grows; a `WorldModelLearner`.

    Every fit has optimisers and noise of its own, seeded by its number, so weights and a few counters are all there is
    to save. The codec is fitted at first and whenever the replay has grown by a factor since: new codes are new to the
    dynamics, which goes on from where it was, and to the agent. Rewards other than -1, 0 and 1, when they first come,
    give the dynamics new heads.

    Attributes:
        model: as of the last fit.
        fits: how many there were.

    Args:
        codec: of the frames; kept, and changed in place by fits.
        reward_kind: what rewards look like so far.
        num_actions: of the env.
        config: settings.
        seed: of weights, order and noise.

    Raises:
        UsageError: a setting outside its range.
    """

    def __init__(
        self, codec: Codec, reward_kind: RewardKind, num_actions: int, config: WorldModelConfig, seed: int
    ) -> None:
        self.config = config.code
        check_fit(self.config.fit, self.config.fit.updates)
        check_fit(self.config.fit, self.config.fit.refit_updates)
        self._codec, self._num_actions, self._seed = codec, num_actions, seed
        self._members = self._fresh_members(reward_kind)
        self.fits = self._codec_fits = self._codec_rows = 0
        self._coded: tuple[Replay, tuple[int, int, int], CodedReplay] | None = None
        self.model = self._snapshot()

    @classmethod
    def begin(cls, replay: Replay, num_actions: int, config: WorldModelConfig, seed: int) -> CodeLearner:
        """A learner that has not fitted anything; the codec's shape is found in the replay.

        Raises:
            UsageError: frames that no codec takes, an empty replay, or a setting outside its range.
        """
        rows, _ = split_rows(replay, config.code.fit.held_out_share, config.code.fit.held_out_steps)
        if not len(rows):
            raise UsageError("a world model begins with real steps, and the replay is empty: collect some first")
        codec = begin_codec(FrameSource(replay.frames, rows), config.code.codec, derive_seed(seed, "codec"))
        return cls(codec, reward_kind_of(replay), num_actions, config, seed)

    @classmethod
    def restore(
        cls, state: LearnerState, replay: Replay, num_actions: int, config: WorldModelConfig, seed: int
    ) -> CodeLearner:
        """The learner that gave `state`.

        Raises:
            UsageError: a state of a learner with other settings.
            RunError: a codec that cannot be read.
        """
        codec = restore_codec(section(state.tensors, "codec"), state.meta["codec"])
        learner = cls(codec, state.meta["reward_kind"], num_actions, config, seed)
        for index, member in enumerate(learner._members):
            saved = section(state.tensors, f"dynamics{index}")
            check_state(member.state_dict(), saved)
            member.load_state_dict(saved)
        learner.fits, learner._codec_fits = int(state.meta["fits"]), int(state.meta["codec_fits"])
        learner._codec_rows = int(state.meta["codec_rows"])
        learner.model = learner._snapshot()
        return learner

    def state(self) -> LearnerState:
        """For a checkpoint between two fits: copies."""
        tensors, codec = self._codec.state()
        named: dict[str, Tensor] = prefixed("codec", tensors)
        for index, member in enumerate(self._members):
            named |= prefixed(f"dynamics{index}", member.state_dict())
        meta = {
            "codec": copy.deepcopy(codec),
            "reward_kind": self._members[0].reward_kind,
            "fits": self.fits,
            "codec_fits": self._codec_fits,
            "codec_rows": self._codec_rows,
        }
        return LearnerState({name: value.detach().clone() for name, value in named.items()}, {}, meta)

    def fit(self, replay: Replay, updates: int | None, report: Report) -> dict[str, float]:
        """Fits codec, where that is due, and dynamics; see `WorldModelLearner`.

        `updates` are those of the dynamics, of each member of an ensemble.

        Raises:
            UsageError: no step to learn from.
            RunError: a loss or a frame is not finite.
        """
        config = self.config.fit
        measured = self._fit_codec(replay, report)
        if reward_kind_of(replay) == "values" and self._members[0].reward_kind == "signs":
            self._renew_heads()
        coded = self._code(replay)
        wanted = updates if updates is not None else (config.refit_updates if self.fits else config.updates)
        losses = []
        for index, member in enumerate(self._members):
            seed = derive_seed(self._seed, "dynamics", self.fits, index)
            losses.append(fit_dynamics(member, coded, config, wanted, seed, report))
        self.fits += 1
        self.model = self._snapshot()
        for name in losses[0]:
            measured[f"train_{name}"] = float(np.mean([member[name] for member in losses]))
        return measured | measure_code_model(self.model, coded, derive_seed(self._seed, "measured", self.fits))

    def histories(self, replay: Replay) -> Histories:
        """Codes of the model's codec: every frame is coded once, not whenever an episode starts near it."""

        def history(rows: NDArray[np.int64], length: int) -> History:
            coded = self._code(replay)
            return CodedHistory(*coded.history(np.searchsorted(replay.rows(), rows), length))

        return history

    def _code(self, replay: Replay) -> CodedReplay:
        """The replay in the present codes; the last one is kept for as long as neither changes."""
        version = self._codec_fits, replay.first_row, replay.next_row
        if self._coded is None or self._coded[0] is not replay or self._coded[1] != version:
            fit = self.config.fit
            held_out = HeldOut(fit.held_out_share, fit.held_out_steps, replay.layout.num_envs)
            self._coded = replay, version, CodedReplay.of(replay, self._codec, held_out, fit.targets == "soft")
        return self._coded[2]

    def _fit_codec(self, replay: Replay, report: Report) -> dict[str, float]:
        """Fits the codec where that is due, and says how well it does on held-out frames."""
        codec, growth = self.config.codec, self.config.fit.codec_growth
        rows, held = split_rows(replay, self.config.fit.held_out_share, self.config.fit.held_out_steps)
        measured: dict[str, float] = {}
        if self._codec_fits == 0 or (growth and replay.next_row >= growth * self._codec_rows):
            wanted, rate = (codec.refit_updates, codec.refit_rate) if self._codec_fits else (codec.updates, 1.0)
            seed = derive_seed(self._seed, "codec", "fit", self._codec_fits)
            told = _Share(report, wanted)
            measured |= fit_codec(self._codec, FrameSource(replay.frames, rows), wanted, seed, told, rate)
            self._codec_fits += 1
            self._codec_rows = replay.next_row
        if len(held):
            measured |= codec_errors(self._codec, FrameSource(replay.frames, held).at_most(_MEASURED_FRAMES))
        return measured

    def _fresh_members(self, reward_kind: RewardKind) -> list[CodeDynamics]:
        dynamics, sizes = self.config.dynamics, (self._codec.num_latents, self._num_actions)
        seeds = [derive_seed(self._seed, "dynamics", "weights", index) for index in range(dynamics.ensemble)]
        return [CodeDynamics(*sizes, reward_kind, dynamics, seed) for seed in seeds]

    def _renew_heads(self) -> None:
        """New heads, for any rewards; the rest stays as it was fitted."""
        for old, fresh in zip(self._members, renewed := self._fresh_members("values"), strict=True):
            kept = {name: value for name, value in old.state_dict().items() if not name.startswith("heads.")}
            fresh.load_state_dict(fresh.state_dict() | kept)
        self._members = renewed

    def _snapshot(self) -> CodeWorldModel:
        return CodeWorldModel(restore_codec(*self._codec.state()), self._members)


class _Share:
    """Turns what the codec's fit reports, which is its loss after every so many steps, into how far it is."""

    _STEPS = 50

    def __init__(self, report: Report, updates: int) -> None:
        self._report, self._calls, self._expected = report, 0, math.ceil(max(updates, 1) / self._STEPS)

    def __call__(self, name: str, loss: float) -> None:
        self._calls += 1
        self._report("codec", min(1.0, self._calls / self._expected))
