"""Beginning, fitting, saving and restoring codecs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.world_models.codec_fit import begin_codec, fit_codec, restore_codec
from rl_discrete.world_models.config import CodecConfig
from rl_discrete.world_models.frame_codec import CodecState
from rl_discrete.world_models.frame_source import FrameSource
from tests.world_models.scenes import scenes

CONFIG = CodecConfig(features=16, hidden=16, batch_size=16)
FRAMES = scenes(96, 0)[0]
SOURCE = FrameSource.of_array(FRAMES)


def silent(name: str, value: float) -> None:
    """Nobody listens."""


def equal(one: CodecState, other: CodecState) -> bool:
    return one[1] == other[1] and all(torch.equal(value, other[0][name]) for name, value in one[0].items())


def fitted(seed: int = 0, updates: int = 6) -> CodecState:
    codec = begin_codec(SOURCE, CONFIG, 0)
    fit_codec(codec, SOURCE, updates, seed, silent)
    return codec.state()


def test_equal_arguments_give_equal_codecs_whatever_was_drawn_before() -> None:
    first = fitted()
    torch.rand(7)
    assert equal(first, fitted())
    assert not equal(first, fitted(seed=1))


def test_a_fit_goes_on_from_a_restored_codec_as_from_the_codec_itself() -> None:
    codec = begin_codec(SOURCE, CONFIG, 0)
    fit_codec(codec, SOURCE, 6, 0, silent)
    tensors, meta = codec.state()
    restored = restore_codec(tensors, json.loads(json.dumps(meta)))
    for one in (codec, restored):
        fit_codec(one, SOURCE, 6, 1, silent)
    assert equal(codec.state(), restored.state())
    assert not equal(codec.state(), (tensors, meta))  # a state is a copy


def test_updates_are_made_in_whole_passes_over_no_more_frames_than_needed() -> None:
    codec = begin_codec(SOURCE, CONFIG, 0)
    assert fit_codec(codec, SOURCE, 0, 0, silent) == {"codec/updates": 0.0}
    heard: list[tuple[str, float]] = []
    metrics = fit_codec(codec, SOURCE, 13, 0, lambda name, value: heard.append((name, value)))
    assert metrics["codec/updates"] == 12.0  # 2 passes over 6 batches
    assert heard == [("codec/loss", metrics["codec/loss"])]
    assert fit_codec(codec, SOURCE, 3, 0, silent)["codec/updates"] == 3.0
    assert fit_codec(codec, SOURCE.at_most(5), 3, 0, silent)["codec/updates"] == 3.0


def test_a_loss_that_is_not_finite_stops_the_fit_and_leaves_the_codec() -> None:
    codec = begin_codec(SOURCE, CONFIG, 0)
    parameters = dict(codec.network.named_parameters())
    parameters["heads.0.bias"].data[0] = torch.nan
    before, _ = codec.state()
    with pytest.raises(RunError, match="the loss became nan at step 0"):
        fit_codec(codec, SOURCE, 5, 0, silent)
    after, _ = codec.state()
    assert all(np.array_equal(value, after[name], equal_nan=True) for name, value in before.items())


def test_sources_are_read_in_blocks_and_thinned_evenly() -> None:
    long = FrameSource(lambda ids: ids[:, None].astype(np.float32), np.arange(5, 1205))
    assert [len(block) for block in long.blocks()] == [512, 512, 176]
    assert np.concatenate(list(long.blocks())).ravel().tolist() == list(range(5, 1205))
    assert long.at_most(4).ids.tolist() == [5, 305, 605, 905]
    assert long.at_most(1200) is long
    with pytest.raises(UsageError, match="there are no frames to look at: collect some steps first"):
        FrameSource.of_array(FRAMES[:0]).at_most(3)


def test_frames_and_settings_that_no_codec_takes() -> None:
    with pytest.raises(UsageError, match=r"images \(C, H, W\) or vectors \(D,\), got the shape \(4, 5\)"):
        begin_codec(FrameSource.of_array(np.zeros((3, 4, 5), np.uint8)), CONFIG, 0)
    with pytest.raises(UsageError, match="the codec's bottleneck must be ish or gs, got 'vast'"):
        begin_codec(SOURCE, replace(CONFIG, bottleneck="vast"), 0)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="updates of the codec must be >= 0, got -1"):
        fit_codec(begin_codec(SOURCE, CONFIG, 0), SOURCE, -1, 0, silent)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_classes", 0, "max_classes must be >= 1, got 0"),
        ("max_bits", 7, "max_bits must be >= 8, got 7"),
        ("max_rank", 2, "max_rank must be >= 3, got 2"),
        ("region_gap", -1, "region_gap must be >= 0, got -1"),
        ("rare_share", 1.0, r"rare_share must be in \[0, 1\), got 1.0"),
        ("object_weight", 0.0, "object_weight must be > 0 and finite, got 0.0"),
        ("refit_rate", 0.0, "refit_rate must be > 0 and finite, got 0.0"),
        ("vector_hidden", (8, 0), r"vector_hidden must be widths >= 1, got \(8, 0\)"),
    ],
)
def test_settings_outside_their_ranges(name: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        begin_codec(SOURCE, replace(CONFIG, **{name: value}), 0)  # type: ignore[arg-type]


def test_a_saved_codec_that_cannot_be_read() -> None:
    tensors, meta = begin_codec(SOURCE, CONFIG, 0).state()
    with pytest.raises(RunError, match=r"the saved codec cannot be read \('kind'\); load another one"):
        restore_codec(tensors, {name: value for name, value in meta.items() if name != "kind"})
    del tensors["network.encoders.0.rows"]
    with pytest.raises(RunError, match="the saved codec cannot be read"):
        restore_codec(tensors, meta)
