"""The inspection graph: uint8 tiles of one frame in; stitched anomaly map, scores and the match out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engines.networks.anomaly_map import frame_scores
from engines.networks.backbone import Backbone
from engines.pictures.geometry import Geometry


class InspectionGraph(nn.Module):
    """Backbone, network with its template constants, stitching and scores; static shapes, no branch on data."""

    weights: Tensor

    def __init__(self, backbone: Backbone, network: nn.Module, geometry: Geometry) -> None:
        """``network`` is what `Network.bind` returns."""
        super().__init__()
        self.backbone = backbone
        self.network = network
        self.geometry = geometry
        self.placements = geometry.placements()
        self.register_buffer("weights", torch.from_numpy(geometry.blend_weights()), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, tiles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(tiles, side, side, 3) uint8 RGB -> float32 map (H, W), scores (3,), and match (2,): template's index, similarity."""
        maps, match = self.network(self.backbone(tiles))
        frame_map = self.stitch(maps)
        return frame_map, frame_scores(frame_map), match

    def stitch(self, maps: Tensor) -> Tensor:
        """(tiles, side, side) -> (H, W): tiles blended by constant weights that sum to 1 at every pixel."""
        tiles = (maps * self.weights).split(1) if self.geometry.tiles > 1 else (maps,)
        tops = [top for top, _ in self.placements[:: self.geometry.columns]]
        lefts = [left for _, left in self.placements[: self.geometry.columns]]
        rows = [_joined(tiles[i : i + len(lefts)], lefts, dim=2) for i in range(0, len(tiles), len(lefts))]
        return _joined(rows, tops, dim=1).squeeze(0)


def _joined(parts: Sequence[Tensor], starts: Sequence[int], dim: int) -> Tensor:
    """Parts of one size, each laid where it starts along ``dim``; neighbours are summed where they overlap."""
    size = parts[0].shape[dim]
    pieces, begun = [], 0  # of this part, up to where it is laid already
    for part, other, start, next_start in zip(parts, parts[1:], starts, starts[1:], strict=False):
        shared = start + size - next_start
        if size - shared > begun:
            pieces.append(part.narrow(dim, begun, size - shared - begun))
        if shared:
            pieces.append(part.narrow(dim, size - shared, shared) + other.narrow(dim, 0, shared))
        begun = shared
    pieces.append(parts[-1].narrow(dim, begun, size - begun))
    return torch.cat(pieces, dim=dim) if len(pieces) > 1 else pieces[0]
