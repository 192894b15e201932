"""SimPLe on a real env with real world models, so small that a whole run takes seconds."""

from __future__ import annotations

from dataclasses import replace

from rl_discrete.agents.simple_config import (
    DiagnosisConfig,
    ImaginationConfig,
    PolicyConfig,
    ScheduleConfig,
    SimpleConfig,
)
from rl_discrete.latents.config import ConditionalLSTMConfig
from rl_discrete.world_models.config import (
    CodecConfig,
    CodeModelConfig,
    DynamicsConfig,
    DynamicsFitConfig,
    WorldModelConfig,
)
from rl_discrete.world_models.table_config import TableModelConfig
from tests.agents.vast_runs import SMALL as SMALL_CODES
from tests.world_models.pixels import TINY, changed

WORLDS = WorldModelConfig(
    code=CodeModelConfig(
        codec=CodecConfig(max_bits=16, features=8, hidden=8, updates=6, refit_updates=3, batch_size=8, max_frames=64),
        dynamics=DynamicsConfig(
            hidden=16,
            history=2,
            recurrent=4,
            burn_in=2,
            lstm=ConditionalLSTMConfig(chunk=8, hidden=8, embedding=4),
            outcome_hidden=8,
        ),
        fit=DynamicsFitConfig(updates=4, refit_updates=3, batch_size=8, unroll=2, held_out_steps=8, codec_growth=1.1),
    ),
    pixel=changed(TINY, training={"updates": 3, "held_out_steps": 8, "held_out_windows": 8}),
    table=TableModelConfig(
        codes=replace(SMALL_CODES, num_latents=8), updates=4, refit_updates=2, batch_size=8, held_out_steps=8
    ),
)
SMALL = SimpleConfig(
    env="grid",
    real_steps=160,
    num_envs=2,
    window=40,
    checkpoint_every=40,
    schedule=ScheduleConfig(iterations=2, first_steps=80, last_steps=20, imagined_steps=64, block_steps=32),
    imagination=ImaginationConfig(num_envs=4, horizon=6, checkpoint_every=32),
    policy=PolicyConfig(hidden=(8,), arguments={"ppo": {"n_steps": 8, "batch_size": 16, "n_epochs": 2}}),
    diagnosis=DiagnosisConfig(steps=40, starts=8),
    model=WORLDS,
)
