"""VaST (Corneil, Gerstner, Brea 2018, arXiv 1802.04325): codes as the rows of a table that is planned in exactly.

`train_vast` is the paper's loop. Departures: several envs act in parallel; the planner has a fixed budget for each env
step, so that a run can be repeated; codes may come from a frozen copy of the encoder, and the table is then rebuilt
when the weights are copied; a cut episode ends in an ordinary state; ties are broken at random.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.config import Change, VastConfig
from rl_discrete.agents.probes import NUM_PROBES, Probes
from rl_discrete.agents.vast_checks import check_begun, check_envs, resolve
from rl_discrete.agents.vast_metrics import add_lookups, describe, measure, summarize_run
from rl_discrete.agents.vast_run import Rows, VastRun, append_starts, drop_leaving
from rl_discrete.agents.vast_start import build_envs, open_run
from rl_discrete.agents.window import check_rewards
from rl_discrete.runs.config import to_mapping
from rl_discrete.runs.folder import RunFolder, collect_versions
from rl_discrete.runs.metrics import MetricLog, read_metrics
from rl_discrete.runs.progress import Progress
from rl_discrete.runs.seeding import derive_seed
from rl_discrete.runs.signals import StopSignal
from rl_discrete.runs.torch_threads import torch_threads

SCHEMA_VERSION = 1
UPDATES_AT_A_TIME = 10


def train_vast(
    config: VastConfig, out: Path | None = None, resume: bool = False, profile: str = "cpu", command: str = ""
) -> Path:
    """Trains an agent and returns its run folder.

    Args:
        config: the resolved configuration.
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
    with StopSignal() as stop, one_thread(), closing(build_envs(config)) as envs:
        check_envs(config, envs)
        with (
            RunFolder.open(
                out,
                command="train",
                subject=config.env.replace("/", "-"),
                seed=config.seed,
                config={"agent": "vast", "profile": profile, **to_mapping(config)},
                resume=resume,
                examine=lambda folder: check_begun(config, folder),
            ) as folder,
            Progress() as progress,
            closing(open_run(config, envs, folder.path, progress.log)) as run,
            MetricLog(folder.path, run.resumed_at) as log,
        ):
            task = progress.add(f"vast on {config.env}", config.steps)
            saved = run.step
            while run.step < config.steps:
                if learn(run):  # else it is still behind with its gradient steps
                    relabel(run)
                    change_world(run)
                    actions = act(run)
                    rows = step_envs(run, actions)
                    observe(run, rows)
                    plan(run)
                    if run.step % config.window < config.num_envs:
                        log.scalars(run.step, measure(run))
                progress.update(task, run.step, describe(run))
                due = run.step // config.checkpoint_every > saved // config.checkpoint_every
                over = run.step >= config.steps  # the last checkpoint comes after the last line of metrics
                if (stop.requested or due) and not run.forcing and not over:
                    saved = save(run, log, folder)
                    stop.raise_if_requested()
            if run.window.total("steps"):
                log.scalars(run.step, measure(run))
            save(run, log, folder)
            progress.finish(task)
        result = {
            "schema_version": SCHEMA_VERSION,
            "complete": True,
            "agent": "vast",
            "env": config.env,
            "encoder": config.encoder,
            "seed": config.seed,
            "profile": profile,
            "command": command,
            "resumed": folder.resumed,
            "versions": collect_versions(),
            "machine": {"cores": os.cpu_count(), "threads": 1 + config.training.background},
            **summarize_run(run, read_metrics(folder.path / "metrics.jsonl")),
            "seconds_total": time.monotonic() - begin,
        }
        folder.write_json("result.json", result)
    return folder.path


def learn(run: VastRun) -> bool:
    """Makes the gradient steps that are due, a few at a time; whether none is left."""
    config = run.config
    with run.clock("learn"):
        behind = run.updates_due() - run.learner.updates
        for _ in range(min(behind, UPDATES_AT_A_TIME)):
            rows, batch = run.replay.sample(config.training.batch_size, run.sampling)
            run.learner.learn(batch, run.step / config.steps)
            if config.relabel == "lazy":
                relabel_sampled(run, rows)
    return behind <= UPDATES_AT_A_TIME


def relabel_sampled(run: VastRun, sampled: Rows) -> None:
    """Moves every transition of the sampled observations, and of those before them, whose keys have changed."""
    before = run.replay.columns(sampled).previous
    rows = np.union1d(sampled, before[before >= 0])
    changed = run.tabulation.relabel(rows, run.encode(run.replay.observations(rows)))
    run.window.add(relabelled=changed, relabel_checks=len(rows))


def relabel(run: VastRun) -> None:
    """When it is due: new keys for the whole replay and a new table (for lazy, only a measurement of the change)."""
    due = run.relabels_due()
    if run.relabels >= due:
        return
    run.relabels = due
    encoder = run.learner.wait()
    with run.clock("relabel"):
        if run.acting is not encoder:
            run.acting = encoder.frozen_copy()
        run.reassigned = {}
        if run.config.relabel != "lazy":
            run.reassigned["replay"] = run.tabulation.rebuild(run.encode_replay())
        if run.probes is None:
            run.probes = choose_probes(run)
        else:
            run.reassigned["probes"] = run.probes.update(run.acting)


def choose_probes(run: VastRun) -> Probes:
    """Random observations of the replay, kept to watch how much codes change."""
    generator = np.random.default_rng(derive_seed(run.config.seed, "probes"))
    rows = run.replay.rows()
    chosen = np.sort(generator.choice(rows, min(NUM_PROBES, len(rows)), replace=False))
    observations = run.replay.observations(chosen)
    return Probes(observations, run.encode(observations))


def change_world(run: VastRun) -> None:
    """Makes the changes of the world that are due, each at the start of new episodes, so that these can be replayed.

    The agent is told nothing. A forced run is an episode of env 0 whose first actions are given: the others act on,
    and the steps count like any other. What falls due meanwhile waits for its end.
    """
    for text in run.changes_due():
        if run.forcing:
            return
        change = Change.parse(text)
        run.envs.call(change.name)
        if change.forced:
            run.envs.envs[0].get_wrapper_attr("schedule_forced_run")()
            run.forced_episode, run.forcing = int(run.envs.episodes[0]) + 1, True
        append_starts(run, run.envs.reset_all(), np.ones(run.envs.num_envs, np.bool_))
        run.changed.append(text)


def act(run: VastRun) -> NDArray[np.int64]:
    """Actions (B,): random in the burn-in, then epsilon-greedy on values that untried actions take from neighbours."""
    with run.clock("act"):
        if run.step < run.config.burn_in:
            choice = run.exploration.choose_random(run.envs.num_envs)
        else:
            estimates = run.tabulation.values(run.tabulation.keys(run.replay.latest()))
            choice = run.exploration.choose(estimates.q, run.step)
            add_lookups(run.window, estimates, choice)
        actions = choice.actions
        forced = run.envs.envs[0].get_wrapper_attr("forced_action")() if run.forcing else None
        run.forcing = forced is not None
        if forced is not None:
            actions[0] = forced
    return actions


def step_envs(run: VastRun, actions: NDArray[np.int64]) -> Rows:
    """Steps the envs and begins new episodes where they ended; the rows (B,) of the replay that were arrived at.

    Raises:
        RunError: a reward is not finite.
    """
    with run.clock("env"):
        result = run.envs.step(actions)
        check_rewards(result.rewards, run.step, kept=True)
        fresh = run.envs.begin(result.ended) if result.ended.any() else None
    with run.clock("replay"):
        drop_leaving(run, len(actions))
        ends, no_starts = (result.terminated, result.truncated), np.zeros(len(actions), np.bool_)
        rows = run.replay.append(result.observations, actions, result.rewards, *ends, no_starts)
    run.step += len(actions)
    run.returns += result.rewards
    run.lengths += 1
    run.window.add_steps(result.rewards, *ends, run.returns, run.lengths)
    if fresh is not None:
        append_starts(run, fresh, result.ended)
    return rows


def observe(run: VastRun, rows: Rows) -> None:
    """Gives what was arrived at its keys and adds the transitions to the table."""
    with run.clock("encode"):
        keys = run.encode(run.replay.observations(rows))
    with run.clock("table"):
        run.tabulation.assign(rows, keys)
        run.tabulation.observe(rows)


def plan(run: VastRun) -> None:
    """Sweeps, as many as the env steps have paid for."""
    budget, planner, batch = run.config.planner, run.tabulation.planner, run.envs.num_envs
    with run.clock("plan"):
        backups = planner.backups
        sweeps = planner.plan(budget.sweeps_per_step * batch, budget.backups_per_step * batch)
        run.window.add(sweeps=sweeps, backups=planner.backups - backups)


def save(run: VastRun, log: MetricLog, folder: RunFolder) -> int:
    """Saves a checkpoint, with everything that was logged before it; its step."""
    with run.clock("save"):
        log.flush()
        run.save(folder.path)
    return run.step


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch computes every operation on one thread: results do not depend on how many there are."""
    with torch_threads(1):
        yield
