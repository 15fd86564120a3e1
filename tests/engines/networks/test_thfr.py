"""THFR: its parts and switches, relation, loss and map against loops, and its bank as constants of the graph."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from engines.graph.half_precision import to_half
from engines.graph.inspection import InspectionGraph
from engines.networks.anomaly_map import smoothing_matrix
from engines.networks.backbone import Backbone
from engines.networks.search import Search
from engines.networks.thfr import THFR
from engines.networks.thfr_parts import Compensation, Relation
from engines.pictures.geometry import Geometry
from engines.recipe.model_config import THFRConfig
from tests.engines.made_templates import made_templates

pytestmark = pytest.mark.slow
TINY = THFRConfig(input_side=64, code=32, widths=(32, 16, 16), smoothing=2.0)


def _features(count: int, config: THFRConfig, seed: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(count, c, s, s, generator=draw) for c, s in zip(config.channels, config.sides, strict=True)]


def _network(config: THFRConfig = TINY, seed: int = 3) -> THFR:
    torch.manual_seed(seed)
    return THFR(config).eval()


def test_relation_holds_the_affinities_of_both_directions() -> None:
    torch.manual_seed(1)
    relation, (x, template) = Relation(8), torch.randn(2, 2, 8, 3, 4)
    with torch.inference_mode():
        found = relation(x, template)
        theta, phi = relation.theta(x).flatten(2).double(), relation.phi(template).flatten(2).double()
    positions = 3 * 4
    assert found.shape == (2, 2 * positions, 3, 4)
    for n in range(2):
        for here in range(positions):
            row, column = divmod(here, 4)
            for there in range(positions):
                to_template = sum(float(theta[n, d, here] * phi[n, d, there]) for d in range(2)) / math.sqrt(2)
                from_template = sum(float(theta[n, d, there] * phi[n, d, here]) for d in range(2)) / math.sqrt(2)
                assert float(found[n, there, row, column]) == pytest.approx(to_template, abs=1e-5)
                assert float(found[n, positions + there, row, column]) == pytest.approx(from_template, abs=1e-5)


@pytest.mark.parametrize("semantic", [True, False])
def test_compensation_equals_its_form_with_all_affinities(semantic: bool) -> None:
    torch.manual_seed(7)
    part, (x, template) = Compensation(8, 12, semantic, template=True, relation=True).eval(), torch.randn(2, 2, 8, 3, 4)
    assert part.from_template is not None
    assert part.relation is not None
    with torch.inference_mode():
        plain = torch.cat([part.from_input(x), part.from_template(template), part.relation(x, template)], dim=1)
        expected = part.head(part.join(plain))
        torch.testing.assert_close(part(x, template), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("semantic", "kept", "added"), [(True, 8, 1), (False, 1, 8)])
def test_compensation_keeps_the_inputs_or_the_templates_channels(semantic: bool, kept: int, added: int) -> None:
    part = Compensation(8, 16, semantic, template=True, relation=True)
    assert part.from_input.out_channels == kept
    assert part.from_template is not None
    assert part.from_template.out_channels == added
    assert part.join.in_channels == 8 + 1 + 2 * 16


@pytest.mark.parametrize(
    ("switched_off", "gone"),
    [
        ({"global_bottleneck": False}, ("global_bottleneck", "semantic_stage", "semantic")),
        ({"local_bottleneck": False}, ("local_bottleneck", "detail_stage")),
        ({"template": False}, ("semantic.from_template", "detail.from_template")),
        ({"relation": False}, ("semantic.relation", "detail.relation")),
        ({"template": False, "relation": False}, ("semantic", "detail")),
    ],
    ids=str,
)
def test_each_part_can_be_switched_off(switched_off: dict[str, bool], gone: tuple[str, ...]) -> None:
    whole = {name for name, _ in _network().named_modules()}
    network = _network(msgspec.structs.replace(TINY, **switched_off))
    left = {name for name, _ in network.named_modules()}
    assert whole.issuperset(gone)
    assert left.isdisjoint(gone)
    features, templates = _features(2, TINY, 1), _features(1, TINY, 2)
    restored = network.restore(features, templates[1].expand(2, -1, -1, -1), templates[2].expand(2, -1, -1, -1))
    assert [one.shape for one in restored] == [one.shape for one in features]


def test_both_bottlenecks_off_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot both be off"):
        THFRConfig(global_bottleneck=False, local_bottleneck=False)


def test_loss_equals_a_float64_loop() -> None:
    network, features, templates = _network(), _features(3, TINY, 11), _features(2, TINY, 12)
    which = torch.tensor([1, 0, 1])
    with torch.inference_mode():
        loss = float(network.loss(features, templates, which))
        restored = network.restore(features, templates[1][which], templates[2][which])
    expected = 0.0
    for level, again in zip(features, restored, strict=True):
        wanted, got = (one.double().permute(0, 2, 3, 1).flatten(0, 2).tolist() for one in (level, again))
        cosines = [
            sum(a * b for a, b in zip(x, y, strict=True)) / math.sqrt(sum(a * a for a in x) * sum(b * b for b in y))
            for x, y in zip(wanted, got, strict=True)
        ]
        expected += 1 - sum(cosines) / len(cosines)
    assert loss == pytest.approx(expected, rel=1e-5)


def test_map_equals_float64_by_hand() -> None:
    network, features, restored = _network(), _features(2, TINY, 13), _features(2, TINY, 14)
    with torch.inference_mode():
        found = network.anomaly_map(features, restored).double().numpy()
    expected = np.zeros((2, 64, 64))
    for level, again, side in zip(features, restored, TINY.sides, strict=True):
        x, y = level.double().numpy(), again.double().numpy()
        cosine = (x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
        smoothing = smoothing_matrix(side, 64, TINY.smoothing).double().numpy()
        expected += smoothing @ (1 - cosine) @ smoothing.T
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_features_are_normalised_as_measured_unless_the_profile_does_not() -> None:
    levels = [torch.zeros(1, 5, 32, 32), *_features(2, TINY, 4)]  # of four levels the last three count
    measures = [(torch.randn(c), torch.rand(c) + 0.5) for c in TINY.channels]
    network, plain = _network(), _network(msgspec.structs.replace(TINY, normalise_features=False))
    for one in (network, plain):
        one.measure_channels(measures)
    mean, std = measures[1]
    torch.testing.assert_close(network.features(levels)[1], (levels[2] - mean.view(-1, 1, 1)) / std.view(-1, 1, 1))
    assert torch.equal(plain.features(levels)[1], levels[2])


def test_search_finds_the_most_similar_of_unlike_lengths() -> None:
    draw = torch.Generator().manual_seed(5)
    templates = torch.randn(4, 2, 3, 5, 5, generator=draw) * torch.tensor([1.0, 50.0, 0.1, 4.0]).view(4, 1, 1, 1, 1)
    query = templates[2] * 7 + 0.02 * torch.randn(2, 3, 5, 5, generator=draw)
    search = Search.among(templates)
    index, match = search(query)
    cosine = torch.nn.functional.cosine_similarity(query.flatten(), templates.flatten(1), dim=1)
    assert index.tolist() == [int(cosine.argmax())] == [2]
    torch.testing.assert_close(match, torch.stack([torch.tensor(2.0), cosine[2]]))
    torch.testing.assert_close(search.chosen(index, query.shape), templates[2])


@pytest.fixture(scope="module")
def graph() -> InspectionGraph:
    """Two tiles, five templates of noise."""
    torch.manual_seed(6)
    geometry = Geometry((128, 64), (0, 0, 128, 64), 1, 2, input_side=64)
    backbone, network = Backbone(TINY.backbone), _network()
    templates = made_templates(backbone, network, geometry, count=5)
    return InspectionGraph(backbone, network.bind(backbone, geometry, templates), geometry)


def _tiles(graph: InspectionGraph, seed: int) -> Tensor:
    draw = np.random.default_rng(seed)
    return torch.from_numpy(graph.geometry.cut_new(draw.integers(0, 256, (64, 128, 3), np.uint8)))


def test_the_graph_restores_with_the_template_that_it_tells(graph: InspectionGraph) -> None:
    banked = graph.network
    tiles, network = _tiles(graph, 99), banked.network
    assert isinstance(network, THFR)
    with torch.inference_mode():
        frame_map, scores, match = graph(tiles)
        features = network.features(graph.backbone(tiles))
        keys = banked.search.keys * banked.search.lengths[:, None]  # type: ignore[union-attr, operator, index]
        cosine = torch.nn.functional.cosine_similarity(features[2].flatten(), keys, dim=1)
        best = int(cosine.argmax())
        middle = banked.level2[best]  # type: ignore[index]
        restored = network.restore(features, middle, keys[best].view_as(features[2]))
        expected = graph.stitch(network.anomaly_map(features, restored))
    assert int(match[0]) == best
    assert float(match[1]) == pytest.approx(float(cosine[best]), abs=1e-4)
    torch.testing.assert_close(frame_map, expected, rtol=1e-4, atol=1e-5)
    assert scores.shape == (3,)


def test_half_precision_finds_the_same_template_and_nearly_the_same_map(graph: InspectionGraph) -> None:
    from copy import deepcopy

    half = to_half(deepcopy(graph))
    assert half.network.level2.dtype == torch.float16
    for seed in range(3):
        tiles = _tiles(graph, 200 + seed)
        with torch.inference_mode():
            (frame_map, _, match), (half_map, _, half_match) = graph(tiles), half(tiles)
        assert int(match[0]) == int(half_match[0])
        assert float((half_map - frame_map).norm() / frame_map.norm()) < 0.02


def test_without_compensation_nothing_is_searched() -> None:
    config = msgspec.structs.replace(TINY, template=False, relation=False)
    geometry = Geometry((64, 64), (0, 0, 64, 64), input_side=64)
    backbone, network = Backbone(config.backbone), _network(config)
    bound = network.bind(backbone, geometry, made_templates(backbone, network, geometry, count=2))
    assert not any(isinstance(module, Search) for module in bound.modules())
    with torch.inference_mode():
        maps, match = bound(backbone(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)))
    assert maps.shape == (1, 64, 64)
    assert match[1].isnan()
