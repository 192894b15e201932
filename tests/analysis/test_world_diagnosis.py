"""Diagnosing a world model from a run's folder: numbers, figure and text, and nothing of the run changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_discrete.agents.baselines import train_baseline
from rl_discrete.agents.run_config import VideoConfig
from rl_discrete.agents.world_video import film_world
from rl_discrete.analysis.diagnostics_config import DiagnosticsConfig
from rl_discrete.analysis.rollout_charts import rollout_chart
from rl_discrete.analysis.world_diagnosis import diagnose_world, draw_diagnosis
from rl_discrete.cli.diagnose import rollout_lines
from rl_discrete.runs.errors import UsageError
from tests.agents.corridor_model import SIZE, CorridorModel
from tests.agents.run_files import contents
from tests.agents.test_baselines import SMALL

CONFIG = DiagnosticsConfig(steps=300, starts=60, horizons=(1, 3))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of chance in the corridor, whose world model is known exactly."""
    config = replace(SMALL, env_kwargs={"kind": "image", "size": SIZE})
    return train_baseline("random", config, tmp_path_factory.mktemp("corridor") / "run")


def test_a_diagnosis_is_written_drawn_and_told(run: Path) -> None:
    before = contents(run)
    result = diagnose_world(run, CorridorModel(slip=0.3), CONFIG, "the command")
    left = {name: digest for name, digest in contents(run).items() if not name.startswith("diagnostics")}
    assert left == before
    assert json.loads((run / "diagnostics" / "rollouts.json").read_text()) == result
    assert (result["model"], result["env"], result["command"]) == ("CorridorModel", "Corridor-v0", "the command")
    assert result["horizons"] == [1, 3]
    assert 0 < result["bit_error"][0] < result["bit_error"][1]
    assert (run / "diagnostics" / "rollouts.png").stat().st_size > 10_000
    text = rollout_lines(result)
    assert text.startswith("world model of random on Corridor-v0 after 256 steps")
    assert f"wrong bits                  {result['bit_error'][0]:9.3g}{result['bit_error'][1]:9.3g}" in text
    assert result["cross_check"] is None, "the model is none of codes"
    checked = {"min_visits": [20], "histories": 16, "tv_pairs": [3.0], "tv": [0.5], "tv_floor": [0.1]}
    told = rollout_lines({**result, "cross_check": {**checked, "tv_true_pairs": [0.0], "tv_true_floor": [None]}})
    assert told.startswith(text)
    assert "3 states and actions seen 20 times or more: total variation of model and counts 0.5000" in told
    exact = diagnose_world(run, CorridorModel(), CONFIG)
    assert exact["bit_error"] == [0.0, 0.0], "the control"


def test_every_panel_that_there_are_numbers_for(run: Path) -> None:
    result: dict[str, Any] = diagnose_world(run, CorridorModel(slip=0.3), CONFIG)
    assert [axes.get_visible() for axes in rollout_chart(result).axes] == [True] * 3 + [False]
    ball = {"median": [1.0, np.nan], "median_real": [0.3, 0.3], "lost": [0.0, 0.5], "ghost": [0.0, 0.0]}
    assert len([axes for axes in rollout_chart({**result, "objects": {"ball": ball}}).axes if axes.get_visible()]) == 5
    titled = [axes.get_title() for axes in rollout_chart({**result, "nats": [3.0, 9.0]}).axes if axes.get_visible()]
    assert len(titled) == 4
    assert titled[1].startswith("nats")
    for name in ("bit_error", "pixel_error"):
        result.pop(name)
    assert len([axes for axes in rollout_chart(result).axes if axes.get_visible()]) == 1


def test_a_run_is_filmed(run: Path, tmp_path: Path) -> None:
    before = contents(run)
    path = film_world(run, CorridorModel(), VideoConfig(steps=20, horizon=5))
    assert path == run / "videos" / "world.webp"
    assert contents(run) == before
    assert film_world(run, CorridorModel(), VideoConfig(steps=5, out=tmp_path / "a.webp")) == tmp_path / "a.webp"
    with pytest.raises(UsageError, match=r"named \*\.webp, got"):
        film_world(run, CorridorModel(), VideoConfig(out=tmp_path / "a.gif"))


def test_what_training_measured_is_drawn(run: Path, tmp_path: Path) -> None:
    result = diagnose_world(run, CorridorModel(), CONFIG)
    (tmp_path / "result.json").write_text(json.dumps({"rollouts": {**result, "pixel_error": [None, 1.0]}}))
    figure = draw_diagnosis(tmp_path)
    assert figure is not None
    assert figure.stat().st_size > 10_000
    (tmp_path / "result.json").write_text(json.dumps({"rollouts": None}))
    assert draw_diagnosis(tmp_path) is None
