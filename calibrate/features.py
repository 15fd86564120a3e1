"""The frozen backbone's features of the golden samples, computed once and kept in half precision."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import Tensor

from engines.backbone import Backbone
from engines.geometry import Geometry, Pixels
from engines.tfa_net import TFANet

BATCH = 16
MEMORY_SHARE = 0.4  # of the machine's memory that one cache may take


class FeatureSource:
    """Features of (frame, tile) pairs: from memory where they fit, else computed each time."""

    def __init__(self, backbone: Backbone, images: list[Pixels], geometry: Geometry, device: torch.device) -> None:
        self._backbone, self._device = backbone, device
        self._tiles = torch.from_numpy(
            np.stack([geometry.cut_new(image) for image in images])
        )  # (frames, tiles, side, side, 3)
        one = self._compute(self._tiles[0, :1])
        self._levels: list[Tensor] | None = self._fill() if self._fits(sum(level.numel() for level in one)) else None
        self._vectors: Tensor | None = None

    def __len__(self) -> int:
        """Frames."""
        return self._tiles.shape[0]

    @property
    def tiles(self) -> int:
        """Tiles in each frame."""
        return self._tiles.shape[1]

    def levels(self, frames: Tensor, tiles: Tensor) -> list[Tensor]:
        """Backbone levels, each (N, C, h, w) float32 on the device, of N (frame, tile) index pairs."""
        if self._levels is None:
            return self._compute(self._tiles[frames, tiles])
        return [level[frames * self.tiles + tiles].to(self._device).float() for level in self._levels]

    def keep_vectors(self, network: TFANet) -> None:
        """From now on have the network's patchified features ready, if they fit; its channel measures must be set."""
        if self._levels is not None and self._fits(network.config.channels * network.config.feature_side**2):
            pairs = torch.cartesian_prod(torch.arange(len(self)), torch.arange(self.tiles)).view(-1, 2)
            self._vectors = torch.cat([self.vectors(network, *part.unbind(1)).half().cpu() for part in pairs.split(BATCH)])
            self._levels = None

    def vectors(self, network: TFANet, frames: Tensor, tiles: Tensor) -> Tensor:
        """Patchified, normalised features (N, P, patch * patch * C) float32 on the device, of N (frame, tile) index pairs."""
        if self._vectors is not None:
            return self._vectors[frames * self.tiles + tiles].to(self._device).float()
        with torch.no_grad():
            return network.patchify(network.fuse(self.levels(frames, tiles)))

    def _compute(self, tiles: Tensor) -> list[Tensor]:
        with torch.no_grad():
            levels: list[Tensor] = self._backbone(tiles.to(self._device))
        return levels

    def _fill(self) -> list[Tensor]:
        flat = self._tiles.flatten(0, 1)
        batches = [[level.half().cpu() for level in self._compute(part)] for part in flat.split(BATCH)]
        return [torch.cat(parts) for parts in zip(*batches, strict=True)]

    def _fits(self, numbers: int) -> bool:
        """Whether so many half-precision numbers for each tile leave room in memory."""
        wanted = numbers * 2 * len(self) * self.tiles
        return wanted < MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def measure(source: FeatureSource, network: TFANet) -> tuple[Tensor, Tensor, int]:
    """Over all frames and tiles: mean and standard deviation of each fused channel (C,), and the medoid frame.

    The medoid is the frame whose deepest features have the least summed distance to all others'.
    """
    total = torch.zeros(network.config.channels, dtype=torch.float64)
    squares = torch.zeros_like(total)
    deepest = []
    every_tile = torch.arange(source.tiles)
    for frame in range(len(source)):
        levels = source.levels(torch.full_like(every_tile, frame), every_tile)
        fused = network.fuse(levels).double()
        total += fused.mean(dim=(0, 2, 3)).cpu()
        squares += fused.square().mean(dim=(0, 2, 3)).cpu()
        deepest.append(levels[-1].flatten().half().cpu())
    mean = total / len(source)
    std = (squares / len(source) - mean.square()).clamp_min(0).sqrt()
    return mean.float(), std.float(), medoid(torch.stack(deepest))


def medoid(vectors: Tensor) -> int:
    """Index of the row of (N, D) with the least sum of Euclidean distances to all rows."""
    gram = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for columns in vectors.split(65_536, dim=1):  # in parts: the rows of a large grid are long
        part = columns.double()
        gram += part @ part.T
    norms = gram.diagonal()
    distance = (norms[:, None] + norms[None] - 2 * gram).clamp_min(0).sqrt()
    return int(distance.sum(dim=1).argmin())
