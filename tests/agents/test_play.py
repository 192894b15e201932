"""Games inside a world model, by a script and by a person's keys, and the film of one beside the real env."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.agents.panels import Panel, side_by_side
from rl_discrete.agents.play import ImaginedGame, action_of, play_script, play_window, read_script
from rl_discrete.agents.play_window import open_window
from rl_discrete.agents.played_run import action_names, play_run
from rl_discrete.agents.real_play import record_play
from rl_discrete.agents.run_config import PlayConfig, VideoConfig
from rl_discrete.agents.sb3_policy import RandomPolicy
from rl_discrete.agents.trained_agent import TrainedAgent
from rl_discrete.agents.world_video import film_play
from rl_discrete.runs.errors import UsageError
from tests.agents.corridor_env import CorridorEnv
from tests.agents.corridor_model import SIZE, CorridorModel
from tests.world_models.toy import SIDES, CoinModel, CoinStarts, State

PONG = ["NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"]
COIN = ["0", "1", "2"]


class Blind(CoinModel):
    """Shows nothing."""

    def render(self, state: State) -> None:  # type: ignore[override]
        return None


class Person:
    """A window at which keys are pressed as planned; then it is closed."""

    def __init__(self, *plan: str) -> None:
        self.plan = [frozenset(keys.split()) for keys in plan]
        self.shown: list[NDArray[np.uint8]] = []
        self.closed = False

    def show(self, picture: NDArray[np.uint8]) -> None:
        self.shown.append(picture)

    def keys(self) -> frozenset[str] | None:
        return self.plan.pop(0) if self.plan else None

    def close(self) -> None:
        self.closed = True


def side_up(game: ImaginedGame) -> int:
    return int(game._state[0, 0])


def test_a_game_is_paid_as_its_model_says() -> None:
    game, won, sides = ImaginedGame(CoinModel(), CoinStarts(), 0), 0, set()
    for step in range(60):
        sides.add(side_up(game))
        won += side_up(game) == step % SIDES
        game.step(step % SIDES)
    assert (game.steps, game.total, game.over) == (60, won, "")
    assert sides == set(range(SIDES)), "chance is at work"
    for _ in range(5):
        game.step(side_up(game))
    assert game.total == won + 5, "who names the side that lies up is paid"


def test_a_seed_decides_the_game() -> None:
    def film(seed: int) -> NDArray[np.uint8]:
        return np.stack(play_script(ImaginedGame(CoinModel(end=0.2), CoinStarts(), seed), [0, 1, 2] * 5, COIN))

    assert np.array_equal(film(3), film(3))
    assert not np.array_equal(film(3), film(4))


def test_games_end_by_the_models_word_and_another_begins() -> None:
    game = ImaginedGame(CoinModel(end=1.0), CoinStarts(), 0)
    game.step(side_up(game))
    assert (game.over, game.total, game.finished) == ("the end", 1.0, [])
    game.step(0)
    assert (game.over, game.steps, game.finished) == ("", 0, [1.0])
    doubtful = ImaginedGame(CoinModel(doubt=1.0), CoinStarts(), 0)
    doubtful.step(0)
    assert doubtful.over == "in doubt"


def test_keys_become_actions() -> None:
    keys = {"": 0, "FIRE": 1, "RIGHT": 2, "LEFT FIRE": 5, "RIGHT UP": 2, "UP": 0, "4": 4, "9": None, "R": 0}
    assert {text: action_of(frozenset(text.split()), PONG) for text in keys} == keys
    diagonal = ["NOOP", "UP", "UPRIGHT", "UPRIGHTFIRE", "RIGHT"]
    assert action_of(frozenset({"UP", "RIGHT"}), diagonal) == 2
    assert action_of(frozenset({"UP", "RIGHT", "FIRE"}), diagonal) == 3
    numbers = {"": None, "UP": None, "0": 0, "2": 2, "3": None}
    assert {text: action_of(frozenset(text.split()), COIN) for text in numbers} == numbers


def test_a_person_plays_until_the_window_is_closed() -> None:
    game = ImaginedGame(CoinModel(), CoinStarts(), 0)
    person = Person("1", "", "1", "R", "2")
    kept = play_window(game, person, COIN, most=100)
    assert person.closed
    assert (len(person.shown), len(kept)) == (6, 5), "nothing happens where nothing is pressed"
    assert (game.steps, len(game.finished)) == (1, 1)
    assert play_window(ImaginedGame(CoinModel(), CoinStarts(), 0), Person("1", "1"), COIN) == []


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        ("RIGHT 3\n\n# a word\nnoop\nleft # and back\n", [2, 2, 2, 0, 3]),
        ("4 2\n0\n", [4, 4, 0]),
    ],
)
def test_scripts(text: str, actions: list[int], tmp_path: Path) -> None:
    (tmp_path / "script").write_text(text)
    assert read_script(str(tmp_path / "script"), PONG, 5, 0) == actions


def test_a_random_script_has_its_length_and_its_seed() -> None:
    drawn = read_script("random", PONG, 300, 0)
    assert (len(drawn), set(drawn)) == (300, set(range(6)))
    assert drawn == read_script("random", PONG, 300, 0) != read_script("random", PONG, 300, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RIGTH\n", "line 1: unknown action 'RIGTH'; did you mean RIGHT? (or a number from 0 to 5)"),
        ("NOOP\n6\n", "line 2: unknown action '6'"),
        ("LEFT twice\n", "line 1: must be ACTION or ACTION TIMES, got 'LEFT twice'"),
        ("LEFT 0\n", "line 1: must be ACTION or ACTION TIMES"),
        ("# nothing\n", "holds no action"),
        (None, "cannot read the script"),
    ],
)
def test_faulty_scripts_are_named(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "script").write_text(text)
    with pytest.raises(UsageError, match=re.escape(message)):
        read_script(str(tmp_path / "script"), PONG, 5, 0)


def test_a_script_is_filmed(tmp_path: Path) -> None:
    config = PlayConfig(script="random", steps=12)
    game, path = play_run(tmp_path, CoinModel(), CoinStarts(), COIN, config)
    assert path == tmp_path / "videos" / "play.webp"
    assert game.steps == 12
    _, animation = cv2.imreadanimation(str(path))
    assert len(animation.frames) == 13
    with pytest.raises(UsageError, match=r"named \*\.webp"):
        play_run(tmp_path, CoinModel(), CoinStarts(), COIN, PlayConfig(script="random", video=Path("a.mp4")))
    with pytest.raises(UsageError, match="shows no pictures"):
        play_run(tmp_path, Blind(), CoinStarts(), COIN, config)


def test_without_a_display_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(UsageError, match="no display; without a window: --script FILE, or --script random"):
        play_run(tmp_path, CoinModel(), CoinStarts(), COIN)


def test_a_window_of_pygame(monkeypatch: pytest.MonkeyPatch) -> None:
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = open_window("test", 1000.0)
    try:
        picture = np.random.default_rng(0).integers(256, size=(20, 30, 3), dtype=np.uint8)
        window.show(picture)
        surface = pygame.display.get_surface()
        assert np.array_equal(pygame.surfarray.array3d(surface).transpose(1, 0, 2), picture)
        for kind, key in (("KEYDOWN", "K_LEFT"), ("KEYDOWN", "K_r"), ("KEYDOWN", "K_3"), ("KEYUP", "K_3")):
            pygame.event.post(pygame.event.Event(getattr(pygame, kind), key=getattr(pygame, key)))
        assert window.keys() == frozenset({"LEFT", "R", "3"}), "a tap counts once"
        assert window.keys() == frozenset({"LEFT"})
        pygame.event.post(pygame.event.Event(pygame.QUIT))
        assert window.keys() is None
    finally:
        window.close()


def test_the_names_of_actions() -> None:
    pong = TrainedAgent("random", RandomPolicy(6), "Pong", {}, (), 0)
    assert action_names(pong, 6) == PONG
    assert action_names(TrainedAgent("random", RandomPolicy(2), "Corridor-v0", {}, (), 0), 2) == ["0", "1"]


def test_a_film_shows_the_real_env_beside_what_is_imagined() -> None:
    play = record_play(RandomPolicy(2), partial(CorridorEnv, kind="image", size=SIZE), 60, seed=0, num_envs=1)
    counted: list[int] = []
    exact = film_play(CorridorModel(), play, 7, report=counted.append)
    assert counted == list(range(1, len(play) + 1))
    assert len({frame.shape for frame in exact}) == 1
    third = exact[0].shape[1] // 3

    def lit(frame: NDArray[np.uint8], panel: int) -> int:
        """Where the white column of a panel is."""
        row = frame[100, panel * third : (panel + 1) * third].min(axis=1)
        return int(np.flatnonzero(row == 255).mean())

    assert all(lit(frame, 0) == lit(frame, 1) == lit(frame, 2) for frame in exact)
    wrong = film_play(CorridorModel(slip=1.0), play, 7)
    apart = [lit(frame, 1) != lit(frame, 2) for frame in wrong]
    assert all(lit(frame, 0) == lit(frame, 1) for frame in wrong)
    assert any(apart), "the control"
    first = np.diff(play.episodes, prepend=-1) > 0
    assert not np.array(apart)[first].any(), "each episode starts from its real frame"


def test_the_horizon_is_marked() -> None:
    play = record_play(RandomPolicy(2), partial(CorridorEnv, kind="image", size=SIZE), 60, seed=0, num_envs=1)
    marked = [
        bool((frame == (240, 150, 60)).all(axis=2).sum(axis=0).max() > 50)
        for frame in film_play(CorridorModel(), play, 3)
    ]
    expected, since = [], 0
    for row in range(len(play)):
        since = 0 if row == 0 or play.episodes[row] != play.episodes[row - 1] or since == 3 else since + 1
        expected.append(since == 0)
    assert marked == expected


def test_what_cannot_be_filmed() -> None:
    play = record_play(RandomPolicy(2), partial(CorridorEnv, kind="image", size=SIZE), 5, seed=0, num_envs=1)
    with pytest.raises(UsageError, match="horizon must be >= 1, got 0"):
        film_play(CorridorModel(), play, 0)
    with pytest.raises(UsageError, match="horizon must be >= 1, got 0"):
        VideoConfig(horizon=0)


def test_panels_keep_their_places() -> None:
    small, large = np.zeros((8, 8, 3), np.uint8), np.full((105, 80, 3), 200, np.uint8)
    plain = side_by_side([Panel(small, "one"), Panel(large, "two")])
    marked = side_by_side([Panel(small, "other", "words", 0.5, True), Panel(large, "two", "", 1.0)])
    assert plain.shape == marked.shape
    assert (plain == 200).all(axis=2).sum() == 4 * 105 * 80, "twice as large, pixel by pixel"
