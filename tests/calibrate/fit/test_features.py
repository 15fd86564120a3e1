"""The golden samples' features: the same from memory and computed anew; the channels' measures and the medoid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from calibrate.fit import features
from calibrate.fit.features import FeatureSource, measure, medoid
from engines.networks.backbone import Backbone
from engines.networks.tfa_net import TFANet
from engines.pictures.geometry import Geometry
from engines.recipe.model_config import TFANetConfig
from tests.virtual_line.product import render

pytestmark = pytest.mark.slow
CONFIG = TFANetConfig(input_side=64, finest=4, patch=4, dim=64, depth=2, refine_dim=64, refine_depth=2, memory=0)
GEOMETRY = Geometry((512, 512), (0, 0, 512, 512), 1, 2, input_side=64)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [render(seed).image for seed in range(3)]


def test_features_from_memory_equal_those_computed_anew(
    backbone: Backbone, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = FeatureSource(backbone, images, GEOMETRY, CPU)
    monkeypatch.setattr(features, "MEMORY_SHARE", 0.0)
    anew = FeatureSource(backbone, images, GEOMETRY, CPU)
    assert (len(kept), kept.tiles) == (len(anew), anew.tiles) == (3, 2)
    frames, tiles = torch.tensor([2, 0, 2]), torch.tensor([1, 1, 0])
    network = TFANet(CONFIG)
    monkeypatch.undo()
    before = kept.features(network, frames, tiles)
    kept.keep_features(network)
    for (vectors,) in (before, kept.features(network, frames, tiles)):
        (wanted,) = anew.features(network, frames, tiles)
        assert vectors.shape == (3, 16, 16 * 176)
        torch.testing.assert_close(vectors, wanted, rtol=2e-3, atol=1e-2)
    for i, (frame, tile) in enumerate([(2, 1), (0, 1), (2, 0)]):
        with torch.no_grad():
            alone = backbone(torch.from_numpy(GEOMETRY.cut_new(images[frame])[tile : tile + 1]))
        torch.testing.assert_close(anew.levels(frames, tiles)[0][i], alone[0][0], rtol=1e-3, atol=1e-4)


def test_measured_channels_have_mean_0_and_deviation_1_and_the_medoid_is_of_deep_features(
    backbone: Backbone, images: list[np.ndarray]
) -> None:
    source, network = FeatureSource(backbone, images, GEOMETRY, CPU), TFANet(CONFIG)
    measures, deepest_rows = measure(source, network)
    network.measure_channels(measures)
    every = torch.cartesian_prod(torch.arange(3), torch.arange(2))
    fused = network.fuse(source.levels(*every.unbind(1))).double()
    torch.testing.assert_close(fused.mean(dim=(0, 2, 3)), torch.zeros(176, dtype=torch.float64), rtol=0, atol=1e-4)
    torch.testing.assert_close(fused.std(dim=(0, 2, 3), correction=0), torch.ones(176, dtype=torch.float64), rtol=1e-3, atol=0)
    deepest = source.levels(*every.unbind(1))[-1].reshape(3, -1).double()
    torch.testing.assert_close(deepest_rows.double(), deepest, rtol=2e-3, atol=2e-3)
    assert medoid(deepest_rows) == int(torch.cdist(deepest, deepest).sum(dim=1).argmin())


def test_the_medoid_has_the_least_sum_of_distances() -> None:
    vectors = torch.randn(9, 70_000, generator=torch.Generator().manual_seed(1))
    vectors[4] *= 0.1
    sums = torch.cdist(vectors.double(), vectors.double()).sum(dim=1)
    assert medoid(vectors) == int(sums.argmin()) == 4
    assert medoid(vectors.half()) == 4
