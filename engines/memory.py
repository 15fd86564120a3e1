"""A memory of golden features: how new a place is and how new what surrounds it is, beside how badly it was restored.

A memory of well-spread golden features: K. Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022,
sections 3.1 and 3.2.  Which row is the nearest is not asked, only how near it is: a largest number is found several times as
fast as its place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SOFTNESS = 3.0  # of the limit to a level's length, in mean squares of golden features


class Memory(nn.Module):
    """Limited golden features of places, and their means over tokens; float32 in the half-precision graph, too."""

    places: Tensor
    tokens: Tensor

    def __init__(self, rows: int, levels: tuple[int, ...]) -> None:
        """``rows`` places and a quarter as many tokens; ``levels``: channels of each level, in the features' order."""
        super().__init__()
        self._levels = levels
        self.register_buffer("places", torch.zeros(rows, sum(levels)))
        self.register_buffer("tokens", torch.zeros(max(1, rows // 4), sum(levels)))

    def limited(self, features: Tensor) -> Tensor:
        """Normalised features (..., C) -> float32, each level (..., c) divided by root(|level|^2 + SOFTNESS c).

        So no level and no glaring place outweighs the others: lengths end at 1, while small deviations stay as they are.
        """
        levels = features.float().split(self._levels, dim=-1)
        lengths = [(level.square().sum(dim=-1, keepdim=True) + SOFTNESS * level.shape[-1]).sqrt() for level in levels]
        return torch.cat([level / length for level, length in zip(levels, lengths, strict=True)], dim=-1)

    def forward(self, features: Tensor, direction: Tensor) -> Tensor:
        """Normalised features of tokens (N, P, places, C), 1 - cosine with what was restored (N, P, places) -> anomaly (same).

        It is the place's novelty, times the fourth root of its direction error and of its token's novelty: a token's mean
        tells of what is large and faint.
        """
        limited = self.limited(features)
        around = novelty(limited.mean(dim=2), self.tokens)[:, :, None]  # (N, P, 1)
        return novelty(limited, self.places) * (direction.abs() * around).sqrt().sqrt()


def novelty(features: Tensor, golden: Tensor) -> Tensor:
    """Features (..., C) -> squared distance to the nearest of (M, C), (...)."""
    # |x - g|^2 = |x|^2 - (2 x.g - |g|^2): the largest of what is in brackets is the nearest.
    nearness = F.linear(features, 2 * golden, -golden.square().sum(dim=1)).amax(dim=-1)
    # Rounding can leave it below zero.  Not clamped: there are devices whose maximum of NaN and zero is zero, a pass.
    return (features.square().sum(dim=-1) - nearness).abs()
