"""Another bank for a fitted recipe: other golden samples are kept as templates, the weights stay."""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch

from calibrate.fit.bank import Bank
from calibrate.fit.features import FeatureSource
from calibrate.fit.golden_set import Golden
from calibrate.fit.recipe_renewal import renew
from engines.graph.assembly import load_network
from engines.recipe.bundle import Recipe
from engines.recipe.golden_samples import read_samples
from engines.recipe.model_config import BankRatio, THFRConfig


def remake_bank(recipe: Recipe, golden: Path, ratio: BankRatio) -> Recipe:
    """Write the recipe anew with a bank of ``ratio`` per cent of its fitted golden samples.

    The recipe is one with a bank.  Its thresholds stay for their history but hold no longer, and its engines are gone: both are
    of the bank before.
    """
    manifest = recipe.manifest
    assert isinstance(manifest.model, THFRConfig), "a recipe with a bank"
    model = msgspec.structs.replace(manifest.model, bank_ratio=ratio)
    backbone, network = load_network(recipe)
    network.config = model
    by_share = {share: iter(read_samples(golden, manifest, held_out=share)) for share in (False, True)}
    samples = Golden(manifest.golden, tuple(next(by_share[sample.held_out]) for sample in manifest.golden))
    fitted, held_out = (
        FeatureSource(backbone, [samples.images[i] for i in indices], manifest.geometry, torch.device("cpu"))
        for indices in (samples.fitted, samples.held_out)
    )
    kept, templates = Bank(network, fitted, held_out, samples, 0).keep()
    names = tuple(manifest.golden[i].name for i in kept)
    return renew(recipe, model, names, templates)
