"""Recipes to measure with: `small` fitted for a few steps, and `base` with random weights; speed does not depend on them."""

from __future__ import annotations

from pathlib import Path

import torch

from engines.graph.assembly import weights_bytes
from engines.networks.backbone import Backbone
from engines.networks.kinds import new_network
from engines.pictures.geometry import Geometry
from engines.recipe.bundle import FORMAT, WEIGHTS, Manifest, Recipe, load_recipe, seal
from engines.recipe.model_config import PROFILES
from engines.recipe.templates import write_templates
from tests.engines.made_templates import made_templates
from tests.virtual_line.product import save_parts

STEPS = 24
FRAME = 512


def fit(golden: Path, folder: Path) -> Recipe:
    """14 golden samples of the rendered product, and a recipe of profile `small` with thresholds."""
    from calibrate.fit.fit_request import FitRequest
    from calibrate.fit.recipe_fit import make_recipe
    from calibrate.thresholds.calibration import ThresholdsRequest, calibrate_thresholds

    save_parts(golden, range(1, 15), [None])
    recipe = make_recipe(FitRequest(golden, folder, steps=STEPS), print, lambda _: None)
    asked = ThresholdsRequest(
        recipe=recipe, golden=golden, target="torch", precision="float32", max_false_reject=0.05, confidence=0.5
    )
    calibrate_thresholds(asked, print, lambda _done, _total: None)
    return recipe


def random_base(folder: Path) -> Recipe:
    """A recipe of profile `base` that was never fitted, in a new folder."""
    config = PROFILES["tfa-net"]["base"]
    torch.manual_seed(1)
    geometry = Geometry((FRAME, FRAME), (0, 0, FRAME, FRAME), input_side=config.input_side)
    backbone, network = Backbone(config.backbone, config.contrast), new_network(config).eval()
    templates = made_templates(backbone, network, geometry)
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(weights_bytes(backbone, network))
    write_templates(folder, config.templates_file, templates)

    def manifest(files: dict[str, str]) -> Manifest:
        return Manifest(
            format=FORMAT,
            product="random",
            profile="base",
            model=config,
            geometry=geometry,
            golden=(),
            templates=("noise.png",),
            seed=1,
            steps=0,
            held_out_loss=0.0,
            curve=(),
            created="2024-01-01T00:00:00+00:00",
            versions={},
            files=files,
        )

    seal(folder, manifest)
    return load_recipe(folder)
