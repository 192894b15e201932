"""How far a world model strays from the real env: rollouts under the recorded actions of real episodes.

From real frames the model imagines on, step by step, with the actions that were taken in truth, while the real
episode says what should have come. Beside each error stands what a model would have that only repeats the last frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.atari_objects import ObjectFinder, known_objects, learn_objects
from rl_discrete.agents.collecting import Explorer
from rl_discrete.agents.evaluation import State
from rl_discrete.agents.real_play import RealPlay, as_pictures, record_play
from rl_discrete.agents.rollout_figures import (
    REAL,
    Columns,
    Events,
    Floats,
    event_figures,
    means,
    object_columns,
    object_figures,
)
from rl_discrete.agents.trained_agent import TrainedAgent
from rl_discrete.envs.chw import AnyEnv
from rl_discrete.envs.noise import NoiseStreams
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.seeding import derive_seed
from rl_discrete.world_models.base import WorldModel

HORIZONS = (1, 5, 15, 50)
BATCH = 50
"""Rollouts side by side: their decoded pictures lie in memory together."""
_LOOKED_AT = 2000  # real steps from which it is learned what the objects look like
_ENVS = 4
_HELD = 80  # steps for which chance holds an action there at most


def measure_rollouts(
    model: WorldModel[Any],
    agent: TrainedAgent,
    *,
    steps: int = 5000,
    num_envs: int = 4,
    max_steps: int = 1000,
    starts: int = 400,
    horizons: Sequence[int] = HORIZONS,
    seed: int = 0,
    report: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Errors of a world model over fresh episodes of its agent in the real env: see `record_play`, `rollout_errors`.

    Raises:
        UsageError: a number outside its range, or an env that cannot be made.
        RunError: a reward is not finite.
    """
    play = record_play(
        agent.policy,
        agent.make_env,
        steps,
        seed=seed,
        num_envs=num_envs,
        max_steps=max_steps,
        report=report,
    )
    finder = find_objects(agent.env, agent.make_env, model.num_actions, seed)
    return rollout_errors(model, play, starts=starts, horizons=horizons, seed=seed, finder=finder)


def find_objects(env: str, make_env: Callable[[], AnyEnv], num_actions: int, seed: int) -> ObjectFinder | None:
    """A finder of the objects of an env, if they are known, from steps that chance takes.

    An agent may keep its paddle in one place until that looks like the background; chance, held for a while, does not.
    """
    if not known_objects(env):
        return None
    chance = _HeldChance(num_actions, _ENVS, seed)
    seen = record_play(chance, make_env, _LOOKED_AT, seed=derive_seed(seed, "objects"), num_envs=_ENVS)
    return learn_objects(env, seen)


class _HeldChance:
    """Acts at random, each action for a while; has the `predict` of Stable-Baselines3."""

    def __init__(self, num_actions: int, num_envs: int, seed: int) -> None:
        self._explorer = Explorer(num_envs, num_actions, seed)
        self._shares = np.full((num_envs, num_actions), 1.0 / num_actions)

    def predict(
        self,
        observation: NDArray[Any],
        state: State = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], State]:
        starts = np.zeros(len(self._shares), np.bool_) if episode_start is None else episode_start
        return self._explorer.choose(self._shares, starts, 1.0, 0.0, _HELD), state


def rollout_errors(
    model: WorldModel[Any],
    play: RealPlay,
    *,
    starts: int = 400,
    horizons: Sequence[int] = HORIZONS,
    seed: int = 0,
    finder: ObjectFinder | None = None,
) -> dict[str, Any]:
    """Errors of a world model after some imagined steps, from real frames that it was not fitted to.

    A model may have more methods, which are used where it has them: `codes(state)`, the newest code (B, L), else the
    bits of the observation are compared; `log_prob(state, actions, codes)`, the log-probability (B,) in nats of the
    next code; and `prior_nats(state, actions, following)`, what the prior asks, (B,) in nats, for the bits that the
    model infers from the next frame, or None if it has no bits.

    Args:
        model: the world model.
        play: real episodes.
        starts: rollouts, >= 1, each from another frame drawn uniformly from all that a step follows.
        horizons: numbers of imagined steps after which the model is compared, >= 1.
        seed: of starts and noise.
        finder: where the objects are in pictures and in the play's `states`; None: objects are not compared.

    Returns:
        Lists with one entry for each horizon, nan where nothing could be compared: `count`, rollouts whose real
        episode goes on so far; `bit_error`, share of wrong bits; `pixel_error`, mean absolute difference in levels of
        0 to 255; each of the two also as `..._copy`, for a repeated last frame, and the pixels as
        `..._reconstruction`, for the true codes decoded; `nats` of the true code, or `prior_nats` of the bits of the
        true frame, which say nothing of the rest of the frame, so that the two cannot be compared. `reward` (`plus` and
        `minus` apart) and `end`: precision and recall, exact to the step, over the steps since the horizon before, with
        the numbers imagined and real. `objects`: mean and median error in pixels of those seen in both pictures, the
        shares of the real ones that are near (within 2 pixels) and that are lost, and of imagined ones where there is
        none in truth; for decoded true codes with `_reconstruction`, for a repeated frame with `_copy`; with `_real`
        for the real frames themselves: at the edges of the screen they disagree with the memory, so that no model can
        be expected to do better; `floor`, the median error of the real frames from which the finder learned.

    Raises:
        UsageError: a number outside its range, or no frame that a step follows.
    """
    steps = sorted(set(horizons))
    if starts < 1 or not steps or steps[0] < 1:
        raise UsageError(f"starts and horizons must be >= 1, got {starts} and {tuple(horizons)}")
    rows = _draw_starts(play, starts, seed)
    columns: dict[str, list[Floats]] = {}
    events: dict[str, list[NDArray[Any]]] = {}
    for part in np.array_split(rows, -(-len(rows) // BATCH)):
        keys = [(derive_seed(seed, "rollouts", "noise"), int(row)) for row in part]
        compared, happened = _imagine(model, play, part, steps, NoiseStreams(model.noise_dim, keys), finder)
        for name, values in compared.items():
            columns.setdefault(name, []).append(values)
        for name, values in happened.items():
            events.setdefault(name, []).append(values)
    whole = {name: np.concatenate(parts) for name, parts in columns.items()}
    happened = {name: np.concatenate(parts) for name, parts in events.items()}
    objects = (
        {}
        if finder is None
        else {name: {"floor": floor, **object_figures(whole, name)} for name, floor in finder.floors.items()}
    )
    return {
        "starts": len(rows),
        "frames": len(play),
        "horizons": steps,
        "count": [int(happened["inside"][:, step - 1].sum()) for step in steps],
        **{name: means(values) for name, values in whole.items() if ":" not in name},
        "reward": {
            name: event_figures(happened["reward"] == sign, happened["imagined_reward"] == sign, happened, steps)
            for name, sign in (("plus", 1), ("minus", -1))
        },
        "end": event_figures(happened["end"], happened["imagined_end"], happened, steps),
        "objects": objects,
    }


def _draw_starts(play: RealPlay, starts: int, seed: int) -> NDArray[np.int64]:
    rows = np.flatnonzero(play.inside(np.arange(len(play)), 1))
    if not len(rows):
        raise UsageError("the play holds no step: record more of them")
    generator = np.random.default_rng(derive_seed(seed, "rollouts", "starts"))
    return np.sort(generator.choice(rows, min(starts, len(rows)), replace=False))


def _imagine(
    model: WorldModel[Any],
    play: RealPlay,
    rows: NDArray[np.int64],
    horizons: Sequence[int],
    noise: NoiseStreams,
    finder: ObjectFinder | None,
) -> tuple[Columns, Events]:
    """Rollouts from `rows` (N,) side by side: what is compared at the horizons, and what happened on the way."""
    state = model.reset(play.history(rows, model.history_length))
    first = state
    level = 0.5 * min([1.0, *np.abs(play.rewards[play.rewards != 0])])  # predictions below are no reward
    columns: dict[str, list[Floats]] = {}
    events: dict[str, list[NDArray[Any]]] = {}
    for step in range(1, horizons[-1] + 1):
        inside = play.inside(rows, step)
        there = np.where(inside, rows + step, rows)  # where the episode is over: anything, it does not count
        actions, before = play.actions[there], state
        taken = model.step(state, actions, noise.for_step())
        state = taken.state
        imagined = np.where(np.abs(taken.reward) > level, np.sign(taken.reward), 0.0)
        happened: dict[str, NDArray[Any]] = {
            "inside": inside,
            "reward": np.sign(play.rewards[there]),
            "imagined_reward": imagined,
            "end": play.terminated[there],
            "imagined_end": taken.terminated,
        }
        for name, flags in happened.items():
            events.setdefault(name, []).append(flags)
        if step in horizons:
            compared = _compare(model, play, (rows, there), (first, before, state), actions, finder)
            for name, values in compared.items():
                columns.setdefault(name, []).append(np.where(inside, values, np.nan))
    return (
        {name: np.stack(values, axis=1) for name, values in columns.items()},
        {name: np.stack(values, axis=1) for name, values in events.items()},
    )


def _compare(
    model: WorldModel[Any],
    play: RealPlay,
    rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    states: tuple[Any, Any, Any],
    actions: NDArray[np.int64],
    finder: ObjectFinder | None,
) -> Columns:
    """What `rows[1]` (N,) show in truth against what was imagined from `rows[0]`; (N,) each.

    `states` are those at the start, before the last step and after it. Names of objects' columns hold a colon.
    """
    first, before, state = states
    start, there = (as_pictures(play.frames[each]) for each in rows)
    real = model.reset(play.history(rows[1], model.history_length))
    columns: Columns = {}
    bits, dreamt, repeated = (_bits_of(model, each) for each in (real, state, first))
    if bits is not None and dreamt is not None and repeated is not None:
        columns["bit_error"] = np.not_equal(dreamt, bits).mean(axis=1)
        columns["bit_error_copy"] = np.not_equal(repeated, bits).mean(axis=1)
        if hasattr(model, "codes") and (log_prob := getattr(model, "log_prob", None)) is not None:
            columns["nats"] = -np.asarray(log_prob(before, actions, bits), np.float64)
    if (prior_nats := getattr(model, "prior_nats", None)) is not None:
        asked = prior_nats(before, actions, real)
        columns |= {} if asked is None else {"prior_nats": np.asarray(asked, np.float64)}
    imagined = model.render(state)
    if start is None or there is None or imagined is None or imagined.shape != there.shape:
        return columns
    decoded = model.render(real)
    assert decoded is not None
    shown = {"": imagined, "_copy": start, "_reconstruction": decoded}
    for kind, pictures in shown.items():
        columns[f"pixel_error{kind}"] = np.abs(pictures.astype(np.int16) - there).mean(axis=(1, 2, 3))
    if finder is not None and play.states is not None:
        located = {kind: finder.locate(pictures) for kind, pictures in {**shown, REAL: there}.items()}
        columns |= object_columns(finder.truth(play.states[rows[1]]), located)
    return columns


def _bits_of(model: WorldModel[Any], state: Any) -> NDArray[Any] | None:
    """(N, L) the newest code, or all bits of the observation; None where it is not made of bits."""
    if (codes := getattr(model, "codes", None)) is not None:
        return np.asarray(codes(state))
    if not isinstance(model.observation_space, gymnasium.spaces.MultiBinary):
        return None
    observed = model.observe(state)
    return observed.reshape(len(observed), -1)
