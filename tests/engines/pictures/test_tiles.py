"""A frame in several tiles: one map without a seam, through the real network."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from engines.graph.assembly import build_graph, load_graph
from engines.networks.tfa_net import TFANet
from engines.pictures.geometry import Geometry, Pixels
from engines.pictures.images import read_image
from engines.pictures.regions import find_regions
from engines.recipe.bundle import Recipe
from engines.recipe.model_config import TEMPLATE
from engines.recipe.templates import read_templates

FRAME = (512, 512)


@pytest.fixture(params=[(1, 2), (2, 2)], ids=["two tiles", "four tiles"])
def geometry(request: pytest.FixtureRequest) -> Geometry:
    rows, columns = request.param
    return Geometry(FRAME, (0, 0, *FRAME), rows=rows, columns=columns)


def _maps(recipe: Recipe, geometry: Geometry, images: list[Pixels]) -> list[npt.NDArray[np.float32]]:
    """Stitched maps of the recipe's network, with its template cut by another grid."""
    backbone, network = load_graph(recipe).backbone, load_graph(recipe).network.network
    assert isinstance(network, TFANet)
    graph = build_graph(backbone, network, geometry, read_templates(recipe))
    with torch.inference_mode():
        return [graph(torch.from_numpy(geometry.cut_new(image)))[0].numpy() for image in images]


def test_a_defect_across_tile_borders_is_one_region(recipe: Recipe, geometry: Geometry) -> None:
    good = read_image(recipe.folder / TEMPLATE)
    bad = good.copy()
    cv2.circle(bad, (256, 256), 30, (20, 230, 20), -1)
    good_map, bad_map = _maps(recipe, geometry, [good, bad])
    added = bad_map - good_map  # the recipe was fitted on another grid: only what the defect adds is of interest
    (region,) = find_regions(added, float(added.max()) / 2, 1)
    height, width = bad_map.shape
    assert region.left < width / 2 < region.left + region.width
    assert region.top < height / 2 < region.top + region.height


def test_no_step_at_a_tile_border(recipe: Recipe, geometry: Geometry) -> None:
    (frame_map,) = _maps(recipe, geometry, [read_image(recipe.folder / TEMPLATE)])
    steps = np.abs(np.diff(frame_map, axis=1)).max(axis=0)
    borders = [left for _, left in geometry.placements() if left] + [
        left + geometry.input_side for _, left in geometry.placements() if left + geometry.input_side < frame_map.shape[1]
    ]
    assert borders
    for border in borders:
        assert steps[border - 1] <= np.percentile(steps, 99), "where a tile begins or ends the map is as smooth as elsewhere"
