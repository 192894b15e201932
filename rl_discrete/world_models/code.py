"""The world model in the space of codes: no pixel is decoded unless somebody looks.

After SimPLe's stochastic discrete model (Kaiser et al. 2019, arXiv 1903.00374), with the frames themselves replaced by
their bits: the dynamics gives a context, and an LSTM over chunks of bits predicts the next code from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.data.history import CodedHistory, History
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.base import ModelStep
from rl_discrete.world_models.code_dynamics import CodeDynamics
from rl_discrete.world_models.code_imagination import FrozenDynamics, Imagined
from rl_discrete.world_models.frame_codec import FrameCodec, Frames


@dataclass(frozen=True)
class CodeState:
    """B imagined episodes."""

    seen: Tensor
    """float32 (B, seen_dim) of zeros and ones, as `CodeDynamics` describes it: what agents see."""
    summaries: tuple[Tensor | None, ...]
    """Of each member of the ensemble: float32 (B, recurrent), or None where there is none."""

    def __len__(self) -> int:
        return len(self.seen)


class CodeWorldModel:
    """A `WorldModel` over the bits of a frame codec; agents see the bits of the last frames and the actions between.

    With an ensemble the first member goes ahead. Each draws its own next code from the same noise; where one differs
    from the first member's in too many bits the step is doubtful, and of the rewards they foresee the one nearest to
    zero is paid, so that no agent lives on what one member alone believes.

    Args:
        codec: frames to bits and back.
        members: the dynamics, 1 to 3 with the same settings; their weights are copied.
    """

    def __init__(self, codec: FrameCodec, members: Sequence[CodeDynamics]) -> None:
        first = members[0]
        if codec.num_latents != first.num_latents:
            raise UsageError(f"the dynamics has {first.num_latents} bits and the codec {codec.num_latents}")
        self.codec = codec
        self.num_actions, self.num_latents = first.num_actions, first.num_latents
        self.history_length, self.num_members = first.context_frames, len(members)
        self.observation_space: gymnasium.Space[Any] = gymnasium.spaces.MultiBinary(first.seen_dim)
        self._members = [FrozenDynamics(member) for member in members]
        self._first = self._members[0].dynamics
        self._disagreement = first.config.disagreement
        self.noise_dim = self._members[0].noise_dim

    def reset(self, history: History) -> CodeState:
        coded = isinstance(history, CodedHistory)
        wanted = (self.history_length, *((self.num_latents,) if coded else self.codec.frame_shape))
        found = history.frames.shape[1:]
        if found[1:] != wanted[1:] or found[0] < wanted[0]:
            raise UsageError(f"histories must be of at least {wanted[0]} frames {wanted[1:]}, got {found}")
        recent = slice(found[0] - wanted[0], None)
        frames, valid = history.frames[:, recent], history.valid[:, recent]
        codes = frames
        if not coded:
            codes = np.zeros((*valid.shape, self.num_latents), np.uint8)
            codes[valid] = self.codec.encode(frames[valid])
        return self.begin(codes, history.actions[:, recent], valid)

    @torch.no_grad()
    def begin(self, codes: NDArray[np.uint8], actions: NDArray[np.int64], valid: NDArray[np.bool_]) -> CodeState:
        """The states after real frames whose codes (B, T, L) are known, T = `history_length`; see `History`."""
        told = (torch.from_numpy(codes).float(), torch.from_numpy(actions), torch.from_numpy(valid))
        looks = [member.dynamics.look(*told) for member in self._members]
        return CodeState(looks[0][0], tuple(summary for _, summary in looks))

    def observe(self, state: CodeState) -> NDArray[np.int8]:
        return state.seen.to(torch.int8).numpy()

    @torch.no_grad()
    def step(self, state: CodeState, actions: NDArray[np.int64], noise: NDArray[np.float32]) -> ModelStep[CodeState]:
        chosen, uniform = torch.from_numpy(np.asarray(actions, np.int64)), torch.from_numpy(noise)
        taken = torch.nn.functional.one_hot(chosen, self.num_actions).float()
        imagined = [
            member.step(state.seen, chosen, summary, uniform)
            for member, summary in zip(self._members, state.summaries, strict=True)
        ]
        codes = imagined[0].codes
        doubtful, rewards = self._agree(imagined)
        following = CodeState(
            self._first.advance(state.seen, codes, taken),
            tuple(
                member.dynamics.remember(summary, codes, taken)
                for member, summary in zip(self._members, state.summaries, strict=True)
            ),
        )
        return ModelStep(following, self.observe(following), rewards.numpy(), imagined[0].ends.numpy(), doubtful)

    def _agree(self, imagined: list[Imagined]) -> tuple[NDArray[np.bool_], Tensor]:
        """Where the members disagree, (B,), and the rewards that all of them grant, (B,)."""
        first = imagined[0]
        if len(imagined) == 1:
            return np.zeros(len(first.codes), np.bool_), first.rewards
        apart = torch.stack([(first.codes != other.codes).sum(1) for other in imagined[1:]]).amax(0)
        rewards = torch.stack([member.rewards for member in imagined])  # (members, B)
        least = rewards.abs().argmin(0, keepdim=True)
        return (apart >= self._disagreement).numpy(), rewards.gather(0, least)[0]

    def select(self, state: CodeState, mask: NDArray[np.bool_], fresh: CodeState) -> CodeState:
        rows = torch.from_numpy(mask)
        return CodeState(
            _replaced(state.seen, rows, fresh.seen),
            tuple(
                None if old is None or new is None else _replaced(old, rows, new)
                for old, new in zip(state.summaries, fresh.summaries, strict=True)
            ),
        )

    def codes(self, state: CodeState) -> NDArray[np.uint8]:
        """Bits uint8 (B, L) of the newest frames."""
        return self._first.newest(state.seen).to(torch.uint8).numpy()

    def frames(self, state: CodeState) -> Frames:
        """The newest frames (B, *frame_shape), decoded."""
        return self.codec.decode(self.codes(state))

    @torch.no_grad()
    def log_prob(self, state: CodeState, actions: NDArray[np.int64], codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Exact log-probability (B,), nats, at temperature 1, that codes (B, L) follow; of the first member."""
        given = self._members[0].context(state.seen, torch.from_numpy(actions), state.summaries[0])
        return self._first.prior.log_prob(torch.from_numpy(codes).long(), given).numpy()

    def render(self, state: CodeState) -> NDArray[np.uint8] | None:
        if len(self.codec.frame_shape) != 3 or self.codec.frame_shape[0] not in (1, 3):
            return None
        pictures = np.asarray(self.frames(state), np.uint8).transpose(0, 2, 3, 1)  # (B, H, W, C)
        return np.ascontiguousarray(np.broadcast_to(pictures, (*pictures.shape[:3], 3)))


def _replaced(old: Tensor, rows: Tensor, new: Tensor) -> Tensor:
    replaced = old.clone()
    replaced[rows] = new
    return replaced
