"""The paper's networks at full size: how many weights they have, and that a step of training and simulation runs.

Everything here lives on torch's meta device, where shapes are computed and numbers are not: it costs no time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from rl_discrete.world_models.pixel_coding import PixelCoding
from rl_discrete.world_models.pixel_config import PAPER, PAPER_DETERMINISTIC, PRESETS, SMALL, PixelModelConfig
from rl_discrete.world_models.pixel_loss import Amounts, window_losses
from rl_discrete.world_models.pixel_optimiser import PixelOptimiser
from rl_discrete.world_models.pixel_predictor import PixelPredictor
from rl_discrete.world_models.pixel_windows import Excess, Windows

FRAME = (3, 105, 80)
ACTIONS, REWARDS = 6, 3
SIX_LEVELS = replace(PAPER, network=replace(PAPER.network, levels=6))


def build(config: PixelModelConfig, colours: int = 0) -> PixelPredictor:
    coding = PixelCoding(FRAME, np.zeros((colours, 3), np.uint8) if colours else None)
    with torch.device("meta"):
        return PixelPredictor(coding, ACTIONS, "signs", config)


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("config", "millions", "exact"),
    [(PAPER_DETERMINISTIC, 11.2, 11_196_932), (PAPER, 73.7, 73_329_676), (SIX_LEVELS, 90.3, 90_784_780)],
    ids=["deterministic", "stochastic-5-levels", "stochastic-6-levels"],
)
def test_weights_are_as_many_as_published(config: PixelModelConfig, millions: float, exact: int) -> None:
    """Within 1 % of Tensor2Tensor's; `exact` is the sum over layers worked out by hand, prior and heads being ours."""
    found = size(build(config))
    assert found == exact
    assert found == pytest.approx(1e6 * millions, rel=0.01)
    wider = replace(config, network=replace(config.network, hidden=config.network.hidden + 4))
    assert size(build(wider)) != pytest.approx(1e6 * millions, rel=0.01)


def test_where_the_weights_are() -> None:
    """The parts, by hand: posterior 8.0 M, prior from a map of 4 x 3 x 768, and the two 1x1 layers."""
    predictor = build(PAPER)
    assert predictor.latents is not None
    assert predictor.backbone.map_shape == (768, 4, 3)
    assert size(predictor.latents.posterior) == 7_953_768
    assert size(predictor.latents.prior) == 3_233_088
    assert size(predictor.backbone.stem) == 67 * 96 + 96
    assert size(predictor.pixels) == 96 * 768 + 768
    assert build(SIX_LEVELS).backbone.map_shape == (768, 2, 2)
    assert build(PAPER_DETERMINISTIC).backbone.map_shape == (256, 2, 2)


def test_small_is_small() -> None:
    assert size(build(SMALL, colours=16)) < 2_000_000
    assert size(build(PRESETS["small-deterministic"], colours=16)) < 1_000_000


def on_meta(batch: int, length: int) -> Windows:
    with torch.device("meta"):
        return Windows(
            torch.zeros((batch, length, *FRAME), dtype=torch.uint8),
            torch.ones((batch, length), dtype=torch.bool),
            torch.zeros((batch, length), dtype=torch.int64),
            torch.zeros((batch, length)),
            torch.zeros((batch, length), dtype=torch.bool),
        )


@pytest.mark.parametrize("config", [PAPER_DETERMINISTIC, PAPER], ids=["deterministic", "stochastic"])
def test_one_training_step_and_one_simulation_step_at_full_size(
    config: PixelModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = build(config).train()
    monkeypatch.setattr(predictor.outcomes, "reward_nats", lambda logits, *_: -logits.log_softmax(-1)[:, 1])  # reads
    # Counting pixels needs their values; each predicted frame is the same again, and takes a second of shapes.
    training = replace(config.training, pixel_noise=0.0, optimiser="adamw", predicted=1, context_loss=False)
    predictor.config = replace(config, training=training)
    length = predictor.context + training.predicted
    windows = on_meta(training.batch_size, length)
    losses = window_losses(predictor, windows, Excess.none("meta"), Amounts.at(20_000, config), None)
    stochastic = config.latents.num_latents > 0
    assert set(losses) == {"frame", "reward", "end"} | ({"prior"} if stochastic else set())
    PixelOptimiser(predictor, training).step(torch.stack(list(losses.values())).sum(), 0)
    assert all(parameter.grad is not None for parameter in predictor.parameters())

    predictor.eval()
    with torch.no_grad():
        frame = predictor.frame(windows.symbols[:, 0])
        state = predictor.forget(len(frame))
        seen = torch.cat((frame, state) if stochastic else [frame] * predictor.context, dim=1)
        encoded = predictor.imagine(predictor.encode(seen, windows.actions[:, 0]))
        prediction = predictor.decode(encoded, windows.symbols[:, 0])
    batch = training.batch_size
    assert prediction.pixels.shape == (batch, 105, 80, 3, 256)
    assert prediction.symbols().shape == (batch, *FRAME)
    assert prediction.reward.shape == (batch, REWARDS)
    assert predictor.code_noise == (16 if stochastic else 0)
    if stochastic:
        assert predictor.remember(state, frame).shape == (batch, 64, 105, 80)
