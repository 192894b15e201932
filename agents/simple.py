"""SimPLe (Kaiser et al. 2020, arXiv 1903.00374): an agent that learns inside a world model, and acts in the real env.

`train_simple` is the paper's loop: collect real steps, fit the world model, train the agent inside it, repeat.
Departures: the agent does not learn from real steps; the last real steps are few and learned by nobody, since all they
are for is to compare what the agent was paid in its imagination with what it is paid; imagined episodes start at any
real moment, not only at the newest; real steps are counted over all parallel envs and met exactly.

A run is saved, and stopped, only at named boundaries: between two real steps, after a fit, and after a block of
imagined steps, where all imagined episodes begin anew, so that none of them has to be saved. A fit that is stopped
begins again.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.contest import Contest
from rl_discrete.agents.global_randomness import global_randomness
from rl_discrete.agents.simple_checks import check_begun, check_envs, resolve
from rl_discrete.agents.simple_config import SimpleConfig, collections
from rl_discrete.agents.simple_diagnosis import diagnose
from rl_discrete.agents.simple_run import SimpleRun, blocks_of, count_signs, describe_rates, rates_of
from rl_discrete.agents.simple_session import Session, summarize_run
from rl_discrete.agents.simple_start import append_starts, begin_world, build_envs, open_run
from rl_discrete.agents.window import Window
from rl_discrete.runs.checkpoint import load_checkpoint
from rl_discrete.runs.config import to_mapping
from rl_discrete.runs.folder import RunFolder, collect_versions
from rl_discrete.runs.metrics import MetricLog, read_metrics
from rl_discrete.runs.progress import Progress
from rl_discrete.runs.seeding import derive_seed
from rl_discrete.runs.signals import StopSignal
from rl_discrete.runs.torch_threads import torch_threads

SCHEMA_VERSION = 1
NEWEST = 0.2
"""Share of a training, its end, whose imagined rewards are compared with the real ones that follow."""


def train_simple(
    config: SimpleConfig, out: Path | None = None, resume: bool = False, profile: str = "cpu", command: str = ""
) -> Path:
    """Trains an agent and returns its run folder.

    Args:
        config: the configuration.
        out: the run folder; None makes a new one.
        resume: continue the run in `out`, bit for bit where its envs reproduce themselves.
        profile: the name of the configuration, for the record.
        command: the command line, for the record.

    Raises:
        UsageError: settings, an env or folders that cannot work; nothing was written.
        RunError: a fault found later; the last checkpoint is intact.
        Interrupted: a signal came; a checkpoint was saved.
    """
    begin = time.monotonic()
    config = resolve(config)
    with StopSignal() as stop, torch_threads(config.threads), closing(build_envs(config)) as envs:
        check_envs(config, envs)
        with (
            RunFolder.open(
                out,
                command="train",
                subject=config.env.replace("/", "-"),
                seed=config.seed,
                config={"agent": "simple", "profile": profile, **to_mapping(config)},
                resume=resume,
                examine=lambda folder: check_begun(config, folder),
            ) as folder,
            Progress() as progress,
            global_randomness(derive_seed(config.seed, "simple")),
        ):
            checkpoint = load_checkpoint(folder.checkpoints, warn=progress.log)
            resumed = (None, None) if checkpoint is None else (checkpoint.step, checkpoint.meta["lines"])
            with MetricLog(folder.path, *resumed) as log:
                run = open_run(config, envs, folder.path, checkpoint, log, progress.log)
                session, plan = Session(folder.path, stop, progress), collections(config)
                for iteration in range(config.schedule.iterations):
                    collect(run, session, sum(plan[: iteration + 1]))
                    fit_world(run, session, iteration)
                    train_inside(run, session, iteration)
                collect(run, session, sum(plan))
                measured = diagnose(run, session)
        result = {
            "schema_version": SCHEMA_VERSION,
            "complete": True,
            "agent": "simple",
            "env": config.env,
            "world_model": config.world_model,
            "encoder": config.encoder,
            "prior": config.prior,
            "algo": config.algo,
            "seed": config.seed,
            "profile": profile,
            "command": command,
            "resumed": folder.resumed,
            "versions": collect_versions(),
            "machine": {"cores": os.cpu_count(), "threads": config.threads},
            **summarize_run(run, read_metrics(folder.path / "metrics.jsonl")),
            **measured,
            "seconds_total": time.monotonic() - begin,
        }
        folder.write_json("result.json", result)
    return folder.path


def collect(run: SimpleRun, session: Session, until: int) -> None:
    """Real steps with the newest agent, or at random as long as there is none, until there are `until` in all."""
    if run.real_steps >= until:
        return
    config = run.config
    who = f"iteration {run.trainings}" if run.trainings else "chance"
    saved = run.real_steps
    with session.phase(run, "collect", f"real steps of {who} on {config.env}", until) as task:
        while run.real_steps < until:
            step_envs(run, choose_actions(run))
            session.progress.update(task, run.real_steps, run.curve.recent())
            if finished := run.real_steps >= until:
                compare_rates(run)
            due = run.real_steps // config.checkpoint_every > saved // config.checkpoint_every
            saved = run.real_steps if due else saved
            session.boundary(run, due or finished)


def choose_actions(run: SimpleRun) -> NDArray[np.int64]:
    """Actions (B,) of the agent, who sees of the real frames what it would see of imagined ones; and some chance."""
    collection = run.config.collection
    if run.agent is None or run.learner is None:
        shares = np.full((run.config.num_envs, run.num_actions), 1.0 / run.num_actions)
        return run.explorer.choose(shares, run.starting, collection.first_epsilon, 0.0, collection.longest_hold)
    model = run.learner.model
    history = run.replay.history(run.replay.latest(), model.history_length)
    shares, run.memory = run.agent.policy.shares(model.observe(model.reset(history)), run.memory, run.starting)
    chance = collection.epsilon, collection.entropy_floor, collection.longest_hold
    return run.explorer.choose(shares, run.starting, *chance, run.exploring)


def step_envs(run: SimpleRun, actions: NDArray[np.int64]) -> None:
    """Steps the real envs, keeps what came of it, and begins new episodes where they ended."""
    result = run.envs.step(actions)
    begun = run.envs.begin(result.ended) if result.ended.any() else None
    run.curve.add(result.rewards, result.terminated, result.truncated)
    run.earned.add(**count_signs(result.rewards if run.exploring.all() else result.rewards[~run.exploring]))
    rewards = np.sign(result.rewards) if run.config.clip_rewards == "on" else result.rewards
    no_starts = np.zeros(len(actions), np.bool_)
    run.replay.append(result.observations, actions, rewards, result.terminated, result.truncated, no_starts)
    run.starting = no_starts
    if begun is not None:
        append_starts(run, begun, result.ended)


def compare_rates(run: SimpleRun) -> None:
    """Ends a collection: what was earned in it, beside what the same agent earned at the end of its training."""
    run.curve.finish()
    real = rates_of([run.earned.totals])
    line = {f"real/{name}": value for name, value in real.items()}
    if run.iterations:
        imagined = run.iterations[-1]["imagined"]
        run.iterations[-1]["real"] = real
        line |= {f"imagined/{name}": value for name, value in imagined.items()}
        for sign in ("plus", "minus"):
            paid = real[f"{sign}_per_1000"]
            line[f"imagined/{sign}_of_real"] = imagined[f"{sign}_per_1000"] / paid if paid else math.nan
    run.log_line(run.step, line)
    run.earned, run.memory = Window(), None


def fit_world(run: SimpleRun, session: Session, iteration: int) -> None:
    """Fits the world model to all real steps so far; not in a run that uses a finished one.

    Raises:
        RunError: a loss is not finite.
    """
    if run.fits > iteration or run.config.world_run is not None:
        return
    words = f"fit {iteration + 1} of the {run.config.world_model} model"
    with session.phase(run, "fit", words, 1.0) as task, session.stop.at_once():
        if run.learner is None:
            run.learner = begin_world(run)
        measured = run.learner.fit(
            run.replay, run.config.schedule.fit_updates, lambda what, share: session.progress.update(task, share, what)
        )
    if run.agent is None:
        run.agent = run.begin_agent()
    run.log_line(run.step, {f"model/{name}": value for name, value in measured.items()})
    run.iterations.append({"steps": run.real_steps, "model": measured})
    run.fits += 1
    session.boundary(run, due=True)


def train_inside(run: SimpleRun, session: Session, iteration: int) -> None:
    """Trains the agent in model envs, block by block; in the last training several, one after the other.

    Raises:
        RunError: a loss is not finite.
    """
    if run.trainings > iteration:
        return
    config, blocks, agents = run.config, blocks_of(run.config, iteration), run.num_agents
    every, saved = config.imagination.checkpoint_every, run.imagined_steps
    words = f"training {iteration + 1} of {config.algo} inside, imagined steps"
    with (
        session.phase(run, "train", words, agents * blocks * config.schedule.block_steps) as task,
        closing(run.model_envs()) as envs,
    ):
        while run.trainings == iteration:
            if run.blocks == 0 and run.renews_agents and (iteration > 0 or len(run.contest) > 0):
                run.renew_agent()
            assert run.agent is not None
            done = len(run.contest) * blocks + run.blocks
            seed = derive_seed(config.seed, "imagination", iteration, done)
            run.agent.enter(envs, seed, refitted=run.blocks == 0 and config.world_run is None)
            rates = learn_block(run)
            session.progress.update(task, (done + 1) * config.schedule.block_steps, describe_rates(rates))
            if finished := run.blocks >= blocks:
                finish_agent(run)
            due = run.imagined_steps // every > saved // every
            saved = run.imagined_steps if due else saved
            session.boundary(run, due or finished)


def learn_block(run: SimpleRun) -> dict[str, float]:
    """One block of imagined steps with their updates; what was earned in it.

    Raises:
        RunError: a loss is not finite.
    """
    agent, run.rates, losses = run.agent, Window(), Window()
    assert agent is not None
    end = agent.steps + run.config.schedule.block_steps
    while agent.steps < end:
        found = agent.advance()
        losses.add(updates=bool(found), **found)
    if run.blocks == 0:
        run.imagined = []
    run.imagined.append(run.rates.totals)
    run.blocks += 1
    rates = rates_of([run.rates.totals])
    line = {f"block/{name}": value for name, value in rates.items()}
    line |= {f"block/{name}": losses.mean(name, "updates") for name in losses.totals if name != "updates"}
    ends = 1000.0 * run.rates.total("ends") / run.rates.total("steps")
    run.log_line(run.step, {"block/imagined_steps": run.imagined_steps, "block/ends_per_1000": ends, **line})
    return rates


def finish_agent(run: SimpleRun) -> None:
    """Ends the time of an agent: what it earned at the end of it; and the training, if it was the last one's."""
    agent = run.agent
    assert agent is not None
    newest = run.imagined[-max(1, round(NEWEST * len(run.imagined))) :]
    paid = sum(block["reward"] for block in newest) / sum(block["steps"] for block in newest)
    run.contest.add(paid, rates_of(newest), agent.parts())
    run.blocks = 0
    if len(run.contest) == run.num_agents:
        finish_training(run)


def finish_training(run: SimpleRun) -> None:
    """Ends a training: the best paid of its agents is kept."""
    contest, agent = run.contest, run.agent
    assert agent is not None
    if contest.best is not None and contest.winner + 1 < len(contest):
        agent.become(contest.best)
    if run.config.world_run is not None:
        run.iterations.append({"steps": run.real_steps})
    run.iterations[-1] |= {"imagined_steps": run.imagined_steps, "imagined": contest.rates[contest.winner]}
    if len(contest) > 1:
        run.iterations[-1]["agents"] = contest.rates
    run.log_line(run.step, {f"imagined/{name}": value for name, value in run.iterations[-1]["imagined"].items()})
    run.trainings, run.contest = run.trainings + 1, Contest()
