"""How good the agent of a run is: whole episodes in its real env, written down beside the run."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from rl_discrete.agents.evaluation import Evaluation, evaluate
from rl_discrete.agents.run_config import EvaluationConfig
from rl_discrete.agents.trained_agent import TrainedAgent, load_agent
from rl_discrete.agents.vast import one_thread
from rl_discrete.runs import durable
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.folder import collect_versions
from rl_discrete.runs.progress import Progress

SCHEMA_VERSION = 1
RESULT = "evaluation.json"


def evaluate_run(
    run: Path, config: EvaluationConfig | None = None, command: str = ""
) -> tuple[TrainedAgent, Evaluation]:
    """Evaluates the agent of a run of `rl-discrete train`, of vast or of a baseline.

    The world is as it was at the checkpoint: changes that the run had made by then are made here too. Writes
    `evaluation.json`, in place of an earlier one, and `videos/`; nothing else in the folder changes.

    Args:
        run: the run folder.
        config: the settings; None for the defaults.
        command: the command line, for the record.

    Raises:
        UsageError: the folder holds no such run, it has no checkpoint yet, or its env cannot be made or filmed.
        RunError: its checkpoints are damaged, a reward is not finite, or the disk refused.
    """
    begin = time.monotonic()
    config = EvaluationConfig() if config is None else config
    with one_thread(), Progress() as progress:
        agent = load_agent(run, config.checkpoint, config.epsilon, config.seed, progress.log)
        if config.videos:
            _check_films(agent)
        task = progress.add(f"{agent.name} on {agent.env}, episodes", config.episodes)
        evaluation = evaluate(
            agent.policy,
            partial(agent.make_env, render_mode="rgb_array") if config.videos else agent.make_env,
            config.episodes,
            config.seed,
            max_steps=config.max_steps,
            num_envs=config.num_envs,
            deterministic=config.deterministic,
            videos=run / "videos" if config.videos else None,
            num_videos=config.videos,
            report=lambda finished: progress.update(task, finished),
        )
        progress.finish(task)
    result = {
        "schema_version": SCHEMA_VERSION,
        "agent": agent.name,
        "env": agent.env,
        "env_kwargs": agent.env_kwargs,
        "changed": agent.changed,
        "step": agent.step,
        "epsilon": config.epsilon,
        "deterministic": config.deterministic,
        "max_steps": config.max_steps,
        "num_envs": config.num_envs,
        "command": command,
        "versions": collect_versions(),
        **evaluation.to_json(),
        "seconds": time.monotonic() - begin,
    }
    durable.write_json(run / RESULT, result)
    return agent, evaluation


def _check_films(agent: TrainedAgent) -> None:
    """Raises UsageError where the env shows no frames: asked for some, gymnasium would warn at length."""
    env = agent.make_env()
    env.close()
    if "rgb_array" not in env.metadata.get("render_modes", ()):
        raise UsageError(f"env {agent.env} cannot be filmed: it has no render_mode rgb_array; drop --videos")
