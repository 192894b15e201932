"""Which codes merge true states that behave differently. numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rl_discrete.analysis.code_statistics import Ids, check_lengths, labels
from rl_discrete.runs.errors import UsageError


@dataclass(frozen=True)
class Aliasing:
    """Codes that merge states which behave differently."""

    rate: float
    """Share of the judged codes whose members disagree because their true states differ; nan if none is judged."""
    chance: float
    """The same share with outcomes shuffled inside each (code, action): what `rate` would be without aliasing."""
    by_reward: float
    """As `rate`, by the rewards alone."""
    by_end: float
    """As `rate`, by the ends alone."""
    by_next_code: float
    """As `rate`, by the next codes alone, an end being one of them."""
    num_codes: int
    """How many codes were judged."""
    covered: float
    """Share of the transitions that belong to them."""


def aliasing(
    keys: npt.ArrayLike,
    actions: npt.ArrayLike,
    rewards: npt.ArrayLike,
    terminated: npt.ArrayLike,
    next_keys: npt.ArrayLike,
    states: npt.ArrayLike,
    generator: np.random.Generator,
    *,
    min_visits: int = 10,
    level: float = 0.05,
    permutations: int = 199,
) -> Aliasing:
    """Whether members of a code disagree on reward, end or next code beyond chance, given the known true states.

    Members of a code may disagree because the world is random; that is no fault of the code. A code aliases if what
    follows an action depends on *which* of its states was the true one. So within each (code, action) the agreement
    of members in the same state is compared with that of any members: the statistic of a code is the number of
    pairs of transitions with the same code, action, state and outcome, and its chance distribution comes from
    shuffling outcomes among the members of each (code, action), which keeps all counts and cuts the tie to
    the state. The p-value is the share of shuffles (the data among them) with at least as many pairs. A code is aliased
    if it is at most `level` / 3 for one of the three outcomes (Bonferroni), or at most `level` for the named one.

    So `rate` stays near 0 if each code has one state, if the world is random but codes are not to blame, and if no
    state occurs twice in a code (a continuous state that was not put into cells: nothing can be told). A code needs
    visits to be found out, about eight for two states and one action, hence `min_visits`. Rewards are compared as they
    are: round noisy ones first.

    Args:
        keys: (N, W) or (N,), the code that each of N transitions began in.
        actions, rewards, terminated: (N,).
        next_keys: as `keys`, the code that it led to; ignored where `terminated`.
        states: (N,) or (N, D) integers, the true state that it began in.
        generator: draws the shuffles.
        min_visits: codes with fewer transitions are not judged.
        level: of the test, in (0, 1).
        permutations: how many shuffles; 1 / (permutations + 1) must be below `level` / 3.

    Raises:
        UsageError: arrays of several lengths, other than integers as keys, actions or states, or a test that could
            never find anything.
    """
    if not 0.0 < level < 1.0 or permutations + 1 < 3 / level:
        raise UsageError(
            f"level must lie in (0, 1) and permutations be >= 3 / level - 1, got {level} and {permutations}"
        )
    codes, truth, following = labels("keys", keys), labels("states", states), labels("next_keys", next_keys)
    ends = np.asarray(terminated, bool)
    group = labels("actions", np.asarray(actions))
    check_lengths(keys=codes, actions=group, rewards=rewards, terminated=ends, next_keys=following, states=truth)
    reward = np.unique(np.asarray(rewards), return_inverse=True)[1]
    outcomes = np.stack([reward, ends.astype(np.int64), np.where(ends, 0, following + 1)])
    visits = np.bincount(codes)
    judged = visits >= min_visits
    members = judged[codes]
    if not judged.any():
        nan = float("nan")
        return Aliasing(nan, nan, nan, nan, nan, num_codes=0, covered=0.0)
    group = labels("keys", np.stack([codes, group], 1))[members]
    number = (np.cumsum(judged) - 1)[codes[members]]  # of the judged codes alone
    agreeing = _agreeing_pairs(number, group, truth[members], outcomes[:, members], generator, permutations)
    p_values = np.stack([(agreeing >= agreeing[:, [turn]]).mean(1) for turn in range(permutations + 1)])
    found = (p_values.min(1) <= level / 3).mean(1)  # p_values (1 + permutations, 3 outcomes, codes)
    by_reward, by_end, by_next_code = (p_values[0] <= level).mean(1).tolist()
    return Aliasing(
        rate=float(found[0]),
        chance=float(found[1:].mean()),
        by_reward=by_reward,
        by_end=by_end,
        by_next_code=by_next_code,
        num_codes=int(judged.sum()),
        covered=float(members.mean()),
    )


def _agreeing_pairs(
    codes: Ids, group: Ids, truth: Ids, outcomes: Ids, generator: np.random.Generator, permutations: int
) -> Ids:
    """(outcomes, 1 + permutations, codes): pairs of one group, state and outcome; the data first, then shuffles."""
    cells = labels("states", np.stack([group, truth], 1))
    code_of = np.zeros(int(cells.max()) + 1, np.int64)
    code_of[cells] = codes
    in_order = np.argsort(group, kind="stable")
    drawn = in_order
    counts = np.zeros((len(outcomes), permutations + 1, int(codes.max()) + 1), np.int64)
    for turn in range(permutations + 1):
        for number, outcome in enumerate(outcomes):
            base = int(outcome.max()) + 1
            joint = cells * base  # one number for each (cell, outcome)
            joint[in_order] += outcome[drawn]
            joint.sort()
            begins = np.flatnonzero(np.diff(joint, prepend=-1))
            members = np.diff(begins, append=len(joint))
            np.add.at(counts[number, turn], code_of[joint[begins] // base], members * (members - 1) // 2)
        drawn = np.lexsort((generator.random(len(group)), group))
    return counts
