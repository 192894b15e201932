"""How often another place of a maze looks more like a frame than its own place does.

    python docs/results/vast/alike.py DoomHMaze OUT.json

Short random walks begin anywhere in the maze. For some of their frames, the most similar frame of other walks within 32
map units and with the same heading is compared with the most similar one from more than 100 units away, by squared
differences of pixels at half the resolution.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rl_discrete.envs.doom_env import DoomMaze
from rl_discrete.envs.make import make_env

FRAMES, WALK, COMPARED, MARGIN = 12_000, 60, 1500, 20.0


def collect(
    name: str, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.int64]]:
    """Frames (N, 3, 60, 80), poses (N, 3), and the walk (N,) that each belongs to."""
    env = make_env(name)
    maze = env.unwrapped
    assert isinstance(maze, DoomMaze)
    room = maze.maze.maps[0]
    corners = np.array(room.corners)
    frames, poses, walks = [], [], []
    walk = 0
    while len(frames) < FRAMES:
        x, y = generator.uniform(corners.min(axis=0), corners.max(axis=0))
        if not all(room.contains((x + dx, y + dy)) for dx in (-MARGIN, MARGIN) for dy in (-MARGIN, MARGIN)):
            continue
        walk += 1
        start = (x, y, 30.0 * generator.integers(12))
        frame, _ = env.reset(seed=int(generator.integers(1 << 30)), options={"state": start})
        for _ in range(WALK):
            frames.append(frame)
            poses.append(maze.diagnostic_state())
            walks.append(walk)
            frame, _, terminated, _, _ = env.step(int(generator.choice(3, p=[0.6, 0.2, 0.2])))
            if terminated:
                break
    env.close()
    return np.array(frames), np.array(poses), np.array(walks)


def main() -> None:
    """Collects, compares and writes the shares."""
    torch.set_num_threads(1)
    name, out = sys.argv[1], Path(sys.argv[2])
    generator = np.random.default_rng(0)
    frames, poses, walks = collect(name, generator)
    images = torch.nn.functional.avg_pool2d(torch.from_numpy(frames).float() / 255, 2).flatten(1)
    chosen = generator.choice(len(frames), COMPARED, replace=False)
    unlike = (images[chosen] ** 2).sum(1)[:, None] + (images**2).sum(1) - 2 * images[chosen] @ images.T
    difference = np.where(walks[chosen][:, None] == walks, np.inf, unlike.numpy())
    away = np.linalg.norm(poses[chosen][:, None, :2] - poses[None, :, :2], axis=2)
    turned = np.abs((poses[chosen][:, None, 2] - poses[:, 2] + 180) % 360 - 180)
    own = np.where((away < 32) & (turned < 5), difference, np.inf).min(axis=1)
    other = np.where(away > 100, difference, np.inf).min(axis=1)
    seen = np.isfinite(own)
    result = {
        "env": name,
        "frames": len(frames),
        "compared": int(seen.sum()),
        "another_place_more_alike": float((other < own)[seen].mean()),
        "twice_as_alike": float((other < own / 2)[seen].mean()),
    }
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(result)


if __name__ == "__main__":
    main()
