"""Networks of pixels so small that tests may fit them, and frames to try them with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rl_discrete.latents.config import ConditionalLSTMConfig
from rl_discrete.world_models.pixel import PixelWorldModel
from rl_discrete.world_models.pixel_coding import PixelCoding
from rl_discrete.world_models.pixel_config import (
    PixelLatentConfig,
    PixelModelConfig,
    PixelNetworkConfig,
    PixelTrainingConfig,
)
from rl_discrete.world_models.pixel_predictor import PixelPredictor
from rl_discrete.world_models.pixel_windows import Windows

ACTIONS = 3
SHAPE = (1, 9, 7)
GREYS = np.array([[0], [80], [160], [250]], np.uint8)
TINY = PixelModelConfig(
    network=PixelNetworkConfig(
        context=2,
        palette=4,
        patch=2,
        hidden=8,
        levels=2,
        doublings=1,
        recurrent=4,
        middle_dropout=0.0,
        outcome_hidden=8,
    ),
    latents=PixelLatentConfig(
        num_latents=8, posterior_channels=(8,), prior=ConditionalLSTMConfig(chunk=4, hidden=8, embedding=4)
    ),
    training=PixelTrainingConfig(batch_size=4, predicted=2, warmup_updates=100, rate_warmup=10, device="cpu"),
)
STACKED = replace(TINY, network=replace(TINY.network, recurrent=0), latents=replace(TINY.latents, num_latents=0))


def changed(config: PixelModelConfig, **parts: dict[str, Any]) -> PixelModelConfig:
    """The configuration with settings of its parts replaced: network={...}, latents={...}, training={...}."""
    return replace(config, **{name: replace(getattr(config, name), **values) for name, values in parts.items()})


def coding(config: PixelModelConfig, shape: tuple[int, ...] = SHAPE) -> PixelCoding:
    return PixelCoding(shape, GREYS if config.network.palette and shape[0] == 1 else None)


def build(config: PixelModelConfig = TINY, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> PixelPredictor:
    """A network in evaluation mode that says something else than what was there."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        predictor = PixelPredictor(coding(config, shape), ACTIONS, "signs", config)
        torch.nn.init.normal_(predictor.pixels.weight)
        torch.nn.init.normal_(predictor.outcomes.outputs.weight)
    return predictor.eval()


def model(config: PixelModelConfig = TINY, shape: tuple[int, ...] = SHAPE) -> PixelWorldModel:
    return PixelWorldModel(build(config, shape=shape), coding(config, shape))


def random_frames(generator: np.random.Generator, count: int) -> NDArray[np.uint8]:
    frames: NDArray[np.uint8] = GREYS[generator.integers(len(GREYS), size=(count, *SHAPE)), 0]
    return frames


def random_windows(config: PixelModelConfig = TINY, number: int = 4, seed: int = 0) -> Windows:
    generator = torch.Generator().manual_seed(seed)
    size = (number, config.network.context + config.training.predicted)
    return Windows(
        torch.randint(4, (*size, *SHAPE), generator=generator, dtype=torch.uint8),
        torch.ones(size, dtype=torch.bool),
        torch.randint(ACTIONS, size, generator=generator),
        torch.randint(-1, 2, size, generator=generator).float(),
        torch.zeros(size, dtype=torch.bool),
    )
