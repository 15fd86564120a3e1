"""A few rows that cover all: the greedy k-centre coreset (O. Sener and S. Savarese, ICLR 2018, algorithm 1)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]

CANDIDATES = 2_048  # farthest rows that are chosen from before all are looked at again
PART = 8_192  # rows whose distances are computed at once: they stay in the processor's cache


def k_centre(vectors: Tensor, count: int, first: int) -> list[int]:
    """Indices of ``count`` rows of (N, D) float32 on the CPU at most: the given one, then ever the one farthest from all taken.

    Distances only shrink as rows are taken.  So as long as one of the candidates is farther than every other row was, the
    farthest of all is among them, and the others need not be looked at: all rows are read some twenty times in place of
    ``count`` times.
    """
    squares = vectors.square().sum(dim=1)
    nearest = torch.full_like(squares, math.inf)
    kept, taken = [first], [first]
    while len(kept) < (wanted := min(count, len(vectors))):
        _come_nearer(nearest, vectors, squares, taken)
        farthest = nearest.topk(min(CANDIDATES, len(vectors) - 1) + 1)
        among = farthest.indices[:-1]
        chosen = _farthest_first(vectors[among].numpy(), squares[among].numpy(), farthest.values.numpy(), wanted - len(kept))
        taken = among[chosen].tolist()
        kept += taken
    return kept


def _come_nearer(nearest: Tensor, vectors: Tensor, squares: Tensor, taken: list[int]) -> None:
    """Bring the squared distances (N,) to the nearest row taken up to date with those taken last; theirs are -inf."""
    rows, lengths = vectors[taken].T, squares[taken]
    for some, own, known in zip(vectors.split(PART), squares.split(PART), nearest.split(PART), strict=True):
        distance = torch.addmm(lengths.expand(len(some), -1), some, rows, alpha=-2).amin(dim=1)
        torch.minimum(known, distance.add_(own), out=known)
    nearest[taken] = -math.inf  # of equal rows each is taken once only


def _farthest_first(vectors: Floats, squares: Floats, distances: Floats, count: int) -> list[int]:
    """Greedily from candidates (K, D), whose distances stand first in (K + 1,); the last one is the farthest of all others.

    In numpy: the steps are so small that torch would take longer to hand them out to its threads.
    """
    nearest, others = distances[:-1].copy(), float(distances[-1])
    chosen: list[int] = []
    while len(chosen) < min(count, len(vectors)):
        last = int(nearest.argmax())
        if chosen and float(nearest[last]) <= others:
            break
        chosen.append(last)
        np.minimum(nearest, squares - 2 * (vectors @ vectors[last]) + squares[last], out=nearest)
        nearest[last] = -math.inf
    return chosen
