"""Templates made of noise, for networks that were not fitted."""

from __future__ import annotations

import numpy as np
import torch

from engines.networks.backbone import Backbone
from engines.networks.port import Network
from engines.pictures.geometry import Geometry
from engines.pictures.images import png_bytes
from engines.recipe.templates import Templates


def made_templates(backbone: Backbone, network: Network, geometry: Geometry, count: int = 1, seed: int = 1) -> Templates:
    """Frames of noise as any network's templates: pictures, and a bank of what it keeps of them."""
    draw = np.random.default_rng(seed)
    frames = [draw.integers(0, 256, (geometry.frame[1], geometry.frame[0], 3), np.uint8) for _ in range(count)]
    with torch.inference_mode():
        each = [network.features(backbone(torch.from_numpy(geometry.cut_new(frame)))) for frame in frames]
        bank = network.bank([torch.stack(parts) for parts in zip(*each, strict=True)])
    return Templates(tuple(png_bytes(frame) for frame in frames), {name: value.numpy() for name, value in bank.items()})
