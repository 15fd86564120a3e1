"""Half-precision graphs of networks that were not fitted, as a target would be given them."""

from __future__ import annotations

import msgspec
import torch
from torch.export import ExportedProgram

from engines.graph.assembly import build_graph
from engines.graph.export import export_graph
from engines.graph.half_precision import to_half
from engines.networks.backbone import Backbone
from engines.networks.kinds import new_network
from engines.pictures.geometry import Geometry
from engines.recipe.model_config import PROFILES
from tests.engines.made_templates import made_templates

TEMPLATES = 3  # of a bank
ALONE = "alone"  # `small` as a first recipe has it: a memory without restoration


def half_graph(network: str, profile: str, grid: int = 1, side: int | None = None) -> ExportedProgram:
    """The exported half-precision graph of a profile, weights as they are made, for ``grid`` x ``grid`` tiles of ``side``."""
    config = PROFILES[network]["small" if profile == ALONE else profile]
    if profile == ALONE:
        config = msgspec.structs.replace(config, restoration=False)  # type: ignore[call-arg]  # of TFA-Net only
    config = msgspec.structs.replace(config, input_side=side or config.input_side)
    tile, frame = config.input_side, config.input_side * grid
    geometry = Geometry((frame, frame), (0, 0, frame, frame), rows=grid, columns=grid, input_side=tile)
    backbone, made = Backbone(config.backbone), new_network(config).eval()
    templates = made_templates(backbone, made, geometry, count=TEMPLATES)
    return export_graph(to_half(build_graph(backbone, made, geometry, templates)))


class Faulty(torch.nn.Module):
    """Torch takes all of it, and TensorRT none: shows that a dry run can fail."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """(N, H, W, 3) uint8 -> (3,): bytes are turned, the largest of a vector found, tensors of two ranks put together."""
        row = tiles.permute(0, 3, 1, 2).half().flatten()
        top = row.topk(3).values
        return torch.stack([row.std(correction=0), top[0], top.mean()])


def faulty_graph() -> ExportedProgram:
    """`Faulty`, exported."""
    return torch.export.export(Faulty(), (torch.zeros(1, 8, 8, 3, dtype=torch.uint8),))
