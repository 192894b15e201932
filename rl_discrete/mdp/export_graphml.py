"""GraphML: a node per state and an edge per action and successor; read by networkx, Gephi, yEd, igraph."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING

from rl_discrete.mdp.export_text import Collector, key_texts
from rl_discrete.mdp.transitions import Transitions

if TYPE_CHECKING:
    from rl_discrete.mdp.solve import Solution

_NAMESPACE = "http://graphml.graphdrawing.org/xmlns"


def write_graphml(transitions: Transitions, solution: Solution | None) -> dict[str, bytes]:
    """The file's content by suffix. Attributes `visits_A` and `reward_sum_A` belong to action A of a node."""
    actions = range(transitions.num_actions)
    attributes = [("graph", "num_actions", "int"), ("graph", "key_words", "int")]
    attributes += [("node", "key", "string"), ("node", "row", "int")]
    attributes += [("node", f"visits_{a}", "long") for a in actions]
    attributes += [("node", f"reward_sum_{a}", "double") for a in actions]
    attributes += [("edge", "action", "int"), ("edge", "count", "long"), ("edge", "probability", "double")]
    if solution:
        attributes += [("node", "value", "double"), *(("node", f"q_{a}", "double") for a in actions)]
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<graphml xmlns="{_NAMESPACE}">']
    lines += [f'<key id="{name}" for="{of}" attr.name="{name}" attr.type="{kind}"/>' for of, name, kind in attributes]
    lines.append('<graph id="mdp" edgedefault="directed">')
    lines.append(_data("num_actions", transitions.num_actions) + _data("key_words", transitions.key_words))
    lines += _nodes(transitions, solution)
    lines += _edges(transitions)
    lines += ["</graph>", "</graphml>", ""]
    return {".graphml": "\n".join(lines).encode()}


def _data(name: str, value: object) -> str:
    return f'<data key="{name}">{value}</data>'


def _nodes(transitions: Transitions, solution: Solution | None) -> list[str]:
    keys, counts, sums = key_texts(transitions.keys), transitions.counts.tolist(), transitions.reward_sums.tolist()
    lines = []
    for state, row in enumerate(transitions.rows.tolist()):
        data = [_data("key", keys[state]), _data("row", row)]
        data += [_data(f"visits_{action}", count) for action, count in enumerate(counts[state])]
        data += [_data(f"reward_sum_{action}", repr(value)) for action, value in enumerate(sums[state])]
        if solution:
            data.append(_data("value", repr(float(solution.values[state]))))
            q_values = enumerate(solution.q_values[state].tolist())
            data += [_data(f"q_{action}", repr(q)) for action, q in q_values if not math.isnan(q)]
        lines.append(f'<node id="s{state}">{"".join(data)}</node>')
    return lines


def _edges(transitions: Transitions) -> list[str]:
    actions, totals = transitions.num_actions, transitions.counts.reshape(-1)[transitions.edge_source].tolist()
    sources, targets = transitions.edge_source.tolist(), transitions.edge_target.tolist()
    lines = []
    for pair, target, count, total in zip(sources, targets, transitions.edge_count.tolist(), totals, strict=True):
        data = _data("action", pair % actions) + _data("count", count) + _data("probability", count / total)
        lines.append(f'<edge source="s{pair // actions}" target="s{target}">{data}</edge>')
    return lines


def read_graphml(path: Path) -> Transitions:
    """The table in a file that `write_graphml` made.

    Raises:
        ValueError, KeyError, ElementTree.ParseError: not such a file.
    """
    graph: dict[str, str] = {}
    nodes: list[tuple[int, dict[str, str]]] = []
    edges: list[tuple[int, int, dict[str, str]]] = []
    for _, element in ElementTree.iterparse(path):
        tag = element.tag.rpartition("}")[2]
        if tag not in ("node", "edge", "graph"):
            continue
        data = {child.get("key", ""): child.text or "" for child in element if child.tag.endswith("data")}
        if tag == "node":
            nodes.append((_number(element.get("id")), data))
        elif tag == "edge":
            edges.append((_number(element.get("source")), _number(element.get("target")), data))
        else:
            graph = data
        if tag != "graph":
            element.clear()
    collector = Collector(int(graph["num_actions"]), int(graph["key_words"]))
    actions = range(int(graph["num_actions"]))
    for state, data in nodes:
        counts = [int(data[f"visits_{action}"]) for action in actions]
        sums = [float(data[f"reward_sum_{action}"]) for action in actions]
        collector.state(state, data["key"], int(data["row"]), counts, sums)
    for source, target, data in edges:
        collector.edge(source, int(data["action"]), target, int(data["count"]))
    return collector.assemble()


def _number(name: str | None) -> int:
    if name is None or not name.startswith("s"):
        raise ValueError(f"nodes must be called s0, s1, ..., got {name!r}")
    return int(name[1:])
