"""What half precision is made by keeps the numbers: batch norms in weights, halves of blocks, golden rows that are rounded."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from engines.graph import half_precision
from engines.graph.assembly import build_graph
from engines.graph.half_precision import to_half
from engines.graph.inspection import InspectionGraph
from engines.graph.wide_blocks import Halves
from engines.networks.backbone import Backbone
from engines.networks.kinds import new_network
from engines.networks.memory import golden_rows, novelty
from engines.pictures.geometry import Geometry
from engines.recipe.model_config import PROFILES
from tests.engines.made_templates import made_templates


@pytest.fixture(params=PROFILES)
def graph(request: pytest.FixtureRequest) -> InspectionGraph:
    """Of profile `small`, whose batch norms have statistics that matter."""
    torch.manual_seed(3)
    config = PROFILES[request.param]["small"]
    geometry = Geometry((256, 256), (0, 0, 256, 256))
    backbone, network = Backbone(config.backbone), new_network(config)
    for module in (*backbone.modules(), *network.modules()):
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None and module.running_mean is not None:
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, std=0.1)
    network = network.eval()
    return build_graph(backbone, network, geometry, made_templates(backbone, network, geometry, count=2))


def answer(graph: InspectionGraph) -> torch.Tensor:
    tiles = torch.randint(0, 256, (1, 256, 256, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        found: torch.Tensor = graph(tiles)[0]
    return found.float()


def test_norms_and_halves_change_no_number_in_float32(graph: InspectionGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answer(graph)
    monkeypatch.setattr(half_precision, "HALF", torch.float32)  # all that is done but the rounding
    changed = to_half(deepcopy(graph))
    assert sum(isinstance(module, nn.BatchNorm2d) for module in changed.modules()) == 0
    assert sum(isinstance(module, Halves) for module in changed.modules()) == 1
    torch.testing.assert_close(answer(changed), expected, rtol=1e-3, atol=1e-5)


def test_half_precision_is_near(graph: InspectionGraph) -> None:
    expected = answer(graph)
    half = to_half(deepcopy(graph))
    types = {parameter.dtype for parameter in half.parameters()}
    assert types == {torch.float16}
    assert float((answer(half) - expected).norm() / expected.norm()) < 0.02


def test_a_norm_that_follows_no_convolution_stays() -> None:
    """THFR's compensation normalises a sum."""
    config = PROFILES["thfr"]["small"]
    geometry = Geometry((256, 256), (0, 0, 256, 256))
    backbone, network = Backbone(config.backbone), new_network(config).eval()
    half = to_half(build_graph(backbone, network, geometry, made_templates(backbone, network, geometry, count=2)))
    assert sum(isinstance(module, half_precision.Affine) for module in half.modules()) > 0


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_rounded_rows_give_the_distance_between_rounded_features(kind: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(7)
    features, golden = torch.randn(2, 9, 12, generator=draw) / 4, torch.randn(600, 12, generator=draw) / 4
    golden[0] = features[0, 0]
    found = novelty(features.to(kind), [4, 5], [golden_rows(golden[:300], kind), golden_rows(golden[300:], kind)])
    exact, rows = features.to(kind).double(), golden.to(kind).double()
    parts = ((exact[:, :4], rows[:300]), (exact[:, 4:], rows[300:]))
    expected = torch.cat([torch.cdist(some, these).amin(dim=-1) for some, these in parts], dim=1)
    torch.testing.assert_close(found.double(), expected.square(), rtol=1e-4, atol=1e-6)


def test_every_number_of_a_rounded_row_is_one_of_half_precision() -> None:
    rows = golden_rows(torch.randn(50, 12, generator=torch.Generator().manual_seed(8)), torch.float16)
    assert rows.dtype == torch.float32
    assert torch.equal(rows.half().float(), rows)
