from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rl_discrete.runs import seeding
from rl_discrete.runs.errors import Interrupted, RunError, UsageError
from rl_discrete.runs.seeding import derive_seed, make_generator
from rl_discrete.runs.statistics import summarize


def test_a_seed_is_the_same_on_every_machine() -> None:
    assert derive_seed(0) == 5254295370254170289
    assert derive_seed(0, "gs-16x2", "prior", 3) == 6681023499149555874


def test_every_purpose_has_its_own_seed() -> None:
    names: list[tuple[str | int, ...]] = [
        (),
        ("a",),
        ("b",),
        ("ab", "c"),
        ("a", "bc"),
        (1,),
        ("1",),
        (1, 2),
        (2, 1),
    ]
    seeds = {derive_seed(seed, *name) for seed in range(50) for name in names}
    assert len(seeds) == 50 * len(names)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generators_repeat_and_leave_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    draws = [torch.rand(4, generator=make_generator(7, name)) for name in ("noise", "noise", "batches")]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(before, torch.get_rng_state())


def test_no_module_here_imports_torch() -> None:
    modules = [path.stem for path in Path(seeding.__file__).parent.glob("*.py")]
    imports = "".join(f"import rl_discrete.runs.{module}\n" for module in modules)
    code = f"{imports}import sys; print(*({{'torch', 'tensorboard', 'rich'}} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_summarize_divides_by_n_minus_1() -> None:
    assert summarize([2.0, 4.0, 9.0]) == {
        "mean": 5.0,
        "std": pytest.approx(math.sqrt(13.0)),
        "values": [2, 4, 9],
    }
    assert summarize([3.5]) == {"mean": 3.5, "std": 0.0, "values": [3.5]}
    with pytest.raises(ValueError, match="at least one"):
        summarize([])


def test_errors_tell_the_command_line_what_to_do() -> None:
    assert issubclass(UsageError, ValueError)
    assert not issubclass(UsageError, RunError)
    stopped = Interrupted(15)
    assert (stopped.signum, stopped.exit_code) == (15, 143)
    assert "--resume" in str(stopped)
