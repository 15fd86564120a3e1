"""The frozen backbone's features of the golden samples, computed once and kept in half precision."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from engines.networks.backbone import Backbone
from engines.networks.port import Network
from engines.pictures.geometry import Geometry, Pixels

BATCH = 16
COLUMNS = 65_536
MEMORY_SHARE = 0.4  # of the machine's memory that one cache may take


class FeatureSource:
    """What is computed of (frame, tile) pairs: from memory where it fits, else anew each time."""

    def __init__(self, backbone: Backbone, images: list[Pixels], geometry: Geometry, device: torch.device) -> None:
        self._backbone, self._device = backbone, device
        self._tiles = torch.from_numpy(
            np.stack([geometry.cut_new(image) for image in images])
        )  # (frames, tiles, side, side, 3)
        self._frames = torch.arange(len(images))  # where each frame is in what is kept
        self._levels: list[Tensor] | None = self._kept(lambda pairs: self._compute(self._tiles[*pairs.unbind(1)]))
        self._features: list[Tensor] | None = None

    def __len__(self) -> int:
        """Frames."""
        return len(self._frames)

    def part(self, frames: list[int]) -> FeatureSource:
        """These frames only, by their indices, of the same content."""
        part = copy.copy(self)
        part._frames = self._frames[frames]
        return part

    @property
    def tiles(self) -> int:
        """Tiles in each frame."""
        return self._tiles.shape[1]

    def levels(self, frames: Tensor, tiles: Tensor) -> list[Tensor]:
        """Backbone levels, each (N, C, h, w) float32 on the device, of N (frame, tile) index pairs."""
        frames = self._frames[frames]
        if self._levels is None:
            return self._compute(self._tiles[frames, tiles])
        return [level[frames * self.tiles + tiles].to(self._device).float() for level in self._levels]

    def keep_features(self, network: Network) -> None:
        """From now on have the network's features ready, if they fit; its channel measures must be set."""
        if self._levels is not None:
            self._features = self._kept(lambda pairs: self.features(network, *pairs.unbind(1)))
            self._levels = None if self._features is not None else self._levels

    def features(self, network: Network, frames: Tensor, tiles: Tensor) -> list[Tensor]:
        """The network's features, each (N, ...) float32 on the device, of N (frame, tile) index pairs."""
        if self._features is not None:
            return [one[self._frames[frames] * self.tiles + tiles].to(self._device).float() for one in self._features]
        with torch.no_grad():
            return network.features(self.levels(frames, tiles))

    def frame(self, network: Network, frame: int) -> list[Tensor]:
        """The network's features of all tiles of one frame."""
        tiles = torch.arange(self.tiles)
        return self.features(network, torch.full_like(tiles, frame), tiles)

    def _compute(self, tiles: Tensor) -> list[Tensor]:
        with torch.no_grad():
            levels: list[Tensor] = self._backbone(tiles.to(self._device))
        return levels

    def _kept(self, compute: Callable[[Tensor], list[Tensor]]) -> list[Tensor] | None:
        """What ``compute`` gives for index pairs (N, 2), of all pairs and in half precision; None where that leaves no room."""
        pairs = torch.cartesian_prod(torch.arange(len(self)), torch.arange(self.tiles)).view(-1, 2)
        wanted = 2 * len(pairs) * sum(one.numel() for one in compute(pairs[:1]))
        if wanted >= MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
            return None
        batches = [[one.half().cpu() for one in compute(part)] for part in pairs.split(BATCH)]
        return [torch.cat(parts) for parts in zip(*batches, strict=True)]


def measure(source: FeatureSource, network: Network) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """Over all frames and tiles: mean and standard deviation of the channels of each of the network's maps; and deepest levels.

    The latter are (frames, D) in half precision, all tiles of a frame in one row.
    """
    totals: list[Tensor] = []
    squares: list[Tensor] = []
    deepest = []
    every_tile = torch.arange(source.tiles)
    for frame in range(len(source)):
        levels = source.levels(torch.full_like(every_tile, frame), every_tile)
        maps = [one.double() for one in network.maps(levels)]
        means = [one.mean(dim=(0, 2, 3)).cpu() for one in maps]
        mean_squares = [one.square().mean(dim=(0, 2, 3)).cpu() for one in maps]
        totals = [a + b for a, b in zip(totals, means, strict=True)] if totals else means
        squares = [a + b for a, b in zip(squares, mean_squares, strict=True)] if squares else mean_squares
        deepest.append(levels[-1].flatten().half().cpu())
    measures = []
    for total, square in zip(totals, squares, strict=True):
        mean = total / len(source)
        measures.append((mean.float(), (square / len(source) - mean.square()).clamp_min(0).sqrt().float()))
    return measures, torch.stack(deepest)


def products(rows: Tensor, others: Tensor) -> Tensor:
    """Inner products of rows (N, D) and (M, D) as (N, M) float64; in parts, since the rows of a large grid are long."""
    total = torch.zeros(len(rows), len(others), dtype=torch.float64)
    for one, other in zip(rows.split(COLUMNS, dim=1), others.split(COLUMNS, dim=1), strict=True):
        total += one.double() @ other.double().T
    return total


def medoid(vectors: Tensor) -> int:
    """Index of the row of (N, D) with the least sum of Euclidean distances to all rows."""
    gram = products(vectors, vectors)
    norms = gram.diagonal()
    distance = (norms[:, None] + norms[None] - 2 * gram).clamp_min(0).sqrt()
    return int(distance.sum(dim=1).argmin())
