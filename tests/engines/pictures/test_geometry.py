"""From a frame to tiles and back: boxes, resampling, blend weights, stitching, and frames that do not fit."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from engines.common.errors import ImageError
from engines.graph.inspection import InspectionGraph
from engines.networks.backbone import Backbone
from engines.pictures.geometry import Geometry

GRIDS = [
    Geometry((640, 480), (0, 0, 640, 480), 1, 1),
    Geometry((640, 480), (13, 21, 601, 433), 2, 3, 0.125, 64),
    Geometry((640, 480), (40, 30, 300, 200), 3, 1, 0.0, 64),
    Geometry((640, 480), (1, 2, 333, 477), 2, 2, 0.5, 128),
    Geometry((640, 480), (0, 0, 640, 480), 4, 5, 0.31, 64),
]


@pytest.mark.parametrize("geometry", GRIDS)
def test_tiles_cover_the_region_and_overlap(geometry: Geometry) -> None:
    x, y, width, height = geometry.region
    covered = np.zeros((480, 640), int)
    for left, top, tile_width, tile_height in geometry.boxes:
        assert x <= left <= left + tile_width <= x + width
        assert y <= top <= top + tile_height <= y + height
        covered[top : top + tile_height, left : left + tile_width] += 1
    assert len(geometry.boxes) == geometry.tiles
    assert covered[y : y + height, x : x + width].min() == 1
    assert covered.sum() == covered[y : y + height, x : x + width].sum()
    shared = (covered[y : y + height, x : x + width] > 1).mean()
    assert (shared > 0.05) == (geometry.overlap > 0 and geometry.tiles > 1)


@pytest.mark.parametrize("geometry", GRIDS)
def test_blend_weights_sum_to_one_at_every_pixel(geometry: Geometry) -> None:
    total, side = np.zeros(geometry.map_shape), geometry.input_side
    weights = geometry.blend_weights()
    assert (weights > 0).all()
    for one, (top, left) in zip(weights, geometry.placements(), strict=True):
        total[top : top + side, left : left + side] += one
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("geometry", [*GRIDS, Geometry((640, 480), (5, 5, 100, 90), 1, 1)])  # the last one is enlarged
def test_a_grey_frame_is_cut_as_its_rgb_copy(geometry: Geometry) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (480, 640), dtype=np.uint8)
    tiles = geometry.cut_new(grey)
    assert tiles.shape == (geometry.tiles, geometry.input_side, geometry.input_side, 3)
    np.testing.assert_array_equal(tiles, geometry.cut_new(np.stack([grey] * 3, axis=2)))


def test_a_tile_shows_its_box_of_the_frame() -> None:
    geometry = Geometry((128, 128), (0, 0, 128, 128), 2, 2, 0.0, 64)
    frame = np.random.default_rng(2).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    tiles = geometry.cut_new(frame)
    for tile, (x, y, width, height) in zip(tiles, geometry.boxes, strict=True):
        np.testing.assert_array_equal(tile, frame[y : y + height, x : x + width])


def test_cutting_averages_fine_texture_when_it_shrinks() -> None:
    frame = np.zeros((256, 256), np.uint8)
    frame[::2] = 200
    assert set(np.unique(Geometry((256, 256), (0, 0, 256, 256), input_side=64).cut_new(frame))) == {100}


def test_a_frame_of_another_size_is_refused_naming_both_sizes() -> None:
    with pytest.raises(ImageError, match="512 x 300 pixels, the recipe was made for 640 x 480"):
        GRIDS[0].cut_new(np.zeros((300, 512, 3), np.uint8))


@pytest.mark.parametrize("region", [(-1, 0, 50, 50), (600, 0, 50, 50), (0, 450, 50, 50), (0, 0, 7, 50), (0, 0, 0, 0)])
def test_a_region_outside_the_frame_is_refused(region: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="does not lie within the frame of 640 x 480"):
        Geometry((640, 480), region)
    with pytest.raises(msgspec.ValidationError, match="does not lie within"):
        msgspec.convert({"frame": (640, 480), "region": region}, Geometry)


def test_a_grid_too_fine_for_its_region_is_refused() -> None:
    with pytest.raises(ValueError, match="too fine"):
        Geometry((640, 480), (0, 0, 40, 40), 6, 2)


def test_map_corners_lie_on_the_regions_corners() -> None:
    geometry = GRIDS[1]
    height, width = geometry.map_shape
    assert geometry.to_frame(0, 0) == (13, 21)
    assert geometry.to_frame(width, height) == (13 + 601, 21 + 433)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return Backbone("efficientnet-lite0")


class _Given(nn.Module):
    """In the network's place: maps that are given."""

    def __init__(self, maps: torch.Tensor) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, levels: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.maps, torch.zeros(2)


@pytest.mark.parametrize("geometry", GRIDS[1:])
def test_stitching_keeps_a_constant_and_a_ramp_across_overlaps(geometry: Geometry, backbone: Backbone) -> None:
    height, width = geometry.map_shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    side = geometry.input_side
    for frame_map in (torch.full((height, width), 0.7), 0.01 * x + 0.02 * y):
        maps = torch.stack([frame_map[top : top + side, left : left + side] for top, left in geometry.placements()])
        graph = InspectionGraph(backbone, _Given(maps), geometry)
        stitched, scores, _ = graph(torch.zeros(geometry.tiles, 64, 64, 3, dtype=torch.uint8))
        torch.testing.assert_close(stitched, frame_map, rtol=1e-5, atol=1e-5)
        assert float(scores[1]) == pytest.approx(float(frame_map.max()), rel=1e-5)


def test_a_nan_in_one_tile_is_a_nan_in_the_stitched_map(backbone: Backbone) -> None:
    geometry = GRIDS[1]
    maps = torch.ones(geometry.tiles, 64, 64)
    maps[4, 60, 3] = torch.nan
    graph = InspectionGraph(backbone, _Given(maps), geometry)
    stitched, scores, _ = graph(torch.zeros(geometry.tiles, 64, 64, 3, dtype=torch.uint8))
    assert int(stitched.isnan().sum()) == 1
    assert bool(scores.isnan().all())
