"""SimPLe's world model: frames and actions to frames, with random bits that an LSTM predicts.

Source: Kaiser et al. 2019 (arXiv 1903.00374) and its code in Tensor2Tensor.
"""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_discrete.data.history import History
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.base import ModelStep
from rl_discrete.world_models.outcome_heads import drawn_outcomes, likeliest_outcomes
from rl_discrete.world_models.pixel_backbone import Encoded
from rl_discrete.world_models.pixel_coding import Bytes, PixelCoding
from rl_discrete.world_models.pixel_predictor import PixelPredictor


@dataclass(frozen=True)
class PixelState:
    """B imagined episodes."""

    frames: Bytes
    """(B, context, C, H, W) the last frames as agents see them, oldest first; zeros before an episode's start."""
    symbols: Tensor
    """(B, T, P, H, W) uint8, what the network sees of them: the newest (T = 1), or all where it stacks them."""
    valid: Tensor
    """(B, T) bool"""
    memory: Tensor
    """(B, recurrent, h, w) what is remembered of all frames but the newest."""


class PixelWorldModel:
    """The model as a step function. Nothing is random in it but the bits (and the outcomes, if they are drawn).

    One step is one pass of the network and one update of the remembered state: frames of the context pass through the
    update alone, once, when a state is made from a history.

    Attributes:
        observation_space: the last `context` frames, newest first in the channels, as real envs stack them.

    Args:
        predictor: the network, in evaluation mode.
        coding: of the frames.
    """

    def __init__(self, predictor: PixelPredictor, coding: PixelCoding) -> None:
        self.predictor, self.coding = predictor, coding
        self.num_actions = predictor.actions.num_embeddings
        self.history_length = predictor.context
        self._draws_outcomes = predictor.config.outcomes == "sampled"
        self.noise_dim = predictor.code_noise + 2 * self._draws_outcomes
        shape = (predictor.context * coding.channels, coding.height, coding.width)
        self.observation_space: gymnasium.Space[Bytes] = gymnasium.spaces.Box(0, 255, shape, np.uint8)

    @torch.no_grad()
    def reset(self, history: History) -> PixelState:
        length, shape = self.history_length, (self.coding.channels, self.coding.height, self.coding.width)
        if history.frames.shape[2:] != shape or history.frames.dtype != np.uint8:
            raise UsageError(
                f"the world model takes frames uint8 {shape}, got {history.frames.dtype} {history.frames.shape[2:]}"
            )
        if history.frames.shape[1] < length:
            raise UsageError(f"the world model looks at {length} frames, got a history of {history.frames.shape[1]}")
        there = history.valid[:, -length:]
        symbols = self.coding.symbols(history.frames[:, -length:])
        frames = np.where(there[:, :, None, None, None], self.coding.frames(symbols), np.uint8(0))
        all_symbols, valid = self._tensor(symbols), self._tensor(there)
        memory = self.predictor.forget(len(frames))
        if not self.predictor.recurrent:
            return PixelState(frames, all_symbols, valid, memory)
        for time in range(length - 1):
            updated = self.predictor.remember(memory, self.predictor.frame(all_symbols[:, time]))
            memory = torch.where(valid[:, time, None, None, None], updated, memory)
        return PixelState(frames, all_symbols[:, -1:], valid[:, -1:], memory)

    def observe(self, state: PixelState) -> Bytes:
        return _stacked(state.frames)

    @torch.no_grad()
    def step(self, state: PixelState, actions: NDArray[np.int64], noise: NDArray[np.float32]) -> ModelStep[PixelState]:
        predictor = self.predictor
        uniform = self._tensor(noise)
        encoded, memory = self._encode(state, actions)
        encoded = predictor.imagine(encoded, uniform[:, : predictor.code_noise])
        prediction = predictor.decode(encoded, state.symbols[:, -1])
        own, values = prediction.symbols(), predictor.outcomes.values
        if self._draws_outcomes:
            rewards, ended = drawn_outcomes(prediction.reward, prediction.end, values, uniform[:, -2:])
        else:
            rewards, ended = likeliest_outcomes(prediction.reward, prediction.end, values)
        frames = np.concatenate((state.frames[:, 1:], self.coding.frames(own.cpu().numpy())[:, None]), axis=1)
        symbols = torch.cat((state.symbols[:, 1:], own[:, None]), dim=1)
        valid = torch.cat((state.valid[:, 1:], torch.ones_like(state.valid[:, :1])), dim=1)
        terminated = ended.cpu().numpy()
        return ModelStep(
            state=PixelState(frames, symbols, valid, memory),
            observation=_stacked(frames),
            reward=rewards.cpu().numpy(),
            terminated=terminated,
            doubtful=np.zeros_like(terminated),
        )

    def _encode(self, state: PixelState, actions: NDArray[np.int64]) -> tuple[Encoded, Tensor]:
        """The smallest map before any bits are in it, and the memory after the newest frames."""
        predictor, memory = self.predictor, state.memory
        if predictor.recurrent:
            frame = predictor.frame(state.symbols[:, -1])
            seen = torch.cat((frame, memory), dim=1)
            memory = predictor.remember(memory, frame)
        else:
            shown = predictor.frame(state.symbols.flatten(0, 1)).unflatten(0, state.symbols.shape[:2])
            seen = (shown * state.valid[:, :, None, None, None]).flatten(1, 2)
        return predictor.encode(seen, self._tensor(np.asarray(actions, np.int64))), memory

    @torch.no_grad()
    def prior_nats(
        self, state: PixelState, actions: NDArray[np.int64], following: PixelState
    ) -> NDArray[np.float32] | None:
        """What the prior asks, in nats (B,), for the posterior bits of the newest frames of `following`.

        Exact, but of the bits alone: what a frame still takes once its bits are known is not in it, so it is no
        likelihood of frames. None of a deterministic model, which has no bits.
        """
        latents, frame = self.predictor.latents, self.predictor.frame
        if latents is None:
            return None
        encoded, _ = self._encode(state, actions)
        nats = latents.nats(encoded.map, frame(state.symbols[:, -1]), frame(following.symbols[:, -1]), encoded.action)
        return nats.cpu().numpy()

    def select(self, state: PixelState, mask: NDArray[np.bool_], fresh: PixelState) -> PixelState:
        frames = state.frames.copy()
        frames[mask] = fresh.frames
        chosen = self._tensor(mask)
        parts = []
        for old, new in ((state.symbols, fresh.symbols), (state.valid, fresh.valid), (state.memory, fresh.memory)):
            part = old.clone()
            part[chosen] = new
            parts.append(part)
        return PixelState(frames, *parts)

    def render(self, state: PixelState) -> Bytes:
        """The newest frames, uint8 (B, H, W, 3); of frames that are neither grey nor RGB, the first channel."""
        newest = np.moveaxis(state.frames[:, -1], 1, -1)
        return newest if newest.shape[-1] == 3 else np.repeat(newest[..., :1], 3, axis=-1)

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.predictor.actions.weight.device)


def _stacked(frames: Bytes) -> Bytes:
    """Observations (B, context * C, H, W), newest frame first, of frames (B, context, C, H, W), oldest first."""
    return frames[:, ::-1].copy().reshape(len(frames), -1, *frames.shape[3:])
