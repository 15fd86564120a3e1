"""Which of a recipe's templates a frame is most similar to: a nearest-neighbour search over whole frames.

Source: H. Guo et al., "Template-guided Hierarchical Feature Restoration for Anomaly Detection", ICCV 2023.  It is
part of the graph: static shapes, the keys are constants, and the index does not leave the device.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def unit_rows(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (K, D) -> rows of unit length, and the lengths (K,), in float32."""
    lengths = vectors.float().square().sum(dim=1).sqrt().clamp_min(1e-8)
    return vectors.float() / lengths[:, None], lengths


class Search(nn.Module):
    """Finds the template whose deepest features have the largest cosine with a frame's; all tiles of a frame count together."""

    keys: Tensor
    lengths: Tensor
    only: Tensor

    def __init__(self, keys: Tensor, lengths: Tensor) -> None:
        """``keys`` (K, D) of unit length, D = tiles * C * h * w, and the lengths (K,) that they had."""
        super().__init__()
        self.register_buffer("keys", keys.detach().clone(), persistent=False)
        self.register_buffer("only", torch.zeros(1, dtype=torch.int64), persistent=False)  # the index where there is one
        self.register_buffer("lengths", lengths.detach().float().clone(), persistent=False)

    @classmethod
    def among(cls, deepest: Tensor) -> Search:
        """A search among K templates' deepest features (K, ...)."""
        return cls(*unit_rows(deepest.flatten(1)))

    def forward(self, deepest: Tensor) -> tuple[Tensor, Tensor]:
        """Deepest features of a frame's tiles (tiles, C, h, w) -> index (1,) int64 and match (2,) float32: index and cosine."""
        query = deepest.float().reshape(1, -1)
        length = query.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-8)
        similarity = nn.functional.linear(query, self.keys) / length  # (1, K)
        if len(self.keys) == 1:
            return self.only, torch.cat([self.only.float(), similarity[0]])
        similarity, index = similarity.topk(1)  # of a matrix: TensorRT takes nothing else
        return index.flatten(), torch.cat([index.float(), similarity], dim=1).flatten()

    def chosen(self, index: Tensor, shape: torch.Size) -> Tensor:
        """The found template's deepest features in the given shape."""
        length = self.lengths.index_select(0, index)
        return (self.keys.index_select(0, index) * length[:, None]).reshape(shape)
