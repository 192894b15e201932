"""The commands of the MNIST benchmark: `mnist-bench` and `train-judge`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
)


def mnist_bench(summary: str, argv: Sequence[str]) -> int:
    """`rl-discrete mnist-bench`: its arguments, or its help."""
    from rl_discrete.bench.config import PRESETS, PROFILES, MnistBenchConfig, Row

    parser = new_parser("mnist-bench", summary)
    parser.add_argument("--profile", choices=PROFILES, default="default", help="how much is run")
    parser.add_argument("--preset", choices=PRESETS, default="best", help="which architecture")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file; flags override it")
    add_fields(parser, MnistBenchConfig, switches=("resume",))
    flags = parse(parser, [word for word in argv if word not in HELP])
    file, given = config_file(flags)
    profile = selected("profile", PROFILES, "default", flags, given, file)
    preset = selected("preset", PRESETS, "best", flags, given, file)
    layers = [shipped("mnist", preset), shipped("mnist", profile), (file, given), ("command line", flags)]
    config = replace(layered(MnistBenchConfig, layers), row_settings=_row_settings([values for _, values in layers]))
    if any(word in HELP for word in argv):
        return print_help(parser, config, profile=profile, preset=preset)
    for name in config.rows:
        Row.parse(name)

    from rl_discrete.bench.mnist import run_mnist_bench

    command = shlex.join(["rl-discrete", "mnist-bench", *argv])
    run_mnist_bench(config, profile=profile, preset=preset, command=command)
    return 0


def _row_settings(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings of single rows, layer by layer; what a later layer sets for all rows holds for these too."""
    from rl_discrete.runs.config import merge, without

    rows: dict[str, Any] = {}
    for values in layers:
        rows = {pattern: without(settings, values) for pattern, settings in rows.items()}
        rows = merge(rows, values.get("row_settings", {}))
    return {pattern: settings for pattern, settings in rows.items() if settings}


def train_judge(summary: str, argv: Sequence[str]) -> int:
    """`rl-discrete train-judge`: its arguments, or its help."""
    from rl_discrete.bench.judge_config import JudgeConfig

    parser = new_parser("train-judge", summary)
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file; flags override it")
    add_fields(parser, JudgeConfig, switches=("resume",))
    flags = parse(parser, [word for word in argv if word not in HELP])
    config = layered(JudgeConfig, [config_file(flags), ("command line", flags)])
    if any(word in HELP for word in argv):
        return print_help(parser, config)

    from rl_discrete.bench import judge_training

    judge_training.train_judge(config)
    return 0
