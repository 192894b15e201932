"""Episodes replay exactly from their seed and actions; what does not is found out."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest

from rl_discrete.envs.chw import AnyEnv
from rl_discrete.envs.episodes import EpisodeEnvs, StepResult
from rl_discrete.envs.grid import GridWind
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.seeding import derive_seed
from tests.envs.counting_env import CountingEnv


def wind() -> AnyEnv:
    return gymnasium.wrappers.TimeLimit(GridWind(), 9)


def played(envs: EpisodeEnvs, steps: int, seed: int) -> list[StepResult]:
    """Random play; ended environments begin before the next step."""
    generator = np.random.default_rng(seed)
    results = []
    for _ in range(steps):
        if envs.ended.any():
            envs.begin(envs.ended)
        results.append(envs.step(generator.integers(envs.action_space.n, size=envs.num_envs)))  # type: ignore[attr-defined]
    return results


def same(a: StepResult, b: StepResult) -> bool:
    columns = ("observations", "rewards", "terminated", "truncated")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in columns) and a.infos == b.infos


def saved(envs: EpisodeEnvs) -> dict[str, npt.NDArray[Any]]:
    return {name: array.copy() for name, array in envs.state().items()}


def test_successors_are_true_and_nothing_resets_itself() -> None:
    envs = EpisodeEnvs(lambda: CountingEnv(terminate_at=3, truncate_at=4), 2, seed=0)
    envs.reset_all()
    for count in (1, 2):
        result = envs.step([0, 0])
        assert result.observations[:, 2].tolist() == [count, count]
        assert not result.ended.any()
    result = envs.step([0, 1])
    assert result.observations[:, 2].tolist() == [3, 4]
    assert result.rewards.tolist() == [3.0, 4.0]
    assert result.terminated.tolist() == [True, True]
    assert result.truncated.tolist() == [False, True]
    assert result.infos == [{"count": 3}, {"count": 4}]
    assert envs.ended.tolist() == [True, True]
    observations = envs.begin([True, False])
    assert observations[:, 2].tolist() == [0, 4]
    assert envs.episodes.tolist() == [1, 0]
    with pytest.raises(UsageError, match="environment 1 has no running episode: call begin"):
        envs.step([0, 0])
    assert envs.begin([False, True])[:, 2].tolist() == [0, 0]
    envs.step([0, 0])


def test_results_are_not_changed_by_later_steps() -> None:
    envs = EpisodeEnvs(CountingEnv, 1, seed=0)
    first = envs.reset_all()
    second = envs.step([0])
    envs.step([0])
    assert (first[0, 2], second.observations[0, 2]) == (0, 1)


def test_every_episode_has_a_seed_of_its_own() -> None:
    def starts(seed: int) -> list[float]:
        envs = EpisodeEnvs(CountingEnv, 2, seed)
        return [float(number) for _ in range(3) for number in envs.reset_all()[:, 3]]

    assert starts(5) == starts(5)
    assert len(set(starts(5))) == 6
    assert starts(5) != starts(6)
    env = CountingEnv()
    expected = [env.reset(seed=derive_seed(5, "episode", 1, episode) % 2**31)[0][3] for episode in range(3)]
    assert starts(5)[1::2] == expected


@pytest.mark.parametrize("steps", [0, 1, 8, 9, 10, 25])
@pytest.mark.parametrize("begun", [False, True])
def test_resume_replays_exactly(steps: int, begun: bool) -> None:
    """At the start, amid an episode, at its end (9 steps are the limit), and after the next has begun."""
    whole = EpisodeEnvs(wind, 3, seed=1)
    whole.reset_all()
    played(whole, steps, seed=2)
    if begun and whole.ended.any():
        whole.begin(whole.ended)
    state = saved(whole)
    rest = played(whole, 30, seed=3)

    resumed = EpisodeEnvs(wind, 3, seed=1)
    lines: list[str] = []
    observations, restarted = resumed.restore(state, warn=lines.append)
    assert not restarted.any()
    assert lines == []
    assert {name: array.tolist() for name, array in resumed.state().items()} == {
        name: array.tolist() for name, array in state.items()
    }
    if steps:
        check = EpisodeEnvs(wind, 3, seed=1)
        check.reset_all()
        last = played(check, steps, seed=2)[-1].observations
        if begun and check.ended.any():
            last = check.begin(check.ended)
        assert np.array_equal(observations, last)
    again = played(resumed, 30, seed=3)
    assert all(same(a, b) for a, b in zip(rest, again, strict=True))
    other = EpisodeEnvs(wind, 3, seed=1)
    other.reset_all()
    unlike = [not same(a, b) for a, b in zip(rest, played(other, 30, seed=3), strict=True)]
    assert any(unlike) == (steps > 0)  # the control: another start, unless nothing had been played


def test_state_before_the_first_episode() -> None:
    fresh = EpisodeEnvs(wind, 2, seed=1)
    resumed = EpisodeEnvs(wind, 2, seed=1)
    resumed.reset_all()
    resumed.restore(fresh.state())
    assert np.array_equal(resumed.reset_all(), fresh.reset_all())


def test_an_environment_that_does_not_reproduce_itself_restarts_with_one_line() -> None:
    def make(drifting: int) -> EpisodeEnvs:
        names = iter(range(3))
        return EpisodeEnvs(lambda: _drifting(next(names) == drifting), 3, seed=0)

    envs = make(drifting=1)
    for _ in range(4):
        envs.reset_all()  # the drifting one remembers these
    for _ in range(5):
        envs.step([0, 0, 0])
    resumed, lines = make(drifting=1), list[str]()
    observations, restarted = resumed.restore(envs.state(), warn=lines.append)
    assert restarted.tolist() == [False, True, False]
    assert len(lines) == 1
    assert "environment 1 did not repeat its episode" in lines[0]
    assert "\n" not in lines[0]
    assert observations[:, 2].tolist() == [5, 0, 5]
    assert resumed.episodes.tolist() == [3, 4, 3]
    resumed.step([0, 0, 0])


def _drifting(drifts: bool) -> CountingEnv:
    return CountingEnv(drifts=drifts)


@pytest.mark.parametrize("spoilt", ["checksums", "actions", "ended", "seed"])
def test_any_difference_is_seen(spoilt: str) -> None:
    envs = EpisodeEnvs(wind, 1, seed=0)
    envs.reset_all()
    played(envs, 6, seed=0)
    state = saved(envs)
    if spoilt == "actions":
        state["actions"][2] = (state["actions"][2] + 1) % 4
    elif spoilt != "seed":
        state[spoilt] = state[spoilt] ^ 1 if spoilt == "checksums" else ~state[spoilt]
    lines: list[str] = []
    resumed = EpisodeEnvs(wind, 1, seed=int(spoilt == "seed"))
    _, restarted = resumed.restore(state, warn=lines.append)
    assert restarted.all()
    assert len(lines) == 1
    assert not resumed.ended.any()


def test_an_episode_that_now_ends_early_restarts() -> None:
    envs = EpisodeEnvs(lambda: CountingEnv(terminate_at=50), 1, seed=0)
    envs.reset_all()
    for _ in range(10):
        envs.step([0])
    lines: list[str] = []
    shorter = EpisodeEnvs(lambda: CountingEnv(terminate_at=4), 1, seed=0)
    assert shorter.restore(envs.state(), warn=lines.append)[1].all()
    assert len(lines) == 1


def test_call_reaches_methods_and_attributes_under_wrappers() -> None:
    envs = EpisodeEnvs(lambda: gymnasium.wrappers.TimeLimit(CountingEnv(), 5), 2, seed=0)
    envs.reset_all()
    envs.step([0, 1])
    assert envs.call("diagnostic_state") == [1, 2]
    assert envs.call("diagnostic_state", times=3) == [3, 6]
    assert envs.call("truncate_at") == [1000, 1000]


def test_actions_of_a_box() -> None:
    class Boxed(CountingEnv):
        def __init__(self) -> None:
            super().__init__()
            self.action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)  # type: ignore[assignment]

        def step(self, action: Any) -> Any:
            assert action.shape == (2,)
            return super().step(np.int64(action[0] > 0))

    envs = EpisodeEnvs(Boxed, 2, seed=0)
    envs.reset_all()
    envs.step([[0.5, 0.0], [-0.5, 0.0]])
    resumed = EpisodeEnvs(Boxed, 2, seed=0)
    observations, restarted = resumed.restore(envs.state())
    assert not restarted.any()
    assert observations[:, 2].tolist() == [2, 1]


def test_misuse() -> None:
    envs = EpisodeEnvs(CountingEnv, 2, seed=0)
    with pytest.raises(UsageError, match="no running episode"):
        envs.step([0, 0])
    envs.reset_all()
    with pytest.raises(UsageError, match="one of each of the 2 environments"):
        envs.step([0, 0, 0])
    with pytest.raises(UsageError, match=r"mask must be bool \(2,\)"):
        envs.begin([True])
    with pytest.raises(UsageError, match=r"mask must be bool \(2,\), got int64"):
        envs.begin([1, 0])
    with pytest.raises(UsageError, match="num_envs must be >= 1, got 0"):
        EpisodeEnvs(CountingEnv, 0, seed=0)
    with pytest.raises(UsageError, match="checkpoint holds 2 environments, this run 3"):
        EpisodeEnvs(CountingEnv, 3, seed=0).restore(envs.state())


def test_environments_are_closed_whatever_happens() -> None:
    made: list[CountingEnv] = []

    def second_fails() -> AnyEnv:
        if made:
            raise RuntimeError("no memory")
        made.append(CountingEnv())
        return made[0]

    with pytest.raises(RuntimeError, match="no memory"):
        EpisodeEnvs(second_fails, 2, seed=0)
    assert made[0].closed

    different: list[AnyEnv] = [CountingEnv(), GridWind()]
    with pytest.raises(UsageError, match="the same spaces"):
        EpisodeEnvs(lambda: different.pop(0), 2, seed=0)
    envs = EpisodeEnvs(CountingEnv, 2, seed=0)
    envs.close()
    assert envs.call("closed") == [True, True]
