"""What the user can name wrongly about an Atari game: one line each, with a remedy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from ale_py import roms

from rl_discrete.envs.atari import AtariEnv
from rl_discrete.runs.errors import UsageError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"game": "SpaceInvader"}, r"unknown Atari game 'SpaceInvader'; did you mean SpaceInvaders\?"),
        ({"game": "qqqqqq"}, r"unknown Atari game 'qqqqqq'; for example Pong"),
        ({"game": "../pong"}, r"unknown Atari game '../pong'; did you mean Pong\?"),
        ({"game": ""}, "unknown Atari game ''; for example Pong"),
        ({"game": "maze_craze"}, "'maze_craze' needs two players; choose another"),
        ({"frame_skip": 0}, "frame_skip and max_frames must be >= 1, got 0"),
        ({"max_frames": 0}, "frame_skip and max_frames must be >= 1, got 4 and 0"),
        ({"repeat_action_probability": 1.0}, r"repeat_action_probability must be in \[0, 1\), got 1.0"),
        ({"repeat_action_probability": float("nan")}, r"repeat_action_probability must be in \[0, 1\), got nan"),
        ({"max_noops": -1}, r"max_noops must be in \[0, 2\*\*31\), got -1"),
        ({"size": (84, 0)}, r"size must be \(height, width\), both >= 1, got \(84, 0\)"),
        ({"size": (84,)}, r"size must be \(height, width\)"),
        ({"actions": "minimum"}, "must be minimal, full or names of actions, got 'minimum'"),
        ({"actions": ["NOOP", "RIHGT"]}, r"did you mean RIGHT\?"),
        ({"actions": []}, r"got \[\]; names are NOOP, FIRE"),
        ({"render_mode": "human"}, "render_mode must be rgb_array or None, got 'human'"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        AtariEnv(**arguments)
    assert "\n" not in str(caught.value)


def test_a_missing_altered_or_misplaced_rom_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remedy = r"install ale-py again, or name in ALE_ROMS_DIR a folder that holds pong\.bin"
    original = roms.get_rom_path("pong")
    assert original is not None
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    with pytest.raises(UsageError, match=rf"the ROM of pong is missing at {tmp_path}/pong\.bin; {remedy}"):
        AtariEnv("Pong")
    (tmp_path / "pong.bin").write_bytes(b"not a game")
    with pytest.raises(UsageError, match=rf"the ROM of pong cannot be used: The hash .* {remedy}"):
        AtariEnv("Pong")
    shutil.copy(original, tmp_path)
    assert AtariEnv("Pong").game == "pong"
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=rf"nowhere doesn't exist; {remedy}"):
        AtariEnv("Pong")
