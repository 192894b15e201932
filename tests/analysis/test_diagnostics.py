"""Diagnosing a run: codes that are the true states, codes that are not, and a run that has learned its codes."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.agents.learned_mdp import load_mdp
from rl_discrete.agents.probes import encode
from rl_discrete.agents.vast import train_vast
from rl_discrete.agents.vast_policy import load_policy
from rl_discrete.analysis.code_figures import play_figures, state_figures, usage_figures
from rl_discrete.analysis.diagnostics import FOLDER, RESULT, diagnose_run
from rl_discrete.analysis.diagnostics_config import DiagnosticsConfig
from rl_discrete.analysis.fresh_play import Play, play
from rl_discrete.analysis.run_history import churn_figures
from rl_discrete.analysis.table_figures import size_figures, value_figures
from rl_discrete.analysis.true_states import read_states
from rl_discrete.cli.diagnose import diagnose
from rl_discrete.envs.make import make_env
from rl_discrete.mdp.sweeping import PrioritizedSweeping
from rl_discrete.mdp.tabular import TabularMDP
from rl_discrete.runs.errors import UsageError
from tests.agents import worlds
from tests.agents.run_files import contents
from tests.agents.vast_runs import exact, small

assert worlds.__name__  # importing it registers Passage-v0
CONFIG = DiagnosticsConfig(steps=1600)
CHARTS = {"latents.png", "churn.png", "table.png", "map.png"}


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose codes are exact: every tile of the four rooms is a pixel of the code."""
    config = exact(steps=3000, burn_in=1500, window=500, checkpoint_every=1000)
    return train_vast(config, tmp_path_factory.mktemp("rooms") / "run")


@pytest.fixture(scope="module")
def diagnosed(rooms: Path) -> dict[str, Any]:
    before = contents(rooms)
    result = diagnose_run(rooms, CONFIG)
    left = {name: digest for name, digest in contents(rooms).items() if not name.startswith(FOLDER)}
    assert left == before, "nothing of the run's own files is changed"
    return result


@pytest.fixture(scope="module")
def played(rooms: Path) -> Play:
    return play(load_policy(rooms), partial(make_env, "grid"), CONFIG)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose codes change while it learns."""
    config = small(steps=480, burn_in=160, relabel_every=80, checkpoint_every=80)
    return train_vast(config, tmp_path_factory.mktemp("learned") / "run")


def state_of(play: Play) -> NDArray[np.int64]:
    """(N, 2): row and column."""
    assert play.states is not None
    return play.states


def figures_of(play: Play, keys: NDArray[np.uint64], next_keys: NDArray[np.uint64]) -> dict[str, Any]:
    """What is said of other codes of the same steps."""
    other = replace(play, keys=keys, next_keys=next_keys)
    return state_figures(other, read_states(state_of(play), CONFIG), CONFIG)


def test_exact_codes_split_and_merge_nothing(diagnosed: dict[str, Any]) -> None:
    states = diagnosed["states"]
    assert states["kind"] == "cell"
    assert states["codes_per_state"] == states["states_per_code"] == {"distinct": 1.0, "effective": 1.0}
    assert states["aliasing"]["rate"] == states["aliasing"]["chance"] == 0.0
    assert states["aliasing"]["num_codes"] > 20
    assert states["spread"]["within"] == 0.0
    assert states["spread"]["overall"] > 2.0
    assert states["distinct"] == diagnosed["codes"]["distinct"]


def test_random_codes_alias_and_tell_nothing_of_places(played: Play) -> None:
    generator = np.random.default_rng(0)
    keys, next_keys = (generator.integers(6, size=(len(played.keys), 1)).astype(np.uint64) for _ in range(2))
    states = figures_of(played, keys, next_keys)
    assert states["aliasing"]["chance"] < 0.1
    assert states["aliasing"]["by_end"] > 0.5, "the goal is near in some members of a code and far in others"
    assert states["codes_per_state"]["effective"] > 3.0
    assert states["states_per_code"]["effective"] > 20.0
    assert states["spread"]["within"] == pytest.approx(states["spread"]["overall"], rel=0.05)


def test_codes_that_merge_rooms_alias_by_what_follows(played: Play) -> None:
    row, column = state_of(played).T
    halves = (column // 5 + 2 * (row // 5)).astype(np.uint64)[:, None]
    following = np.roll(halves, -4, axis=0)  # of the same env: four envs take turns
    states = figures_of(played, halves, following)
    assert states["aliasing"]["rate"] > 0.5 > states["aliasing"]["chance"]
    assert states["codes_per_state"]["effective"] == 1.0


def test_codes_that_split_states_are_fragmented(played: Play) -> None:
    unique = np.arange(len(played.keys), dtype=np.uint64)[:, None]
    states = figures_of(played, unique, unique)
    assert states["codes_per_state"]["distinct"] == pytest.approx(len(unique) / states["distinct"])
    assert states["states_per_code"]["distinct"] == 1.0
    assert states["aliasing"]["num_codes"] == 0, "nothing can be told of codes seen once"


def test_the_table_and_its_values(rooms: Path, diagnosed: dict[str, Any]) -> None:
    mdp = make_env("grid").unwrapped.true_mdp()  # type: ignore[attr-defined]
    assert diagnosed["table"]["states"] == (~mdp.terminals).sum(), "a terminal state has no row"
    planner = diagnosed["planner"]
    assert planner["value_scale"] == pytest.approx(1.0)
    assert planner["value_error_rms"] <= planner["value_error"] < 0.02
    course = diagnosed["course"]
    assert course["step"][-1] == 3000
    assert len(course["step"]) == 6
    assert course["states"][-1] == diagnosed["table"]["states"]
    assert course["states"] == sorted(course["states"])


def test_codes_that_learn_nothing_do_not_change(diagnosed: dict[str, Any]) -> None:
    churn = diagnosed["churn"]
    assert churn["probes_from"] == "fresh episodes"
    assert churn["step"] == [1000, 2000, 3000]
    assert churn["between"] == [0.0, 0.0]
    assert churn["to_newest"] == [0.0, 0.0, 0.0]


def test_churn_of_a_run_that_learns(learned: Path) -> None:
    result = diagnose_run(learned, DiagnosticsConfig(steps=100))
    churn = result["churn"]
    assert churn["probes_from"] == "the run"
    assert churn["step"] == [240, 320, 400, 480], "before the first gradient step codes mean nothing"
    with np.load(learned / "checkpoints/step-000480/probes.npz", allow_pickle=False) as part:
        probes = part["observations"]
    keys = [
        encode(load_policy(learned, learned / f"checkpoints/step-{step:06d}").encoder, probes) for step in churn["step"]
    ]
    expected = [(before != keys[-1]).any(axis=1).mean() for before in keys]
    assert churn["to_newest"] == pytest.approx(expected)
    assert churn["to_newest"][0] > 0.0, "codes that learn change"
    assert churn["to_newest"][-1] == 0.0
    assert churn["between"][-1] == churn["to_newest"][-2]
    assert result["course"]["reassigned_probes"][-1] is not None


def test_a_damaged_older_checkpoint_is_left_out(learned: Path) -> None:
    mdp, warnings = load_mdp(learned), list[str]()
    weights = learned / "checkpoints/step-000240/weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    try:
        probes = np.zeros((3, 3, 40, 40), np.uint8)
        churn = churn_figures(mdp.config, mdp.checkpoint, mdp.planner, probes, warnings.append)
    finally:
        weights.write_bytes(content)
    assert churn["step"] == [320, 400, 480]
    assert len(warnings) == 1
    assert "step-000240" in warnings[0]


def test_everything_is_written(rooms: Path, diagnosed: dict[str, Any]) -> None:
    folder = rooms / FOLDER
    assert json.loads((folder / RESULT).read_text(encoding="utf-8")) == diagnosed
    assert {path.name for path in folder.iterdir()} == {RESULT, *CHARTS}
    for name in CHARTS:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_plays_the_same_episodes(rooms: Path, played: Play) -> None:
    again, other = (
        play(load_policy(rooms, seed=7), partial(make_env, "grid"), replace(CONFIG, seed=seed)) for seed in (0, 1)
    )
    assert np.array_equal(state_of(played), state_of(again))
    assert np.array_equal(played.radius, again.radius)
    assert not np.array_equal(state_of(played), state_of(other))


def test_every_step_follows_from_the_one_before(played: Play) -> None:
    batch = CONFIG.num_envs
    goes_on = ~(played.terminated | played.cut)[:-batch]
    assert np.array_equal(played.next_keys[:-batch][goes_on], played.keys[batch:][goes_on])
    moved = np.abs(state_of(played)[batch:] - state_of(played)[:-batch]).sum(axis=1)
    assert moved[goes_on].max() == 1
    assert played.terminated.any()
    assert abs(played.greedy.mean() - (1 - CONFIG.epsilon)) < 0.05


def test_an_episode_is_cut_at_its_longest(rooms: Path) -> None:
    short = play(load_policy(rooms), partial(make_env, "grid"), replace(CONFIG, steps=80, max_steps=5, epsilon=1.0))
    lengths = np.flatnonzero((short.terminated | short.cut)[::4])
    assert np.diff(lengths, prepend=-1).max() <= 5
    assert short.cut.any()
    assert not (short.cut & short.terminated).any()


def test_an_env_without_a_true_state(tmp_path: Path) -> None:
    config = small(env="Passage-v0", encoder="simhash", steps=200, burn_in=100)
    run = train_vast(config, tmp_path / "run")
    result = diagnose_run(run, DiagnosticsConfig(steps=60))
    assert result["states"] is None
    assert result["table"]["states"] > 0
    assert not (run / FOLDER / "map.png").exists()


def test_where_greedy_actions_came_from() -> None:
    number = 8
    made = Play(
        keys=np.zeros((number, 1), np.uint64),
        actions=np.zeros(number, np.int64),
        rewards=np.array([1.0, -1.0, 0.0, 0.5, 0, 0, 0, 0]),
        terminated=np.array([1, 1, 1, 0, 0, 0, 0, 0], np.bool_),
        cut=np.array([0, 0, 0, 1, 0, 0, 0, 0], np.bool_),
        next_keys=np.zeros((number, 1), np.uint64),
        greedy=np.array([1, 1, 1, 1, 1, 0, 0, 0], np.bool_),
        radius=np.array([0, 0, 2, 3, -1, 9, 9, 9], np.int32),
        values=np.zeros(number),
        states=None,
        samples=np.zeros((1, 1)),
    )
    figures = play_figures(made)
    assert figures["greedy"] == {"actions": 5, "from_neighbours": 0.4, "from_fallback": 0.2, "radius_mean": 1.0}
    assert figures["ends"] == {"plus": 1, "minus": 1, "zero": 1, "cut": 1}


def test_bits_that_say_the_same_are_correlated() -> None:
    bit = np.random.default_rng(0).integers(2, size=(400, 2))
    keys = (bit[:, :1] | bit[:, :1] << 1 | bit[:, 1:] << 2).astype(np.uint64)  # bits 0 and 1 are one, bit 3 is dead
    figures = usage_figures(keys, 4, 2)
    assert (figures["dead"], figures["distinct"]) == (1, 4)
    assert figures["correlation_max"] == pytest.approx(1.0)
    assert figures["correlation"][0, 2] < 0.15
    assert figures["perplexity"] == pytest.approx(4.0, rel=0.05)


def chain() -> PrioritizedSweeping:
    """Three states in a row; leaving the last one pays 1 and ends the episode."""
    planner = PrioritizedSweeping(TabularMDP(num_actions=2), discount=0.5, cutoff=1e-9)
    keys = np.array([[1], [2], [3]], np.uint64)
    planner.observe(keys, [0, 0, 0], [0.0, 0.0, 1.0], np.roll(keys, -1, axis=0), [False, False, True])
    return planner


def test_the_distance_from_exact_values() -> None:
    planner = chain()
    behind = value_figures(planner, planner.table.transitions(), 0.5)
    assert (behind["value_scale"], behind["value_error"], behind["bellman_residual"]) == (1.0, 0.5, 0.5)
    assert behind["queue"] == 1
    planner.plan(100)
    done = value_figures(planner, planner.table.transitions(), 0.5)
    assert done["value_error"] == done["bellman_residual"] == done["queue"] == done["drift"] == 0.0
    assert done["sweeps"] == 3


def test_memory_is_shared_out_between_edges_and_pairs() -> None:
    planner = chain()
    size = size_figures(planner)
    assert (size["states"], size["edges"]) == (3, 2)
    whole = size["bytes_per_edge"] * 2 + size["bytes_per_state_action"] * 6
    assert whole == pytest.approx(size["bytes"]) == pytest.approx(planner.table.num_bytes + planner.num_bytes)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("steps", 0),
        ("epsilon", 1.5),
        ("position_cell", 0.0),
        ("heading_cell", 400.0),
        ("memory_bytes", (-1,)),
        ("min_visits", 1),
    ],
)
def test_settings_outside_their_range(setting: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{setting} must be .*, got"):
        DiagnosticsConfig(**{setting: value})


def test_the_command_prints_a_table(learned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose("measure a run", ["--run", str(learned), "--steps", "100"]) == 0
    printed = capsys.readouterr().out
    for word in ("ish on grid after 480 steps", "codes that alias", "chance ", "Bellman residual"):
        assert word in printed
    table, _, _ = printed.partition("figures and all numbers: ")  # a path may be as long as it likes
    assert max(map(len, table.splitlines())) <= 100


def test_the_command_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--run is required"):
        diagnose("measure a run", [])
    with pytest.raises(UsageError, match=r"config\.yaml"):
        diagnose("measure a run", ["--run", str(tmp_path)])


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose("measure a run", ["--help"]) == 0
    printed = capsys.readouterr().out
    assert "--position-cell" in printed
    assert "(default: 5000)" in printed
