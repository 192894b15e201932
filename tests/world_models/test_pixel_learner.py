"""The world model of pixels learns a world with known answers, and its learner goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rl_discrete.data.history import History
from rl_discrete.data.replay import Replay
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.world_models.base import ModelStep
from rl_discrete.world_models.config import WorldModelConfig
from rl_discrete.world_models.learner import begin_learner, restore_learner
from rl_discrete.world_models.pixel import PixelState
from rl_discrete.world_models.pixel_config import PixelModelConfig
from rl_discrete.world_models.pixel_learner import PixelLearner
from tests.world_models.pixels import TINY, changed

LEFT, RIGHT, STOP = range(3)
SIZE = 6
FITTED = changed(
    TINY,
    network={"hidden": 16, "levels": 1, "context": 1},
    latents={"num_latents": 4, "prior_share": 0.2},
    training={"batch_size": 16, "learning_rate": 4e-3, "warmup_updates": 120, "predicted": 2, "held_out_steps": 8},
)
ALONE = changed(FITTED, network={"recurrent": 0}, latents={"num_latents": 0})


def picture(place: NDArray[Any], side: NDArray[Any]) -> NDArray[np.uint8]:
    """A block at one of three places at the top, a coin on one of two sides at the bottom: (N, 1, 6, 6)."""
    frames = np.zeros((len(place), 1, SIZE, SIZE), np.uint8)
    for row, (x, y) in enumerate(zip(2 * place, 4 * side, strict=True)):
        frames[row, 0, :2, x : x + 2] = 200
        frames[row, 0, 4:, y : y + 2] = 90
    return frames


def played(folder: Path, steps: int, seed: int = 0) -> Replay:
    """The block goes where the action says, and is paid at the right end; the coin falls anew each time; STOP ends."""
    generator = np.random.default_rng(seed)
    replay = Replay(folder, (1, SIZE, SIZE), 1, 1, 10**7, segment_rows=256)
    none = np.array([False])
    place, start = 0, True
    for _ in range(steps):
        action = int(generator.choice(3, p=(0.45, 0.45, 0.1)))
        ends = action == STOP and not start
        if start:
            place = int(generator.integers(3))
        else:
            place = int(np.clip(place + {LEFT: -1, RIGHT: 1, STOP: 0}[action], 0, 2))
        side = generator.integers(2, size=1)
        frame, paid = picture(np.array([place]), side), float(place == 2 and not start)
        replay.append(frame, [action], [paid], none | ends, none, none | start)
        start = ends
    return replay


def settings(config: PixelModelConfig) -> WorldModelConfig:
    return WorldModelConfig(pixel=config)


def silent(_: str, share: float) -> None:
    assert 0.0 < share <= 1.0


def imagined(learner: PixelLearner, action: int, rows: int = 150) -> ModelStep[PixelState]:
    """One step from the middle, with the coin on the left, under as many different throws as rows."""
    first = picture(np.full(rows, 1), np.zeros(rows, np.int64))
    model = learner.model
    state = model.reset(History.of_first(first, model.history_length))
    noise = np.random.default_rng(0).random((rows, model.noise_dim), np.float32)
    return model.step(state, np.full(rows, action), noise)


def check_what_follows(learner: PixelLearner, actions: tuple[int, ...]) -> None:
    for action in actions:
        place, paid, ends = {LEFT: (0, 0.0, False), RIGHT: (2, 1.0, False), STOP: (1, 0.0, True)}[action]
        step = imagined(learner, action)
        assert (step.reward == paid).mean() >= 0.95
        assert (step.terminated == ends).mean() >= 0.95
        if not ends:  # what comes with an end is not learned
            top = picture(np.array([place]), np.zeros(1, np.int64))[0, 0, :3]
            assert (step.observation[:, 0, :3] == top).all((1, 2)).mean() >= 0.9


def coins(learner: PixelLearner) -> list[float]:
    """Share of imagined coins on either side."""
    bottom = imagined(learner, LEFT).observation[:, 0, 4:]
    sides = [picture(np.zeros(1, np.int64), np.array([side]))[0, 0, 4:] for side in (0, 1)]
    return [float((bottom == side).all((1, 2)).mean()) for side in sides]


def test_the_deterministic_model_learns_what_follows_from_what(tmp_path: Path) -> None:
    learner = PixelLearner.begin(played(tmp_path, 600), 3, settings(ALONE), seed=0)
    with pytest.raises(AssertionError):
        check_what_follows(learner, (LEFT, RIGHT, STOP))  # the control: not yet fitted
    found = learner.fit(played(tmp_path / "more", 600, seed=1), 120, silent)
    check_what_follows(learner, (RIGHT, STOP))
    assert max(coins(learner)) in (0.0, 1.0)  # always the same
    assert found["positive_recall"] >= 0.9
    assert found["imagined_positive_rate"] == pytest.approx(found["real_positive_rate"], rel=0.2)
    assert found["imagined_end_rate"] == pytest.approx(found["real_end_rate"], rel=0.2)


@pytest.mark.slow
def test_the_stochastic_model_learns_what_is_left_to_chance_too(tmp_path: Path) -> None:
    learner = PixelLearner.begin(played(tmp_path, 600), 3, settings(FITTED), seed=0)
    found = learner.fit(played(tmp_path / "more", 600, seed=1), 600, silent)
    check_what_follows(learner, (LEFT, RIGHT, STOP))
    left, right = coins(learner)
    assert left + right >= 0.9
    assert 0.25 <= right <= 0.75
    assert found["prior_nats_per_frame"] > 0.3  # about ln 2, if one bit tells the side


def weights(learner: PixelLearner) -> dict[str, torch.Tensor]:
    return learner.model.predictor.state_dict()


@pytest.mark.parametrize("optimiser", ["adamw", "adafactor"])
def test_a_restored_learner_goes_on_bit_for_bit(tmp_path: Path, optimiser: Any) -> None:
    replay = played(tmp_path, 120)
    config = settings(changed(TINY, network={"dropout": 0.2}, training={"optimiser": optimiser}))
    learner = PixelLearner.begin(replay, 3, config, seed=1)
    learner.fit(replay, 3, silent)
    earlier, state = learner.model, learner.state()
    kept = {name: value.clone() for name, value in earlier.predictor.state_dict().items()}
    learner.fit(replay, 2, silent)
    restored = restore_learner("pixel", state, replay, 3, config, 1)
    assert isinstance(restored, PixelLearner)
    assert restored.updates == 3
    assert all(torch.equal(value, kept[name]) for name, value in weights(restored).items())
    restored.fit(replay, 2, silent)
    assert restored.updates == learner.updates == 5  # schedules go on, over fits and restores
    assert all(torch.equal(value, weights(learner)[name]) for name, value in weights(restored).items())
    assert not all(torch.equal(value, kept[name]) for name, value in weights(learner).items())
    assert all(torch.equal(value, kept[name]) for name, value in earlier.predictor.state_dict().items())
    assert not learner.model.predictor.training
    other = settings(changed(TINY, network={"hidden": 12}, training={"optimiser": optimiser}))
    with pytest.raises(UsageError, match="other sizes than the settings"):
        restore_learner("pixel", state, replay, 3, other, 1)


def test_a_loss_that_is_no_number_stops_the_fit(tmp_path: Path) -> None:
    replay = played(tmp_path, 60)
    learner = PixelLearner.begin(replay, 3, settings(TINY), seed=0)
    with torch.no_grad():
        learner._predictor.pixels.weight[0] = torch.nan
    before = learner._predictor.backbone.stem.weight.detach().clone()
    with pytest.raises(RunError, match="the loss of the world model became nan at update 0"):
        learner.fit(replay, 5, silent)
    assert learner.updates == 0
    assert torch.equal(learner._predictor.backbone.stem.weight, before)


def test_what_it_cannot_begin_with(tmp_path: Path) -> None:
    vectors = Replay(tmp_path / "vectors", (4,), 1, 1, 10**5, "float32", segment_rows=8)
    with pytest.raises(UsageError, match=r"takes images, uint8 \(C, H, W\), got float32 \(4,\)"):
        begin_learner("pixel", vectors, 3, settings(TINY), 0)
    with pytest.raises(UsageError, match="the replay is empty: collect some first"):
        begin_learner("pixel", played(tmp_path / "none", 0), 3, settings(TINY), 0)
    replay = played(tmp_path / "some", 10)
    for wrong, words in (
        (changed(TINY, network={"hidden": 6}), "hidden must be a multiple of 4, got 6"),
        (changed(TINY, network={"palette": 300}), "palette must be 0 or between 2 and 256, got 300"),
        (changed(TINY, latents={"posterior_stride": 9}), "posterior_stride must be between 1 and posterior_kernel"),
        (changed(TINY, latents={"latent_use": 1.5}), r"latent_use must be in \[0, 1\], got 1.5"),
        (changed(TINY, training={"batch_size": 0}), "batch_size must be >= 1, got 0"),
        (changed(TINY, training={"device": "tpu"}), "device must be auto, cpu or cuda, got 'tpu'"),
        (changed(TINY, training={"optimiser": "sgd"}), "optimiser must be adamw or adafactor, got 'sgd'"),
    ):
        with pytest.raises(UsageError, match=words):
            PixelLearner.begin(replay, 3, settings(wrong), 0)


def test_rewards_of_any_size_have_a_class_of_heads_of_their_own(tmp_path: Path) -> None:
    replay = played(tmp_path, 60)
    counts = {}
    for name, paid in (("signs", 1.0), ("values", 7.5)):
        replay.append(picture(np.zeros(1, np.int64), np.zeros(1, np.int64)), [0], [0.0], [False], [False], [True])
        replay.append(picture(np.zeros(1, np.int64), np.zeros(1, np.int64)), [0], [paid], [False], [False], [False])
        learner = PixelLearner.begin(replay, 3, settings(replace(TINY)), seed=0)
        counts[name] = len(learner.model.predictor.outcomes.values)
    assert counts["signs"] == 3 < counts["values"]


@pytest.mark.parametrize("optimiser", ["adamw", "adafactor"])
def test_a_new_kind_of_reward_gets_new_heads(tmp_path: Path, optimiser: Any) -> None:
    replay = played(tmp_path, 60)
    config = settings(changed(TINY, training={"optimiser": optimiser}))
    learner = PixelLearner.begin(replay, 3, config, seed=0)
    learner.fit(replay, 2, silent)
    before = learner.state()
    frame, no = picture(np.zeros(1, np.int64), np.zeros(1, np.int64)), [False]
    for index in range(4):
        replay.append(frame, [0], [10.0 * (index > 0)], no, no, [index == 0])
    learner.fit(replay, 0, silent)
    assert learner.model.predictor.outcomes.values.max() > 10.0
    after = learner.state()
    assert (before.meta["reward_kind"], after.meta["reward_kind"]) == ("signs", "values")
    for name, value in after.tensors.items():  # all but the heads stays, and so does what the optimiser knows of it
        assert "outcomes" in name or torch.equal(value, before.tensors[name])
    assert len(before.tensors) > len(after.tensors) > len(before.tensors) / 2
    restored = PixelLearner.restore(after, replay, 3, config, seed=0)
    assert learner.fit(replay, 2, silent) == restored.fit(replay, 2, silent)
    assert all(torch.equal(value, weights(learner)[name]) for name, value in weights(restored).items())
