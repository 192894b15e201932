"""Fits the dynamics of a finished run's codes anew, with each prior for the same time, and compares the two.

    rl-discrete train --env Pong --encoder ish --real-steps 30000 --schedule.iterations 2 --schedule.last_steps 0 \
        --schedule.last_imagined_factor 1 --seed S --out RUN
    python docs/results/world_models/dynamics.py RUN OUT.json [--seconds 360] [SETTING=VALUE ...]

The codes are those of the run, whose codec has had its own minutes; the dynamics starts from fresh weights. Time is
processor time: how many gradient steps fit into it is measured on a few before. The judge is 5,000 fresh steps of the
run's own agent in the real game, the same ones for both priors. A SETTING is one of `model.code`, such as
`fit.weight_decay=0.1`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from rl_discrete.agents.real_play import record_play
from rl_discrete.agents.rollout_errors import find_objects, rollout_errors
from rl_discrete.agents.simple_checks import load_config
from rl_discrete.agents.trained_agent import TrainedAgent
from rl_discrete.agents.trained_world import load_replay, load_simple, load_world_model
from rl_discrete.runs.config import from_mapping, merge, to_mapping
from rl_discrete.runs.seeding import derive_seed
from rl_discrete.world_models.code import CodeWorldModel
from rl_discrete.world_models.code_dynamics import CodeDynamics
from rl_discrete.world_models.code_fit import fit_dynamics
from rl_discrete.world_models.code_metrics import measure_code_model
from rl_discrete.world_models.coded_replay import CodedReplay
from rl_discrete.world_models.config import CodeModelConfig
from rl_discrete.world_models.held_out import HeldOut

PILOT_UPDATES = 60
STEPS, STARTS = 5000, 800


def main() -> None:
    """Reads the command line, and writes one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--seconds", type=float, default=360.0)
    parser.add_argument("--prior", action="append", dest="priors", choices=("factorised", "lstm"))
    told = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    config, (model, _) = load_config(told.run), load_world_model(told.run)
    assert isinstance(model, CodeWorldModel)
    settings = with_settings(config.model.code, told.settings)
    replay, seed = load_replay(told.run, config), derive_seed(config.seed, "priors")
    held_out = HeldOut(settings.fit.held_out_share, settings.fit.held_out_steps, replay.layout.num_envs)
    coded = CodedReplay.of(replay, model.codec, held_out, settings.fit.targets == "soft")
    judged = TrainedAgent("simple", load_simple(told.run, seed=seed)[2], config.env, config.env_kwargs, (), 0)
    play = record_play(judged.policy, judged.make_env, STEPS, seed=seed)
    finder = find_objects(config.env, judged.make_env, model.num_actions, seed)
    found: dict[str, Any] = {"run": to_mapping(config), "settings": told.settings, "rows": len(coded), "priors": {}}
    for prior in told.priors or ("factorised", "lstm"):
        dynamics, fitted = fit(model, settings, prior, coded, told.seconds, seed)
        made = CodeWorldModel(model.codec, [dynamics])
        errors = rollout_errors(made, play, starts=STARTS, seed=seed, finder=finder)
        found["priors"][prior] = fitted | {"held_out": measure_code_model(made, coded, seed), "fresh": errors}
        print(prior, describe(found["priors"][prior]), flush=True)
        told.out.write_text(json.dumps(found, indent=1) + "\n")


def with_settings(config: CodeModelConfig, settings: list[str]) -> CodeModelConfig:
    """The configuration with SETTING=VALUE put in."""
    mapping = to_mapping(config)
    for setting in settings:
        name, value = setting.split("=")
        nested: Any = json.loads(value) if value[0] in "-0123456789[{" else value
        for part in reversed(name.split(".")):
            nested = {part: nested}
        mapping = merge(mapping, nested)
    return from_mapping(CodeModelConfig, mapping, "SETTING=VALUE")


def fit(
    model: CodeWorldModel, config: CodeModelConfig, prior: str, coded: CodedReplay, seconds: float, seed: int
) -> tuple[CodeDynamics, dict[str, Any]]:
    """A dynamics fitted for about so many seconds of processor time; the same weights at the start for both priors."""

    def fitted(updates: int) -> tuple[CodeDynamics, dict[str, Any]]:
        chosen = replace(config.dynamics, prior=prior)
        dynamics = CodeDynamics(model.num_latents, model.num_actions, "signs", chosen, seed)
        begin = time.process_time()
        losses = fit_dynamics(dynamics, coded, config.fit, updates, seed, _quiet)
        return dynamics, {"seconds": time.process_time() - begin, "losses": losses}

    pace = fitted(PILOT_UPDATES)[1]["seconds"] / PILOT_UPDATES
    return fitted(max(1, round(seconds / pace)))


def describe(found: dict[str, Any]) -> str:
    """The figures that the page of results has."""
    fresh, objects = found["fresh"], found["fresh"]["objects"]
    held = {name: round(value, 4) for name, value in found["held_out"].items() if name[:3] in ("nat", "bit", "ima")}
    return (
        f"{found['seconds']:.0f} s, {found['losses']['updates']:.0f} updates, nats {fresh['nats'][0]:.2f}, wrong bits "
        f"{fresh['bit_error'][0]:.4f} / {fresh['bit_error'][2]:.4f}, player at 50 {objects['player']['mean'][3]:.2f} "
        f"(median {objects['player']['median'][3]:.2f}), ball at 15: median {objects['ball']['median'][2]:.2f}, lost "
        f"{objects['ball']['lost'][2]:.3f}, near {objects['ball']['near'][2]:.3f}; train {found['losses']}; held {held}"
    )


def _quiet(name: str, share: float) -> None:
    """Reports nothing."""


if __name__ == "__main__":
    main()
