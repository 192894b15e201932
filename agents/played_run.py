"""Playing inside the world model of a run: what the command `play` does."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from rl_discrete.agents.evaluation import MAX_VIDEO_FRAMES
from rl_discrete.agents.play import ImaginedGame, play_script, play_window, read_script
from rl_discrete.agents.play_window import open_window
from rl_discrete.agents.run_config import PlayConfig
from rl_discrete.agents.trained_agent import TrainedAgent
from rl_discrete.agents.vast import one_thread
from rl_discrete.agents.video import SUFFIX, write_video
from rl_discrete.agents.world_video import check_name
from rl_discrete.world_models.base import WorldModel
from rl_discrete.world_models.starts import Starts


def play_run(
    run: Path, model: WorldModel[Any], starts: Starts, names: list[str], config: PlayConfig | None = None
) -> tuple[ImaginedGame, Path | None]:
    """Lets a person play in a window, or a script without one; the games, and the film if there is one.

    Args:
        run: the run folder.
        model: its world model, as from `rl_discrete.load_world_model`.
        starts: where its games start.
        names: of the actions, see `action_names`.
        config: the settings; None for the defaults.

    Raises:
        UsageError: a wrong script or name of a film, no window here, or a model that shows no pictures.
        RunError: the disk refused.
    """
    config = PlayConfig() if config is None else config
    path = config.video
    if path is None and config.script is not None:
        path = run / "videos" / f"play{SUFFIX}"
    if path is not None:
        check_name(path)
    with one_thread():
        actions = None if config.script is None else read_script(config.script, names, config.steps, config.seed)
        game = ImaginedGame(model, starts, config.seed)
        if actions is not None:
            shown = play_script(game, actions, names)
        else:
            game.picture()  # a model without pictures is found before a window opens
            window = open_window(f"{run} (imagined)", config.fps)
            shown = play_window(game, window, names, 0 if path is None else MAX_VIDEO_FRAMES)
    if path is not None:
        write_video(path, shown, config.fps)
    return game, path


def action_names(agent: TrainedAgent, num_actions: int) -> list[str]:
    """Names of the actions, such as `RIGHT`: those of a game, else their numbers."""
    with closing(agent.make_env()) as env:
        for attribute in ("action_names", "get_action_meanings"):  # ours, and ale-py's own
            try:
                found = env.get_wrapper_attr(attribute)
            except AttributeError:
                continue
            return [str(name) for name in (found() if callable(found) else found)]
    return [str(number) for number in range(num_actions)]
