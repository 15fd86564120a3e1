"""The input's contrast is chosen on golden samples: one at which defects can be seen, and none by chance."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from calibrate.fit import contrast
from calibrate.fit.contrast import FEWEST, choose_contrast
from engines.networks.backbone import Backbone
from engines.pictures.geometry import Geometry
from engines.recipe.model_config import TFANetConfig

CONFIG = TFANetConfig(input_side=64, dim=64, depth=2, refine_dim=64, refine_depth=2)
GEOMETRY = Geometry((130, 64), (0, 0, 130, 64), 1, 2, input_side=64)
FLAT = 0.004  # 255 grey levels become one


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Woven surfaces (64, 130)."""
    y, x = np.mgrid[0:64, 0:130]
    weave = 120 + 40 * np.sin(x / 3) * np.sin(y / 3)
    noise = np.random.default_rng(0).normal(0, 4, (FEWEST + 4, *weave.shape))
    return list(np.clip(weave + noise, 0, 255).astype(np.uint8))


def _chosen(
    backbone: Backbone, images: list[np.ndarray], own: float, lower: tuple[float, ...], seed: int = 0
) -> tuple[float, list[str]]:
    said: list[str] = []
    config = msgspec.structs.replace(CONFIG, contrast=own)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(contrast, "LOWER", lower)
        patched.setattr(contrast, "ROUNDS", 2)
        patched.setattr(contrast, "ROWS", 100)
        return choose_contrast(backbone, config, images, GEOMETRY, seed, said.append)[0], said


@pytest.mark.slow
def test_a_contrast_at_which_more_is_told_is_taken(backbone: Backbone, images: list[np.ndarray]) -> None:
    assert _chosen(backbone, images, FLAT, (1.0,))[0] == 1.0
    assert _chosen(backbone, images, 1.0, (FLAT,))[0] == 1.0


@pytest.mark.parametrize(("error", "taken"), [(0.101, 1.5), (0.096, 1.5), (0.094, 0.7), (0.05, 0.7)])
def test_a_lower_contrast_must_be_clearly_better(
    backbone: Backbone, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch, error: float, taken: float
) -> None:
    own = Backbone(CONFIG.backbone, 1.5).std
    monkeypatch.setattr(contrast, "_error", lambda tried, *_: 0.1 if torch.equal(tried.std, own) else error)
    assert _chosen(backbone, images, 1.5, (0.7,))[0] == taken


@pytest.mark.slow
def test_the_same_seed_measures_the_same_and_tells_it(backbone: Backbone, images: list[np.ndarray]) -> None:
    first, again, other = (_chosen(backbone, images, 1.5, (0.5,), seed) for seed in (1, 1, 2))
    assert first == again
    assert first[1] != other[1]
    assert first[1][-1].startswith(
        f"input contrast: {first[0]:g} times the backbone's own (errors on faint synthetic defects at 1.5: 0."
    )


def test_few_samples_choose_nothing(backbone: Backbone, images: list[np.ndarray]) -> None:
    backbone.set_contrast(1.0)
    before = backbone.std.clone()
    chosen, said = _chosen(backbone, images[: FEWEST - 1], FLAT, (1.0,))
    assert chosen == FLAT
    assert said == ["input contrast: 0.004; 19 fitted samples are too few to choose by, 20 are needed"]
    assert torch.equal(backbone.std, before)
