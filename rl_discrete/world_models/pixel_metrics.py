"""How well the world model of pixels does on held-out windows: its losses, and rollouts with the recorded actions."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from rl_discrete.data.history import History
from rl_discrete.world_models.pixel import PixelWorldModel
from rl_discrete.world_models.pixel_latents import Corruption
from rl_discrete.world_models.pixel_loss import Amounts, window_losses
from rl_discrete.world_models.pixel_windows import Excess, Windows

_AS_IT_IS = Amounts(Corruption(prior_share=0.0, latent_use=1.0), fed_back=0.0, progress=1.0)


def held_out_losses(model: PixelWorldModel, windows: Windows) -> dict[str, float]:
    """The losses of windows, nats, with inferred bits and real frames all along; `prior_per_frame` of all bits."""
    with torch.no_grad():
        excess = Excess.none(windows.rewards.device)
        losses = window_losses(model.predictor, windows, excess, _AS_IT_IS, None)
    found = {f"{name}_nats": value.item() for name, value in losses.items()}
    if "prior_nats" in found:
        found["prior_nats_per_frame"] = found.pop("prior_nats") * model.predictor.code_noise
    return found


def rollout_metrics(model: PixelWorldModel, windows: Windows, seed: int) -> dict[str, float]:
    """Imagines the predicted part of windows, bits drawn by the prior, actions as recorded.

    `pixel_error_1` and `_last`: share of pixels that differ from the real frame; `exact_frames_1` and `_last`: share
    of frames without any; `positive_recall`, `negative_precision` and so on: of the moments with a reward of that sign;
    `imagined_positive_rate` and `real_positive_rate` and so on: such rewards in 1,000 steps; `end_recall`. Those that
    would divide by 0 are left out. Frames that come with an end are no states and not compared.
    """
    context, length = model.history_length, windows.symbols.shape[1]
    frames = model.coding.frames(windows.symbols.cpu().numpy())
    actions, ended = windows.actions.cpu().numpy(), windows.ended.cpu().numpy()
    valid = windows.valid.cpu().numpy()
    real = windows.rewards.cpu().numpy()[:, context:]
    state = model.reset(History(frames[:, :context], actions[:, :context], valid[:, :context]))
    generator = np.random.default_rng(seed)
    imagined, ends, wrong = [], [], []
    for time in range(context, length):
        noise = generator.random((len(frames), model.noise_dim), np.float32)
        step = model.step(state, actions[:, time], noise)
        state = step.state
        imagined.append(step.reward)
        ends.append(step.terminated)
        differs = (state.frames[:, -1] != frames[:, time]).any(1).mean((1, 2))  # (N,) share of pixels
        wrong.append(np.where(ended[:, time], np.nan, differs))
    found: dict[str, float] = {}
    for name, errors in (("1", wrong[0]), ("last", wrong[-1])):
        compared = errors[~np.isnan(errors)]
        if len(compared):
            found[f"pixel_error_{name}"] = float(compared.mean())
            found[f"exact_frames_{name}"] = float((compared == 0.0).mean())
    guessed = np.stack(imagined, axis=1)
    for sign, name in ((1.0, "positive"), (-1.0, "negative")):
        found |= _agreement(name, np.sign(np.round(guessed, 3)) == sign, np.sign(real) == sign)
    final = np.stack(ends, axis=1)
    true_ends = ended[:, context:]
    if true_ends.any():
        found["end_recall"] = float(final[true_ends].mean())
    found["imagined_end_rate"] = 1000.0 * float(final.mean())
    found["real_end_rate"] = 1000.0 * float(true_ends.mean())
    return found


def _agreement(name: str, imagined: NDArray[np.bool_], real: NDArray[np.bool_]) -> dict[str, float]:
    found = {
        f"imagined_{name}_rate": 1000.0 * float(imagined.mean()),
        f"real_{name}_rate": 1000.0 * float(real.mean()),
    }
    both = float((imagined & real).sum())
    if imagined.any():
        found[f"{name}_precision"] = both / float(imagined.sum())
    if real.any():
        found[f"{name}_recall"] = both / float(real.sum())
    return found
