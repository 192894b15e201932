"""The one loop that fits the dynamics of codes: rollouts on the model's own samples.

A rollout starts at a real history and goes on, in half of the cases, from what the model itself drew, so that it learns
to stay among the codes that occur (scheduled sampling: Bengio et al. 2015, arXiv 1506.03099; in world models SimPLe,
Kaiser et al. 2019, arXiv 1903.00374). The LSTM over bits is switched on late: trained from the start it gets too few
gradient steps and loses to independent bits in the same time.

Rewards and ends are rare. Starts are drawn more often where one follows, by a factor for the reward's sign times one
for the end. Each head is told its own factor, and its loss in that first step is weighted by the inverse of the other
one, the loss of the code by the inverse of both, so that no probability is distorted. What follows later depends on
the first step only through the code that it begins with.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rl_discrete.latents.factorised_prior import FactorisedPrior
from rl_discrete.latents.lstm_prior import LSTMPrior
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.runs.seeding import derive_seed, make_generator
from rl_discrete.world_models.code_dynamics import CodeDynamics
from rl_discrete.world_models.code_rollouts import Rollout, RolloutStarts
from rl_discrete.world_models.coded_replay import CodedReplay
from rl_discrete.world_models.config import DynamicsFitConfig
from rl_discrete.world_models.held_out_choice import HeldOutChoice
from rl_discrete.world_models.learner import Report

_TELL_EVERY = 20  # gradient steps
_LOOKS = 20  # at held-out steps in a fit


def fit_dynamics(
    dynamics: CodeDynamics, replay: CodedReplay, config: DynamicsFitConfig, updates: int, seed: int, report: Report
) -> dict[str, float]:
    """Fits the dynamics in place to all of the replay that is not held out; a function of its arguments alone.

    With some `patience` what is held out decides when its stages end, and with which weights: see `HeldOutChoice`.

    Args:
        dynamics: as it was fitted before, or fresh.
        replay: coded by the codec that the model will use.
        config: how.
        updates: gradient steps at most.
        seed: of this fit: of its order and noise.
        report: told how far it is.

    Returns:
        `updates`, the gradient steps that were made, and the mean training losses of the last tenth of them:
        `code_nats`, `reward_nats` and `end_nats`, nats per step.

    Raises:
        UsageError: settings outside their ranges, or no step to learn from.
        RunError: the loss is not finite.
    """
    check_fit(config, updates)
    starts = RolloutStarts.of(replay, dynamics.context_frames, config)
    order, noise = np.random.default_rng(derive_seed(seed, "order")), make_generator(seed, "noise")
    parameters = list(dynamics.parameters())
    matrices = [p for p in parameters if p.ndim >= 2]
    optimiser = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    recent: deque[dict[str, float]] = deque(maxlen=max(1, updates // 10))
    look_every, made = max(1, updates // _LOOKS), 0
    dynamics.train()
    for prior, stage in stages(dynamics, updates, config):
        choice = HeldOutChoice(dynamics, replay, config.patience) if config.patience else None
        for update in stage:
            progress = update / updates
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * _rate(update, updates, config.warmup_steps)
            rollout = Rollout.draw(replay, starts, dynamics, config, order)
            own = config.own_share * min(1.0, progress / max(config.own_warmup, 1e-9))
            losses = rollout_losses(dynamics, prior, rollout, starts, own, config.flip_probability, noise)
            loss = torch.stack(list(losses.values())).sum()
            value = loss.item()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(parameters, config.gradient_clip or math.inf).item()
            if not (math.isfinite(value) and math.isfinite(norm)):
                raise RunError(
                    f"the loss of the world model became {value} (gradient norm {norm}) at gradient step {update}: the "
                    "last good checkpoint is kept; lower the learning rate or look for bad values in the observations"
                )
            optimiser.step()
            recent.append({name: term.item() for name, term in losses.items()})
            made += 1
            if update % _TELL_EVERY == 0:
                report("dynamics", progress)
            looks = (update + 1) % look_every == 0 or update + 1 == stage.stop
            if looks and choice is not None and choice.look(prior):
                break
        if choice is not None:
            choice.restore()
    dynamics.eval()
    report("dynamics", 1.0)
    return {"updates": float(made)} | {
        f"{name}_nats": float(np.mean([losses[name] for losses in recent])) for name in recent[0]
    }


def rollout_losses(
    dynamics: CodeDynamics,
    prior: FactorisedPrior | LSTMPrior,
    rollout: Rollout,
    starts: RolloutStarts,
    own_share: float,
    flip_probability: float,
    noise: torch.Generator,
) -> dict[str, Tensor]:
    """Losses of code, reward and end, each a mean over the steps there were, nats per step; with gradients.

    Args:
        dynamics: trunk and heads.
        prior: what predicts the codes.
        rollout: what happened.
        starts: says how rare outcomes were favoured.
        own_share: probability that a rollout goes on from a code that the model drew.
        flip_probability: of each bit that is looked at.
        noise: source of draws and flips.
    """
    flips = _Flips(flip_probability, noise)
    bits = dynamics.history * dynamics.num_latents
    seen = torch.cat((flips(rollout.seen[:, :bits]), rollout.seen[:, bits:]), 1)
    summary, plain = rollout.summary, torch.ones(3)
    terms: dict[str, list[Tensor]] = {"code": [], "reward": [], "end": []}
    num_steps = rollout.actions.shape[1]
    for step in range(num_steps):
        actions, codes = rollout.actions[:, step], rollout.codes[:, step]
        context = dynamics.context(seen, actions, summary, noise)
        nats = _code_nats(prior, codes, None if rollout.soft is None else rollout.soft[:, step], context, noise)
        rewards, ends = dynamics.heads(context, flips(codes.float()))
        first = step == 0  # the only step by whose outcome the start was chosen
        weights = rollout.weights if first else dict.fromkeys(terms, 1.0)
        excess = (starts.reward_excess, starts.end_excess) if first else (plain, 1.0)
        reward_nats = dynamics.heads.reward_nats(rewards, rollout.rewards[:, step], excess[0])
        end_nats = dynamics.heads.end_nats(ends, rollout.ends[:, step], excess[1])
        for name, each in (("code", nats), ("reward", reward_nats), ("end", end_nats)):
            terms[name].append(each * weights[name])
        if step + 1 < num_steps:
            following = codes
            if own_share > 0.0:
                uniform = torch.rand((len(codes), prior.noise_dim), generator=noise)
                drawn = prior.sample(len(codes), context.detach(), noise=uniform)
                goes_own = torch.rand((len(codes), 1), generator=noise) < own_share
                following = torch.where(goes_own, drawn, codes)
            told = flips(following.float())
            taken = F.one_hot(actions, dynamics.num_actions).float()
            seen, summary = dynamics.advance(seen, told, taken), dynamics.remember(summary, told, taken)
    there = rollout.there.float()
    return {name: (torch.stack(nats, 1) * there).sum() / there.sum() for name, nats in terms.items()}


def _code_nats(
    prior: FactorisedPrior | LSTMPrior, codes: Tensor, soft: Tensor | None, context: Tensor, noise: torch.Generator
) -> Tensor:
    """Loss (B,) of codes (B, L), or of bits that are as sure as `soft` (B, L) says."""
    if soft is None:
        return prior.loss(codes, context, noise)
    drawn = (torch.rand(soft.shape, generator=noise) < soft).long()
    return prior.loss(drawn, context, noise, targets=soft.unsqueeze(-1))


class _Flips:
    """Flips bits, float (B, ...) of zeros and ones, each with a probability."""

    def __init__(self, probability: float, noise: torch.Generator) -> None:
        self._probability, self._noise = probability, noise

    def __call__(self, bits: Tensor) -> Tensor:
        if self._probability == 0.0:
            return bits
        flipped = torch.rand(bits.shape, generator=self._noise) < self._probability
        return torch.where(flipped, 1.0 - bits, bits)


def stages(
    dynamics: CodeDynamics, updates: int, config: DynamicsFitConfig
) -> list[tuple[FactorisedPrior | LSTMPrior, range]]:
    """What predicts the codes in which updates of a fit: independent bits first, where the prior holds them."""
    independent = dynamics.independent
    if independent is None or independent is dynamics.prior:
        return [(dynamics.prior, range(updates))]
    switch = math.ceil(config.lstm_from * updates)
    found: list[tuple[FactorisedPrior | LSTMPrior, range]] = [
        (independent, range(switch)),
        (dynamics.prior, range(switch, updates)),
    ]
    return [(prior, stage) for prior, stage in found if stage]


def _rate(update: int, updates: int, warmup: int) -> float:
    """Learning rate as a share of the peak: linear warm-up over at most a tenth, cosine to 0."""
    rising = (update + 1) / max(1, min(warmup, updates // 10))
    return min(1.0, rising) * 0.5 * (1.0 + math.cos(math.pi * update / updates))


def check_fit(config: DynamicsFitConfig, updates: int) -> None:
    """Raises UsageError for settings outside their ranges."""
    for name, value in {"updates": updates, "batch_size": config.batch_size, "unroll": config.unroll}.items():
        if value < 1:
            raise UsageError(f"{name} must be >= 1, got {value}")
    if config.patience < 0:
        raise UsageError(f"patience must be >= 0, got {config.patience}")
    if not 0.0 < config.learning_rate < math.inf:
        raise UsageError(f"learning_rate must be > 0 and finite, got {config.learning_rate}")
    for name, high in (("own_share", 1.0), ("own_warmup", 1.0), ("rare_share", 0.25)):
        if not 0.0 <= getattr(config, name) <= high:
            raise UsageError(f"{name} must be in [0, {high:g}], got {getattr(config, name)}")
    for name, high in (("flip_probability", 0.5), ("lstm_from", 1.0)):
        if not 0.0 <= getattr(config, name) < high:
            raise UsageError(f"{name} must be in [0, {high:g}), got {getattr(config, name)}")
    if min(config.warmup_steps, config.weight_decay, config.gradient_clip) < 0:
        raise UsageError(
            "warmup_steps, weight_decay and gradient_clip must be >= 0, got "
            f"{config.warmup_steps}, {config.weight_decay} and {config.gradient_clip}"
        )
    if config.codec_growth != 0.0 and not 1.0 < config.codec_growth < math.inf:
        raise UsageError(f"codec_growth must be > 1, or 0 for never, got {config.codec_growth}")
    if config.targets not in ("hard", "soft"):
        raise UsageError(f"targets must be hard or soft, got {config.targets!r}")
