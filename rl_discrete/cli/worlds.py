"""The commands that look into world models and compare runs: `play`, `video` and `compare`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_discrete.cli.flags import HELP, add_fields, layered, new_parser, parse, print_help, taken_run
from rl_discrete.runs.errors import UsageError

RUN_HELP = "run folder, as given to --out of train, with a world model in it"


def play(summary: str, argv: Sequence[str]) -> int:
    """`rl-discrete play`: its arguments, or its help."""
    from rl_discrete.agents.run_config import PlayConfig

    parser = new_parser("play", summary)
    parser.add_argument("--run", type=Path, metavar="PATH", help=RUN_HELP)
    add_fields(parser, PlayConfig)
    if any(word in HELP for word in argv):
        return print_help(parser, PlayConfig())
    flags = parse(parser, argv)
    run = taken_run(flags)
    config = layered(PlayConfig, [("command line", flags)])

    from rl_discrete.agents.played_run import action_names, play_run
    from rl_discrete.agents.trained_agent import load_agent
    from rl_discrete.agents.trained_world import load_world_model

    model, starts = load_world_model(run)
    game, film = play_run(run, model, starts, action_names(load_agent(run), model.num_actions), config)
    totals = ", ".join(f"{total:g}" for total in (*game.finished, game.total))
    print(f"rewards of {len(game.finished) + 1} imagined games: {totals}")
    if film is not None:
        print(film)
    return 0


def video(summary: str, argv: Sequence[str]) -> int:
    """`rl-discrete video`: its arguments, or its help."""
    from rl_discrete.agents.run_config import VideoConfig

    parser = new_parser("video", summary)
    parser.add_argument("--run", type=Path, metavar="PATH", help=RUN_HELP)
    add_fields(parser, VideoConfig)
    if any(word in HELP for word in argv):
        return print_help(parser, VideoConfig())
    flags = parse(parser, argv)
    run = taken_run(flags)
    config = layered(VideoConfig, [("command line", flags)])

    from rl_discrete.agents.trained_world import load_world_model
    from rl_discrete.agents.world_video import film_world

    model, _ = load_world_model(run)
    print(film_world(run, model, config))
    return 0


def compare(summary: str, argv: Sequence[str]) -> int:
    """`rl-discrete compare`: its arguments, or its help."""
    from rl_discrete.agents.run_config import CompareConfig

    parser = new_parser("compare", summary)
    parser.usage = "rl-discrete compare RUN [RUN ...] [flags]"
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="run folders that eval has judged")
    add_fields(parser, CompareConfig)
    if any(word in HELP for word in argv):
        return print_help(parser, CompareConfig())
    flags = parse(parser, argv)
    runs = [Path(run) for run in flags.pop("runs", None) or ()]
    if not runs:
        raise UsageError("name the run folders to compare: rl-discrete compare RUN [RUN ...]")
    config = layered(CompareConfig, [("command line", flags)])

    from rl_discrete.agents.comparison import compare_runs

    result = compare_runs(runs, config, shlex.join(["rl-discrete", "compare", *argv]))
    print(comparison_text(result))
    if config.out is not None:
        from rl_discrete.analysis.comparison_charts import write_comparison

        for path in write_comparison(result, config.out):
            print(path)
    return 0


def comparison_text(result: Mapping[str, Any]) -> str:
    """The groups of a comparison as a table, env by env, with the published scores."""
    lines = []
    width = max(len(group["label"]) for group in result["groups"])
    for env in dict.fromkeys(group["env"] for group in result["groups"]):
        lines.append(
            f"{env:{width}}  runs  {'IQM':>8}  {'95 % over seeds':>18}  {'mean':>8}  {'greedy':>8}  normalised"
        )
        for group in result["groups"]:
            if group["env"] != env:
                continue
            lines.append(
                f"{group['label']:{width}}  {len(group['scores']):4}  {group['iqm']:8.4g}  "
                f"{_interval(group['iqm_interval']):>18}  {group['mean']:8.4g}  "
                f"{_word(group.get('greedy')):>8}  {_word(group['human_normalised']):>10}"
            )
            if "human" in group:
                lines.append(
                    f"{'':{width}}  random {group['random']:g}, human {group['human']:g}, "
                    f"SimPLe as reprinted {group['reprinted']:g}"
                )
        lines.append("")
    for item in result["overall"]:
        if len(item["envs"]) > 1:
            lines.append(
                f"{item['label']}: human-normalised IQM {item['iqm']:.3f} ({_interval(item['iqm_interval'])}), "
                f"mean {item['mean']:.3f}, median {item['median']:.3f} over {len(item['envs'])} games"
            )
    return "\n".join(lines).rstrip()


def _interval(ends: Sequence[float] | None) -> str:
    return "one run" if ends is None else f"{ends[0]:.4g} to {ends[1]:.4g}"


def _word(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
