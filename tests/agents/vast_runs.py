"""Small VaST runs for the tests: seconds of work, every part of the loop in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from rl_discrete.agents.config import ExplorationConfig, LearningConfig, PlannerConfig, VastConfig
from rl_discrete.encoders.config import EncoderConfig, EncoderNetworkConfig

SMALL = EncoderConfig(
    num_latents=12,
    network=EncoderNetworkConfig(channels=(4, 8), hidden=(32,), decoder_channels=(8,), prior_hidden=(16,)),
    downsample_size=(10, 10),
)
"""Fast on the 40 x 40 images of the grids; `downsample` sees every tile."""


def small(**changes: Any) -> VastConfig:
    """A run of 320 steps on the four rooms, with gradient steps and rebuilds, but for `changes`."""
    config = VastConfig(
        steps=320,
        num_envs=4,
        burn_in=80,
        relabel_every=60,
        replay_bytes=8_000_000,
        window=50,
        checkpoint_every=100,
        exploration=ExplorationConfig(steps=50),
        planner=PlannerConfig(sweeps_per_step=50, backups_per_step=400),
        training=LearningConfig(batch_size=8, steps_per_update=10, burn_in_updates=6),
        model=SMALL,
    )
    return replace(config, **changes)


def exact(**changes: Any) -> VastConfig:
    """A run whose codes are exact and learn nothing: the planner alone, on the four rooms."""
    return small(**{"encoder": "downsample", "steps": 5000, "num_envs": 8, "burn_in": 1000, "window": 1000, **changes})


def result(folder: Path) -> dict[str, Any]:
    """What a finished run wrote."""
    content: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return content
