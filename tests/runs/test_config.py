from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rl_discrete.runs.config import (
    differences,
    from_mapping,
    merge,
    nearest,
    read_yaml,
    to_mapping,
    without,
)
from rl_discrete.runs.errors import UsageError


@dataclass(frozen=True)
class Network:
    num_latents: int = 32
    hidden: tuple[int, ...] = (512, 256)
    method: Literal["gs", "ish"] = "gs"
    dropout: float | None = None

    def __post_init__(self) -> None:
        if self.num_latents < 1:
            raise UsageError(f"num_latents must be >= 1, got {self.num_latents}")


@dataclass(frozen=True)
class Config:
    rows: tuple[str, ...] = ()
    learning_rate: float = 1e-3
    verbose: bool = False
    data_dir: Optional[Path] = None  # noqa: UP045  # the old spelling must work too
    image_size: tuple[int, int] = (28, 28)
    weights: dict[str, float] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    seed_or_name: int | str = 0
    anything: Any = None
    autoencoder: Network = Network()


@dataclass(frozen=True)
class Required:
    path: Path
    size: int = 1


FULL = {
    "rows": ["gs-16x2", "ish-32x2"],
    "learning_rate": 2,
    "verbose": True,
    "data_dir": "some/where",
    "image_size": [32, 16],
    "weights": {"a": 1, "b": 0.5},
    "names": ["x"],
    "seed_or_name": "seven",
    "anything": {"free": [1]},
    "autoencoder": {"num_latents": 8, "hidden": [], "method": "ish", "dropout": 0.1},
}


def test_plain_values_become_the_declared_types() -> None:
    config = from_mapping(Config, FULL, "file.yaml")
    assert config.rows == ("gs-16x2", "ish-32x2")
    assert (config.learning_rate, type(config.learning_rate)) == (2.0, float)
    assert config.data_dir == Path("some/where")
    assert config.image_size == (32, 16)
    assert config.weights == {"a": 1.0, "b": 0.5}
    assert config.autoencoder == Network(8, (), "ish", 0.1)
    assert from_mapping(Config, {}, "") == Config()
    assert from_mapping(Config, {"autoencoder": Network(2), "data_dir": None}, "").autoencoder == Network(2)


def test_to_mapping_is_plain_and_comes_back() -> None:
    config = from_mapping(Config, FULL, "")
    plain = to_mapping(config)
    assert json.loads(json.dumps(plain)) == plain
    assert from_mapping(Config, yaml.safe_load(yaml.safe_dump(plain)), "") == config


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"autoencoder": {"num_latnets": 3}},
            "unknown key 'autoencoder.num_latnets'; did you mean 'autoencoder.num_latents'?",
        ),
        ({"learning-rate": 1.0}, "unknown key 'learning-rate'; did you mean 'learning_rate'?"),
        (
            {"autoencoder": {"zzz": 3}},
            "unknown key 'autoencoder.zzz'; valid keys: num_latents, hidden, method, dropout",
        ),
        ({3: 3}, "unknown key '3'; valid keys: rows"),
        ({"autoencoder": {"num_latents": True}}, "autoencoder.num_latents must be an integer, got True"),
        ({"autoencoder": {"num_latents": 3.0}}, "autoencoder.num_latents must be an integer, got 3.0"),
        ({"autoencoder": {"num_latents": None}}, "autoencoder.num_latents must be an integer, got None"),
        ({"autoencoder": {"num_latents": 0}}, "num_latents must be >= 1, got 0"),
        ({"autoencoder": {"dropout": "x"}}, "autoencoder.dropout must be a number, got 'x'"),
        ({"autoencoder": 3}, "autoencoder must be a mapping of keys, got 3"),
        ({"autoencoder": None}, "autoencoder must be a mapping of keys, got None"),
        (
            {"autoencoder": {"method": "ihs"}},
            "autoencoder.method must be one of gs, ish, got 'ihs'; did you mean 'ish'?",
        ),
        ({"autoencoder": {"method": ["gs"]}}, "autoencoder.method must be one of gs, ish"),
        ({"autoencoder": {"hidden": [512, "x"]}}, "autoencoder.hidden[1] must be an integer, got 'x'"),
        ({"autoencoder": {"hidden": 512}}, "autoencoder.hidden must be tuple[int, ...], got 512"),
        ({"rows": "gs-16x2"}, "rows must be tuple[str, ...], got 'gs-16x2'"),
        ({"learning_rate": "fast"}, "learning_rate must be a number, got 'fast'"),
        ({"learning_rate": True}, "learning_rate must be a number, got True"),
        ({"verbose": 1}, "verbose must be true or false, got 1"),
        ({"data_dir": 3}, "data_dir must be a path, got 3"),
        ({"image_size": [28]}, "image_size must have 2 items, got 1: [28]"),
        ({"weights": {"a": "x"}}, "weights.a must be a number, got 'x'"),
        ({"weights": [1]}, "weights must be dict[str, float], got [1]"),
        ({"weights": {1: 2.0}}, "a key of weights must be a string, got 1"),
        ({"names": [1]}, "names[0] must be a string, got 1"),
        ({"seed_or_name": 1.5}, "seed_or_name must be an integer or a string, got 1.5"),
    ],
)
def test_what_is_wrong_is_named(data: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        from_mapping(Config, data, "presets/best.yaml")
    assert str(raised.value).startswith(f"presets/best.yaml: {message}")
    assert "\n" not in str(raised.value)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(UsageError, match=r"^f: the key 'path' is missing$"):
        from_mapping(Required, {"size": 2}, "f")
    assert from_mapping(Required, {"path": "a"}, "f") == Required(Path("a"))


def test_without_goes_down_and_leaves_no_empty_mapping() -> None:
    base = {"a": 1, "b": {"c": 2, "d": 3}, "e": {"f": 4}}
    assert without(base, {"b": {"c": 9}, "e": {"f": 9}, "g": 5}) == {"a": 1, "b": {"d": 3}}
    assert without(base, {"b": 7}) == {"a": 1, "e": {"f": 4}}
    assert without(base, {}) == base


def test_merge_goes_down_and_changes_nothing_given() -> None:
    base = {"a": 1, "b": {"c": 2, "d": [1, 2]}, "e": {"f": 1}}
    override = {"b": {"d": [3], "g": 4}, "e": None, "h": 5}
    assert merge(base, override) == {"a": 1, "b": {"c": 2, "d": [3], "g": 4}, "e": None, "h": 5}
    assert base == {"a": 1, "b": {"c": 2, "d": [1, 2]}, "e": {"f": 1}}


def test_differences_name_the_whole_key() -> None:
    old = {"a": {"b": 1, "c": [1, 2], "gone": {"x": 1}}, "same": {"t": (1, 2), "p": Path("q")}, "empty": {}}
    new = {"a": {"b": 2, "c": [1, 3]}, "same": {"t": [1, 2], "p": "q"}, "empty": {}, "new": None}
    assert differences(old, new) == [
        "a.b: 1 -> 2",
        "a.c: [1, 2] -> [1, 3]",
        "a.gone.x: 1 -> (not set)",
        "new: (not set) -> None",
    ]
    assert differences(new, new) == []


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("gs-16-2", "gs-16x2"),
        ("ISH_32X2", "ish-32x2"),
        ("learningrate", "learning_rate"),
        ("zzz", None),
        ("", None),
    ],
)
def test_nearest(word: str, expected: str | None) -> None:
    assert nearest(word, ["gs-16x2", "ish-32x2", "learning_rate", "batch_size"]) == expected


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_an_empty_mapping(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    assert read_yaml(tmp_path / "c.yaml") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", "is not valid YAML"),
        (b"a: 1\nb: 2\na: 3\n", "key 'a' appears twice"),
        (b"- 1\n", "must hold 'key: value' lines, got a list"),
        (b"just words", "got a str"),
        (b"a: \xff\xfe", "is not a text file"),
        (b"a: !!python/object/apply:os.getcwd []", "is not valid YAML"),
        (b"a: \x00", "is not valid YAML"),
    ],
)
def test_an_unreadable_file_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(UsageError) as raised:
        read_yaml(tmp_path / "c.yaml")
    assert message in str(raised.value)
    assert "c.yaml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*missing\.yaml: No such file"):
        read_yaml(tmp_path / "missing.yaml")
    with pytest.raises(UsageError, match="cannot read"):
        read_yaml(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("2.5E4", 2.5e4),
        ("-1e+2", -100.0),
        ("3", 3),
        ("0.5", 0.5),
        (".5e1", 5.0),
        ("1e", "1e"),
        ("e3", "e3"),
    ],
)
def test_numbers_are_written_as_everywhere_else(tmp_path: Path, text: str, value: object) -> None:
    (tmp_path / "c.yaml").write_text(f"a: {text}\n")
    found = read_yaml(tmp_path / "c.yaml")["a"]
    assert (found, type(found)) == (value, type(value))


@given(st.floats(allow_nan=False))
def test_floats_survive_the_file(tmp_path_factory: pytest.TempPathFactory, value: float) -> None:
    path = tmp_path_factory.getbasetemp() / "float.yaml"
    path.write_text(yaml.safe_dump({"learning_rate": value}))
    assert from_mapping(Config, read_yaml(path), "").learning_rate == value


@dataclass(frozen=True)
class _Inner:
    width: int = 1
    depth: int = 2


@dataclass(frozen=True)
class _Outer:
    inner: _Inner = field(default_factory=lambda: _Inner(width=96))


def test_a_partly_given_group_keeps_what_its_field_holds_by_default() -> None:
    assert from_mapping(_Outer, {"inner": {"depth": 5}}, "test") == _Outer(_Inner(width=96, depth=5))
    with pytest.raises(UsageError, match=r"did you mean 'inner\.depth'"):
        from_mapping(_Outer, {"inner": {"dept": 5}}, "test")
