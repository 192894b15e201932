"""How good the agent of a run is: whole episodes in its real env, written down beside the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rl_discrete.agents.atari_scores import published
from rl_discrete.agents.evaluation import Evaluation, evaluate
from rl_discrete.agents.run_config import EvaluationConfig
from rl_discrete.agents.trained_agent import TrainedAgent, load_agent
from rl_discrete.agents.vast import one_thread
from rl_discrete.runs import durable
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.folder import collect_versions
from rl_discrete.runs.progress import Progress

SCHEMA_VERSION = 2
RESULT = "evaluation.json"


class JudgedRun(NamedTuple):
    """An agent and what it earned."""

    agent: TrainedAgent
    evaluation: Evaluation
    """With actions drawn as the agent draws them; with `policy: greedy` always the best ones."""
    greedy: Evaluation | None
    """The same episodes with the best action always; None where only one policy was asked for, or chance acts."""


def evaluate_run(run: Path, config: EvaluationConfig | None = None, command: str = "") -> JudgedRun:
    """Evaluates the agent of any run of `rl-discrete train` in its real env: whole episodes, rewards not clipped.

    The world is as it was at the checkpoint: changes that the run had made by then are made here too. Writes
    `evaluation.json`, in place of an earlier one, and `videos/` of the first policy that plays; nothing else in the
    folder changes. For Atari games with published scores the human-normalised score stands beside each mean.

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
    found: list[Evaluation] = []
    with one_thread(), Progress() as progress:
        agent = load_agent(run, config.checkpoint, config.epsilon, config.seed, progress.log, config.lookup_penalty)
        if config.videos:
            _check_films(agent)
        policies = ("sampled", "greedy") if config.policy == "both" else (config.policy,)
        for policy in policies[:1] if agent.name == "random" else policies:
            if found:  # anew, so that what chance is left to it (ties) does not depend on the episodes before
                agent = load_agent(
                    run, config.checkpoint, config.epsilon, config.seed, progress.log, config.lookup_penalty
                )
            task = progress.add(f"{agent.name} on {agent.env}, {policy}, episodes", config.episodes)
            found.append(_evaluate(agent, config, run, policy == "greedy", not found, partial(progress.update, task)))
            progress.finish(task)
    judged = JudgedRun(agent, found[0], found[1] if len(found) > 1 else None)
    scores = published(agent.env)
    result = {
        "schema_version": SCHEMA_VERSION,
        "agent": agent.name,
        "env": agent.env,
        "env_kwargs": {**agent.env_kwargs, **config.env_kwargs},
        "changed": agent.changed,
        "step": agent.step,
        "epsilon": config.epsilon,
        "lookup_penalty": config.lookup_penalty,
        "policy": policies[0],
        "max_steps": config.max_steps,
        "num_envs": config.num_envs,
        "command": command,
        "versions": collect_versions(),
        **_figures(agent.env, judged.evaluation),
        "greedy": None if judged.greedy is None else _figures(agent.env, judged.greedy),
        "published": None if scores is None else {**asdict(scores), "seeds_mean": scores.seeds_mean},
        "seconds": time.monotonic() - begin,
    }
    durable.write_json(run / RESULT, result)
    return judged


def _evaluate(
    agent: TrainedAgent,
    config: EvaluationConfig,
    run: Path,
    deterministic: bool,
    filmed: bool,
    report: Callable[[int], None],
) -> Evaluation:
    """The episodes of one policy."""
    films = config.videos if filmed else 0
    return evaluate(
        agent.policy,
        partial(agent.make_env, **{**config.env_kwargs, **({"render_mode": "rgb_array"} if films else {})}),
        config.episodes,
        config.seed,
        max_steps=config.max_steps,
        num_envs=config.num_envs,
        deterministic=deterministic,
        videos=run / "videos" if films else None,
        num_videos=films,
        report=report,
    )


def _figures(env: str, evaluation: Evaluation) -> dict[str, Any]:
    """All of an evaluation, with the human-normalised score of its mean (None where nothing was published)."""
    scores = published(env)
    return {
        **evaluation.to_json(),
        "human_normalised": None if scores is None else scores.normalise(evaluation.mean),
    }


def _check_films(agent: TrainedAgent) -> None:
    """Raises UsageError where the env shows no frames: asked for some, gymnasium would warn at length."""
    env = agent.make_env()
    env.close()
    if "rgb_array" not in env.metadata.get("render_modes", ()):
        raise UsageError(f"env {agent.env} cannot be filmed: it has no render_mode rgb_array; drop --videos")
