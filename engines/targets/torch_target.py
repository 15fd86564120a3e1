"""The reference target: the graph as it is, run by torch in float32."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from engines.assemble import load_graph
from engines.geometry import Pixels
from engines.graph import InspectionGraph
from engines.recipe import Recipe


class TorchEngine:
    """Runs the graph eagerly on a GPU if torch has one, else on the CPU."""

    target = "torch float32"

    def __init__(self, graph: InspectionGraph) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._graph = graph.to(self._device)

    def infer(self, tiles: Pixels, frame_map: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> None:
        """See `engines.targets.Engine.infer`."""
        with torch.inference_mode():
            result_map, result_scores = self._graph(torch.from_numpy(tiles).to(self._device))
            torch.from_numpy(frame_map).copy_(result_map)
            torch.from_numpy(scores).copy_(result_scores)


def load(recipe: Recipe) -> TorchEngine:
    """Load the recipe's graph and run it once, so that the first part is not slow."""
    engine = TorchEngine(load_graph(recipe))
    geometry = recipe.manifest.geometry
    engine.infer(
        np.zeros((geometry.tiles, geometry.input_side, geometry.input_side, 3), np.uint8),
        np.empty(geometry.map_shape, np.float32),
        np.empty(3, np.float32),
    )
    return engine
