"""The last step of a SimPLe run: what became of its world model, measured on what nothing learns from."""

from __future__ import annotations

from typing import Any

from rl_discrete.agents.model_policy import ModelPolicy
from rl_discrete.agents.rollout_errors import measure_rollouts
from rl_discrete.agents.rollout_figures import rollout_metrics
from rl_discrete.agents.simple_run import SimpleRun
from rl_discrete.agents.simple_session import Session
from rl_discrete.agents.table_check import check_metrics, check_model, describe_check
from rl_discrete.agents.trained_agent import TrainedAgent
from rl_discrete.envs.encoded import EncodedPolicy
from rl_discrete.runs.seeding import derive_seed


def diagnose(run: SimpleRun, session: Session) -> dict[str, Any]:
    """How far the world model strays from fresh real episodes of the agent; a code model also beside a table's counts.

    Returns:
        For result.json: `rollouts` as `agents.rollout_errors` has it, and `cross_check` as `agents.table_check` does;
        None where the configuration wants no diagnosis, or the model is none of codes.

    Raises:
        RunError: a reward is not finite, or the disk refused.
    """
    config, agent, learner = run.config, run.agent, run.learner
    assert agent is not None
    assert learner is not None
    if not config.diagnosis.steps:
        return {"rollouts": None, "cross_check": None}
    model, seed = learner.model, derive_seed(config.seed, "diagnosis")
    policy = EncodedPolicy(ModelPolicy(agent.policy.module, seed=seed), model)
    judged = TrainedAgent("simple", policy, config.env, config.env_kwargs, (), run.real_steps)
    steps, starts = config.diagnosis.steps, config.diagnosis.starts
    words = f"rollouts beside real steps on {config.env}"
    with session.phase(run, "diagnose", words, steps) as task, session.stop.at_once():
        errors = measure_rollouts(
            model,
            judged,
            steps=steps,
            starts=starts,
            seed=seed,
            report=lambda made: session.progress.update(task, made),
        )
    run.log_line(run.step, {f"rollouts/{name}": value for name, value in rollout_metrics(errors).items()})
    with session.phase(run, "diagnose", "code model beside a table", 1.0) as task, session.stop.at_once():
        checked = check_model(
            model, run.replay, judged.make_env, seed, session.folder, lambda share: session.progress.update(task, share)
        )
    if checked is not None:
        run.log_line(run.step, {f"cross_check/{name}": value for name, value in check_metrics(checked).items()})
        for line in describe_check(checked):
            session.progress.log(line)
    return {"rollouts": errors, "cross_check": checked}
