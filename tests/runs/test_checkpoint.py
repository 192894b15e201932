from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from rl_discrete.runs.checkpoint import (
    CheckpointError,
    list_checkpoints,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from rl_discrete.runs.errors import RunError
from rl_discrete.runs.manifest import FORMAT, Manifest


def save(folder: Path, step: int, *, keep: int = 2, older_parts: tuple[str, ...] = ("weights",)) -> Path:
    tensors = {"weights": {"w": torch.full((3,), step)}, "optimizer": {"m": torch.full((3,), -step)}}
    arrays = {"table": {"counts": np.full(2, step)}}
    return save_checkpoint(
        folder, step, tensors=tensors, arrays=arrays, meta={"step": step}, keep=keep, older_parts=older_parts
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_everything_comes_back_bit_for_bit(tmp_path: Path) -> None:
    shared = torch.randn(6, generator=torch.Generator().manual_seed(0))
    tensors = {
        "weights": {
            "first": shared[:4],
            "second": shared[2:],  # shares memory with the first
            "transposed": shared.reshape(2, 3).t(),
            "scalar": torch.tensor(math.pi, dtype=torch.float64),
            "special": torch.tensor([math.nan, math.inf, -0.0]),
            "half": shared.bfloat16(),
            "parameter": torch.nn.Parameter(shared.clone()),
        },
        "random": {"state": torch.Generator().manual_seed(3).get_state(), "none": torch.empty(0, 5)},
        "empty": {},
    }
    arrays = {
        "table": {
            "keys": np.arange(6, dtype=np.uint64).reshape(3, 2) << np.uint64(61),
            "file": np.array([True, False]),  # a name that np.savez keeps for itself
            "a/b c": np.asfortranarray(np.eye(3)[:, :2]),
            "nan": np.array(math.nan),
        },
        "flags": {},
    }
    meta = {
        "best": math.inf,
        "list": [1, 0.1 + 0.2, None],
        "name": "größer",
        "big": 2**127,
        "deep": {"a": True},
    }
    path = save_checkpoint(tmp_path / "run" / "checkpoints", 123, tensors=tensors, arrays=arrays, meta=meta)
    loaded = load_checkpoint(tmp_path / "run" / "checkpoints", warn=pytest.fail)

    assert path.name == "step-000123"
    assert loaded is not None
    assert (loaded.step, loaded.meta, loaded.path) == (123, meta, path)
    assert {part: set(group) for part, group in loaded.tensors.items()} == {p: set(g) for p, g in tensors.items()}
    for part, group in tensors.items():
        for name, tensor in group.items():
            found = loaded.tensors[part][name]
            assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
            assert torch.equal(
                found.contiguous().reshape(-1).view(torch.uint8),
                tensor.detach().contiguous().reshape(-1).view(torch.uint8),
            )
    assert {part: set(group) for part, group in loaded.arrays.items()} == {p: set(g) for p, g in arrays.items()}
    for part, arrays_of_part in arrays.items():
        for name, array in arrays_of_part.items():
            assert loaded.arrays[part][name].dtype == array.dtype
            np.testing.assert_array_equal(loaded.arrays[part][name], array)


def test_a_repeated_run_writes_the_same_bytes(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a", 1), save(tmp_path / "b", 1)
    assert names(first) == ["manifest.json", "optimizer.safetensors", "table.npz", "weights.safetensors"]
    for name in names(first):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_saving_does_not_touch_the_tensors(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    path = save_checkpoint(tmp_path, 0, tensors={"weights": {"w": weight}}, meta={})
    loaded = read_checkpoint(path)
    loaded.tensors["weights"]["w"].add_(1)
    assert torch.equal(weight, torch.ones(3))
    again = read_checkpoint(path)  # and what was loaded is not the file
    assert torch.equal(again.tensors["weights"]["w"], torch.ones(3))


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "missing") is None
    (tmp_path / "step-elsewhere").mkdir()
    (tmp_path / "step-000007").write_text("a file")
    assert load_checkpoint(tmp_path) is None


def test_the_last_two_hold_everything_and_older_ones_the_weights(tmp_path: Path) -> None:
    for step in range(5):
        save(tmp_path, step)
    assert [path.name for path in list_checkpoints(tmp_path)] == [f"step-{step:06d}" for step in range(5)]
    assert (tmp_path / "LATEST").read_text() == "step-000004\n"
    for path in list_checkpoints(tmp_path)[:3]:
        assert names(path) == ["manifest.json", "weights.safetensors"]
        checkpoint = read_checkpoint(path, ["weights"])
        assert torch.equal(checkpoint.tensors["weights"]["w"], torch.full((3,), checkpoint.step))
        assert checkpoint.meta == {"step": checkpoint.step}
        with pytest.raises(CheckpointError, match="holds only weights"):
            read_checkpoint(path)
        with pytest.raises(CheckpointError, match=r"lacks table: it holds weights"):
            read_checkpoint(path, ["weights", "table"])
    for path in list_checkpoints(tmp_path)[3:]:
        assert len(names(path)) == 4


def test_without_older_parts_older_checkpoints_go(tmp_path: Path) -> None:
    for step in range(5):
        save(tmp_path, step, keep=3, older_parts=())
    assert names(tmp_path) == ["LATEST", "step-000002", "step-000003", "step-000004"]


def test_only_the_parts_asked_for_are_read(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    (path / "optimizer.safetensors").write_bytes(b"altered")
    loaded = load_checkpoint(tmp_path, ["weights"], warn=pytest.fail)
    assert loaded is not None
    assert set(loaded.tensors) == {"weights"}
    assert loaded.arrays == {}
    assert read_checkpoint(path, []).meta == {"step": 1}


def test_the_same_step_is_replaced_and_abandoned_later_ones_go(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step)
    save_checkpoint(tmp_path, 2, tensors={}, meta={"second": True})
    assert names(tmp_path) == ["LATEST", "step-000001", "step-000002"]
    loaded = load_checkpoint(tmp_path, warn=pytest.fail)
    assert loaded is not None
    assert loaded.meta == {"second": True}


def test_steps_of_any_width_are_in_order(tmp_path: Path) -> None:
    save(tmp_path, 999_999)
    save(tmp_path, 1_000_000)
    loaded = load_checkpoint(tmp_path, warn=pytest.fail)
    assert loaded is not None
    assert loaded.step == 1_000_000


def test_a_newer_format_is_refused_and_never_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)
    monkeypatch.setattr("rl_discrete.runs.manifest.FORMAT", FORMAT + 1)
    newer = save(tmp_path, 2)
    monkeypatch.undo()
    with pytest.raises(RunError, match="update rl-discrete") as raised:
        load_checkpoint(tmp_path)
    assert not isinstance(raised.value, CheckpointError)
    assert newer.exists()


def test_wrong_arguments_are_named_and_leave_nothing(tmp_path: Path) -> None:
    for step, keep in ((-1, 2), (0, 0)):
        with pytest.raises(ValueError, match=r"step must be >= 0 and keep >= 1"):
            save(tmp_path, step, keep=keep)
    for part in ("../outside", "Weights", ""):
        with pytest.raises(ValueError, match="part"):
            save_checkpoint(tmp_path, 0, tensors={}, arrays={part: {}}, meta={})
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        save_checkpoint(tmp_path, 0, tensors={}, arrays={"table": {"o": np.array([{}])}}, meta={})
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, 0, tensors={}, meta={"path": tmp_path})
    assert names(tmp_path) == []


def test_manifest_keeping_marks_what_is_missing(tmp_path: Path) -> None:
    manifest = Manifest.read(save(tmp_path, 1))
    assert manifest.parts == {"weights", "optimizer", "table"}
    assert manifest.keeping(manifest.parts) == manifest
    assert not manifest.keeping(["weights"]).complete
