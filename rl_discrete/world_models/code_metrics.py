"""How well the world model of codes does on held-out rows: one step at a time, and in rollouts of recorded actions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rl_discrete.world_models.code import CodeState, CodeWorldModel
from rl_discrete.world_models.coded_replay import CodedReplay, Places

HORIZONS = (1, 5, 15)
_MOST_STEPS, _MOST_ROLLOUTS, _BATCH = 4096, 512, 256


def measure_code_model(model: CodeWorldModel, replay: CodedReplay, seed: int) -> dict[str, float]:
    """Metrics on what is held out of `replay`; those that nothing is there for are left out.

    `nats_per_step` of the true code, in nats at temperature 1; `bit_error_1`, `_5`, `_15` after so many imagined steps
    and `bit_error_copy_...`, the same of a repeated last code, as shares; over the longest rollouts that there are,
    exact to the step, `positive_recall`, `positive_precision`, the same for `negative` rewards and `end`; and rewards
    of either sign in 1,000 steps, `imagined_positive_rate` beside `real_positive_rate` and so on. `doubtful_rate`, in
    1,000 imagined steps, of an ensemble.
    """
    found: dict[str, float] = {}
    steps = _spread(replay.held_out_starts(1), _MOST_STEPS)
    if len(steps):
        found["nats_per_step"] = _nats(model, replay, steps)
    for horizon in reversed(HORIZONS):
        starts = _spread(replay.held_out_starts(horizon), _MOST_ROLLOUTS)
        if len(starts):
            return found | _rollouts(model, replay, starts, horizon, seed)
    return found


def _nats(model: CodeWorldModel, replay: CodedReplay, places: Places) -> float:
    total = 0.0
    for part in np.array_split(places, -(-len(places) // _BATCH)):
        after = replay.following[part]
        total += float(model.log_prob(_begin(model, replay, part), replay.actions[after], replay.codes[after]).sum())
    return -total / len(places)


def _rollouts(model: CodeWorldModel, replay: CodedReplay, places: Places, length: int, seed: int) -> dict[str, float]:
    ahead = replay.ahead(places, length)
    generator = np.random.default_rng(seed)
    noise = generator.random((length, len(places), model.noise_dim), np.float32)
    state, alive = _begin(model, replay, places), np.ones(len(places), np.bool_)
    wrong, copied, rewards, ends, doubts, counted = [], [], [], [], [], []
    for step in range(length):
        imagined = model.step(state, replay.actions[ahead[:, step]], noise[step])
        state, truth = imagined.state, replay.codes[ahead[:, step]]
        wrong.append(float((model.codes(state) != truth).mean()))
        copied.append(float((replay.codes[places] != truth).mean()))
        counted.append(alive)
        rewards.append(imagined.reward)
        ends.append(imagined.terminated)
        doubts.append(imagined.doubtful)
        alive = alive & ~imagined.terminated  # nobody goes on after an end, so nothing imagined later counts
    found = {f"bit_error_{horizon}": wrong[horizon - 1] for horizon in HORIZONS if horizon <= length}
    found |= {f"bit_error_copy_{horizon}": copied[horizon - 1] for horizon in HORIZONS if horizon <= length}
    inside = np.stack(counted, 1)  # (N, length)
    guessed, real = np.stack(rewards, 1), replay.rewards[ahead]
    found |= _events("end", np.stack(ends, 1)[inside], replay.ends[ahead][inside])
    smallest = np.abs(real[real != 0]).min(initial=1.0)
    for name, sign in (("positive", 1.0), ("negative", -1.0)):
        there, told = sign * real[inside] > 0, sign * guessed[inside] > smallest / 2
        found |= _events(name, told, there)
        found[f"imagined_{name}_rate"] = 1000.0 * float(told.mean())
        found[f"real_{name}_rate"] = 1000.0 * float(there.mean())
    if model.num_members > 1:
        found["doubtful_rate"] = 1000.0 * float(np.stack(doubts, 1)[inside].mean())
    return found


def _events(name: str, told: NDArray[np.bool_], there: NDArray[np.bool_]) -> dict[str, float]:
    hits = float((told & there).sum())
    found = {f"{name}_recall": hits / float(there.sum())} if there.any() else {}
    return found | ({f"{name}_precision": hits / float(told.sum())} if told.any() else {})


def _begin(model: CodeWorldModel, replay: CodedReplay, places: Places) -> CodeState:
    return model.begin(*replay.history(places, model.history_length))


def _spread(places: Places, count: int) -> Places:
    """At most `count` of the places, spread evenly over all."""
    return places if len(places) <= count else places[np.arange(count) * len(places) // count]
