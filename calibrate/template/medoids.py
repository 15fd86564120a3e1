"""Golden samples by the distances of their features: how far apart they are, and which ones are in the middle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from calibrate.fit.features import products
from engines.networks.backbone import Backbone
from engines.pictures.geometry import Geometry, Pixels

Floats = npt.NDArray[np.float64]


def deepest(backbone: Backbone, geometry: Geometry, images: Sequence[Pixels]) -> Tensor:
    """The frozen backbone's deepest features, all tiles of a frame in one row: (frames, D) in half precision."""
    with torch.no_grad():
        return torch.stack([backbone(torch.from_numpy(geometry.cut_new(image)))[-1].flatten().half() for image in images])


def distances(rows: Tensor, others: Tensor) -> Floats:
    """Euclidean distances of rows (N, D) and (M, D): (N, M)."""
    lengths = [torch.linalg.vecdot(one.float(), one.float()).double() for one in (rows, others)]
    squares = lengths[0][:, None] + lengths[1] - 2 * products(rows, others)
    return np.asarray(squares.clamp_min(0).sqrt().numpy(), np.float64)


def k_medoids(apart: Floats, groups: int) -> list[int]:
    """Indices of the samples in the middle of ``groups`` groups, from distances (N, N).

    L. Kaufman, P. J. Rousseeuw, "Clustering by means of medoids", 1987, with their first step: each new one reduces the
    samples' distances to their nearest most.  Then groups and middles are renewed in turns, until nothing is gained.
    """
    middles: list[int] = []
    for _ in range(groups):
        nearest = apart[:, middles].min(axis=1, keepdims=True) if middles else np.full((len(apart), 1), np.inf)
        middles.append(int(np.minimum(apart, nearest).sum(axis=0).argmin()))
    while True:
        member = apart[:, middles].argmin(axis=1)
        inside = [np.flatnonzero(member == group) for group in range(groups)]
        renewed = [
            int(one[apart[np.ix_(one, one)].sum(axis=1).argmin()]) if len(one) else m
            for one, m in zip(inside, middles, strict=True)
        ]
        if _cost(apart, renewed) >= _cost(apart, middles):
            return middles
        middles = renewed


def _cost(apart: Floats, middles: Sequence[int]) -> float:
    return float(apart[:, list(middles)].min(axis=1).sum())
