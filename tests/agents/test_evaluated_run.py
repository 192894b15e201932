"""Evaluating a run from its folder: the agent and the world of its checkpoint, and nothing of the run changed."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

import rl_discrete
from rl_discrete import cli
from rl_discrete.agents import atari_scores, evaluated_run
from rl_discrete.agents.atari_scores import PUBLISHED
from rl_discrete.agents.baselines import train_baseline
from rl_discrete.agents.config import ExplorationConfig
from rl_discrete.agents.evaluated_run import evaluate_run
from rl_discrete.agents.evaluation import evaluate
from rl_discrete.agents.run_config import EvaluationConfig
from rl_discrete.agents.sb3_policy import RandomPolicy, Sb3Policy
from rl_discrete.agents.trained_agent import load_agent
from rl_discrete.agents.vast import train_vast
from rl_discrete.agents.vast_policy import VastPolicy, load_policy
from rl_discrete.envs.make import make_env
from rl_discrete.runs.checkpoint import list_checkpoints
from rl_discrete.runs.errors import UsageError
from tests.agents import worlds
from tests.agents.corridor_env import GOAL, STEP
from tests.agents.run_files import contents
from tests.agents.test_baselines import SMALL
from tests.agents.two_ends import ENV
from tests.agents.vast_runs import exact

PASSAGE = f"{worlds.Passage.__name__}-v0"


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows where the prize is."""
    config = exact(env=ENV, steps=1200, burn_in=200, window=400, checkpoint_every=400)
    return train_vast(config, tmp_path_factory.mktemp("ends") / "run")


@pytest.fixture(scope="module")
def baselines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("baselines")
    return {agent: train_baseline(agent, SMALL, folder / agent) for agent in ("ppo", "dqn", "random")}


def test_a_run_is_judged_as_its_policy_is(ends: Path) -> None:
    before = contents(ends)
    agent, found, greedy = evaluate_run(ends, EvaluationConfig(episodes=40, seed=3, epsilon=0.2), "the command")
    assert contents(ends) == before
    assert (agent.name, agent.env, agent.step) == ("vast", ENV, 1200)
    policy = load_policy(ends, epsilon=0.2, seed=3)
    assert found == evaluate(policy, partial(make_env, ENV), 40, 3)
    assert found.mean > 0.9
    assert greedy == evaluate(load_policy(ends, epsilon=0.2, seed=3), partial(make_env, ENV), 40, 3, deterministic=True)
    assert greedy is not None
    assert set(greedy.lengths) == {4}, "straight to the prize"
    assert max(found.lengths) > 4, "detours by random actions"
    written = json.loads((ends / "evaluation.json").read_text())
    assert written["returns"] == list(found.returns)
    assert (written["agent"], written["step"], written["command"]) == ("vast", 1200, "the command")
    assert (written["epsilon"], written["seed"], written["max_steps"]) == (0.2, 3, 27_000)
    assert (written["policy"], written["greedy"]["returns"]) == ("sampled", list(greedy.returns))
    assert (written["human_normalised"], written["published"]) == (None, None), "nobody published scores of this env"


def test_one_policy_alone(ends: Path) -> None:
    both = evaluate_run(ends, EvaluationConfig(episodes=5, epsilon=0.5))
    greedy = evaluate_run(ends, EvaluationConfig(episodes=5, epsilon=0.5, policy="greedy"))
    assert (greedy.evaluation, greedy.greedy) == (both.greedy, None)
    assert json.loads((ends / "evaluation.json").read_text())["policy"] == "greedy"
    sampled = evaluate_run(ends, EvaluationConfig(episodes=5, epsilon=0.5, policy="sampled"))
    assert (sampled.evaluation, sampled.greedy) == (both.evaluation, None)


def test_scores_of_games_are_human_normalised(
    baselines: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The corridor, taken for Pong."""
    monkeypatch.setattr(evaluated_run, "published", lambda env: PUBLISHED["Pong"])
    monkeypatch.setattr(atari_scores, "published", lambda env: PUBLISHED["Pong"])
    assert cli.main(["eval", "--run", str(baselines["random"]), "--episodes", "3"]) == 0
    written = json.loads((baselines["random"] / "evaluation.json").read_text())
    assert written["human_normalised"] == pytest.approx((written["mean"] + 20.7) / 35.3)
    assert (written["published"]["simple"], written["greedy"]) == (12.8, None), "chance has no best action"
    printed = capsys.readouterr().out
    assert f"human-normalised {written['human_normalised']:.3f}" in printed
    assert "random -20.7, human 14.6, SimPLe 12.8" in printed


def test_chance_is_worse(ends: Path) -> None:
    """The control that must fail."""
    found = evaluate_run(ends, EvaluationConfig(episodes=40, epsilon=1.0, policy="sampled")).evaluation
    assert found.mean < 0.5


def test_an_older_checkpoint_is_another_agent(ends: Path) -> None:
    oldest = list_checkpoints(ends / "checkpoints")[0]
    agent = evaluate_run(ends, EvaluationConfig(episodes=2, checkpoint=oldest)).agent
    assert agent.step == 400
    assert json.loads((ends / "evaluation.json").read_text())["step"] == 400


def test_episodes_are_filmed_and_cut(ends: Path) -> None:
    config = EvaluationConfig(episodes=4, videos=2, max_steps=3, num_envs=2, policy="greedy")
    found = evaluate_run(ends, config).evaluation
    assert found.ends == ("capped",) * 4, "the end is four steps away"
    assert sorted(path.name for path in (ends / "videos").iterdir()) == ["episode-000.webp", "episode-001.webp"]


def test_settings_of_the_env_can_be_replaced(ends: Path) -> None:
    config = EvaluationConfig(episodes=4, env_kwargs={"max_episode_steps": 2})
    found = evaluate_run(ends, config).evaluation
    assert found.lengths == (2,) * 4, "the end is four steps away"
    assert json.loads((ends / "evaluation.json").read_text())["env_kwargs"] == {"max_episode_steps": 2}
    with pytest.raises(UsageError, match="does not take these arguments"):
        evaluate_run(ends, EvaluationConfig(env_kwargs={"door": "open"}))


def test_the_world_is_the_one_that_the_run_left(tmp_path: Path) -> None:
    config = exact(
        env=PASSAGE,
        steps=1200,
        burn_in=160,
        window=400,
        changes=("open_passage@805+forced",),
        exploration=ExplorationConfig(steps=100, end=0.0),
        checkpoint_every=400,
    )
    run = train_vast(config, tmp_path / "run")
    assert load_agent(run).changed == ("open_passage",)
    settings = EvaluationConfig(episodes=5, epsilon=0.0)
    assert evaluate_run(run, settings)[1].mean == 1.0
    closed = evaluate(load_policy(run, epsilon=0.0), partial(make_env, PASSAGE), 5, 0)
    assert closed.mean == 0.0, "the control: nobody passes in the world in which the run began"


@pytest.mark.parametrize("agent", ["ppo", "dqn", "random"])
def test_baselines_are_judged_too(agent: str, baselines: dict[str, Path]) -> None:
    before = contents(baselines[agent])
    loaded, found, _ = evaluate_run(baselines[agent], EvaluationConfig(episodes=10, epsilon=0.0, policy="greedy"))
    assert contents(baselines[agent]) == before
    assert (loaded.name, loaded.env, loaded.step) == (agent, "Corridor-v0", 256)
    assert len(found.returns) == 10
    assert max(found.returns) <= GOAL + STEP + 1e-9


def test_load_gives_back_whatever_acts(ends: Path, baselines: dict[str, Path]) -> None:
    kinds = {
        ends: VastPolicy,
        baselines["ppo"]: Sb3Policy,
        baselines["dqn"]: Sb3Policy,
        baselines["random"]: RandomPolicy,
    }
    for run, kind in kinds.items():
        assert isinstance(rl_discrete.load(run), kind)
    oldest = list_checkpoints(ends / "checkpoints")[0]
    policy = rl_discrete.load(str(ends), checkpoint=str(oldest), epsilon=0.0, seed=4)
    observation, _ = make_env(ENV).reset(seed=0)
    action, _ = policy.predict(observation)
    assert action == 1
