"""Reinforcement learning on discrete codes.

Importing this package imports neither torch nor gymnasium: its subpackages, `load` and `load_world_model` import what
they need.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from rl_discrete.agents.trained_agent import AnyPolicy
    from rl_discrete.bench.trained_row import TrainedRow
    from rl_discrete.world_models.base import WorldModel
    from rl_discrete.world_models.starts import ReplayStarts

__version__ = "0.1.0"
__all__ = ["__version__", "load", "load_world_model"]


@overload
def load(run: str | Path, *, row: str, seed: int | None = None) -> TrainedRow: ...
@overload
def load(
    run: str | Path,
    *,
    row: None = None,
    seed: int | None = None,
    checkpoint: str | Path | None = None,
    epsilon: float | None = None,
) -> Any: ...  # the folder decides, and nobody wants to narrow a union that they know
def load(
    run: str | Path,
    *,
    row: str | None = None,
    seed: int | None = None,
    checkpoint: str | Path | None = None,
    epsilon: float | None = None,
) -> TrainedRow | AnyPolicy:
    """Give back what a run trained, whatever command made its folder.

    An agent acts in three lines::

        policy = rl_discrete.load("runs/my-run")
        observation, _ = env.reset(seed=0)
        action, state = policy.predict(observation)

    Args:
        run: the run folder, as given to `--out`.
        row: row of a benchmark, such as `ish-32x2`; None where the run holds only one.
        seed: of the row, None for the first that it was run with; or of an agent's random actions, None for 0.
        checkpoint: one of the checkpoints of an agent's run, as a folder; None for the newest that is good.
        epsilon: probability of a random action of a value-based agent (vast, dqn), in [0, 1]; None for 0.05.

    Returns:
        For `mnist-bench` the trained models of a row, as from `rl_discrete.bench.mnist.load_run`. For `train` the
        agent as it acts in the real env, with the `predict` of Stable-Baselines3: an `EncodedPolicy` (simple), a
        `VastPolicy` (vast), an `Sb3Policy` (ppo, dqn) or a `RandomPolicy` (random).

    Raises:
        UsageError: no run of such a command in that folder, no such row, seed or checkpoint in it, or an argument
            that says nothing about such a run.
        RunError: its checkpoints are damaged.
    """
    from rl_discrete.runs.config import read_yaml
    from rl_discrete.runs.errors import UsageError

    path = Path(run)
    owner = read_yaml(path / "versions.json").get("run")  # JSON is YAML
    command = str(owner.get("command")) if isinstance(owner, dict) else ""
    foreign: dict[str, dict[str, object]] = {
        "mnist-bench": {"checkpoint": checkpoint, "epsilon": epsilon},
        "train": {"row": row},
    }
    if command not in foreign:
        raise UsageError(f"{path} holds no run of mnist-bench or train, the commands whose runs can be loaded")
    for name, value in foreign[command].items():
        if value is not None:
            raise UsageError(f"{path} holds a run of {command}, which has no {name}: got {value!r}; leave it out")
    if command == "mnist-bench":
        from rl_discrete.bench.mnist import load_run

        return load_run(path, row=row, seed=seed)

    from rl_discrete.agents.trained_agent import load_agent

    chosen = None if checkpoint is None else Path(checkpoint)
    return load_agent(path, chosen, 0.05 if epsilon is None else epsilon, seed or 0).policy


def load_world_model(run: str | Path, checkpoint: str | Path | None = None) -> tuple[WorldModel[Any], ReplayStarts]:
    """Give back the world model that a run of `rl-discrete train` fitted, and where its imagined episodes start.

    Any agent trains inside::

        model, starts = rl_discrete.load_world_model("runs/my-run")
        env = VectorEnvToVecEnv(WorldModelVectorEnv(model, starts, num_envs=64))
        PPO("MlpPolicy", env).learn(100_000)

    Args:
        run: the run folder, as given to `--out`; nothing in it is changed.
        checkpoint: one of its checkpoints, as a folder; None for the newest that is good.

    Raises:
        UsageError: the folder holds no such run, or it has no world model yet.
        RunError: its checkpoints or its replay are damaged.
    """
    from rl_discrete.agents.trained_world import load_world_model

    return load_world_model(Path(run), None if checkpoint is None else Path(checkpoint))
