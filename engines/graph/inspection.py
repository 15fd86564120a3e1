"""The inspection graph: uint8 tiles of one frame in; stitched anomaly map, scores and the match out."""

from __future__ import annotations

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
        if len(self.placements) == 1:
            return maps[0]
        height, width = self.geometry.map_shape
        side = maps.shape[-1]
        weighted = maps * self.weights
        padded = [
            nn.functional.pad(weighted[i], (left, width - side - left, top, height - side - top))
            for i, (top, left) in enumerate(self.placements)
        ]
        return torch.stack(padded).sum(dim=0)
