from __future__ import annotations

import json
import signal
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rl_discrete.bench.calibration import expected_calibration_error, fit_temperature, negative_log_likelihood
from rl_discrete.bench.judge import (
    CARD_NAME,
    WEIGHTS_NAME,
    Judge,
    judge_outputs,
    load_card,
    load_judge,
)
from rl_discrete.bench.judge_card import card_text, command, fold_temperature
from rl_discrete.bench.judge_config import JudgeConfig
from rl_discrete.bench.judge_fit import JudgeFit, new_judge
from rl_discrete.bench.judge_training import train_judge
from rl_discrete.data.distortion import distort
from rl_discrete.data.mnist import ImageDataset, load_images, split
from rl_discrete.runs.errors import Interrupted, RunError, UsageError

SHIPPED = Path(__file__).parents[2] / "rl_discrete" / "bench"
TINY = JudgeConfig(epochs=3, batch_size=32, learning_rate=0.01)


@pytest.fixture(scope="module")
def mnist() -> ImageDataset:
    return load_images()


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load_judge()


def marks(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy images whose class is the place of a bright square: a problem that a judge learns in a minute."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 10
    images = torch.randint(0, 60, (count, 28, 28), dtype=torch.uint8, generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = divmod(label, 4)
        image[4 + 8 * row : 10 + 8 * row, 1 + 7 * column : 6 + 7 * column] = 255
    return images, labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("marks")
    for stem, count, seed in (("train", 360, 1), ("t10k", 100, 2)):
        images, labels = marks(count, seed)
        header = struct.pack(">HBB3I", 0, 8, 3, count, 28, 28)
        (path / f"{stem}-images-idx3-ubyte").write_bytes(header + images.numpy().tobytes())
        header = struct.pack(">HBBI", 0, 8, 1, count)
        (path / f"{stem}-labels-idx1-ubyte").write_bytes(header + labels.to(torch.uint8).numpy().tobytes())
    return path


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_judge(replace(TINY, data_dir=folder, out=tmp_path_factory.mktemp("judge") / "run"))


# ---------------------------------------------------------------- the shipped judge


def test_the_shipped_judge_is_as_good_as_its_card_says(judge: Judge, mnist: ImageDataset) -> None:
    card = load_card()
    log_probs, features = judge_outputs(judge, mnist.test_images)
    errors = int((log_probs.argmax(dim=1) != mnist.test_labels).sum())
    assert errors <= 50  # 99.5 %
    assert abs(errors - card["errors"]) <= 1  # another processor may round a tie the other way
    assert card["accuracy"] == pytest.approx(1 - card["errors"] / 10_000)
    calibration = expected_calibration_error(log_probs, mnist.test_labels, bins=15)
    assert calibration == pytest.approx(card["expected_calibration_error"], abs=2e-4)
    assert calibration < 0.005
    likelihood = negative_log_likelihood(log_probs, mnist.test_labels)
    assert likelihood == pytest.approx(card["negative_log_likelihood"], abs=1e-4)
    assert features.shape == (10_000, 96)
    assert features.var(dim=0).min() > 0  # no dead feature: every one takes part in the Fréchet distance


def test_the_shipped_judge_was_calibrated_on_images_held_out_by_its_seed(judge: Judge, mnist: ImageDataset) -> None:
    card = load_card()
    _, held_out = split(60_000, 5_000, card["seed"])
    log_probs, _ = judge_outputs(judge, mnist.train_images[held_out])
    labels = mnist.train_labels[held_out]
    assert abs(int((log_probs.argmax(dim=1) != labels).sum()) - card["validation"]["errors"]) <= 1
    assert fit_temperature(log_probs, labels) == pytest.approx(1.0, abs=0.01)  # folded in already


def test_the_shipped_judge_comes_from_the_default_settings() -> None:
    card, default = load_card(), JudgeConfig()
    assert card["command"] == "rl-discrete train-judge"
    for name in ("seed", "epochs", "batch_size", "learning_rate", "threads", "device"):
        assert card[name] == getattr(default, name)
    assert (card["training_images"], card["data"], card["calibration_bins"]) == (55_000, "mnist", 15)


def test_the_shipped_file_is_small_and_its_card_is_readable(judge: Judge) -> None:
    card = load_card()
    assert (SHIPPED / WEIGHTS_NAME).stat().st_size == card["bytes"] < 4 * 2**20
    assert card["parameters"] == sum(parameter.numel() for parameter in judge.parameters())
    assert (SHIPPED / "judge_card.md").read_text(encoding="utf-8") == card_text(card)
    assert f"{card['accuracy']:.2%}" in card_text(card)


def test_loading_and_training_leave_the_global_generator_alone(mnist: ImageDataset) -> None:
    before = torch.random.get_rng_state()
    load_judge()
    JudgeFit(mnist.train_images[:64], mnist.train_labels[:64], replace(TINY, batch_size=32)).advance()
    assert torch.equal(torch.random.get_rng_state(), before)


# ---------------------------------------------------------------- its outputs


def test_outputs_are_log_probabilities_and_the_features_below_them(judge: Judge, mnist: ImageDataset) -> None:
    images = mnist.test_images[:130]
    log_probs, features = judge_outputs(judge, images.float() / 255)
    assert log_probs.exp().sum(dim=1).tolist() == pytest.approx([1.0] * 130, abs=1e-5)
    assert not log_probs.requires_grad
    torch.testing.assert_close(judge(images).log_softmax(dim=1), log_probs, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(judge.features(images), features, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(judge.head(features).log_softmax(dim=1), log_probs, atol=1e-4, rtol=1e-4)


def test_outputs_do_not_depend_on_the_batches_nor_on_the_pixel_type(judge: Judge, mnist: ImageDataset) -> None:
    images = mnist.test_images[:101]
    whole = judge_outputs(judge, images, batch=101)
    for other in (judge_outputs(judge, images, batch=7), judge_outputs(judge, images.float() / 255, batch=50)):
        torch.testing.assert_close(other, whole, atol=1e-4, rtol=1e-4)
    assert [part.shape for part in judge_outputs(judge, images[:0])] == [(0, 10), (0, 96)]


def test_outputs_are_those_of_evaluation_mode_and_the_mode_is_put_back(mnist: ImageDataset) -> None:
    judge = load_judge()
    expected = judge_outputs(judge, mnist.test_images[:20])
    statistics = {name: value.clone() for name, value in judge.state_dict().items()}
    judge.train()
    torch.testing.assert_close(judge_outputs(judge, mnist.test_images[:20]), expected)
    assert judge.training
    assert all(torch.equal(value, statistics[name]) for name, value in judge.state_dict().items())


def test_the_judge_refuses_images_of_another_shape(judge: Judge) -> None:
    for shape in ((2, 1, 28, 28), (2, 784), (2, 32, 32)):
        with pytest.raises(UsageError, match="28, 28"):
            judge_outputs(judge, torch.zeros(shape))
    with pytest.raises(UsageError, match="batch"):
        judge_outputs(judge, torch.zeros(2, 28, 28), batch=0)


# ---------------------------------------------------------------- its file


def test_an_altered_file_is_refused(trained: Path, tmp_path: Path) -> None:
    weights = bytearray((trained / WEIGHTS_NAME).read_bytes())
    weights[-1] ^= 1
    (tmp_path / WEIGHTS_NAME).write_bytes(weights)
    (tmp_path / CARD_NAME).write_bytes((trained / CARD_NAME).read_bytes())
    with pytest.raises(RunError, match="sha256"):
        load_judge(folder=tmp_path)
    (tmp_path / CARD_NAME).write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match="JSON"):
        load_judge(folder=tmp_path)
    (tmp_path / CARD_NAME).unlink()
    with pytest.raises(UsageError, match="train-judge"):
        load_judge(folder=tmp_path)
    with pytest.raises(UsageError, match="train-judge"):
        load_judge(folder=tmp_path / "nowhere")


# ---------------------------------------------------------------- training


def test_a_judge_learns_and_its_folder_loads(trained: Path) -> None:
    card = load_card(trained)
    assert card["accuracy"] > 0.95
    assert (card["images"], card["training_images"], card["validation"]["images"]) == (100, 330, 30)
    images, labels = marks(50, 3)
    log_probs, _ = judge_outputs(load_judge(folder=trained), images)
    assert (log_probs.argmax(dim=1) == labels).float().mean() > 0.95
    assert (trained / "judge_card.md").read_text(encoding="utf-8") == card_text(card)


def test_the_same_settings_give_the_same_file(trained: Path, folder: Path, tmp_path: Path) -> None:
    again = train_judge(replace(TINY, data_dir=folder, out=tmp_path / "again"))
    assert (again / WEIGHTS_NAME).read_bytes() == (trained / WEIGHTS_NAME).read_bytes()
    assert torch.equal(new_judge(0).head.weight, new_judge(0).head.weight)
    assert not torch.equal(new_judge(0).head.weight, new_judge(1).head.weight)


def test_stop_and_resume_equals_an_uninterrupted_training(
    trained: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(TINY, data_dir=folder, out=tmp_path / "run")
    advance, steps = JudgeFit.advance, 13  # within the second epoch of ten steps

    def advance_then_stop(fit: JudgeFit) -> float:
        loss = advance(fit)
        if fit.step == steps:
            signal.raise_signal(signal.SIGTERM)
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(JudgeFit, "advance", advance_then_stop)
        with pytest.raises(Interrupted) as stopped:
            train_judge(config)
    assert stopped.value.exit_code == 143
    assert not (tmp_path / "run" / WEIGHTS_NAME).exists()
    with pytest.raises(UsageError, match="--resume"):
        train_judge(config)
    train_judge(replace(config, resume=True))
    assert (tmp_path / "run" / WEIGHTS_NAME).read_bytes() == (trained / WEIGHTS_NAME).read_bytes()


def test_a_restored_fit_makes_the_same_steps() -> None:
    images, labels = marks(96, 0)
    one = JudgeFit(images, labels, TINY)
    for _ in range(4):
        one.advance()
    kept = {part: {name: value.clone() for name, value in named.items()} for part, named in one.tensors().items()}
    two = JudgeFit(images, labels, TINY)
    two.restore(one.step, kept)
    assert [two.advance() for _ in range(4)] == [one.advance() for _ in range(4)]
    for name, value in one.average.state_dict().items():
        assert torch.equal(two.average.state_dict()[name], value)


def test_a_loss_that_is_not_finite_stops_the_training_before_the_update() -> None:
    images, labels = marks(64, 0)
    fit = JudgeFit(images, labels, TINY)
    fit.advance()
    with torch.no_grad():
        fit._judge.head.bias.fill_(torch.nan)
    weights = fit._judge.head.weight.clone()
    with pytest.raises(RunError, match="step 1 of"):
        fit.advance()
    assert torch.equal(fit._judge.head.weight, weights)


def test_every_epoch_sees_every_image_at_most_once_in_its_own_order() -> None:
    images, labels = marks(70, 0)
    fit = JudgeFit(images, labels, TINY)
    epochs = []
    for _ in range(2):
        seen = []
        for _ in range(2):
            seen += fit._batch().tolist()
            fit.step += 1
        assert len(seen) == len(set(seen)) == 64
        epochs.append(seen)
    assert epochs[0] != epochs[1]


def test_settings_that_cannot_work_are_refused(folder: Path, tmp_path: Path) -> None:
    for name, value in {"epochs": 0, "batch_size": 1, "learning_rate": 0.0, "threads": 0, "seed": -1}.items():
        with pytest.raises(UsageError, match=name):
            JudgeConfig(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="device 'nowhere'"):
        train_judge(replace(TINY, data_dir=folder, out=tmp_path / "run", device="nowhere"))
    assert not (tmp_path / "run").exists()


def test_the_card_names_the_command_that_repeats_the_file(trained: Path, folder: Path) -> None:
    assert command(JudgeConfig(out=Path("somewhere"), resume=True)) == "rl-discrete train-judge"
    expected = f"rl-discrete train-judge --epochs=3 --batch-size=32 --learning-rate=0.01 --data-dir={folder}"
    assert json.loads((trained / CARD_NAME).read_text())["command"] == expected


# ---------------------------------------------------------------- distortions


def test_no_distortion_gives_the_images_back() -> None:
    images = torch.rand(5, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(distort(images, 0.0, torch.Generator()), images, atol=1e-5, rtol=0)


def test_distortions_differ_by_image_repeat_by_seed_and_keep_the_digit_inside(mnist: ImageDataset) -> None:
    image = mnist.train_images[:1].float() / 255
    images = distort(image.expand(200, -1, -1), 1.0, torch.Generator().manual_seed(1))
    again = distort(image.expand(200, -1, -1), 1.0, torch.Generator().manual_seed(1))
    assert torch.equal(images, again)
    assert not torch.equal(images[0], images[1])
    assert images.min() >= 0
    assert images.max() <= 1
    ink = images.sum(dim=(1, 2)) / image.sum()
    assert ink.min() > 0.7
    assert ink.max() < 1.6
    columns = torch.arange(28.0)
    centre = (images.sum(dim=1) * columns).sum(dim=1) / images.sum(dim=(1, 2))
    moved = centre - (image.sum(dim=1) * columns).sum(dim=1) / image.sum()
    assert 0.8 < float(moved.std()) < 2.0  # of a uniform shift of +-2 pixels: 1.15
    assert float(moved.mean().abs()) < 0.5


# ---------------------------------------------------------------- calibration


def two_classes(confidence: float, count: int = 1000) -> Tensor:
    return torch.tensor([[confidence, 1 - confidence]]).double().log().expand(count, 2)


def test_expected_calibration_error_of_known_predictions() -> None:
    labels = (torch.arange(1000) >= 900).long()  # 90 % are class 0
    assert expected_calibration_error(two_classes(0.9), labels) == pytest.approx(0.0, abs=1e-6)
    assert expected_calibration_error(two_classes(0.99), labels) == pytest.approx(0.09, abs=1e-6)
    mixed = torch.cat([two_classes(0.99, 500), two_classes(0.7, 500)])  # over- and underconfident do not cancel
    alternate = torch.tensor([0] * 9 + [1]).repeat(100)
    assert expected_calibration_error(mixed, alternate) == pytest.approx(0.5 * 0.09 + 0.5 * 0.2, abs=1e-6)
    assert expected_calibration_error(mixed, alternate, bins=1) == pytest.approx(0.055, abs=1e-6)
    with pytest.raises(UsageError, match="bin"):
        expected_calibration_error(mixed[:0], alternate[:0])


def test_temperature_repairs_overconfidence_and_folds_into_the_last_layer(mnist: ImageDataset) -> None:
    generator = torch.Generator().manual_seed(0)
    honest = (2 * torch.randn(4000, 10, generator=generator)).log_softmax(dim=1)
    labels = torch.multinomial(honest.exp(), 1, generator=generator)[:, 0]
    assert fit_temperature(honest, labels) == pytest.approx(1.0, abs=0.06)
    assert fit_temperature(3 * honest, labels) == pytest.approx(3 * fit_temperature(honest, labels), rel=1e-3)
    judge = new_judge(0).eval()
    images = mnist.train_images[:8]
    before = judge(images)
    fold_temperature(judge, 2.0)
    torch.testing.assert_close(judge(images), before / 2)
