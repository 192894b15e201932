"""The command `train`: an agent in a real env."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_discrete.cli.flags import (
    HELP,
    add_fields,
    config_file,
    layered,
    new_parser,
    parse,
    print_help,
    selected,
    shipped,
    value_of,
)


def train(summary: str, argv: Sequence[str]) -> int:
    """`rl-discrete train`: its arguments, or its help for the chosen agent."""
    from rl_discrete.agents.baseline_config import BASELINES, BaselineConfig
    from rl_discrete.agents.config import VAST_PROFILES, VastConfig
    from rl_discrete.agents.simple_config import SimpleConfig
    from rl_discrete.runs.config import to_mapping
    from rl_discrete.runs.errors import UsageError
    from rl_discrete.world_models.pixel_config import PRESETS

    agents = ("simple", "vast", *BASELINES)
    agent = _named_agent(argv) or "simple"
    settings: type[Any] = {"simple": SimpleConfig, "vast": VastConfig}.get(agent, BaselineConfig)
    parser = new_parser("train", summary)
    parser.add_argument("--agent", choices=agents, help="what learns; the other flags depend on it")
    parser.add_argument("--profile", choices=VAST_PROFILES, help="how much is run")
    if agent == "simple":
        parser.add_argument("--preset", choices=tuple(PRESETS), help="which network of --world-model pixel")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file; flags override it")
    parser.add_argument("--out", type=Path, metavar="PATH", help="run folder; by default a new one below runs/train/")
    parser.add_argument("--resume", action="store_true", help="continue the run in `out`")
    add_fields(parser, settings)
    flags = parse(parser, [word for word in argv if word not in HELP])
    file, given = config_file(flags)
    out, resume = flags.pop("out", None), flags.pop("resume", False)
    agent = selected("agent", agents, agent, flags, given, file)
    profile = selected("profile", VAST_PROFILES, "cpu", flags, given, file)
    chosen = {"agent": agent, "profile": profile}
    layers = [shipped("baselines" if agent in BASELINES else agent, profile), (file, given), ("command line", flags)]
    named = flags.get("preset", given.get("preset"))
    if agent == "simple":
        usual = "paper" if profile == "paper" else "small"
        preset = chosen["preset"] = selected("preset", tuple(PRESETS), usual, flags, given, file)
        layers.insert(0, (f"preset {preset}", {"model": {"pixel": to_mapping(PRESETS[preset])}}))
    config = layered(settings, layers)
    if agent == "vast" and profile == "paper":
        from rl_discrete.envs.make import is_atari

        if is_atari(config.env):
            layers.insert(1, shipped(agent, "paper-atari"))
            config = layered(settings, layers)
    if agent == "simple" and named is not None and config.world_model != "pixel":
        raise UsageError(f"preset {named} is for --world-model pixel; the {config.world_model} model has none of it")
    if any(word in HELP for word in argv):
        return print_help(parser, config, **chosen)
    command = shlex.join(["rl-discrete", "train", *argv])
    if agent == "simple":
        from rl_discrete.agents.simple import train_simple
        from rl_discrete.analysis.world_diagnosis import draw_diagnosis

        draw_diagnosis(train_simple(config, out, resume, profile, command))
    elif agent == "vast":
        from rl_discrete.agents.vast import train_vast

        train_vast(config, out, resume, profile, command)
    else:
        from rl_discrete.agents.baselines import train_baseline

        train_baseline(agent, config, out, resume, profile, command)
    return 0


def _named_agent(argv: Sequence[str]) -> str | None:
    """The agent that the flags name, or the file they name: it decides which other flags there are."""
    from rl_discrete.runs.config import read_yaml

    if (agent := value_of("--agent", argv)) is not None:
        return agent
    file, out = value_of("--config", argv), value_of("--out", argv)
    if file is None and out is not None and "--resume" in argv:
        file = str(Path(out, "config.yaml"))
    named = read_yaml(Path(file)).get("agent") if file is not None and Path(file).is_file() else None
    return None if named is None else str(named)
