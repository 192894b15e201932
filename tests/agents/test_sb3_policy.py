"""An agent that only acts: as Stable-Baselines3 would, saved without pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy

from rl_discrete.agents.sb3_networks import Algorithm, PolicySpec, weights_of
from rl_discrete.agents.sb3_policy import RandomPolicy, Sb3Policy, load_policy, save_policy
from rl_discrete.runs.errors import RunError, UsageError

FRAMES: dict[str, tuple[int, ...]] = {"mlp": (5,), "small": (1, 9, 7), "nature": (3, 40, 36)}


def spec(algorithm: Algorithm, network: str, frame_stack: int = 2) -> PolicySpec:
    return PolicySpec.choose(algorithm, "auto", (16,), FRAMES[network], frame_stack, 4)


def module(of: PolicySpec) -> BasePolicy:
    """Fresh weights with outputs far apart, so that every action is the best somewhere."""
    torch.manual_seed(0)
    built = of.build()
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if name in ("action_net.weight", "q_net.q_net.2.weight", "q_net.q_net.0.weight"):
                parameter.mul_(300.0)
            elif name.endswith("bias"):
                parameter.zero_()
    return built


def stacks(of: PolicySpec, count: int = 64) -> NDArray[Any]:
    shape = of.observation_space.shape
    if len(shape) == 1:
        return np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)
    return np.random.default_rng(0).integers(256, size=(count, *shape), dtype=np.uint8)


@pytest.mark.parametrize("network", FRAMES)
@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_it_predicts_as_stable_baselines_does_before_and_after_saving(
    algorithm: Algorithm, network: str, tmp_path: Path
) -> None:
    described = spec(algorithm, network)
    assert described.network == network
    original = module(described)
    observations = stacks(described)
    expected, _ = original.predict(observations, deterministic=True)
    assert len(np.unique(expected)) > 1
    policy = Sb3Policy(described, weights_of(original))
    save_policy(policy, tmp_path / "agent")
    loaded = load_policy(tmp_path / "agent")
    size = sum(4 * value.numel() for value in original.parameters())  # each of them once
    assert size <= (tmp_path / "agent" / "policy.safetensors").stat().st_size < size + 10_000
    assert loaded.spec == described
    channels = FRAMES[network][0]
    for one in (policy, loaded):
        _, state = one.predict(observations[:, channels:], None, np.ones(64, np.bool_), deterministic=True)
        actions, _ = one.predict(observations[:, :channels], state, np.zeros(64, np.bool_), deterministic=True)
        assert np.array_equal(actions, expected)
        fresh, _ = one.predict(observations[:, :channels], state, np.ones(64, np.bool_), deterministic=True)
        blank = np.concatenate([observations[:, :channels], np.zeros_like(observations[:, channels:])], axis=1)
        assert np.array_equal(fresh, original.predict(blank, deterministic=True)[0])
    assert sorted(path.name for path in (tmp_path / "agent").iterdir()) == ["policy.json", "policy.safetensors"]


def test_a_single_observation_needs_no_batch() -> None:
    described = spec("ppo", "small", frame_stack=1)
    policy = Sb3Policy(described, weights_of(module(described)))
    observations = stacks(described, 3)
    actions, _ = policy.predict(observations, deterministic=True)
    for observation, action in zip(observations, actions, strict=True):
        one, _ = policy.predict(observation, deterministic=True)
        assert (one.shape, one) == ((), action)


def test_ppo_draws_from_its_policy_and_leaves_the_global_generators_alone() -> None:
    described = spec("ppo", "mlp", frame_stack=1)
    torch.manual_seed(0)
    original = described.build()
    assert isinstance(original, ActorCriticPolicy)
    with torch.no_grad():
        original.action_net.weight.mul_(100.0)  # type: ignore[operator]
    observations = np.repeat(stacks(described, 1), 8000, axis=0)
    before = torch.get_rng_state()
    draws = [Sb3Policy(described, weights_of(original), seed=seed).predict(observations)[0] for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    with torch.no_grad():
        shares = original.get_distribution(torch.as_tensor(observations[:1])).distribution.probs[0]  # type: ignore[union-attr]
    assert np.bincount(draws[0], minlength=4) / 8000 == pytest.approx(shares.numpy(), abs=0.02)
    assert shares.max() > 1.5 * shares.min()


def test_dqn_acts_at_random_as_often_as_it_is_told() -> None:
    described = spec("dqn", "mlp", frame_stack=1)
    weights = weights_of(module(described))
    observations = np.repeat(stacks(described, 1), 4000, axis=0)
    best = Sb3Policy(described, weights).predict(observations[:1], deterministic=True)[0][0]
    for epsilon in (0.0, 0.2, 1.0):
        actions, _ = Sb3Policy(described, weights, epsilon=epsilon).predict(observations)
        assert (actions != best).mean() == pytest.approx(0.75 * epsilon, abs=0.03)


def test_a_damaged_agent_is_not_loaded(tmp_path: Path) -> None:
    described = spec("ppo", "mlp")
    with pytest.raises(UsageError, match=r"holds no saved agent: .*policy\.json is missing"):
        load_policy(tmp_path)
    save_policy(Sb3Policy(described, weights_of(module(described))), tmp_path)
    weights, words = tmp_path / "policy.safetensors", tmp_path / "policy.json"
    good = weights.read_bytes(), words.read_text()
    weights.write_bytes(good[0][:-1] + bytes([good[0][-1] ^ 1]))
    with pytest.raises(RunError, match="is damaged: its sha256 is not that in"):
        load_policy(tmp_path)
    weights.write_bytes(good[0])
    words.write_text(good[1][:-10])
    with pytest.raises(RunError, match=r"policy\.json is damaged"):
        load_policy(tmp_path)
    words.write_text(json.dumps({**json.loads(good[1]), "format": 2}))
    with pytest.raises(RunError, match="written by a newer rl-discrete"):
        load_policy(tmp_path)
    words.write_text(json.dumps({**json.loads(good[1]), "num_actions": 7}))
    with pytest.raises(RunError, match="these weights are of another network"):
        load_policy(tmp_path)
    words.write_text(good[1])
    assert load_policy(tmp_path).spec == described


@pytest.mark.parametrize(
    ("network", "frame_shape", "frame_stack", "hidden", "message"),
    [
        ("nature", (3, 20, 40), 1, (64,), r"network nature needs images of >= 36 pixels, got \(3, 20, 40\)"),
        ("nature", (8,), 1, (64,), "network nature needs images"),
        ("small", (8,), 1, (64,), r"network small needs images, got vectors \(8,\)"),
        ("auto", (3, 10, 10), 4, (64,), "have more channels than pixels: lower frame_stack"),
        ("mlp", (8,), 1, (64, 0), r"hidden widths must be >= 1, got \[64, 0\]"),
    ],
)
def test_networks_that_cannot_work(
    network: Any, frame_shape: tuple[int, ...], frame_stack: int, hidden: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        PolicySpec.choose("ppo", network, hidden, frame_shape, frame_stack, 2)


def test_observations_of_another_shape_and_wrong_shares() -> None:
    described = spec("ppo", "mlp", frame_stack=1)
    weights = weights_of(module(described))
    with pytest.raises(UsageError, match=r"observations must be \(5,\), got \(6,\)"):
        Sb3Policy(described, weights).predict(np.zeros((2, 6), np.float32))
    with pytest.raises(UsageError, match=r"epsilon must be in \[0, 1\], got 2"):
        Sb3Policy(described, weights, epsilon=2)


def test_the_random_policy_is_uniform_and_seeded() -> None:
    observations = np.zeros((9000, 3))
    actions, _ = RandomPolicy(3, seed=0).predict(observations)
    assert np.bincount(actions) / 9000 == pytest.approx([1 / 3] * 3, abs=0.02)
    assert np.array_equal(actions, RandomPolicy(3, seed=0).predict(observations)[0])
    assert not np.array_equal(actions, RandomPolicy(3, seed=1).predict(observations)[0])


@pytest.mark.parametrize("shape", [(3, 8, 8), (5,)])
def test_a_single_observation_gets_a_single_random_action(shape: tuple[int, ...]) -> None:
    action, _ = RandomPolicy(3).predict(np.zeros(shape, np.float32))
    assert np.shape(action) == ()
    batch, _ = RandomPolicy(3).predict(np.zeros((4, *shape), np.float32))
    assert np.shape(batch) == (4,)
