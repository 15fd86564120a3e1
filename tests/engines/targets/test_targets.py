"""A loaded engine: the recipe's graph run into the caller's arrays, the same each time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engines.common.errors import EngineError
from engines.graph.assembly import load_graph
from engines.pictures import scores
from engines.pictures.images import read_image
from engines.proof.admission import load_engine
from engines.recipe.bundle import Recipe
from engines.recipe.model_config import TEMPLATE
from engines.targets import TARGETS, Engine, load_reference, run_once
from tests.virtual_line.product import render


@pytest.fixture(scope="module")
def engine(recipe: Recipe) -> Engine:
    return load_reference(recipe)


def _infer(engine: Engine, recipe: Recipe, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    slot = engine.new_slot()
    slot.frame_map.fill(np.nan)
    slot.scores.fill(np.nan)
    run_once(slot, image, recipe.manifest.geometry)
    return slot.frame_map, slot.scores


def test_an_unknown_target_is_refused_listing_those_there_are(recipe: Recipe) -> None:
    with pytest.raises(EngineError, match=f"no target named 'abacus'; there are: {', '.join(TARGETS)}"):
        load_engine(recipe, "abacus", "float32")


def test_inference_fills_the_callers_arrays_and_repeats_itself(engine: Engine, recipe: Recipe) -> None:
    image = render(40, "scratch").image
    first_map, first = _infer(engine, recipe, image)
    again_map, again = _infer(engine, recipe, image)
    assert np.isfinite(first_map).all()
    np.testing.assert_array_equal(first_map, again_map)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first, scores.frame_scores(first_map), rtol=1e-4)


def test_the_engine_gives_what_the_networks_plain_form_gives(engine: Engine, recipe: Recipe) -> None:
    image = render(41, "stain").image
    frame_map, _ = _infer(engine, recipe, image)
    graph, geometry = load_graph(recipe), recipe.manifest.geometry
    network = graph.network.network
    with torch.inference_mode():
        fused, template = (
            network.fuse(graph.backbone(torch.from_numpy(geometry.cut_new(picture))))  # type: ignore[operator, union-attr]
            for picture in (image, read_image(recipe.folder / TEMPLATE))
        )
        plain = network(fused, template)[0].numpy()  # type: ignore[operator]
    np.testing.assert_allclose(frame_map, plain, rtol=1e-4, atol=1e-5 * plain.max())


def test_the_template_scores_lower_than_a_defect_drawn_into_it(engine: Engine, recipe: Recipe) -> None:
    template = read_image(recipe.folder / TEMPLATE)
    spoilt = template.copy()
    spoilt[200:260, 330:390] = 255 - spoilt[200:260, 330:390]
    good_map, good = _infer(engine, recipe, template)
    bad_map, bad = _infer(engine, recipe, spoilt)
    assert (bad > good).all()
    row, column = np.unravel_index((bad_map - good_map).argmax(), bad_map.shape)
    assert 90 <= row <= 140
    assert 155 <= column <= 205
