"""Published scores of Atari games after 100,000 env steps, and the human-normalised score.

All figures are for 100,000 agent steps at a frame skip of 4. `random`, `human` and `simple` are the columns that later
papers reprint for SimPLe (Kaiser et al. 2020, arXiv 1903.00374); `seeds` are the five single runs that IRIS (Micheli
et al. 2023, arXiv 2209.00588) publishes as data. In 12 of the 26 games the column is higher than the mean of the seeds
(it seems to mix variants of the method), so both stand here: compare with the seeds where you can.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """What is known of one game, in points of the game."""

    random: float
    """A policy that draws its actions uniformly."""
    human: float
    """A professional tester (Mnih et al. 2015)."""
    simple: float
    """SimPLe, as reprinted."""
    seeds: tuple[float, ...]
    """SimPLe, five runs."""

    @property
    def seeds_mean(self) -> float:
        """Mean of the five runs."""
        return math.fsum(self.seeds) / len(self.seeds)

    def normalise(self, score: float) -> float:
        """The human-normalised score: 0 for a random policy, 1 for the human."""
        return (score - self.random) / (self.human - self.random)


def game_of(env: str) -> str | None:
    """The game of `PUBLISHED` that an env plays, however it is spelled; None for any other env.

    `Pong`, `ms_pacman`, `rl_discrete/Pong-v0`, `ALE/Pong-v5` and `PongNoFrameskip-v4` are all understood.
    """
    bare = re.sub(r"(NoFrameskip|Deterministic)?(-v\d+)?$", "", env.rpartition("/")[2])
    return _SPELLED.get(bare.lower().replace("_", "").replace("-", ""))


def published(env: str) -> Published | None:
    """The published scores of the game that an env plays; None where there are none."""
    game = game_of(env)
    return None if game is None else PUBLISHED[game]


PUBLISHED = {
    "Alien": Published(227.8, 7127.7, 616.9, (677.2, 435.5, 515.9, 425.3, 1030.5)),
    "Amidar": Published(5.8, 1719.5, 88.0, (93.7, 102.7, 63.7, 31.0, 80.2)),
    "Assault": Published(222.4, 742.0, 527.2, (457.9, 606.2, 509.1, 671.1, 391.8)),
    "Asterix": Published(210.0, 8503.3, 1128.3, (1061.7, 1108.6, 920.3, 1065.6, 1485.2)),
    "BankHeist": Published(14.2, 753.1, 34.2, (43.9, 77.5, 0.0, 31.9, 18.0)),
    "BattleZone": Published(2360.0, 37187.5, 5184.4, (4031.2, 4031.2, 5359.4, 3484.4, 3250.0)),
    "Boxing": Published(0.1, 12.1, 9.1, (12.7, 21.0, 0.1, -4.4, 9.4)),
    "Breakout": Published(1.7, 30.5, 16.4, (10.3, 16.4, 22.8, 16.4, 16.0)),
    "ChopperCommand": Published(811.0, 7387.8, 1246.9, (962.5, 896.9, 909.4, 848.4, 1279.7)),
    "CrazyClimber": Published(10780.5, 35829.4, 62583.6, (54370.3, 57220.3, 51150.0, 87593.8, 62583.6)),
    "DemonAttack": Published(152.1, 1971.0, 208.1, (288.9, 208.1, 161.2, 177.6, 204.8)),
    "Freeway": Published(0.0, 29.6, 20.3, (0.0, 0.0, 21.5, 29.9, 32.0)),
    "Frostbite": Published(65.2, 4334.7, 254.7, (262.3, 248.8, 205.8, 266.9, 200.6)),
    "Gopher": Published(257.6, 2412.5, 771.0, (447.5, 732.5, 525.3, 432.8, 845.6)),
    "Hero": Published(1027.0, 30826.4, 2656.6, (3061.6, 3020.9, 2060.4, 2935.0, 2205.2)),
    "Jamesbond": Published(29.0, 302.8, 125.3, (141.4, 50.0, 110.9, 123.4, 76.6)),
    "Kangaroo": Published(52.0, 3035.0, 323.1, (65.6, 62.5, 25.0, 40.6, 62.5)),
    "Krull": Published(1598.0, 2665.5, 4539.9, (3317.5, 1933.7, 1739.0, 1379.6, 2654.3)),
    "KungFuMaster": Published(258.5, 22736.3, 17257.2, (14318.8, 15023.4, 14134.4, 21054.7, 9781.2)),
    "MsPacman": Published(307.3, 6951.6, 1480.0, (1551.1, 1221.2, 1199.1, 1525.0, 1903.4)),
    "Pong": Published(-20.7, 14.6, 12.8, (21.0, -17.9, 19.3, 20.7, 21.0)),
    "PrivateEye": Published(24.9, 69571.3, 58.3, (100.0, 0.0, 100.0, -25.1, 0.0)),
    "Qbert": Published(163.9, 13455.0, 1288.8, (4259.0, 150.0, 580.1, 798.8, 656.2)),
    "RoadRunner": Published(11.5, 7845.0, 5640.6, (3081.2, 900.0, 5906.2, 11176.6, 7139.1)),
    "Seaquest": Published(68.4, 42054.7, 683.3, (711.6, 455.3, 565.6, 854.1, 830.0)),
    "UpNDown": Published(533.4, 11693.2, 3350.3, (8614.5, 1616.1, 498.6, 661.2, 5360.9)),
}
"""By the names of this library's envs."""

_SPELLED = {game.lower(): game for game in PUBLISHED}
