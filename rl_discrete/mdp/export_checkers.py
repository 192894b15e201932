"""Model checkers: PRISM's explicit files (.tra .sta .lab .trew) and Storm's direct encoding (.drn).

Both want every state to have a choice and every choice to lead somewhere with probability 1. So ends lead to one more
state, labelled `end`, that stays where it is, and a state where nothing was tried stays where it is, labelled
`unexplored`; the action of both is called `stay`. Action 3 is called `a3`. Nobody knows where episodes start: `init`
is state 0. The reward structure `reward` holds the mean observed rewards.

What these formats cannot say is kept beside it so that nothing is lost: for PRISM in a file of ours, `.counts`
(visits and reward sums), and in 16-bit parts of keys, because its integers have 32 bits; for Storm in the
reward structures `visits` and `reward_sum`, and in comments. Formats: PRISM manual, "Explicit model files"; Storm
documentation, "The DRN format".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rl_discrete.mdp.export_text import Collector, key_texts
from rl_discrete.mdp.transitions import Transitions

if TYPE_CHECKING:
    from rl_discrete.mdp.solve import Solution

_STAY = "stay"
_PARTS = 4  # 16-bit parts of a word, lowest first


class _Step(NamedTuple):
    """One line of a transition file."""

    state: int
    choice: int  # 0, 1, ... among the tried actions of the state
    action: int  # -1 for `stay`
    target: int
    probability: float


def _steps(transitions: Transitions) -> Iterator[_Step]:
    """All steps in the order of states, choices and targets; the end is state S."""
    end, actions = transitions.num_states, transitions.num_actions
    tried = transitions.counts > 0
    choices = np.cumsum(tried, axis=1) - 1
    ended = np.flatnonzero(transitions.terminations)
    silent = np.flatnonzero(~tried.any(axis=1))
    pairs = np.concatenate([transitions.edge_source, ended, silent * actions, [end * actions]])
    targets = np.concatenate([transitions.edge_target, np.full(len(ended), end), silent, [end]])
    counts = np.concatenate([transitions.edge_count, transitions.terminations.reshape(-1)[ended]])
    order = np.lexsort((targets, pairs))
    totals = np.append(transitions.counts.reshape(-1), np.zeros(actions, np.int64))
    numbers = np.append(counts, np.ones(len(silent) + 1, np.int64))[order].tolist()
    choice_of = np.append(choices.reshape(-1), np.zeros(actions, np.int64))
    for pair, target, count in zip(pairs[order].tolist(), targets[order].tolist(), numbers, strict=True):
        total = int(totals[pair])
        state, action = divmod(pair, actions)
        if total:
            yield _Step(state, int(choice_of[pair]), action, target, count / total)
        else:
            yield _Step(state, 0, -1, target, 1.0)


def _name(action: int) -> str:
    return _STAY if action < 0 else f"a{action}"


def _num_choices(transitions: Transitions) -> int:
    tried = transitions.counts > 0
    return int(tried.sum() + (~tried.any(axis=1)).sum() + 1)


def write_prism(transitions: Transitions, solution: Solution | None) -> dict[str, bytes]:
    """The contents of the five files by suffix. PRISM has no place for values, so `solution` is left out."""
    del solution
    steps = list(_steps(transitions))
    end, means = transitions.num_states, transitions.mean_rewards.tolist()
    size = f"{end + 1} {_num_choices(transitions)}"
    tra = [f"{size} {len(steps)}"]
    tra += [f"{s.state} {s.choice} {s.target} {s.probability!r} {_name(s.action)}" for s in steps]
    rewarded = [s for s in steps if s.action >= 0 and means[s.state][s.action] != 0.0]
    trew = ['# Reward structure "reward"', "# Transition rewards", f"{size} {len(rewarded)}"]
    trew += [f"{s.state} {s.choice} {s.target} {means[s.state][s.action]!r}" for s in rewarded]
    names = [f"key{part}" for part in range(_PARTS * transitions.key_words)]
    sta = [f"({','.join(['row', *names])})"]
    parts = np.ascontiguousarray(transitions.keys).astype("<u8").view("<u2").tolist()
    for state, (row, key) in enumerate(zip(transitions.rows.tolist(), parts, strict=True)):
        sta.append(f"{state}:({','.join(map(str, [row, *key]))})")
    sta.append(f"{end}:({','.join(map(str, [-1] + [0] * len(names)))})")
    lab = ['0="init" 1="deadlock" 2="end" 3="unexplored"']
    silent = set(np.flatnonzero(~transitions.counts.any(axis=1)).tolist())
    for state in sorted({0, end} | silent):
        labels = [label for label, has in (("0", state == 0), ("2", state == end), ("3", state in silent)) if has]
        lab.append(f"{state}: {' '.join(labels)}")
    counts = [f"num_actions {transitions.num_actions} key_words {transitions.key_words}"]
    for state, action in zip(*(index.tolist() for index in np.nonzero(transitions.counts)), strict=True):
        visits, total = int(transitions.counts[state, action]), float(transitions.reward_sums[state, action])
        counts.append(f"{state} {action} {visits} {total!r}")
    files = {".tra": tra, ".sta": sta, ".lab": lab, ".trew": trew, ".counts": counts}
    return {suffix: ("\n".join(lines) + "\n").encode() for suffix, lines in files.items()}


def read_prism(path: Path) -> Transitions:
    """The table in the files .tra, .sta and .counts that `write_prism` made.

    Raises:
        OSError, ValueError, IndexError, KeyError: not such files.
    """
    head, *lines = path.with_suffix(".counts").read_text(encoding="utf-8").splitlines()
    _, actions, _, words = head.split()
    collector = Collector(int(actions), int(words))
    visits: dict[tuple[int, int], tuple[int, float]] = {}
    for line in lines:
        state, action, count, total = line.split()
        visits[int(state), int(action)] = int(count), float(total)
    states = path.with_suffix(".sta").read_text(encoding="utf-8").splitlines()[1:-1]
    for line in states:
        number, _, values = line.partition(":")
        row, *parts = (int(value) for value in values.strip("()").split(","))
        words_of_key = np.array(parts, "<u2").view("<u8").reshape(1, -1)
        entries = [visits.get((int(number), action), (0, 0.0)) for action in range(int(actions))]
        counts, sums = [count for count, _ in entries], [total for _, total in entries]
        collector.state(int(number), key_texts(words_of_key)[0], row, counts, sums)
    size, *lines = path.with_suffix(".tra").read_text(encoding="utf-8").splitlines()
    if [int(size.split()[0]), int(size.split()[2])] != [len(states) + 1, len(lines)]:
        raise ValueError("the transition file does not hold what its first line says")
    for line in lines:
        source, _, target, probability, name = line.split()
        if name != _STAY and int(target) < len(states):
            pair = int(source), int(name[1:])
            collector.edge(*pair, int(target), round(float(probability) * visits[pair][0]))
    return collector.assemble()


def write_storm(transitions: Transitions, solution: Solution | None) -> dict[str, bytes]:
    """The file's content by suffix. Values, where given, stand in comments."""
    end, means = transitions.num_states, transitions.mean_rewards.tolist()
    counts, sums, rows = transitions.counts.tolist(), transitions.reward_sums.tolist(), transitions.rows.tolist()
    keys = key_texts(transitions.keys)
    lines = [f"// num_actions {transitions.num_actions} key_words {transitions.key_words}", "@type: MDP"]
    lines += ["@parameters", "", "@reward_models", "reward visits reward_sum", "@nr_states", str(end + 1)]
    lines += ["@nr_choices", str(_num_choices(transitions)), "@model"]
    last_state, last_choice = -1, -1
    for step in _steps(transitions):
        state, action = step.state, step.action
        if state != last_state:
            labels = [label for label, has in (("init", state == 0), ("end", state == end)) if has]
            if state < end:
                value = f" value {float(solution.values[state])!r}" if solution else ""
                lines.append(f"// key {keys[state]} row {rows[state]}{value}")
                labels += ["unexplored"] * (action < 0)
            lines.append(" ".join([f"state {state}", *labels]))
            last_choice = -1
        if step.choice != last_choice:
            known = (means[state][action], counts[state][action], sums[state][action]) if action >= 0 else (0, 0, 0)
            lines.append(f"\taction {_name(action)} [{','.join(map(repr, known))}]")
        lines.append(f"\t\t{step.target} : {step.probability!r}")
        last_state, last_choice = state, step.choice
    return {".drn": ("\n".join(lines) + "\n").encode()}


def read_storm(path: Path) -> Transitions:
    """The table in a file that `write_storm` made.

    Raises:
        ValueError, IndexError: not such a file.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    _, _, actions, _, words = lines[0].split()
    collector = Collector(int(actions), int(words))
    end = int(lines[lines.index("@nr_states") + 1]) - 1
    comment: list[str] = []
    state, action, visits = -1, -1, 0
    entries: dict[int, tuple[int, float]] = {}

    def finish() -> None:
        if 0 <= state < end:
            known = [entries.get(action, (0, 0.0)) for action in range(int(actions))]
            collector.state(state, comment[2], int(comment[4]), [n for n, _ in known], [total for _, total in known])

    for line in lines[lines.index("@model") + 1 :]:
        if line.startswith("//"):
            finish()
            comment, entries, state = line.split(), {}, -1
        elif line.startswith("state "):
            finish()
            state = int(line.split()[1])
        elif line.startswith("\taction "):
            _, name, rewards = line.split()
            _, count, total = rewards.strip("[]").split(",")
            action, visits = (-1, 0) if name == _STAY else (int(name[1:]), int(count))
            if action >= 0:
                entries[action] = visits, float(total)
        else:
            target, _, probability = line.split()
            if action >= 0 and int(target) < end:
                collector.edge(state, action, int(target), round(float(probability) * visits))
    if state != end:
        raise ValueError(f"it breaks off after state {state} of {end}")
    return collector.assemble()
