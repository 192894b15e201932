"""Baselines on the real env: PPO and DQN of Stable-Baselines3, and chance, in the same run folder as every agent.

The loops are theirs, cut at their seams: a checkpoint falls between a rollout with its update and the next, and with
one thread a run that is stopped and resumed is the same bit for bit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rl_discrete.agents.baseline_checks import check_begun, resolve
from rl_discrete.agents.baseline_config import BASELINES, BaselineConfig
from rl_discrete.agents.baseline_run import build_envs, describe_policy, open_run
from rl_discrete.agents.global_randomness import global_randomness
from rl_discrete.agents.sb3_networks import PolicySpec
from rl_discrete.agents.sb3_policy import RandomPolicy, Sb3Policy
from rl_discrete.agents.sb3_state import POLICY
from rl_discrete.envs.make import check_discrete
from rl_discrete.runs.checkpoint import Checkpoint, load_checkpoint, read_checkpoint
from rl_discrete.runs.config import from_mapping, read_yaml, to_mapping
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.folder import RunFolder, collect_versions
from rl_discrete.runs.metrics import MetricLog, read_metrics
from rl_discrete.runs.progress import Progress
from rl_discrete.runs.seeding import derive_seed
from rl_discrete.runs.signals import StopSignal
from rl_discrete.runs.torch_threads import torch_threads

SCHEMA_VERSION = 1


def train_baseline(
    agent: str,
    config: BaselineConfig,
    out: Path | None = None,
    resume: bool = False,
    profile: str = "cpu",
    command: str = "",
) -> Path:
    """Trains a baseline and returns its run folder.

    Args:
        agent: `ppo`, `dqn` or `random`.
        config: the configuration.
        out: the run folder; None makes a new one.
        resume: continue the run in `out`.
        profile: the name of the configuration, for the record.
        command: the command line, for the record.

    Raises:
        UsageError: settings, an env or folders that cannot work; nothing was written.
        RunError: a fault found later; the last checkpoint is intact.
        Interrupted: a signal came; a checkpoint was saved.
    """
    begin = time.monotonic()
    config = resolve(agent, config)
    with StopSignal() as stop, torch_threads(config.threads), closing(build_envs(config)) as envs:
        describe_policy(agent, config, envs)  # whatever does not fit is found before the folder is made
        with (
            RunFolder.open(
                out,
                command="train",
                subject=config.env.replace("/", "-"),
                seed=config.seed,
                config={"agent": agent, "profile": profile, **to_mapping(config)},
                resume=resume,
                examine=lambda path: check_begun(agent, config, path),
            ) as folder,
            Progress() as progress,
            global_randomness(derive_seed(config.seed, agent)),
        ):
            checkpoint = load_checkpoint(folder.checkpoints, warn=progress.log)
            with MetricLog(folder.path, None if checkpoint is None else checkpoint.step) as log:
                run = open_run(agent, config, envs, folder.path, checkpoint, log.scalars, progress.log)
                task = progress.add(f"{agent} on {config.env}", config.steps)
                saved = run.step
                while run.step < config.steps:
                    run.advance()
                    progress.update(task, run.step, run.curve.recent())
                    due = run.step // config.checkpoint_every > saved // config.checkpoint_every
                    over = run.step >= config.steps  # the last checkpoint comes after the last line of metrics
                    if (stop.requested or due) and not over:
                        log.flush()
                        run.save(folder.path)
                        saved = run.step
                        stop.raise_if_requested()
                run.curve.finish()
                if run.step > saved:
                    log.flush()
                    run.save(folder.path)
                progress.finish(task)
        result = {
            "schema_version": SCHEMA_VERSION,
            "complete": True,
            "agent": agent,
            "env": config.env,
            "seed": config.seed,
            "profile": profile,
            "command": command,
            "resumed": folder.resumed,
            "versions": collect_versions(),
            "machine": {"cores": os.cpu_count(), "threads": config.threads},
            "steps": run.step,
            **summarize_windows(read_metrics(folder.path / "metrics.jsonl")),
            "seconds": {"training": run.total_seconds},
            "seconds_total": time.monotonic() - begin,
        }
        folder.write_json("result.json", result)
    return folder.path


def summarize_windows(windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The training curve, window by window, and the ends of all episodes, as in the results of VaST."""
    names = ("plus", "minus", "zero", "cut")
    return {
        "totals": {"ends": {name: sum(line[f"ends/{name}"] for line in windows) for name in names}},
        "windows": list(windows),
    }


def load_baseline(
    run: Path,
    checkpoint: Path | None = None,
    epsilon: float = 0.05,
    seed: int = 0,
    warn: Callable[[str], None] = print,
) -> Sb3Policy | RandomPolicy:
    """The agent of a run of `rl-discrete train --agent ppo`, `dqn` or `random`, ready to act.

    Args:
        run: the run folder.
        checkpoint: one of its checkpoints, older ones too; None for the newest that is good.
        epsilon: probability of a random action of a DQN agent.
        seed: of random actions.
        warn: receives a line where the newest checkpoint is damaged.

    Raises:
        UsageError: the folder holds no such run, or it has no checkpoint yet.
        RunError: its checkpoints are damaged.
    """
    agent, config = load_baseline_config(run)
    if agent == "random":
        with closing(build_envs(config)) as envs:
            return RandomPolicy(check_discrete(envs.envs[0]), seed)
    found: Checkpoint | None
    if checkpoint is None:
        found = load_checkpoint(run / "checkpoints", parts=(POLICY,), warn=warn)
    else:
        found = read_checkpoint(checkpoint, parts=(POLICY,))
    if found is None:
        raise UsageError(f"{run} has no checkpoint yet: continue it with --resume")
    return Sb3Policy(PolicySpec.from_json(found.meta["spec"]), found.tensors[POLICY], epsilon, seed)


def load_baseline_config(run: Path) -> tuple[str, BaselineConfig]:
    """The agent and the configuration of a run of a baseline.

    Raises:
        UsageError: the folder holds no such run.
    """
    settings = read_yaml(run / "config.yaml")
    agent = settings.pop("agent", None)
    if agent not in BASELINES:
        raise UsageError(
            f"{run} holds a run of {agent or 'another command'}, not of a baseline ({', '.join(BASELINES)})"
        )
    settings.pop("profile", None)
    return agent, from_mapping(BaselineConfig, settings, str(run / "config.yaml"))
