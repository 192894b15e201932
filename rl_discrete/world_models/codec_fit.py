"""Codecs of any frames: begun for collected frames, fitted to them, restored from what was saved."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeAlias

from torch import Tensor

from rl_discrete.latents.config import FitConfig, GumbelSoftmaxConfig, SemanticHashingConfig
from rl_discrete.latents.fit import Fit
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.world_models.config import CodecConfig
from rl_discrete.world_models.frame_source import FrameSource
from rl_discrete.world_models.sprite_codec import SpriteCodec
from rl_discrete.world_models.vector_codec import VectorCodec

Codec: TypeAlias = SpriteCodec | VectorCodec

_REPORTED = 50  # gradient steps between reports


def begin_codec(source: FrameSource, config: CodecConfig, seed: int) -> Codec:
    """A codec for frames like those of `source`, not fitted yet.

    Images uint8 (N, C, H, W) get a `SpriteCodec` with the palette found in them, vectors float32 (N, D) a
    `VectorCodec` with their scale.

    Raises:
        UsageError: a setting outside its range, no frames, or frames of another kind.
        RunError: images that are all the same, or a vector that is not finite.
    """
    check_codec(config)
    shape = source.read(source.at_most(1).ids).shape[1:]
    if len(shape) == 3:
        return SpriteCodec.begin(source, config, seed)
    if len(shape) == 1:
        return VectorCodec.begin(source, config, seed)
    raise UsageError(f"frames must be images (C, H, W) or vectors (D,), got the shape {shape}")


def fit_codec(
    codec: Codec,
    source: FrameSource,
    updates: int,
    seed: int,
    report: Callable[[str, float], None],
    rate: float = 1.0,
) -> dict[str, float]:
    """Fits a codec, as it is, to collected frames: about `updates` gradient steps, in whole passes over the frames.

    The optimiser is new in every fit (AdamW, linear warm-up, cosine decay), so a codec between two fits is all there
    is to save. Equal arguments give equal codecs.

    Args:
        codec: changed in place; its palette, places and scale stay.
        source: frames; at most `max_frames` of the config, spread evenly, are looked at.
        updates: >= 0; 0 leaves the codec as it is.
        seed: of order and noise; another one for every fit of a run.
        report: told ("codec/loss", mean of recent steps) now and then.
        rate: peak learning rate, as a share of that of the config.

    Returns:
        `codec/loss` at the end and `codec/updates`, the gradient steps that were made.

    Raises:
        UsageError: there are no frames, or `updates` < 0.
        RunError: the loss became nan or infinite; the codec is left as before that step.
    """
    if updates < 0:
        raise UsageError(f"updates of the codec must be >= 0, got {updates}")
    if updates == 0:
        return {"codec/updates": 0.0}
    config = codec.config
    chosen = source.at_most(min(config.max_frames, updates * config.batch_size))
    batches = len(chosen) // min(config.batch_size, len(chosen))
    settings = FitConfig(
        epochs=max(1, round(updates / batches)),
        batch_size=config.batch_size,
        learning_rate=rate * config.learning_rate,
        warmup_steps=min(config.warmup_steps, updates // 10),
        weight_decay=config.weight_decay,
        gradient_clip=config.gradient_clip,
    )
    network = codec.network
    fit = Fit(network, codec.objective(chosen), len(chosen), settings, seed, network.bottleneck.anneal)
    try:
        while not fit.finished:
            report("codec/loss", fit.advance(_REPORTED))
    finally:
        fit.close()
    return {"codec/loss": fit.recent_loss, "codec/updates": float(fit.step)}


def codec_errors(codec: Codec, source: FrameSource) -> dict[str, float]:
    """How well frames that the codec was not fitted to come back, as `codec/...`: see `errors` of the two kinds."""
    return {f"codec/{name}": value for name, value in codec.errors(source).items()}


def restore_codec(tensors: dict[str, Tensor], meta: dict[str, Any]) -> Codec:
    """The codec whose `state()` gave `tensors` and `meta`.

    Raises:
        RunError: they are no codec's state.
    """
    kinds: dict[str, type[SpriteCodec] | type[VectorCodec]] = {"sprites": SpriteCodec, "vector": VectorCodec}
    try:
        saved = dict(meta["config"])
        bottlenecks = {"ish": SemanticHashingConfig(**saved["ish"]), "gs": GumbelSoftmaxConfig(**saved["gs"])}
        config = CodecConfig(**saved | bottlenecks | {"vector_hidden": tuple(saved["vector_hidden"])})
        return kinds[meta["kind"]].from_state(tensors, meta, config)
    except (KeyError, TypeError, RuntimeError) as error:
        raise RunError(f"the saved codec cannot be read ({' '.join(str(error).split())}); load another one") from error


def check_codec(config: CodecConfig) -> None:
    """Raises UsageError for settings outside their ranges; those of the optimiser are checked where it begins."""
    settings = asdict(config)
    at_least = {
        **dict.fromkeys(("max_classes", "max_groups", "hidden", "rank", "vector_bits", "max_frames", "batch_size"), 1),
        **dict.fromkeys(("region_gap", "refit_updates"), 0),
        **dict.fromkeys(("max_weight", "updates"), 1),
        "max_bits": 8,
        "features": 2,
        "max_rank": config.rank,
    }
    for name, least in at_least.items():
        if not least <= settings[name] < math.inf:
            raise UsageError(f"{name} must be >= {least}, got {settings[name]}")
    for name in ("object_weight", "vector_noise", "refit_rate"):
        if not 0.0 < settings[name] < math.inf:
            raise UsageError(f"{name} must be > 0 and finite, got {settings[name]}")
    if not 0.0 <= config.moved_share <= 1.0:
        raise UsageError(f"moved_share must be in [0, 1], got {config.moved_share}")
    if not 0.0 <= config.rare_share < 1.0:
        raise UsageError(f"rare_share must be in [0, 1), got {config.rare_share}")
    if min(config.vector_hidden, default=1) < 1:
        raise UsageError(f"vector_hidden must be widths >= 1, got {config.vector_hidden}")
