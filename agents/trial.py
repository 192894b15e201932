"""How a policy fares over a given number of env steps: what it earns, and how its episodes end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rl_discrete.agents.evaluation import Policy, State
from rl_discrete.agents.window import Window, check_rewards
from rl_discrete.envs.chw import AnyEnv
from rl_discrete.envs.episodes import EpisodeEnvs
from rl_discrete.runs.seeding import derive_seed

FEW_ENDS = 50
"""Fewer ends than this say little about how episodes end."""
WINDOW = 500
"""Env steps of a point of a trial's curve."""


@dataclass(frozen=True)
class TrialWindow:
    """A point of a trial's curve: `WINDOW` steps, rounded up to whole steps of all envs, or what is left at the end."""

    step: int
    """Env steps of the trial by the end of the window, over all envs."""
    reward_per_step: float
    """Sum of the rewards over the steps, within the window."""
    plus: int
    """Episodes that the MDP ended in it with a positive reward,"""
    minus: int
    """and with a negative one."""


@dataclass(frozen=True)
class Trial:
    """Steps in a real env. An episode that the last step left unfinished counts for its rewards only."""

    steps: int
    """Env steps, over all envs."""
    reward_per_step: float
    """Sum of all rewards over the steps."""
    plus: int
    """Episodes that the MDP ended with a positive reward,"""
    minus: int
    """with a negative one,"""
    zero: int
    """and with none."""
    cut: int
    """Episodes cut by the env, or by the trial at its longest."""
    windows: tuple[TrialWindow, ...]
    """The trial bit by bit."""

    @property
    def ends(self) -> int:
        """Episodes that the MDP ended."""
        return self.plus + self.minus + self.zero

    @property
    def plus_share(self) -> float:
        """Share of these that ended with a positive reward; nan where there was none."""
        return self.plus / self.ends if self.ends else float("nan")

    @property
    def is_few(self) -> bool:
        """Whether the ends are too few to tell."""
        return self.ends < FEW_ENDS

    def to_json(self) -> dict[str, Any]:
        """Everything, for a result file."""
        return {**asdict(self), "ends": self.ends, "plus_share": self.plus_share, "few_ends": self.is_few}


def try_policy(
    policy: Policy,
    make_env: Callable[[], AnyEnv],
    steps: int,
    seed: int,
    *,
    max_steps: int | None = None,
    num_envs: int = 1,
    report: Callable[[int], None] | None = None,
) -> Trial:
    """Acts for a number of env steps, episode after episode; nothing is learned.

    Two policies that are tried with the same seed see the same sequence of starts in each env.

    Args:
        policy: acts; chance in it counts, so an epsilon is its own.
        make_env: makes a real env; called `num_envs` times, and all of them are closed.
        steps: env steps, over all envs, >= 1; rounded up to whole steps of all of them.
        seed: of the episodes, in a stream that neither training nor evaluation draws from.
        max_steps: steps after which an episode is cut; None: never.
        num_envs: envs stepped side by side, >= 1.
        report: called with the steps made so far.

    Raises:
        RunError: a reward is not finite.
    """
    whole, recent = Window(), Window()
    windows: list[TrialWindow] = []
    with closing(EpisodeEnvs(make_env, num_envs, derive_seed(seed, "trial"))) as envs:
        observations, starts = envs.reset_all(), np.ones(num_envs, np.bool_)
        returns, lengths = np.zeros(num_envs), np.zeros(num_envs, np.int64)
        state: State = None
        for made in range(0, steps, num_envs):
            actions, state = policy.predict(observations, state, starts)
            result = envs.step(actions)
            check_rewards(result.rewards, made)
            returns, lengths = returns + result.rewards, lengths + 1
            capped = np.zeros_like(starts) if max_steps is None else lengths >= max_steps
            for window in (whole, recent):
                window.add_steps(result.rewards, result.terminated, result.truncated | capped, returns, lengths)
            step = made + num_envs
            if step // WINDOW > made // WINDOW or step >= steps:
                ends = round(recent.total("ends_plus")), round(recent.total("ends_minus"))
                windows.append(TrialWindow(step, recent.mean("reward", "steps"), *ends))
                recent = Window()
            starts = result.ended | capped
            observations = envs.begin(starts) if starts.any() else result.observations
            returns, lengths = np.where(starts, 0.0, returns), np.where(starts, 0, lengths)
            if report is not None:
                report(step)
    kinds = {name: round(whole.total(f"ends_{name}")) for name in ("plus", "minus", "zero", "cut")}
    return Trial(round(whole.total("steps")), whole.mean("reward", "steps"), **kinds, windows=tuple(windows))
