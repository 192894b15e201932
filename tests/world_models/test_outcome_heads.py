"""Rewards and ends: targets with the right mean, logits corrected for what training favours, draws."""

from __future__ import annotations

import pytest
import torch

from rl_discrete.world_models.outcome_heads import OutcomeHeads, drawn_outcomes, likeliest_outcomes

PLAIN = torch.ones(3)


def test_rewards_of_any_size_keep_their_mean() -> None:
    heads = OutcomeHeads(2, 1, "values", 4)
    rewards = torch.tensor([0.0, 1.0, -3.5, 0.01, 250.0, -162_000.0])
    weights = heads._two_hot(rewards)
    torch.testing.assert_close(weights @ heads.values, rewards, rtol=1e-4, atol=1e-5)
    assert ((weights > 0).sum(1) <= 2).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(6))
    assert weights[0, 48] == 1.0  # 0 is one of the values
    clipped = heads._two_hot(torch.tensor([1e9])) @ heads.values
    assert clipped.item() == pytest.approx(162_753.8, rel=1e-3)
    logits = weights.clamp(min=1e-12).log()
    torch.testing.assert_close(likeliest_outcomes(logits, rewards, heads.values)[0], rewards, rtol=1e-3, atol=1e-3)


def test_signs_are_three_classes() -> None:
    heads = OutcomeHeads(2, 1, "signs", 4)
    torch.testing.assert_close(heads._two_hot(torch.tensor([-1.0, 0.0, 1.0])), torch.eye(3))
    rewards, ends = likeliest_outcomes(3 * torch.eye(3), torch.tensor([-1.0, 0.1, 2.0]), heads.values)
    assert rewards.tolist() == [-1.0, 0.0, 1.0]
    assert ends.tolist() == [False, True, True]
    logits, end = heads(torch.zeros(5, 2), torch.zeros(5, 1))
    assert (logits.shape, end.shape) == ((5, 3), (5,))


def test_fitting_favoured_data_gives_the_probabilities_of_the_world() -> None:
    """The exact optimum: under counts (10, 80, 10) drawn 4, 1 and 2 times as often. Control: the favoured ones."""
    heads = OutcomeHeads(2, 1, "signs", 4)
    world, excess = torch.tensor([0.1, 0.8, 0.1]), torch.tensor([4.0, 1.0, 2.0])
    data = world * excess / (world * excess).sum()
    logits = torch.zeros(3, requires_grad=True)
    end = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits, end], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        nats = heads.reward_nats(logits.expand(3, 3), torch.tensor([-1.0, 0.0, 1.0]), excess) @ data
        ends = heads.end_nats(end.expand(2), torch.tensor([False, True]), 3.0) @ torch.tensor([0.7, 0.3])
        total = nats + ends
        total.backward()
        return total

    optimiser.step(loss)
    torch.testing.assert_close(logits.detach().softmax(-1), world, atol=1e-3, rtol=0)
    assert torch.sigmoid(end).item() == pytest.approx(1 / 8, abs=1e-3)  # odds 3 / 7 are 1 / 7 in the world
    assert (data - world).abs().max() > 0.1


def test_draws_follow_the_probabilities() -> None:
    values = torch.tensor([-1.0, 0.0, 1.0])
    noise = torch.rand((4000, 2), generator=torch.Generator().manual_seed(0))
    logits = torch.tensor([0.2, 0.5, 0.3]).log().expand(4000, 3)
    rewards, ends = drawn_outcomes(logits, torch.full((4000,), 0.25).logit(), values, noise)
    assert [(rewards == value).float().mean().item() for value in values] == pytest.approx([0.2, 0.5, 0.3], abs=0.03)
    assert ends.float().mean().item() == pytest.approx(0.25, abs=0.03)
    lowest = drawn_outcomes(logits[:1], torch.zeros(1), values, torch.full((1, 2), 1e-6))
    assert (lowest[0].item(), lowest[1].item()) == (-1.0, False)
