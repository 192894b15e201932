"""Saved states: one flat dictionary of named tensors, checked before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from rl_discrete.runs.errors import UsageError


def section(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries `prefix.name`, under `name`."""
    start = prefix + "."
    return {name[len(start) :]: value for name, value in state.items() if name.startswith(start)}


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `section`: every `name` as `prefix.name`."""
    return {f"{prefix}.{name}": value for name, value in state.items()}


def check_state(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Raises UsageError where names or shapes are not those expected."""
    for name in sorted(expected.keys() | state.keys()):
        wanted, found = expected.get(name), state.get(name)
        if wanted is None or found is None or wanted.shape != found.shape:
            shapes = [str(tuple(tensor.shape)) if tensor is not None else "nothing" for tensor in (wanted, found)]
            raise UsageError(
                f"the saved encoder is another one: {name} should be {shapes[0]} and is {shapes[1]}; "
                "give the settings that it was trained with"
            )
