"""The flags of `rl-discrete train`: which agent has which, where they come from, and what is said of wrong ones."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rl_discrete import cli
from rl_discrete.agents.baseline_config import BASELINES, BaselineConfig
from rl_discrete.agents.config import VAST_PROFILES, VastConfig
from rl_discrete.agents.simple_config import SIMPLE_PROFILES, SimpleConfig, collections
from rl_discrete.world_models.pixel_config import PAPER, PRESETS

CONFIGS = {"simple": SimpleConfig, "vast": VastConfig, **dict.fromkeys(BASELINES, BaselineConfig)}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The calls that `train` makes, caught before anything heavy is imported: (agent, config, out, resume, ...)."""
    calls: list[tuple[Any, ...]] = []
    for name, function, agent in (
        ("simple", "train_simple", ("simple",)),
        ("vast", "train_vast", ("vast",)),
        ("baselines", "train_baseline", ()),
    ):
        module = ModuleType(f"rl_discrete.agents.{name}")
        vars(module)[function] = lambda *given, agent=agent: calls.append((*agent, *given))
        monkeypatch.setitem(sys.modules, module.__name__, module)
    drawing = ModuleType("rl_discrete.analysis.world_diagnosis")
    vars(drawing)["draw_diagnosis"] = lambda run: None
    monkeypatch.setitem(sys.modules, drawing.__name__, drawing)
    return calls


def run(*argv: str) -> int:
    return cli.main(["train", *argv])


@pytest.mark.parametrize("profile", VAST_PROFILES)
@pytest.mark.parametrize("agent", CONFIGS)
def test_every_agent_has_every_profile(agent: str, profile: str, trained: list[tuple[Any, ...]]) -> None:
    assert run("--agent", agent, "--profile", profile) == 0
    ((given, config, out, resume, named, command),) = trained
    assert (given, out, resume, named) == (agent, None, False, profile)
    assert isinstance(config, CONFIGS[agent])
    assert command == f"rl-discrete train --agent {agent} --profile {profile}"


def test_without_an_agent_it_is_simple(trained: list[tuple[Any, ...]]) -> None:
    assert SIMPLE_PROFILES == VAST_PROFILES
    flags = ["--env", "Freeway", "--encoder", "gs", "--prior", "factorised", "--world-model", "pixel"]
    more = ["--algo", "qrdqn", "--real-steps", "0", "--world-run", "there", "--model.code.dynamics.temperature", "0.5"]
    arguments = ["--policy.arguments", "{ppo: {n_epochs: 4}}", "--policy.hidden", "64,32"]
    assert run(*flags, *more, *arguments) == 0
    ((agent, config, out, resume, profile, _),) = trained
    assert (agent, out, resume, profile) == ("simple", None, False, "cpu")
    assert isinstance(config, SimpleConfig)
    assert (config.env, config.encoder, config.prior, config.world_model) == ("Freeway", "gs", "factorised", "pixel")
    assert (config.algo, config.real_steps, config.world_run) == ("qrdqn", 0, Path("there"))
    assert (config.policy.arguments, config.policy.hidden) == ({"ppo": {"n_epochs": 4}}, (64, 32))
    assert config.model.code.dynamics.temperature == 0.5


def test_imagined_steps_set_the_length_of_every_training(trained: list[tuple[Any, ...]]) -> None:
    assert run("--schedule.imagined_steps", "1000") == 0
    schedule = trained[0][1].schedule
    assert (schedule.imagined_steps, schedule.last_imagined_factor) == (1000, 6.0)


def test_the_full_size_profile_has_the_full_size_model(trained: list[tuple[Any, ...]]) -> None:
    assert run("--profile", "paper") == 0
    assert run() == 0
    assert [call[1].world_model for call in trained] == ["pixel", "code"]
    assert trained[0][1].model.pixel == PAPER
    assert collections(trained[0][1]) == (6400,) * 16
    assert trained[1][1].real_steps == 100_000


def test_the_paper_s_settings_for_atari_come_with_an_atari_game(trained: list[tuple[Any, ...]]) -> None:
    for env in ("DoomTMaze", "Breakout"):
        assert run("--agent", "vast", "--profile", "paper", "--env", env, "--model.beta_prior", "0.5") == 0
    (_, doom, *_), (_, atari, *_) = trained
    assert (doom.steps, doom.model.num_latents, doom.model.gradient_clip) == (1_000_000, 32, 5000.0)
    assert (atari.steps, atari.model.num_latents, atari.model.gradient_clip) == (5_000_000, 64, 100.0)
    assert atari.model == replace(doom.model, num_latents=64, gradient_clip=100.0)
    assert atari.model.beta_prior == 0.5


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_the_network_of_the_pixel_model(preset: str, trained: list[tuple[Any, ...]]) -> None:
    assert run("--world-model", "pixel", "--preset", preset) == 0
    assert run("--profile", "paper", "--preset", preset, "--model.pixel.network.hidden", "8") == 0
    (_, cpu, *_), (_, paper, *_) = trained
    assert cpu.model.pixel == PRESETS[preset]
    assert (cpu.real_steps, paper.real_steps) == (100_000, 102_400)
    assert paper.model.pixel.network == replace(PRESETS[preset].network, hidden=8)


def test_flags_reach_the_config(trained: list[tuple[Any, ...]]) -> None:
    flags = ["--env", "DoomPlusMaze", "--env-kwargs", "{controls: native, max_steps: 400}", "--encoder", "gs"]
    more = ["--model.num_categories", "4", "--changes", "reverse_rewards@20000", "--out", "there", "--resume"]
    assert run("--agent=vast", *flags, *more) == 0
    ((_, config, out, resume, *_),) = trained
    assert (config.env, config.encoder, out, resume) == ("DoomPlusMaze", "gs", Path("there"), True)
    assert config.env_kwargs == {"controls": "native", "max_steps": 400}
    assert (config.model.num_categories, config.changes) == (4, ("reverse_rewards@20000",))


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["--world-model", "cod"], ["--world-model", "cod", "code"]),
        (["--prior", "lstn"], ["--prior", "lstn", "lstm"]),
        (["--real-step", "3"], ["unknown flag '--real-step'", "did you mean --real-steps?"]),
        (["--preset", "papr"], ["unknown preset 'papr'", "did you mean paper?"]),
        (["--preset", "paper"], ["preset paper is for --world-model pixel; the code model has none"]),
        (["--agent", "vast", "--preset", "paper"], ["unknown flag '--preset'"]),
        (["--agent", "vats"], ["unknown agent 'vats'", "did you mean vast?"]),
        (["--agnet", "vast"], ["unknown flag '--agnet'", "did you mean --agent?"]),
        (["--agent", "ppo", "--encoder", "ish"], ["unknown flag '--encoder'"]),
        (["--agent", "vast", "--ppo.epochs", "3"], ["unknown flag '--ppo.epochs'"]),
        (["--agent", "vast", "--profile", "full"], ["unknown profile 'full'", "smoke, cpu, paper"]),
        (["--agent", "vast", "--relabel", "snapsot"], ["--relabel", "snapsot", "snapshot"]),
        (["--agent", "vast", "--env-kwargs", "native"], ["--env-kwargs", "must be a mapping", "'native'"]),
        (["--agent", "vast", "--config", "missing.yaml"], ["missing.yaml"]),
        (["--agent"], ["--agent"]),
    ],
)
def test_wrong_words_are_named(
    argv: list[str], parts: list[str], trained: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert all(part in printed.err for part in parts), printed.err
    assert trained == []


def test_the_config_of_a_run_names_its_agent(tmp_path: Path, trained: list[tuple[Any, ...]]) -> None:
    (tmp_path / "config.yaml").write_text("agent: ppo\nprofile: smoke\nsteps: 77\nppo: {epochs: 3}\n")
    assert run("--config", str(tmp_path / "config.yaml")) == 0
    assert run("--out", str(tmp_path), "--resume", "--ppo.epochs", "5") == 0
    first, second = trained
    assert [call[0] for call in trained] == ["ppo", "ppo"]
    assert (first[1].steps, first[1].ppo.epochs, first[4]) == (77, 3, "smoke")
    assert (second[1].steps, second[1].ppo.epochs) == (77, 5)


@pytest.mark.parametrize(
    ("agent", "flag"),
    [("simple", "--schedule.iterations"), ("vast", "--planner.discount"), ("ppo", "--ppo.gae_lambda")],
)
def test_help_is_that_of_the_agent(agent: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--agent", agent, "--help") == 0
    assert flag in capsys.readouterr().out
    assert run("--help") == 0
    assert "--agent" in capsys.readouterr().out
