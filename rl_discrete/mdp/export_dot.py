"""Graphviz: a node per state, an edge per action and successor, drawn thicker the likelier it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from rl_discrete.mdp.export_text import Collector, key_texts, numbers
from rl_discrete.mdp.transitions import Transitions

if TYPE_CHECKING:
    from rl_discrete.mdp.solve import Solution

_STATEMENT = re.compile(r"\s*(?:(graph)|(\d+)(?: -> (\d+))?) \[(.*)\];")
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')


def write_dot(transitions: Transitions, solution: Solution | None) -> dict[str, bytes]:
    """The file's content by suffix. `visits`, `reward_sums` and `q_values` list one number per action."""
    head: dict[str, object] = {"num_actions": transitions.num_actions, "key_words": transitions.key_words}
    lines = ["digraph mdp {", f"  graph [{_attributes(head)}];", "  node [shape=circle];"]
    counts, sums = transitions.counts.tolist(), transitions.reward_sums.tolist()
    rows = transitions.rows.tolist()
    for state, key in enumerate(key_texts(transitions.keys)):
        data: dict[str, object] = {"label": state, "tooltip": f"{key}, {sum(counts[state])} visits"}
        if solution:
            value = float(solution.values[state])
            data |= {"label": f"{state}\\n{value:.3g}", "value": repr(value)}
            data |= {"q_values": numbers(solution.q_values[state].tolist())}
        data |= {"key": key, "row": rows[state]}
        data |= {"visits": numbers(counts[state]), "reward_sums": numbers(sums[state])}
        lines.append(f"  {state} [{_attributes(data)}];")
    totals = transitions.counts.reshape(-1)[transitions.edge_source].tolist()
    edges = zip(transitions.edge_source.tolist(), transitions.edge_target.tolist(), strict=True)
    for (pair, target), count, total in zip(edges, transitions.edge_count.tolist(), totals, strict=True):
        state, action = divmod(pair, transitions.num_actions)
        share = count / total
        data = {"label": f"{action}: {share:.0%}", "penwidth": f"{0.5 + 1.5 * share:.2f}"}
        data |= {"action": action, "count": count, "probability": repr(share)}
        lines.append(f"  {state} -> {target} [{_attributes(data)}];")
    return {".dot": "\n".join([*lines, "}", ""]).encode()}


def _attributes(values: dict[str, object]) -> str:
    return ", ".join(f'{name}="{value}"' for name, value in values.items())


def read_dot(path: Path) -> Transitions:
    """The table in a file that `write_dot` made: one statement a line.

    Raises:
        ValueError, KeyError: not such a file.
    """
    collector: Collector | None = None
    complete = False
    for line in path.read_text(encoding="utf-8").splitlines():
        found = _STATEMENT.fullmatch(line)
        complete = line == "}"
        if not found:
            continue
        graph, state, target, attributes = found.groups()
        data = dict(_ATTRIBUTE.findall(attributes))
        if graph:
            collector = Collector(int(data["num_actions"]), int(data["key_words"]))
        elif collector is None:
            raise ValueError("the graph's num_actions and key_words must come first")
        elif target:
            collector.edge(int(state), int(data["action"]), int(target), int(data["count"]))
        else:
            counts = [int(count) for count in data["visits"].split()]
            sums = [float(value) for value in data["reward_sums"].split()]
            collector.state(int(state), data["key"], int(data["row"]), counts, sums)
    if collector is None or not complete:
        raise ValueError("it does not begin with a graph statement and end with }")
    return collector.assemble()
