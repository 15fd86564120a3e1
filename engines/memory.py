"""A memory of golden features: how new a place is, and how unusually badly it was restored.

A network restores some golden places worse than others: print, edges, glare.  Each row of the memory is the feature of one
golden place and tells what golden places like it are restored with; so a place is judged by those that look like it, wherever
on the part it lies.  A memory of well-spread golden features: K. Roth et al., "Towards Total Recall in Industrial Anomaly
Detection", CVPR 2022, sections 3.1 and 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Memory(nn.Module):
    """Golden features and the direction error that is usual near each; float32 in every precision."""

    golden: Tensor
    usual: Tensor

    def __init__(self, rows: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("golden", torch.zeros(rows, channels))
        self.register_buffer("usual", torch.ones(rows))

    def nearest(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (..., C) -> squared distance to the nearest golden feature, and that one's row, both (...)."""
        # |x - g|^2 = |x|^2 - (2 x.g - |g|^2): the largest of what is in brackets is the nearest.
        nearness, row = F.linear(features, 2 * self.golden, -self.golden.square().sum(dim=1)).topk(1, dim=-1)
        return (features.square().sum(dim=-1) - nearness[..., 0]).clamp_min(0), row[..., 0]

    def forward(self, features: Tensor, direction: Tensor) -> Tensor:
        """Features (N, places, C), and 1 - cosine with what was restored (N, places) -> anomaly (N, places).

        It is the mean squared difference from the nearest golden feature, times the root of direction over usual direction.
        """
        novelty, row = self.nearest(features)
        usual = self.usual.index_select(0, row.flatten()).view_as(direction)
        return novelty / features.shape[-1] * (direction.clamp_min(0) / usual).sqrt()
