"""Fits the world model of pixels to a replay, and goes on where a checkpoint stands."""

from __future__ import annotations

import copy
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rl_discrete.data.replay import Replay
from rl_discrete.encoders.seeded import seeded
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.seeding import derive_seed, make_generator
from rl_discrete.world_models.config import WorldModelConfig
from rl_discrete.world_models.held_out import split_rows
from rl_discrete.world_models.learner import LearnerState, Report, check_frames
from rl_discrete.world_models.outcome_heads import RewardKind, reward_kind_of
from rl_discrete.world_models.pixel import PixelWorldModel
from rl_discrete.world_models.pixel_coding import PixelCoding
from rl_discrete.world_models.pixel_loss import Amounts, window_losses
from rl_discrete.world_models.pixel_metrics import held_out_losses, rollout_metrics
from rl_discrete.world_models.pixel_optimiser import PixelOptimiser, check_loss
from rl_discrete.world_models.pixel_predictor import PixelPredictor
from rl_discrete.world_models.pixel_windows import Excess, Windows, WindowSampler
from rl_discrete.world_models.starts import Histories

_FRAMES_FOR_COLOURS = 400
_HEADS = "outcomes."  # how the weights of reward and end begin by name
_RECENT = 100  # gradient steps whose losses are averaged in the metrics of a fit


class PixelLearner:
    """Gradient steps on windows drawn from the whole replay; schedules count over all fits together.

    Window and noise of a gradient step follow from the seed and its number, so a restored learner goes on bit for bit.
    Rewards other than -1, 0 and 1, when they first come, give the network new heads.

    Attributes:
        updates: gradient steps of all fits.
        model: as of the last fit.

    Args:
        coding: of the frames.
        reward_kind: what rewards look like so far.
        num_actions: of the env.
        config: settings.
        seed: of weights, windows and noise.

    Raises:
        UsageError: a setting outside its range.
    """

    def __init__(
        self, coding: PixelCoding, reward_kind: RewardKind, num_actions: int, config: WorldModelConfig, seed: int
    ) -> None:
        self.config = config.pixel
        self._coding, self._num_actions, self._seed = coding, num_actions, seed
        self._device = _device(self.config.training.device)
        self._predictor = self._fresh_predictor(reward_kind)
        self._optimiser = PixelOptimiser(self._predictor, self.config.training)
        self.updates = 0
        self.model = self._snapshot()

    @classmethod
    def begin(cls, replay: Replay, num_actions: int, config: WorldModelConfig, seed: int) -> PixelLearner:
        """A learner that has not fitted anything; colours and the kind of rewards are found in the replay.

        Raises:
            UsageError: frames that are no images, an empty replay, or a setting outside its range.
        """
        rows = replay.rows()
        check_frames("pixel", replay.layout.frame_shape, replay.layout.dtype)
        if len(rows) == 0:
            raise UsageError("a world model begins with real steps, and the replay is empty: collect some first")
        some = rows[np.linspace(0, len(rows) - 1, min(len(rows), _FRAMES_FOR_COLOURS)).astype(np.int64)]
        coding = PixelCoding.find(replay.frames(some), config.pixel.network.palette)
        return cls(coding, reward_kind_of(replay), num_actions, config, seed)

    @classmethod
    def restore(
        cls, state: LearnerState, replay: Replay, num_actions: int, config: WorldModelConfig, seed: int
    ) -> PixelLearner:
        """The learner that gave `state`.

        Raises:
            UsageError: a state of a learner with other sizes.
        """
        colours = state.arrays.get("colours")
        coding = PixelCoding(replay.layout.frame_shape, None if colours is None else colours)
        learner = cls(coding, state.meta["reward_kind"], num_actions, config, seed)
        wanted = {"network": asdict(config.pixel.network), "num_latents": config.pixel.latents.num_latents}
        if (state.meta["network"], state.meta["num_latents"]) != (wanted["network"], wanted["num_latents"]):
            raise UsageError("the saved world model of pixels has other sizes than the settings: resume with its own")
        parts: dict[str, dict[str, torch.Tensor]] = {"predictor": {}, "optimiser": {}}
        for name, value in state.tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        learner._predictor.load_state_dict(parts["predictor"])
        learner._optimiser.load_state(parts["optimiser"])
        learner.updates = int(state.meta["updates"])
        learner._predictor.anneal(Amounts.at(learner.updates, learner.config).progress)
        learner.model = learner._snapshot()
        return learner

    def histories(self, replay: Replay) -> Histories:
        """Frames as they are: see `WorldModelLearner`."""
        return replay.history

    def state(self) -> LearnerState:
        """For a checkpoint between two fits: copies."""
        weights = self._predictor.state_dict().items()
        tensors = {f"predictor.{name}": value.detach().cpu().clone() for name, value in weights}
        tensors |= {f"optimiser.{name}": value.cpu() for name, value in self._optimiser.state().items()}
        colours = self._coding.colours
        meta: dict[str, Any] = {
            "updates": self.updates,
            "reward_kind": self._predictor.outcomes.kind,
            "network": asdict(self.config.network),
            "num_latents": self.config.latents.num_latents,
        }
        return LearnerState(tensors, {} if colours is None else {"colours": colours.copy()}, meta)

    def fit(self, replay: Replay, updates: int | None, report: Report) -> dict[str, float]:
        """Gradient steps on windows of the replay; see `WorldModelLearner`.

        Raises:
            UsageError: no episode is long enough for a window.
            RunError: a loss is not finite, or the replay cannot be read; weights are as before the step that failed.
        """
        training = self.config.training
        if self._predictor.outcomes.kind == "signs" and reward_kind_of(replay) == "values":
            self._renew_heads()
        train, held = split_rows(replay, training.held_out_share, training.held_out_steps)
        sampler = self._sampler(replay, train, training.reward_share)
        excess = sampler.excess().to(self._device)
        wanted = training.updates if updates is None else updates
        recent: list[dict[str, float]] = []
        self._predictor.train()
        try:
            for made in range(wanted):
                recent = [*recent[1 - _RECENT :], self._update(sampler, excess)]
                report("fitting the world model", (made + 1) / wanted)
        finally:
            self._predictor.eval()
        self.model = self._snapshot()
        names = recent[0] if recent else {}
        found = {f"train_{name}_nats": float(np.mean([losses[name] for losses in recent])) for name in names}
        return found | self._measure(replay, held)

    def _update(self, sampler: WindowSampler, excess: Excess) -> dict[str, float]:
        amounts = Amounts.at(self.updates, self.config)
        self._predictor.anneal(amounts.progress)
        draws = np.random.default_rng(derive_seed(self._seed, "pixel", "windows", self.updates))
        noise = make_generator(self._seed, "pixel", "noise", self.updates, device=self._device)
        windows = sampler.draw(self.config.training.batch_size, draws).to(self._device)
        losses = window_losses(self._predictor, windows, excess, amounts, noise)
        loss = torch.stack(list(losses.values())).sum()
        check_loss(loss.item(), self.updates)
        self._optimiser.step(loss, self.updates)
        self.updates += 1
        return {name: value.item() for name, value in losses.items()}

    def _measure(self, replay: Replay, held: NDArray[np.int64]) -> dict[str, float]:
        """Metrics on held-out windows; none where no held-out episode is long enough."""
        try:
            sampler = self._sampler(replay, held, 0.0)
        except UsageError:
            return {}
        training = self.config.training
        number = min(training.held_out_windows, len(sampler.ends))
        ends = sampler.ends[np.linspace(0, len(sampler.ends) - 1, number).astype(np.int64)]
        windows = sampler.windows(ends).to(self._device)
        losses: dict[str, float] = {}
        for start in range(0, number, training.batch_size):
            part = Windows(*(values[start : start + training.batch_size] for values in vars(windows).values()))
            for name, value in held_out_losses(self.model, part).items():
                losses[name] = losses.get(name, 0.0) + value * len(part.valid) / number
        return losses | rollout_metrics(self.model, windows, derive_seed(self._seed, "pixel", "held-out"))

    def _fresh_predictor(self, kind: RewardKind) -> PixelPredictor:
        build = partial(PixelPredictor, self._coding, self._num_actions, kind, self.config)
        return seeded(self._seed, build).to(self._device)

    def _renew_heads(self) -> None:
        """New heads, for any rewards; the rest stays as it was fitted, and so does what the optimiser remembers."""
        renewed = self._fresh_predictor("values")
        kept = {name: value for name, value in self._predictor.state_dict().items() if not name.startswith(_HEADS)}
        renewed.load_state_dict(renewed.state_dict() | kept)
        heads = {str(index) for index, (name, _) in enumerate(renewed.named_parameters()) if name.startswith(_HEADS)}
        moments = {
            name: value for name, value in self._optimiser.state().items() if name.partition(".")[0] not in heads
        }
        self._predictor, self._optimiser = renewed, PixelOptimiser(renewed, self.config.training)
        self._optimiser.load_state(moments)

    def _sampler(self, replay: Replay, rows: NDArray[np.int64], share: float) -> WindowSampler:
        network, training = self.config.network, self.config.training
        return WindowSampler(replay, rows, self._coding, network.context, training.predicted, share)

    def _snapshot(self) -> PixelWorldModel:
        predictor = copy.deepcopy(self._predictor).eval().requires_grad_(False)
        return PixelWorldModel(predictor, self._coding)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise UsageError(f"device must be auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda was asked for and there is none: use cpu, or auto")
    return torch.device(name)
