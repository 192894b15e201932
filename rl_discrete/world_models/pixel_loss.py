"""What the world model of pixels is fitted to: windows of frames, predicted step by step on its own predictions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rl_discrete.world_models.pixel_config import PixelModelConfig
from rl_discrete.world_models.pixel_latents import Corruption
from rl_discrete.world_models.pixel_predictor import PixelPredictor
from rl_discrete.world_models.pixel_windows import Excess, Windows


@dataclass(frozen=True)
class Amounts:
    """Everything that follows a schedule, at one point of the training."""

    corruption: Corruption
    fed_back: float
    """Probability with which an example goes on from the model's own frame, in [0, 1]."""
    progress: float
    """Of the warm-up, in [0, 1]."""

    @classmethod
    def at(cls, update: int, config: PixelModelConfig) -> Amounts:
        """After `update` gradient steps of all fits together, whatever fit they belong to.

        Tensor2Tensor's schedules with its 40,000 steps replaced by `warmup_updates`: bits are rounded and drawn by the
        prior linearly over all of it, shown over half of it; own frames are fed back linearly over all of it, and
        exponentially over its first quarter.
        """
        whole = config.training.warmup_updates
        return cls(
            corruption=Corruption(
                prior_share=config.latents.prior_share * _linear(update, whole),
                latent_use=config.latents.latent_use * _linear(update, whole / 2),
            ),
            fed_back=_linear(update, whole) * 0.01 ** max(1.0 - update / (whole / 4), 0.0),
            progress=min(update / whole, 1.0),
        )


def window_losses(
    predictor: PixelPredictor,
    windows: Windows,
    excess: Excess,
    amounts: Amounts,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    """Losses in nats, whose sum is the objective: `frame`, `reward`, `end`, and where there are any `prior`, `context`.

    `frame` is the mean over pixels of max(cross-entropy - `loss_cutoff`, 0), with the gradient of SimPLe's clipped
    loss. Reward and end have no cutoff; their logits fit the replay, since `excess` tells how much more often windows
    hold what is rare. `prior` is per chunk, `context` the frame loss of the context's own frames. The frame that comes
    with an end is left out: it is no state, and often a stale picture.

    Gradients flow through the remembered state over the whole window, and not through frames that are fed back.
    """
    training, context = predictor.config.training, predictor.context
    length = windows.symbols.shape[1]
    everywhere = training.context_loss and predictor.recurrent > 0
    kinds = ("frame", "context", "reward", "end", "prior")
    found: dict[str, list[Tensor]] = {kind: [] for kind in kinds}
    state, frames, own = predictor.forget(len(windows.symbols)), list[Tensor](), windows.symbols[:, 0]
    for time in range(length - 1):
        shown, there = windows.symbols[:, time], windows.valid[:, time]
        if time >= context:
            fed = torch.rand(len(shown), generator=generator, device=shown.device) < amounts.fed_back
            shown = torch.where(fed[:, None, None, None], own, shown)
        noisy = _with_noise(shown, training.pixel_noise, generator) if predictor.training else shown
        frame = predictor.frame(noisy) * there[:, None, None, None]
        frames.append(frame)
        predicts = time >= context - 1
        if predicts or everywhere:
            seen = torch.cat((frame, state) if predictor.recurrent else frames[-context:], dim=1)
            after = windows.symbols[:, time + 1]
            encoded = predictor.encode(seen, windows.actions[:, time + 1], generator)
            to_come = predictor.frame(after) if predictor.latents is not None else frame
            encoded, prior = predictor.infer(encoded, frame, to_come, amounts.corruption, generator)
            prediction = predictor.decode(encoded, shown, generator)
            own = prediction.symbols()
            counted = there & ~windows.ended[:, time + 1]
            nats = _clipped(prediction.pixels, after, training.loss_cutoff)
            found["frame" if predicts else "context"].append(_mean(nats, counted))
            found["prior"].append(_mean(prior, counted))
            if predicts:
                reward, ended = windows.rewards[:, time + 1], windows.ended[:, time + 1]
                heads = predictor.outcomes
                found["reward"].append(heads.reward_nats(prediction.reward, reward, excess.rewards).mean())
                found["end"].append(heads.end_nats(prediction.end, ended, excess.ends).mean())
        if predictor.recurrent and time < length - 2:
            state = torch.where(there[:, None, None, None], predictor.remember(state, frame), state)
    if predictor.latents is None:
        found["prior"].clear()
    return {kind: torch.stack(values).mean() for kind, values in found.items() if values}


def _clipped(logits: Tensor, symbols: Tensor, cutoff: float) -> Tensor:
    """Mean over pixels (B,) of max(cross-entropy - cutoff, 0); logits (B, H, W, P, V), symbols uint8 (B, P, H, W)."""
    wanted = symbols.movedim(1, -1).long()  # (B, H, W, P)
    nats = F.cross_entropy(logits.flatten(0, -2), wanted.flatten(), reduction="none")
    return (nats - cutoff).relu().view(len(symbols), -1).mean(1)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of values (B,) over those counted; 0 where none is."""
    return torch.where(counted, values, 0.0).sum() / counted.sum().clamp(min=1)


def _with_noise(symbols: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Symbols of which a share is replaced by the most frequent one (Tensor2Tensor takes the batch's median)."""
    if share == 0.0:
        return symbols
    common = torch.bincount(symbols.flatten().int(), minlength=1).argmax().to(torch.uint8)
    replaced = torch.rand(symbols.shape, generator=generator, device=symbols.device) < share
    return torch.where(replaced, common, symbols)


def _linear(update: int, over: float) -> float:
    return 0.01 + 0.99 * min(update / over, 1.0)
