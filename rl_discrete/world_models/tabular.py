"""A table's counts as a world model: agents train in the exact empirical MDP of an encoder's codes."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rl_discrete.data.history import History
from rl_discrete.encoders.base import Encoder
from rl_discrete.latents.codes import WORD_BITS, bits_per_latent
from rl_discrete.mdp.compiled import kernel
from rl_discrete.mdp.sampling import TableSampler, Untried
from rl_discrete.mdp.tabular import Keys
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.base import ModelStep

States = NDArray[np.int64]
"""(B,) states of the table, by their numbers in its picture."""


class TabularWorldModel:
    """Samples the transitions that a table has counted; see `mdp.sampling` for rewards and for untried actions.

    An agent sees the bits of the key of the state, `MultiBinary(L * ceil(log2 K))`, latent by latent, lowest bit first.
    Real frames are shown as the bits of their key, or, where the table has no such key, of the nearest one. An episode
    that ends has no next state in the table: the step shows the state that it ended in. The table trusts all its
    counts, so no step is doubtful.

    The empirical MDP is that of Corneil, Gerstner and Brea, "Efficient Model-Based Deep RL with Variational State
    Tabulation" (ICML 2018), who plan in it; here any agent may learn in it by trial and error.

    Args:
        transitions: a picture of the table.
        encoder: the one that its keys come from, with fixed weights: `frozen_copy()` of one that still learns.
        stack: frames in an observation of the encoder, >= 1.
        untried: what an action does where it was never tried, "nearest" or "stay".

    Raises:
        UsageError: an empty table, one of another encoder, or an option that does not exist.
    """

    noise_dim = 1

    def __init__(
        self, transitions: Transitions, encoder: Encoder, stack: int = 1, untried: Untried = "nearest"
    ) -> None:
        if transitions.key_words != encoder.key_words:
            raise UsageError(
                f"the table has keys of {transitions.key_words} words and the encoder makes keys of "
                f"{encoder.key_words}: give the encoder that the table was made with"
            )
        if stack < 1:
            raise UsageError(f"stack must be >= 1, got {stack}")
        self.num_actions = transitions.num_actions
        self.history_length = stack
        self.sampler = TableSampler(transitions, untried)
        self._encoder = encoder
        self._places = bit_places(encoder.num_latents, encoder.num_categories)
        self.observation_space: gymnasium.Space[Any] = gymnasium.spaces.MultiBinary(len(self._places))

    @property
    def transitions(self) -> Transitions:
        """The picture of the table."""
        return self.sampler.transitions

    def reset(self, history: History) -> States:
        """The states of real frames: those of their keys, or of the nearest keys that were ever left.

        Raises:
            UsageError: frames of another shape than the encoder's, or fewer of them than its stack.
        """
        return self.sampler.states(self._encoder.encode(newest_first(history, self.history_length)))

    def observe(self, state: States) -> NDArray[np.int8]:
        """The bits of the keys, int8 (B, D)."""
        bits = np.empty((len(state), len(self._places)), np.int8)
        _spread(self.transitions.keys, np.ascontiguousarray(state), self._places, bits)
        return bits

    def step(self, state: States, actions: NDArray[np.int64], noise: NDArray[np.float32]) -> ModelStep[States]:
        """One step of B episodes; `noise` float32 (B, 1) picks one of the transitions that were counted.

        Raises:
            UsageError: shapes that do not fit, or an action out of range.
        """
        if noise.shape != (len(state), self.noise_dim):
            raise UsageError(f"noise must have the shape ({len(state)}, {self.noise_dim}), got {noise.shape}")
        drawn = self.sampler.step(state, actions, noise[:, 0])
        doubtful = np.zeros(len(state), np.bool_)
        return ModelStep(drawn.states, self.observe(drawn.states), drawn.rewards, drawn.terminated, doubtful)

    def select(self, state: States, mask: NDArray[np.bool_], fresh: States) -> States:
        """`state` with the states `fresh` where `mask` is set."""
        chosen = state.copy()
        chosen[mask] = fresh
        return chosen

    def render(self, state: States) -> NDArray[np.uint8] | None:
        """What the encoder decodes the keys to, uint8 (B, H, W, 3), grey where it is not RGB; None if it cannot."""
        pictures = self._encoder.decode(self.transitions.keys[state])  # (B, C, H, W)
        if pictures is None:
            return None
        if pictures.shape[1] != 3:
            pictures = pictures.mean(axis=1, keepdims=True).astype(np.uint8).repeat(3, axis=1)
        return np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))


def newest_first(history: History, stack: int) -> NDArray[Any]:
    """Observations (B, stack * C, H, W) or (B, stack * D) as `Replay.observations` gives them: newest frame first.

    Raises:
        UsageError: the history is shorter than the stack.
    """
    length = history.frames.shape[1]
    if length < stack:
        raise UsageError(f"the history must hold at least {stack} frames, as many as the encoder's stack, got {length}")
    newest = history.frames[:, : -stack - 1 : -1]  # (B, stack, *frame_shape)
    return np.ascontiguousarray(newest).reshape(len(newest), stack * newest.shape[2], *newest.shape[3:])


def bit_places(num_latents: int, num_categories: int) -> NDArray[np.int64]:
    """Where `latents.codes.pack` puts the bits of a code, (L * bits of a latent,): 64 * word + bit of the word.

    Raises:
        UsageError: sizes that no code can have.
    """
    bits = bits_per_latent(num_categories)
    words, slots = np.divmod(np.arange(num_latents), WORD_BITS // bits)
    places: NDArray[np.int64] = words[:, None] * WORD_BITS + slots[:, None] * bits + np.arange(bits)
    return places.reshape(-1)


@kernel
def _spread(keys: Keys, states: NDArray[np.int64], places: NDArray[np.int64], bits: NDArray[np.int8]) -> None:
    """The bits of keys, one a column."""
    for index in range(len(states)):
        state = states[index]
        for column in range(len(places)):
            place = places[column]
            bits[index, column] = (keys[state, place >> 6] >> np.uint64(place & 63)) & np.uint64(1)
