"""A few rows that cover all: the greedy k-centre coreset (O. Sener and S. Savarese, ICLR 2018, algorithm 1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def k_centre(vectors: Tensor, count: int, first: int) -> list[int]:
    """Indices of ``count`` rows of (N, D) float32 at most: the given one, then ever the one farthest from all taken."""
    squares = vectors.square().sum(dim=1)
    nearest, distance = torch.full_like(squares, math.inf), torch.empty_like(squares)
    kept = [first]
    while len(kept) < min(count, len(vectors)):
        last = kept[-1]
        torch.addmv(squares, vectors, vectors[last], alpha=-2, out=distance)  # and the last one's own square, in place
        torch.minimum(nearest, distance.add_(squares[last]), out=nearest)
        nearest[last] = -math.inf  # of equal rows each is taken once only
        kept.append(int(nearest.argmax()))
    return kept
