"""The commands on a finished (or stopped) run: `eval`, `replan` and `export-mdp`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rl_discrete.cli.flags import HELP, add_fields, layered, new_parser, parse, print_help, taken_run
from rl_discrete.runs.errors import UsageError

if TYPE_CHECKING:
    from rl_discrete.agents.evaluated_run import JudgedRun
    from rl_discrete.agents.replanning import Replan

RUN_HELP = "run folder, as given to --out of train"


def evaluate(summary: str, argv: Sequence[str]) -> int:
    """`rl-discrete eval`: its arguments, or its help."""
    from rl_discrete.agents.run_config import EvaluationConfig

    parser = new_parser("eval", summary)
    parser.add_argument("--run", type=Path, metavar="PATH", help=RUN_HELP)
    add_fields(parser, EvaluationConfig)
    if any(word in HELP for word in argv):
        return print_help(parser, EvaluationConfig())
    flags = parse(parser, argv)
    run = taken_run(flags)
    config = layered(EvaluationConfig, [("command line", flags)])

    from rl_discrete.agents.evaluated_run import evaluate_run

    _print_evaluation(evaluate_run(run, config, shlex.join(["rl-discrete", "eval", *argv])), config.policy)
    return 0


def replan(summary: str, argv: Sequence[str]) -> int:
    """`rl-discrete replan`: its arguments, or its help."""
    from rl_discrete.agents.run_config import ReplanConfig

    parser = new_parser("replan", summary)
    parser.add_argument("--run", type=Path, metavar="PATH", help=RUN_HELP)
    parser.add_argument("--reward", metavar="FILE_OR_EXPR", help="the new reward: an expression, or a file of numpy")
    add_fields(parser, ReplanConfig)
    if any(word in HELP for word in argv):
        return print_help(parser, ReplanConfig())
    flags = parse(parser, _attached("--reward", argv))
    run = taken_run(flags)
    reward = flags.pop("reward", None)
    if reward is None:
        raise UsageError("--reward is required: an expression such as -reward, or a .npy or .npz file")
    config = layered(ReplanConfig, [("command line", flags)])

    from rl_discrete.agents.replanning import replan_run

    _print_replan(replan_run(run, reward, config, shlex.join(["rl-discrete", "replan", *argv])))
    return 0


def export_mdp(summary: str, argv: Sequence[str]) -> int:
    """`rl-discrete export-mdp`: its arguments, or its help."""
    from rl_discrete.agents.run_config import ExportConfig

    parser = new_parser("export-mdp", summary)
    parser.add_argument("--run", type=Path, metavar="PATH", help=RUN_HELP)
    parser.add_argument("--out", type=Path, metavar="FILE", help="its suffix says the format: .graphml, .npz, .dot ...")
    add_fields(parser, ExportConfig)
    if any(word in HELP for word in argv):
        return print_help(parser, ExportConfig())
    flags = parse(parser, argv)
    run = taken_run(flags)
    out = flags.pop("out", None)
    if out is None:
        raise UsageError("--out is required: the file to write, such as mdp.graphml")
    config = layered(ExportConfig, [("command line", flags)])

    from rl_discrete.agents.exported_run import export_run

    written = export_run(run, Path(out), config)
    print(f"{written.num_states:,} states and {written.num_edges:,} edges written to {out}")
    return 0


def _attached(flag: str, argv: Sequence[str]) -> list[str]:
    """`argv` with the flag and its value in one word, because a value such as `-reward` looks like a flag."""
    words = list(argv)
    if flag in words[:-1]:
        place = words.index(flag)
        words[place : place + 2] = ["=".join(words[place : place + 2])]
    return words


def _print_evaluation(judged: JudgedRun, policy: str) -> None:
    from rl_discrete.agents.atari_scores import published

    agent, scores = judged.agent, published(judged.agent.env)
    print(f"{agent.name} on {agent.env} after {agent.step:,} steps: {len(judged.evaluation.lengths)} episodes")
    first = "greedy" if policy == "greedy" else "sampled"
    for name, evaluation in ((first, judged.evaluation), ("greedy", judged.greedy)):
        if evaluation is None:
            continue
        low, high = evaluation.interval
        lengths, ends = evaluation.lengths, evaluation.ends
        print(f"{name:8} return mean {evaluation.mean:.4g} (95 % {low:.4g} to {high:.4g}), ", end="")
        print(f"median {evaluation.median:.4g}, standard deviation {evaluation.std:.4g}", end="")
        print("" if scores is None else f"; human-normalised {scores.normalise(evaluation.mean):.3f}")
        print(f"{'':8} length mean {sum(lengths) / len(lengths):.1f} steps, ", end="")
        print(f"reward per step {evaluation.reward_per_step:.4g}; ends ", end="")
        print(", ".join(f"{ends.count(kind)} {kind}" for kind in ("terminated", "truncated", "capped")))
    if scores is not None:
        print(f"published: random {scores.random:g}, human {scores.human:g}, SimPLe {scores.simple:g}", end=" ")
        print(f"(mean of its five runs {scores.seeds_mean:.4g}) after 100,000 steps")


def _print_replan(done: Replan) -> None:
    print(f"{done.states:,} states planned anew in {done.seconds:.3g} s ({done.iterations} sweeps): {done.path}")
    if not done.trials:
        return
    print(f"{'':8}{'steps':>8}{'reward/step':>13}{'ends + / - / 0':>18}{'cut':>6}{'share of +':>12}")
    for name, trial in done.trials.items():
        ends = f"{trial.plus} / {trial.minus} / {trial.zero}"
        print(
            f"{name:8}{trial.steps:8,}{trial.reward_per_step:13.5f}{ends:>18}{trial.cut:6}{trial.plus_share:12.2f}"
            + (f"  few ends: {trial.ends}" if trial.is_few else "")
        )
