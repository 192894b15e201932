"""A film of a world model at work: the real env, what its codes keep of it, and what it imagines, side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.panels import Panel, side_by_side
from rl_discrete.agents.real_play import RealPlay, as_pictures, record_play
from rl_discrete.agents.run_config import VideoConfig
from rl_discrete.agents.trained_agent import load_agent
from rl_discrete.agents.vast import one_thread
from rl_discrete.agents.video import SUFFIX, write_video
from rl_discrete.envs.noise import NoiseStreams
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.progress import Progress
from rl_discrete.runs.seeding import derive_seed
from rl_discrete.world_models.base import WorldModel


def film_world(run: Path, model: WorldModel[Any], config: VideoConfig | None = None) -> Path:
    """Films fresh episodes of a run's agent in its real env beside its world model; the path of the film.

    Args:
        run: the run folder.
        model: its world model, as from `rl_discrete.load_world_model`.
        config: the settings; None for the defaults.

    Raises:
        UsageError: the folder holds no such run, it has no checkpoint yet, or its model shows no pictures.
        RunError: its checkpoints are damaged, or the disk refused.
    """
    config = VideoConfig() if config is None else config
    path = run / "videos" / f"world{SUFFIX}" if config.out is None else config.out
    check_name(path)
    with one_thread(), Progress() as progress:
        agent = load_agent(run, None, config.epsilon, config.seed, progress.log)
        task = progress.add(f"{agent.name} on {agent.env}, filmed, steps", config.steps)
        play = record_play(agent.policy, agent.make_env, config.steps, seed=config.seed, num_envs=1)
        frames = film_play(model, play, config.horizon, config.seed, lambda made: progress.update(task, made))
        progress.finish(task)
        write_video(path, frames, config.fps)
    return path


def film_play(
    model: WorldModel[Any],
    play: RealPlay,
    horizon: int,
    seed: int = 0,
    report: Callable[[int], None] | None = None,
) -> list[NDArray[np.uint8]]:
    """One picture (H, W, 3) for each frame of a play: real | reconstruction | imagined under the recorded actions.

    The model starts from a real frame, imagines `horizon` steps, and starts anew from the real frame of that moment.
    A bright frame marks the start, and a bar grows towards the horizon. Real vectors have no picture of their own: for
    them the first panel is missing.

    Args:
        model: the world model.
        play: real episodes; the model starts anew where one of them does.
        horizon: imagined steps, >= 1.
        seed: of the model's noise.
        report: called with the number of frames so far.

    Raises:
        UsageError: a horizon below 1, or a model that shows no pictures.
    """
    if horizon < 1:
        raise UsageError(f"horizon must be >= 1, got {horizon}")
    noise = NoiseStreams(model.noise_dim, [(derive_seed(seed, "film"), 0)])
    real = as_pictures(play.frames)
    state, imagined, earned, truth, over = None, 0, 0.0, 0.0, ""
    film = []
    for row in range(len(play)):
        here = model.reset(play.history(np.array([row]), model.history_length))
        starts_episode = row == 0 or play.episodes[row] != play.episodes[row - 1]
        if state is None or starts_episode or imagined == horizon:
            state, imagined, earned, truth, over = here, 0, 0.0, 0.0, ""
        else:
            step = model.step(state, play.actions[row : row + 1], noise.for_step())
            state, imagined = step.state, imagined + 1
            earned, truth = earned + float(step.reward[0]), truth + float(play.rewards[row])
            over = over or ("end" if step.terminated[0] else "doubt" if step.doubtful[0] else "")
        decoded, dreamt = model.render(here), model.render(state)
        if decoded is None or dreamt is None:
            raise UsageError("this world model shows no pictures: there is nothing to film")
        panels = [
            Panel(decoded[0], "reconstruction"),
            Panel(
                dreamt[0],
                f"imagined {imagined}/{horizon}",
                f"reward {earned:g} {over}",
                imagined / horizon,
                imagined == 0,
            ),
        ]
        if real is not None:
            panels.insert(0, Panel(real[row], "real", f"reward {truth:g}" + (" end" if play.terminated[row] else "")))
        film.append(side_by_side(panels))
        if report is not None:
            report(len(film))
    return film


def check_name(path: Path) -> None:
    """Raises UsageError, before any work, where a video could not be written."""
    if path.suffix != SUFFIX:
        raise UsageError(f"a video is named *{SUFFIX}, got {path}")
