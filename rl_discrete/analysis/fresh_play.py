"""Fresh episodes of a trained agent, written down with the true states behind them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from rl_discrete.agents.exploration import best_actions
from rl_discrete.agents.tabulation import build_lookup
from rl_discrete.agents.vast_policy import VastPolicy
from rl_discrete.agents.window import check_rewards
from rl_discrete.analysis.diagnostics_config import DiagnosticsConfig
from rl_discrete.envs.chw import AnyEnv
from rl_discrete.envs.episodes import EpisodeEnvs
from rl_discrete.envs.frame_stack import FrameStack
from rl_discrete.envs.make import check_discrete
from rl_discrete.mdp.tabular import Keys
from rl_discrete.runs.seeding import derive_seed

NUM_SAMPLES = 500


@dataclass(frozen=True, eq=False)
class Play:
    """N steps in a real env. A cut episode goes on nowhere, but the observation it was cut at is known."""

    keys: Keys
    """uint64 (N, W), of the observations that were acted on."""
    actions: NDArray[np.int64]
    """(N,)."""
    rewards: NDArray[np.float64]
    """(N,)."""
    terminated: NDArray[np.bool_]
    """(N,)."""
    cut: NDArray[np.bool_]
    """(N,): cut by the env, or at the longest an episode may last."""
    next_keys: Keys
    """uint64 (N, W), of the observations that followed."""
    greedy: NDArray[np.bool_]
    """(N,): chosen by value, not at random."""
    radius: NDArray[np.int32]
    """(N,): how far away the value of the action was found: 0 in the state itself, -1 nowhere."""
    values: NDArray[np.float64]
    """(N,): the largest action value, as the agent sees it."""
    states: NDArray[Any] | None
    """(N, ...): what `diagnostic_state` said before the step; None if the env has none."""
    samples: NDArray[Any]
    """(M, ...): up to 500 of the observations, drawn at random."""


def play(
    policy: VastPolicy,
    make_env: Callable[[], AnyEnv],
    config: DiagnosticsConfig,
    report: Callable[[int], None] | None = None,
) -> Play:
    """Lets a frozen agent act, with a share of random actions, and writes everything down.

    Args:
        policy: of a VaST run; its own epsilon is not used.
        make_env: makes a real env; called `config.num_envs` times, and all of them are closed.
        config: steps, random actions and seed.
        report: called with the steps made so far.

    Raises:
        RunError: a reward is not finite.
    """
    generator = np.random.default_rng(derive_seed(config.seed, "diagnostics", "actions"))
    depth, batch = policy.config.frame_stack, config.num_envs
    lookup = build_lookup(policy.planner, policy.config.planner)
    rounds = -(-config.steps // batch)
    sampled = set(generator.choice(rounds * batch, min(NUM_SAMPLES, rounds * batch), replace=False).tolist())
    columns: dict[str, list[npt.NDArray[Any]]] = {}
    samples: list[npt.NDArray[Any]] = []
    seed = derive_seed(config.seed, "diagnostics", "episodes")
    with closing(EpisodeEnvs(lambda: FrameStack(make_env(), depth), batch, seed)) as envs:
        num_actions, has_states = check_discrete(envs.envs[0]), _has_states(envs.envs[0])
        observations, lengths = envs.reset_all(), np.zeros(batch, np.int64)
        keys = policy.encoder.encode(observations)
        for made in range(0, rounds * batch, batch):
            samples += [observations[env] for env in range(batch) if made + env in sampled]
            states = {"states": np.stack(envs.call("diagnostic_state"))} if has_states else {}
            estimates = lookup.q_values(keys)
            greedy = generator.random(batch) >= config.epsilon
            drawn = generator.integers(num_actions, size=batch)
            actions = np.where(greedy, best_actions(estimates.q, generator), drawn)
            result = envs.step(actions)
            check_rewards(result.rewards, made)
            lengths += 1
            ended = result.ended | (lengths >= config.max_steps)
            next_keys = policy.encoder.encode(result.observations)
            step = {
                "keys": keys,
                "actions": actions,
                "rewards": result.rewards,
                "terminated": result.terminated,
                "cut": ended & ~result.terminated,
                "next_keys": next_keys,
                "greedy": greedy,
                "radius": estimates.radius[np.arange(batch), actions],
                "values": estimates.q.max(axis=1),
                **states,
            }
            for name, column in step.items():
                columns.setdefault(name, []).append(column)
            observations, keys = result.observations, next_keys
            if ended.any():
                observations, keys = envs.begin(ended), next_keys.copy()
                keys[ended] = policy.encoder.encode(observations[ended])
                lengths[ended] = 0
            if report is not None:
                report(made + batch)
    whole: dict[str, Any] = {name: np.concatenate(parts) for name, parts in columns.items()}
    return Play(**{"states": None, **whole}, samples=np.stack(samples))


def _has_states(env: AnyEnv) -> bool:
    try:
        return callable(env.get_wrapper_attr("diagnostic_state"))
    except AttributeError:
        return False
