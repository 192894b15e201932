"""The ten defects of the original VaST, and the tests that would catch each of them if it came back.

1. Sweeps tied to the clock; an empty queue is polled.
2. The last observation of a cut episode is relabelled from the blank before the next start.
3. An action that nobody ever tried sets the values of all others to 0.
4. A broken reward head; flags that are read and never used.
5. Testing ignores the observation that a reset returns.
6. Positions beyond the size of the replay are excluded by deleting them: ignored once, an error today.
7. Removing what is not there wraps an unsigned count; rounding errors add up.
8. log(1 + exp) overflows; a uniform frame is divided by its maximum.
9. A forced run jumps over the step at which training is due.
10. End rewards of two mazes that no position ever pays.
"""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from rl_discrete.mdp.sweeping import PrioritizedSweeping
from rl_discrete.mdp.tabular import TabularMDP

TESTS = Path(__file__).parents[1]
CAUGHT_BY = {
    1: ("mdp/test_sweeping.py::test_budgets",),
    2: (
        "data/test_replay.py::test_a_cut_episode_is_not_relabelled_from_the_start_of_the_next",
        "data/test_replay.py::test_a_link_across_a_cut_would_be_noticed",
        "agents/test_tabulation.py::test_relabelling_a_start_leaves_the_end_of_the_episode_before_alone",
    ),
    3: ("agents/test_tabulation.py::test_only_untried_actions_fall_back",),
    4: (
        "encoders/test_vast.py::test_no_setting_is_dead",
        "encoders/test_vast.py::test_rewards_shape_no_code",
    ),
    5: ("agents/test_vast.py::test_training_and_testing_use_the_observation_that_reset_returns",),
    6: ("data/test_replay.py::test_positions_beyond_the_size_are_never_drawn",),
    7: (
        "mdp/test_tabular.py::test_removing_what_was_never_added",
        "mdp/test_sweeping.py::test_refused_removals_leave_the_values_alone",
        "mdp/test_sweeping.py::test_rounding_errors_do_not_add_up",
    ),
    8: (
        "encoders/test_vast.py::test_sure_bits_and_sure_priors_keep_the_loss_finite",
        "encoders/test_vast.py::test_blank_and_uniform_frames_are_encoded",
    ),
    9: ("agents/test_vast.py::test_a_forced_run_skips_no_training_period",),
    10: (
        "envs/test_doom.py::test_ends_pay_once",
        "envs/test_doom.py::test_hazards_cost_one_step_in_four",
    ),
}


@pytest.mark.parametrize("defect", CAUGHT_BY)
def test_every_defect_has_its_test(defect: int) -> None:
    """A test that is renamed or deleted takes its line here with it."""
    for where in CAUGHT_BY[defect]:
        file, _, name = where.partition("::")
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, where


def test_an_empty_queue_ends_planning_at_once() -> None:
    """The rest of defect 1: no sweep is made, and none is waited for, where nothing is left to do."""
    planner = PrioritizedSweeping(TabularMDP(1), 0.9)
    assert planner.plan(10**9) == 0
    key = np.ones((1, 1), np.uint64)
    planner.observe(key, [0], [1.0], key, [True])
    assert planner.plan(10**9) == 1
    assert planner.queue_length == 0
    assert planner.plan(10**9) == 0
