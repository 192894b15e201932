"""The learned prior of the next code: a network for each action, and free log-odds where an episode starts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_discrete.encoders.networks import initialise, layers
from rl_discrete.runs.errors import UsageError


class TransitionPrior(nn.Module):
    """Log-odds of the bits of the current code, given the previous code's features and the action taken.

    One network per action, as in the paper (arXiv 1802.04325, supplement), of which only the one of the action taken
    is evaluated; the start prior is a vector of its own that begins at zero.
    """

    def __init__(self, num_features: int, num_latents: int, num_actions: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(layers((num_features, *hidden, num_latents)) for _ in range(num_actions))
        self.start = nn.Parameter(torch.zeros(num_latents))
        initialise(self)

    def forward(self, features: Tensor, actions: Tensor, starts: Tensor) -> Tensor:
        """Log-odds (B, L).

        Args:
            features: (B, num_features) of the previous code, relaxed or not; ignored where `starts`.
            actions: int64 (B,); ignored where `starts`.
            starts: bool (B,), whether there is no previous code.

        Raises:
            UsageError: an action out of range.
        """
        logits = self.start.repeat(len(actions), 1)  # (B, L)
        for action in actions[~starts].unique().tolist():
            if not 0 <= action < len(self.networks):
                raise UsageError(f"actions must be between 0 and {len(self.networks) - 1}, got {action}")
            rows = ((actions == action) & ~starts).nonzero()[:, 0]
            logits = logits.index_copy(0, rows, self.networks[action](features[rows]))
        return logits
