from __future__ import annotations

import dataclasses
import io
import os
import shutil
import subprocess
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_discrete.mdp.export import FORMATS, export, load
from rl_discrete.mdp.solve import solve
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.errors import RunError, UsageError
from tests.mdp.random_transitions import assert_same, random_transitions, transitions_of

SUFFIXES = [form.suffix for form in FORMATS.values()]


def empty() -> Transitions:
    return transitions_of([], np.zeros((0, 2), np.uint64), 3)


def awkward() -> Transitions:
    """Extreme keys, rows, counts and rewards, a state that nothing is known of and one that only ends."""
    table = transitions_of(
        [(0, 1, 0.1, 0), (0, 1, 0.2, 2), (1, 0, -1e-300, -1), (0, 0, 1e17 / 3, 1)],
        np.array([[2**64 - 1, 0], [0, 2**63], [0, 1]], np.uint64),
        2,
    )
    counts, edges = table.counts.copy(), table.edge_count.copy()
    counts[0, 0] = edges[0] = 2**45 + 1
    counts[0, 1] = 2**50
    rows = np.array([2**31 - 1, 0, 7], np.int32)
    return dataclasses.replace(table, counts=counts, edge_count=edges, rows=rows)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_comes_back_to_the_last_bit(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"table{suffix}"
    tables = [random_transitions(seed, 3 + seed, 1 + seed % 4, 1 + seed % 3) for seed in range(8)]
    for table in [*tables, awkward(), empty()]:
        export(table, path)
        assert_same(load(path), table)
        export(table, path, solution=solve(table, 0.9))
        assert_same(load(path), table)
    assert not list(tmp_path.glob(".tmp-*"))


@settings(deadline=None, max_examples=40)
@given(
    total=st.integers(2, 2**52),
    share=st.floats(0, 1),
    reward=st.floats(allow_nan=False, allow_infinity=False),
    key=st.integers(0, 2**64 - 1),
    suffix=st.sampled_from(SUFFIXES),
)
def test_any_count_reward_and_key_comes_back(
    total: int, share: float, reward: float, key: int, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    count = min(max(1, round(share * total)), total)
    table = dataclasses.replace(
        transitions_of([(0, 0, 1.0, 0)], np.array([[key]], np.uint64), 1),
        counts=np.array([[total]]),
        reward_sums=np.array([[reward]]),
        edge_count=np.array([count]),
    )
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    export(table, path)
    assert_same(load(path), table)


def test_a_large_table_comes_back_from_every_format(tmp_path: Path) -> None:
    table = random_transitions(1, num_states=400, num_actions=4, key_words=2)
    for suffix in SUFFIXES:
        export(table, tmp_path / f"large{suffix}")
        assert_same(load(tmp_path / f"large{suffix}"), table)


def test_equal_tables_make_equal_files(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        export(random_transitions(3), tmp_path / f"a{suffix}")
        export(random_transitions(3), tmp_path / f"b{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_npz_holds_the_arrays_and_the_solution_and_no_pickle(tmp_path: Path) -> None:
    table = random_transitions(2)
    solution = solve(table, 0.9)
    export(table, tmp_path / "table.npz", solution)
    with np.load(tmp_path / "table.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["q_values"], solution.q_values)
        np.testing.assert_array_equal(arrays["values"], solution.values)
        np.testing.assert_array_equal(arrays["counts"], table.counts)


def test_networkx_reads_the_graph(tmp_path: Path) -> None:
    networkx = pytest.importorskip("networkx")
    table = random_transitions(4, num_states=20)
    solution = solve(table, 0.9)
    export(table, tmp_path / "table.graphml", solution)
    graph = networkx.read_graphml(tmp_path / "table.graphml", force_multigraph=True)
    assert (graph.number_of_nodes(), graph.number_of_edges()) == (table.num_states, table.num_edges)
    for state in range(table.num_states):
        node = graph.nodes[f"s{state}"]
        assert int(node["key"], 16) == table.keys[state, 0]
        assert [node[f"visits_{action}"] for action in range(3)] == table.counts[state].tolist()
        assert node["value"] == solution.values[state]
        assert all((f"q_{action}" in node) == (table.counts[state, action] > 0) for action in range(3))
    edges = [(int(a[1:]) * 3 + data["action"], int(b[1:]), data["count"]) for a, b, data in graph.edges(data=True)]
    seen = zip(table.edge_source.tolist(), table.edge_target.tolist(), table.edge_count.tolist(), strict=True)
    assert sorted(edges) == sorted(seen)


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
def test_graphviz_draws_the_graph(tmp_path: Path) -> None:
    table = random_transitions(5)
    export(table, tmp_path / "table.dot", solve(table, 0.9))
    drawn = subprocess.run(["dot", "-Tplain", str(tmp_path / "table.dot")], check=True, capture_output=True, text=True)
    words = [line.split()[0] for line in drawn.stdout.splitlines()]
    assert (words.count("node"), words.count("edge")) == (table.num_states, table.num_edges)


def prism_files(folder: Path) -> dict[str, list[str]]:
    return {suffix: (folder / f"m{suffix}").read_text().splitlines() for suffix in (".tra", ".sta", ".lab", ".trew")}


def test_prism_files_say_what_the_manual_wants(tmp_path: Path) -> None:
    """One state of two actions, one of which ended once in three times; and a state of which nothing is known."""
    table = transitions_of(
        [(0, 1, 1.0, 1), (0, 1, 2.0, 1), (0, 1, 0.0, -1), (0, 2, 0.0, 0)], np.array([[5], [2**16]], np.uint64), 3
    )
    export(table, tmp_path / "m.tra")
    assert prism_files(tmp_path) == {
        ".tra": [
            "3 4 5",
            "0 0 1 0.6666666666666666 a1",
            "0 0 2 0.3333333333333333 a1",
            "0 1 0 1.0 a2",
            "1 0 1 1.0 stay",
            "2 0 2 1.0 stay",
        ],
        ".sta": ["(row,key0,key1,key2,key3)", "0:(1,5,0,0,0)", "1:(4,0,1,0,0)", "2:(-1,0,0,0,0)"],
        ".lab": ['0="init" 1="deadlock" 2="end" 3="unexplored"', "0: 0", "1: 3", "2: 2"],
        ".trew": ['# Reward structure "reward"', "# Transition rewards", "3 4 2", "0 0 1 1.0", "0 0 2 1.0"],
    }


def test_every_choice_of_the_model_checkers_is_a_distribution(tmp_path: Path) -> None:
    table = random_transitions(9, num_states=60)
    export(table, tmp_path / "m.tra")
    export(table, tmp_path / "m.drn")
    head, *lines = (tmp_path / "m.tra").read_text().splitlines()
    states, choices, steps = (int(word) for word in head.split())
    sums: dict[tuple[int, int], Fraction] = {}
    for line in lines:
        state, choice, target, probability, _ = line.split()
        assert 0 <= int(target) < states
        pair = int(state), int(choice)
        sums[pair] = sums.get(pair, Fraction(0)) + Fraction(float(probability))
    assert (len(sums), len(lines)) == (choices, steps)
    assert {state for state, _ in sums} == set(range(states))
    assert all(choice == 0 or (state, choice - 1) in sums for state, choice in sums)
    assert all(abs(total - 1) < 1e-15 for total in sums.values())
    storm = [line.split() for line in (tmp_path / "m.drn").read_text().splitlines() if line.startswith("\t\t")]
    assert [(target, p) for target, _, p in storm] == [(line.split()[2], line.split()[3]) for line in lines]


def test_a_path_that_names_nothing_known_is_a_usage_error(tmp_path: Path) -> None:
    table = random_transitions(0)
    known = "must be one of .npz (npz), .graphml (graphml), .dot (dot), .tra (prism), .drn (storm), got 'table.xyz'"
    for call in (lambda: export(table, tmp_path / "table.xyz"), lambda: load(tmp_path / "table.xyz")):
        with pytest.raises(UsageError) as error:
            call()
        assert known in str(error.value)
    with pytest.raises(UsageError, match="format must be one of npz, graphml, dot, prism, storm, got 'gml'"):
        export(table, tmp_path / "table", format="gml")
    with pytest.raises(UsageError, match="there is no folder"):
        export(table, tmp_path / "missing" / "table.npz")
    with pytest.raises(UsageError, match="there is no file"):
        load(tmp_path / "table.npz")
    with pytest.raises(UsageError, match=r"solution must have q_values of shape \(12, 3\)"):
        export(table, tmp_path / "table.npz", solve(random_transitions(0, num_states=5), 0.9))
    assert not list(tmp_path.iterdir())


def test_a_named_format_goes_before_the_suffix(tmp_path: Path) -> None:
    table = random_transitions(0)
    export(table, tmp_path / "table.gv", format="dot")
    assert (tmp_path / "table.gv").read_text().startswith("digraph mdp {")
    assert_same(load(tmp_path / "table.gv", format="dot"), table)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("harm", ["cut", "empty", "noise", "foreign"])
def test_a_damaged_or_foreign_file_is_one_clear_line(suffix: str, harm: str, tmp_path: Path) -> None:
    path = tmp_path / f"table{suffix}"
    export(random_transitions(6), path)
    content = path.read_bytes()
    foreign = {".graphml": b"<svg/>", ".dot": b"digraph { a -> b }", ".npz": zip_of_text()}
    harmed = {
        "cut": content[: len(content) * 2 // 3],
        "empty": b"",
        "noise": os.urandom(200),
        "foreign": foreign.get(suffix, b"hello\nworld\n"),
    }
    path.write_bytes(harmed[harm])
    with pytest.raises(RunError, match=r"cannot read a table from .*; export it anew") as error:
        load(path)
    assert "\n" not in str(error.value)


def zip_of_text() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return file.getvalue()


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.npz"
    export(random_transitions(0), path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rl_discrete.runs.durable.os.fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        export(random_transitions(1), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["table.npz"]
