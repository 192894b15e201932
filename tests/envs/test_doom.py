"""The Doom mazes with a real engine: rewards, ends, experiments, and processes that never stay behind."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import time
import types
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rl_discrete.envs.doom import DoomHall, DoomHallHazard, DoomHMaze, DoomPlusMaze, DoomTMaze
from rl_discrete.envs.doom_engine import DoomEngine, Pose
from rl_discrete.envs.doom_env import DoomMaze
from rl_discrete.envs.doom_map import Point
from rl_discrete.envs.doom_mazes import HALL, PLUS
from rl_discrete.envs.doom_pilot import Pilot
from rl_discrete.runs.errors import RunError, UsageError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("vizdoom") is None, reason="vizdoom is not installed: pip install 'rl-discrete[doom]'"
)

FORWARD, LEFT, RIGHT = 0, 1, 2
CLASSES = (DoomPlusMaze, DoomTMaze, DoomHMaze, DoomHall, DoomHallHazard)
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def make() -> Iterator[Make]:
    """Environments by class and settings, each started once."""
    made: dict[tuple[type[DoomMaze], tuple[tuple[str, object], ...]], DoomMaze] = {}

    def get(kind: type[DoomMaze], **settings: Any) -> DoomMaze:
        key = (kind, tuple(sorted(settings.items())))
        if key not in made:
            made[key] = kind(render_mode="rgb_array", **settings)
        return made[key]

    yield get
    for env in made.values():
        env.close()


def drive(
    env: DoomMaze, state: tuple[float, float, float], route: list[Point], limit: int = 150
) -> tuple[float, bool, int]:
    """Return, whether the episode ended, and steps of a drive from `state` along a route."""
    env.reset(seed=0, options={"state": state})
    pilot, total = Pilot(route), 0.0
    for steps in range(1, limit + 1):
        action = pilot.action(Pose(*env.diagnostic_state()))
        if action is None:
            return total, False, steps - 1
        _, reward, terminated, _, _ = env.step(action)
        total += reward
        if terminated:
            return total, True, steps
    return total, False, limit


def checksums(env: DoomMaze, seed: int, actions: list[int]) -> list[int]:
    """Of every frame of an episode, until it ends."""
    observation, _ = env.reset(seed=seed)
    found = [zlib.crc32(observation.tobytes())]
    for action in actions:
        observation, reward, terminated, _, _ = env.step(action)
        found.append(zlib.crc32(observation.tobytes() + np.float64(reward).tobytes()))
        if terminated:
            break
    return found


@pytest.mark.parametrize("kind", CLASSES)
def test_gymnasium_accepts_it(make: Make, kind: type[DoomMaze]) -> None:
    check_env(make(kind), skip_render_check=True, skip_close_check=True)


@pytest.mark.parametrize("kind", CLASSES)
def test_what_it_shows(make: Make, kind: type[DoomMaze]) -> None:
    env = make(kind)
    observation, _ = env.reset(seed=3)
    assert (observation.shape, observation.dtype) == ((60, 80, 3), np.uint8)
    rendered = env.render()
    assert rendered.shape == (120, 160, 3)
    halved = rendered.reshape(60, 2, 80, 2, 3).mean((1, 3))
    assert np.abs(halved - observation).max() <= 0.5
    assert observation.std() > 10.0  # walls, not a blank screen
    kept = observation.copy()
    env.step(LEFT)
    assert np.array_equal(observation, kept)  # the caller's for good
    assert not np.array_equal(env.render(), rendered)


def test_cells_tell_the_pose_and_nothing_finer(make: Make) -> None:
    env = make(DoomPlusMaze, observe="cells")
    check_env(env, skip_render_check=True, skip_close_check=True)

    def cell(x: float, y: float, degrees: float) -> list[float]:
        return list(env.reset(options={"state": (x, y, degrees)})[0].tolist())

    assert cell(85.0, -30.0, 0.0) == [2.0, -1.0, 0.0]
    assert cell(100.0, -10.0, 359.0) == [2.0, -1.0, 0.0]
    assert cell(125.0, 5.0, 90.0) == [3.0, 0.0, 3.0]
    observation, *_ = env.step(LEFT)
    assert observation.tolist() == [3.0, 0.0, 4.0]


ACTIONS = [0, 0, 1, 0, 2, 2, 0, 0, 0, 1, 0, 1, 1, 0, 0, 2, 0, 0, 2, 0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("controls", ["fast", "native"])
def test_a_seed_and_actions_repeat_every_frame(make: Make, controls: str) -> None:
    env = make(DoomHallHazard, controls=controls)
    first = checksums(env, 5, ACTIONS)
    assert checksums(env, 6, ACTIONS) != first
    for _ in range(3):
        env.step(FORWARD)  # leave the engine in another state, and moving
    assert checksums(env, 5, ACTIONS) == first
    if controls == "fast":
        with_fresh_engine = DoomHallHazard()
        assert checksums(with_fresh_engine, 5, ACTIONS) == first
        with_fresh_engine.close()


def test_seeds_spread_starts_and_headings(make: Make) -> None:
    env = make(DoomPlusMaze)
    states = []
    for seed in range(24):
        env.reset(seed=seed)
        states.append(env.diagnostic_state())
    places, headings = {tuple(s[:2].round()) for s in states}, {round(s[2] / 30.0) % 12 for s in states}
    assert len(places) > 20
    assert len(headings) > 8
    assert all(abs(x) < 550 and abs(y) < 550 for x, y, _ in states)


def test_fast_turns_are_exact_and_never_drift(make: Make) -> None:
    env = make(DoomPlusMaze)
    env.reset(options={"state": (0.0, 0.0, 60.0)})
    for turn in range(1, 40):
        env.step(LEFT)
        x, y, angle = env.diagnostic_state()
        assert (x, y) == (0.0, 0.0)
        assert abs((angle - 60.0 - 30.0 * turn + 180.0) % 360.0 - 180.0) < 0.006
    env.step(RIGHT)
    assert env.diagnostic_state()[2] == pytest.approx((60.0 + 30.0 * 38) % 360.0, abs=0.006)


def test_a_step_forward_in_both_controls(make: Make) -> None:
    steps = {}
    for controls in ("fast", "native"):
        env = make(DoomHallHazard, controls=controls)
        env.reset(options={"state": (-448.0, -400.0, 90.0)})
        places = [env.diagnostic_state()[1]]
        for _ in range(5):
            env.step(FORWARD)
            places.append(env.diagnostic_state()[1])
        steps[controls] = np.diff(places).round().astype(int).tolist()
    assert steps == {"fast": [14, 30, 39, 44, 47], "native": [7, 16, 21, 25, 28]}


END = {
    "plus, east": (DoomPlusMaze, (545, 0, 0), 1.0),
    "plus, west": (DoomPlusMaze, (-545, 0, 180), 1.0),
    "plus, north": (DoomPlusMaze, (0, 545, 90), -1.0),
    "plus, south": (DoomPlusMaze, (0, -545, 270), -1.0),
    "t, foot": (DoomTMaze, (0, -545, 270), 1.0),
    "h, north": (DoomHMaze, (896, 545, 90), 1.0),
    "h, south": (DoomHMaze, (896, -545, 270), -1.0),
    "hall": (DoomHall, (50, 0, 180), 1.0),
    "hall from the south": (DoomHall, (0, -50, 90), 1.0),
    "hall with hazards": (DoomHallHazard, (50, 0, 180), 1.0),
}
NO_END = {
    "plus": (DoomPlusMaze, (500, 0, 180), 0.0),
    "t": (DoomTMaze, (0, -500, 90), -0.01),
    "t, left arm": (DoomTMaze, (-288, 0, 180), -0.01),
    "h, north of the west hall": (DoomHMaze, (-896, 545, 90), -0.01),
    "h, south of the west hall": (DoomHMaze, (-896, -545, 270), -0.01),
    "hall": (DoomHall, (100, 0, 0), -0.01),
}


@pytest.mark.parametrize("case", END)
def test_ends_pay_once(make: Make, case: str) -> None:
    kind, state, reward = END[case]
    env = make(kind)
    env.reset(options={"state": state})
    assert env.step(FORWARD)[1:4] == (reward, True, False)
    with pytest.raises(UsageError, match="call reset"):
        env.step(FORWARD)


@pytest.mark.parametrize("case", NO_END)
def test_elsewhere_steps_cost_what_living_costs(make: Make, case: str) -> None:
    kind, state, reward = NO_END[case]
    env = make(kind)
    env.reset(options={"state": state})
    for action in (FORWARD, LEFT, RIGHT):
        assert env.step(action)[1:4] == (reward, False, False)


def test_reversed_rewards_of_the_plus_maze(make: Make) -> None:
    env = make(DoomPlusMaze)
    paid = []
    for _ in range(3):
        for state in ((545, 0, 0), (0, 545, 90)):
            env.reset(options={"state": state})
            paid.append(env.step(FORWARD)[1])
        env.reset(options={"state": (545, 0, 0)})
        env.reverse_rewards()  # between steps: in force at once
        paid.append(env.step(FORWARD)[1])
    env.reverse_rewards()
    assert paid == [1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0, -1.0, -1.0]
    assert not env.reversed


@pytest.mark.parametrize(
    ("kind", "state", "route", "total"),
    [
        (DoomPlusMaze, (0, 0, 90), [(700.0, 0.0)], 1.0),
        (DoomPlusMaze, (0, 0, 90), [(0.0, -700.0)], -1.0),
        (DoomTMaze, (-288, 0, 0), [(0.0, 0.0), (0.0, -700.0)], 1.0),
        (DoomHMaze, (-1200, 512, 0), [(-896.0, 512.0), (-896.0, 0.0), (896.0, 0.0), (896.0, 700.0)], 1.0),
        (DoomHMaze, (-1200, 512, 0), [(-896.0, 512.0), (-896.0, 0.0), (896.0, 0.0), (896.0, -700.0)], -1.0),
        (
            DoomHall,
            (-448, -448, 90),
            [
                (-448.0, 320.0),
                (320.0, 320.0),
                (320.0, 192.0),
                (-192.0, 192.0),
                (-192.0, -64.0),
                (0.0, -64.0),
                (0.0, 90.0),
            ],
            1.0,
        ),
    ],
)
def test_every_goal_can_be_driven_to(
    make: Make, kind: type[DoomMaze], state: tuple[float, float, float], route: list[Point], total: float
) -> None:
    env = make(kind)
    paid, ended, steps = drive(env, state, route)
    assert ended, env.diagnostic_state()
    assert paid == pytest.approx(total + env.maze.living_reward * (steps - 1))


def test_hazards_cost_one_step_in_four(make: Make) -> None:
    def rewards(kind: type[DoomMaze], state: tuple[int, int, int], seed: int, steps: int) -> list[float]:
        env = make(kind)
        env.reset(seed=seed, options={"state": state})
        return [env.step(LEFT)[1] for _ in range(steps)]

    inside, outside = (32, 225, 0), (32, 320, 0)
    paid = rewards(DoomHallHazard, inside, 1, 160)
    assert set(paid) == {-0.01, -1.01}
    assert 0.14 < np.mean([reward < -1.0 for reward in paid]) < 0.36  # 3.2 standard errors around 1/4
    assert rewards(DoomHallHazard, inside, 1, 30) == paid[:30]
    assert rewards(DoomHallHazard, inside, 2, 30) != paid[:30]
    assert set(rewards(DoomHallHazard, outside, 1, 30)) == set(rewards(DoomHall, inside, 1, 30)) == {-0.01}


def test_the_passage_of_the_t_maze(make: Make) -> None:
    env = make(DoomTMaze)
    start = env.reset(seed=0)[0]
    assert np.array_equal(env.reset(seed=1)[0], start)  # always the same
    assert env.diagnostic_state().tolist() == [-288.0, 0.0, 0.0]
    to_the_foot = [(0.0, 0.0), (0.0, -700.0)]
    assert not drive(env, (286, 0, 180), to_the_foot, 40)[1]
    assert 80.0 <= env.diagnostic_state()[0] < 81.0  # 16 units before the barrier
    with pytest.raises(UsageError, match="open_passage"):
        env.schedule_forced_run()

    env.open_passage()
    env.schedule_forced_run()
    observation, _ = env.reset(seed=0)
    assert env.diagnostic_state().round(2).tolist() == [286.0, 0.0, 180.0]
    rewards, steps = [], 0
    while (action := env.forced_action()) is not None:
        assert env.forced_action() == action  # asking changes nothing
        rewards.append(env.step(action)[1])
        steps += 1
    assert set(rewards) == {-0.01}
    assert steps < 30
    x, y, _ = env.diagnostic_state()
    assert abs(x) <= 48.0
    assert -500.0 < y < -283.0

    env.step(FORWARD)  # the episode goes on
    env.reset(seed=0)
    assert env.forced_action() is None
    assert env.diagnostic_state()[0] == -288.0
    assert np.array_equal(env.reset(seed=0)[0], start)  # the barrier could not be seen
    env.start_in("right")
    assert np.array_equal(env.reset(seed=0)[0], observation)
    assert drive(env, (286, 0, 180), to_the_foot, 40)[1]
    env.start_in("both")
    places = set()
    for seed in range(12):
        env.reset(seed=seed)
        places.add(float(env.diagnostic_state()[0]))
    assert places == {-288.0, 286.0}
    env.start_in("left")
    env.passage = False
    env.reset(seed=0)
    assert not drive(env, (286, 0, 180), to_the_foot, 40)[1]


def test_the_teleporter_of_the_h_maze(make: Make) -> None:
    env = make(DoomHMaze)
    env.reset(options={"state": (-896, -500, 270)})
    assert {env.step(FORWARD)[1:4] for _ in range(8)} == {(-0.01, False, False)}
    assert env.diagnostic_state()[:2].round().tolist() == [-896.0, -560.0]  # at the barrier
    with pytest.raises(UsageError, match="open_teleporter"):
        env.schedule_forced_run()

    env.open_teleporter()  # between steps: in force at once
    env.step(LEFT)
    x, y, angle = env.diagnostic_state()
    assert (round(x), abs(y - 320.0) < 64.0) == (896, True)
    assert angle == pytest.approx(30.0, abs=0.01)  # south became east, and the turn of 30 degrees counts

    env.schedule_forced_run()
    env.reset(seed=0)
    total, steps, terminated = 0.0, 0, False
    while (action := env.forced_action()) is not None:
        _, reward, terminated, _, _ = env.step(action)
        total, steps = total + reward, steps + 1
    assert terminated
    assert steps < 40  # the way without a teleporter takes twice as many from there
    assert total == pytest.approx(1.0 - 0.01 * (steps - 1))
    env.teleporter = False


def test_max_steps_truncates() -> None:
    env = DoomPlusMaze(max_steps=3)
    env.reset(options={"state": (0, 0, 0)})
    assert [env.step(LEFT)[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]
    with pytest.raises(UsageError, match="call reset"):
        env.step(LEFT)
    env.reset(options={"state": (545, 0, 0)})
    env.step(LEFT)
    env.step(RIGHT)
    assert env.step(FORWARD)[1:4] == (1.0, True, False)  # an end is an end, not a cut
    env.close()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda env: env.step(3), "action must be 0 (forward), 1 (left) or 2 (right), got 3"),
        (lambda env: env.step(-1), "got -1"),
        (lambda env: env.reset(options={"state": (100, 100, 0)}), "outside the maze"),
        (lambda env: env.reset(options={"state": (0, 0)}), "a state must be x, y and degrees"),
        (lambda env: env.schedule_forced_run(), "DoomPlusMaze has no forced run"),
    ],
)
def test_faulty_calls(make: Make, act: Callable[[Any], object], message: str) -> None:
    env = make(DoomPlusMaze)
    env.reset(seed=0)
    with pytest.raises(UsageError) as caught:
        act(env)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"controls": "slow"}, "controls must be one of fast, native, got slow"),
        ({"max_steps": 0}, "max_steps must be >= 1"),
        ({"render_mode": "human"}, "render_mode must be one of None, rgb_array, got human"),
        ({"observe": "map"}, "observe must be one of frames, cells, got map"),
    ],
)
def test_faulty_settings_start_no_engine(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DoomPlusMaze(**settings)


def test_without_vizdoom_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    with pytest.raises(UsageError, match=r"pip install 'rl-discrete\[doom\]'"):
        gymnasium.make("rl_discrete/DoomPlusMaze-v0")


def test_missing_game_data_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import vizdoom

    moved = types.ModuleType("vizdoom")
    moved.__dict__.update({**vars(vizdoom), "__file__": str(tmp_path / "__init__.py")})
    monkeypatch.setitem(sys.modules, "vizdoom", moved)
    with pytest.raises(UsageError, match=r"freedoom2\.wad are missing"):
        DoomEngine(PLUS.maps)


@pytest.mark.parametrize("broken", ["missing", "noexec"])
def test_a_temporary_folder_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: str) -> None:
    if broken == "missing":
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    else:
        monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RunError, match="set TMPDIR"):
        DoomEngine(PLUS.maps)


def traces(engine: DoomEngine) -> tuple[int, Path, list[Path]]:
    """What an engine leaves on the machine: its process, its folder, its shared memory."""
    instance = (engine.folder / "instance").read_text().strip()
    return engine.pid, engine.folder, list(Path("/dev/shm").glob(f"*{instance}"))


def gone(pid: int, folder: Path, shared: list[Path], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        alive = Path(f"/proc/{pid}").exists() if Path("/proc").exists() else _alive(pid)
        if not alive and not folder.exists() and not any(path.exists() for path in shared):
            return True
        time.sleep(0.02)
    return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_nothing_stays_behind_when_closed_or_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engine = DoomEngine(HALL.maps)
    left = traces(engine)
    assert left[1].stat().st_mode & 0o077 == 0
    engine.close()
    assert gone(*left, seconds=0.1)
    engine.close()
    with pytest.raises(RunError):
        engine.press(FORWARD, 1)

    engine = DoomEngine(HALL.maps)
    left = traces(engine)
    del engine
    gc.collect()
    assert gone(*left, seconds=0.1)
    assert not list(tmp_path.iterdir())  # nothing in the working directory either


def test_a_dead_engine_is_one_clear_line() -> None:
    env = DoomPlusMaze()
    env.reset(seed=0)
    left = traces(env._engine)
    os.kill(left[0], signal.SIGKILL)
    with pytest.raises(RunError, match="the Doom engine has stopped") as caught:
        env.step(FORWARD)
    assert "\n" not in str(caught.value)
    assert gone(*left)
    env.close()


@pytest.mark.parametrize("end", ["killed", "exited", "interrupted"])
def test_no_engine_outlives_its_parent(end: str) -> None:
    program = """
        import sys
        from rl_discrete.envs.doom import DoomPlusMaze
        env = DoomPlusMaze()
        env.reset(seed=0)
        instance = (env._engine.folder / "instance").read_text().strip()
        print(env._engine.pid, env._engine.folder, instance, flush=True)
        sys.stdin.readline()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert parent.stdout is not None
    pid, folder, instance = parent.stdout.readline().split()
    shared = list(Path("/dev/shm").glob(f"*{instance}"))
    assert _alive(int(pid))
    if end == "killed":
        parent.kill()
    elif end == "interrupted":
        os.killpg(parent.pid, signal.SIGINT)  # as the terminal's Ctrl-C does: to the engine as well
    parent.communicate("\n" if end == "exited" else None, timeout=30)
    assert gone(int(pid), Path(folder), shared)
