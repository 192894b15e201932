"""A code model held against a table: real steps counted by the model's own codes, and the model asked about them.

What a code model says of the next code depends on more than the newest one: its state holds several frames and a
summary of earlier ones. So p(next code | s, a) is its probability averaged over recorded histories that end in s and in
which a was taken, drawn at random. That is what the counts are an average of, too, whether the env is Markov in its
codes or not, so a model that is right lies on the sampling floor in both cases. Where it is Markov, every single
history should give the same: the distance of single ones, whose errors do not cancel, is measured beside it.

All real steps count, those that the model was fitted to and those held out. An end is an ordinary transition, since the
model predicts the last frame's code as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.cross_check import CrossCheck, Floats, Ids, cross_check, true_chances
from rl_discrete.data.replay import Replay
from rl_discrete.envs.chw import AnyEnv
from rl_discrete.envs.grid_world import TrueMDP
from rl_discrete.latents.codes import key_width, pack, unpack
from rl_discrete.mdp.tabular import TabularMDP
from rl_discrete.mdp.transitions import Keys, Transitions
from rl_discrete.runs import durable
from rl_discrete.runs.seeding import derive_seed
from rl_discrete.world_models.base import WorldModel
from rl_discrete.world_models.code import CodeWorldModel
from rl_discrete.world_models.coded_replay import CodedReplay
from rl_discrete.world_models.held_out import HeldOut

Report: TypeAlias = Callable[[float], None]

FOLDER, FILE = "diagnostics", "cross_check.json"
MIN_VISITS = (20, 200)
"""Pairs are summed up from so many visits on."""
HISTORIES = 16
"""Of each pair; no pair that counts has fewer."""
_MOST_EDGES = 4000  # next codes that the model is asked about, each after all histories of its pair
_BATCH = 1024  # histories


def check_model(
    model: WorldModel[Any], replay: Replay, make_env: Callable[[], AnyEnv], seed: int, run: Path, report: Report
) -> dict[str, Any] | None:
    """Holds a world model against a table: see `check_against_table`. None, and nothing done, if it is none of codes.

    Writes every pair to `diagnostics/cross_check.json` in the run folder `run`, in place of those of an earlier check.

    Returns:
        For result.json: `min_visits`, numbers of visits from which on pairs are summed up, and lists with one entry for
        each of them: see `CrossCheck.metrics`; `histories`, how many the model was asked after for each pair.

    Raises:
        RunError: frames cannot be read, what the model gives are no probabilities, or the disk refused.
    """
    if not isinstance(model, CodeWorldModel):
        return None
    check = check_against_table(model, replay, make_env, seed, report)
    with durable.disk_errors(run):
        (run / FOLDER).mkdir(exist_ok=True)
    durable.write_json(run / FOLDER / FILE, asdict(check))
    found = [check.at_least(visits).metrics() for visits in MIN_VISITS]
    lists = {name: [metrics[name] for metrics in found] for name in found[0]}
    return {"min_visits": list(MIN_VISITS), "histories": HISTORIES, **lists}


def check_metrics(checked: Mapping[str, Any]) -> dict[str, float]:
    """What a log says of what `check_model` gave: each figure by its name and the visits, such as `tv_200`."""
    lists = {name: values for name, values in checked.items() if name.startswith("tv")}
    return {
        f"{name}_{visits}": value
        for name, values in lists.items()
        for visits, value in zip(checked["min_visits"], values, strict=True)
    }


def check_against_table(
    model: CodeWorldModel,
    replay: Replay,
    make_env: Callable[[], AnyEnv],
    seed: int,
    report: Report = lambda share: None,
) -> CrossCheck:
    """Total variation between a code model, exactly and at temperature 1, and the counts of a replay by its codes.

    Args:
        model: the code model.
        replay: real steps.
        make_env: makes the env they came from. If it offers its true MDP (`true_mdp`, whose states `reset` takes as
            the option `state`), what that would give is measured too.
        seed: of histories and resamples.
        report: told how much of the asking is done, in [0, 1].

    Raises:
        RunError: frames cannot be read, or what the model gives are no probabilities.
    """
    coded = CodedReplay.of(replay, model.codec, HeldOut(0.0, 1, replay.layout.num_envs), soft=False)
    generator = np.random.default_rng(derive_seed(seed, "cross-check"))
    histories = RecordedHistories(model, coded, generator, report)
    transitions = histories.counted()
    often = (transitions.counts >= MIN_VISITS[0]).any()
    return cross_check(
        transitions,
        histories.log_prob,
        generator,
        min_visits=MIN_VISITS[0],
        truth=_truth(make_env, model, transitions) if often else None,
        most_edges=_MOST_EDGES,
    )


def read_check(run: Path) -> CrossCheck | None:
    """Every pair of the last check of a run; None where there is nothing."""
    path = run / FOLDER / FILE
    if not path.is_file():
        return None
    whole = ("states", "actions", "visits")
    columns: dict[str, Any] = {
        name: np.array(values, np.int64 if name in whole else np.float64)  # null is nan
        for name, values in json.loads(path.read_text()).items()
    }
    return CrossCheck(**columns)


def describe_check(checked: Mapping[str, Any]) -> list[str]:
    """What `check_model` gave as text: one line for each number of visits, up to the first that no pair has."""
    found = check_metrics(checked)
    lines: list[str] = []
    for visits in sorted(checked["min_visits"]):
        if not found[f"tv_pairs_{visits}"]:
            return [*lines, f"no state and action was seen {visits} times, so there is no table to hold the model to"]
        line = (
            f"{found[f'tv_pairs_{visits}']:,.0f} states and actions seen {visits} times or more: total variation of "
            f"model and counts {found[f'tv_{visits}']:.4f}, by sampling alone {found[f'tv_floor_{visits}']:.4f}"
        )
        if found[f"tv_true_pairs_{visits}"]:
            line += f", by sampling the true MDP {found[f'tv_true_floor_{visits}']:.4f}"
        lines.append(line)
    return lines


class RecordedHistories:
    """The transitions of a replay by the codes of a model, and what the model says after the histories recorded there.

    Args:
        model: the code model.
        coded: real steps, in its codes.
        generator: draws histories.
        report: told how much of an answer is there, in [0, 1].
    """

    def __init__(
        self, model: CodeWorldModel, coded: CodedReplay, generator: np.random.Generator, report: Report
    ) -> None:
        self._model, self._coded, self._report = model, coded, report
        self._ends = generator.permutation(np.flatnonzero(coded.previous >= 0))  # places that a step leads to
        self._keys = pack(coded.codes, 2) if len(coded) else np.zeros((0, key_width(model.num_latents, 2)), np.uint64)

    def counted(self) -> Transitions:
        """A picture of the table of all transitions, ends among them; nothing is said of rewards."""
        table, ends = TabularMDP(self._model.num_actions, self._keys.shape[1]), self._ends
        nothing = np.zeros(len(ends))
        begins = self._coded.previous[ends]
        table.add_many(self._keys[begins], self._coded.actions[ends], nothing, self._keys[ends], nothing > 0)
        return table.transitions()

    def log_prob(self, keys: Keys, actions: Ids, next_keys: Keys) -> Floats:
        """Exact log-probability (M, H) of next codes, nats, after H = `HISTORIES` histories of each code and action.

        Each of them must have been recorded as often.
        """
        places = self._drawn(keys, actions).reshape(-1)  # (M * H,)
        codes = unpack(next_keys, self._model.num_latents, 2).astype(np.uint8)
        which = np.repeat(np.arange(len(keys)), HISTORIES)
        found = np.empty(len(places))
        for begin in range(0, len(places), _BATCH):
            part = slice(begin, begin + _BATCH)
            state = self._model.begin(*self._coded.history(places[part], self._model.history_length))
            found[part] = self._model.log_prob(state, actions[which[part]], codes[which[part]])
            self._report(min(1.0, (begin + _BATCH) / len(places)))
        return found.reshape(len(keys), HISTORIES)

    def _drawn(self, keys: Keys, actions: Ids) -> NDArray[np.int64]:
        """(M, H) places with the keys from which the actions were taken; the same ones for equal pairs."""
        begins = self._coded.previous[self._ends]
        seen = np.concatenate((self._keys[begins], self._coded.actions[self._ends, None].astype(np.uint64)), axis=1)
        asked = np.concatenate((keys, actions[:, None].astype(np.uint64)), axis=1)
        _, groups = np.unique(np.concatenate((asked, seen)), axis=0, return_inverse=True)
        wanted, there = groups[: len(asked)], groups[len(asked) :]
        order = np.argsort(there, kind="stable")  # by pair; within one the order stays random
        first = np.searchsorted(there[order], wanted)
        found: NDArray[np.int64] = begins[order[first[:, None] + np.arange(HISTORIES)]]
        return found


def _truth(make_env: Callable[[], AnyEnv], model: CodeWorldModel, transitions: Transitions) -> Floats | None:
    """`true_chances` of the env that is made; None where it offers no true MDP."""
    with closing(make_env()) as env:
        try:
            true_mdp = env.get_wrapper_attr("true_mdp")
        except AttributeError:
            return None
        mdp = true_mdp()
        if not isinstance(mdp, TrueMDP):
            return None
        states = mdp.states[~mdp.terminals]  # nothing follows upon the others
        frames = np.stack([env.reset(options={"state": state})[0] for state in states])
    keys = pack(model.codec.encode(frames), 2)
    return true_chances(mdp, transitions, keys, states, ends_are_codes=True)
