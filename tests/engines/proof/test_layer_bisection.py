"""Finding the layer that half precision breaks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engines.graph.assembly import load_graph
from engines.graph.inspection import InspectionGraph
from engines.proof.layer_bisection import first_failing_layer
from engines.recipe.bundle import Recipe
from tests.virtual_line.product import render


@pytest.fixture
def graph(recipe: Recipe) -> InspectionGraph:
    return load_graph(recipe)


@pytest.fixture
def tiles(recipe: Recipe) -> torch.Tensor:
    return torch.from_numpy(recipe.manifest.geometry.cut_new(render(77, "crack").image))


def _same_map(graph: InspectionGraph, tiles: torch.Tensor) -> bool:
    """A gate that compares with the map as it is now."""
    with torch.inference_mode():
        expected = graph(tiles)[0].clone()

    def holds() -> bool:
        with torch.inference_mode():
            found = graph(tiles)[0]
        return bool((found - expected).norm() <= 0.05 * expected.norm())

    return holds  # type: ignore[return-value]


def test_a_sound_network_has_no_failing_layer(graph: InspectionGraph, tiles: torch.Tensor) -> None:
    assert first_failing_layer(graph, tiles, torch.float16, _same_map(graph, tiles)) is None


@pytest.mark.parametrize("name", ["network.network.aggregation.1.mlp.0", "network.network.refinement.0.attn.qkv"])
def test_a_layer_that_overflows_is_named(graph: InspectionGraph, tiles: torch.Tensor, name: str) -> None:
    layer = graph.get_submodule(name)
    assert isinstance(layer, torch.nn.Linear)
    before = {key: value.clone() for key, value in graph.state_dict().items()}
    layer.bias.data[0] = 1e5  # more than half precision holds
    with torch.inference_mode():
        assert torch.isfinite(graph(tiles)[0]).all(), "float32 holds it"
    assert first_failing_layer(graph, tiles, torch.float16, _same_map(graph, tiles)) == name
    after = graph.state_dict()
    changed = [key for key in before if not np.array_equal(before[key], after[key])]
    assert changed == [f"{name}.bias"], "the search leaves the graph as it was"
