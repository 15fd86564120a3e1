"""The bank of templates: which are kept, which one a sample is restored with, and another bank for a fitted recipe."""

from __future__ import annotations

import hashlib
import math
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from calibrate.fit.bank import Bank, coreset
from calibrate.fit.fit_request import FitRequest
from calibrate.fit.golden_set import Golden
from calibrate.fit.recipe_fit import make_recipe
from engines.common.errors import ConfigError, RecipeError
from engines.graph.assembly import load_network
from engines.pictures.images import read_image
from engines.recipe.bundle import MANIFEST, WEIGHTS, GoldenSample, Recipe, load_recipe
from engines.recipe.golden_samples import read_samples
from engines.recipe.model_config import BANK, THFRConfig
from engines.recipe.templates import read_templates
from engines.recipe.thresholds import load_thresholds

Command = Callable[..., subprocess.CompletedProcess[str]]


def _brute_force_coreset(vectors: list[list[float]], count: int) -> list[int]:
    """Greedy k-centre over directions, from the medoid, with plain loops."""
    units = [[x / math.hypot(*row) for x in row] for row in vectors]
    distance = [[math.dist(a, b) for b in units] for a in units]
    kept = [min(range(len(units)), key=lambda i: sum(distance[i]))]
    while len(kept) < count:
        kept.append(max(range(len(units)), key=lambda i: min(distance[i][k] for k in kept)))
    return kept


@pytest.mark.parametrize("seed", range(5))
def test_coreset_equals_brute_force(seed: int) -> None:
    vectors = torch.randn(12, 6, generator=torch.Generator().manual_seed(seed))
    vectors *= torch.arange(1, 13)[:, None]  # lengths must not count
    for count in (1, 2, 5, 12):
        assert coreset(vectors, count) == _brute_force_coreset(vectors.double().tolist(), count)


def test_equal_pictures_are_kept_once_each() -> None:
    vectors = torch.tensor([[1.0, 2.0, 3.0]]).expand(5, 3)
    assert sorted(coreset(vectors, 5)) == [0, 1, 2, 3, 4]


class _Source:
    """Features of made frames."""

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.vectors)

    def frame(self, _network: object, frame: int) -> list[Tensor]:
        return [self.vectors[frame : frame + 1]]


def _bank(neighbours: int) -> Bank:
    angles = torch.tensor([0.0, 0.1, 0.3, 0.35, 2.0])  # of 5 fitted frames; held out: 0.32 and 1.9
    other = torch.tensor([0.32, 1.9])
    fitted, held_out = (_Source(torch.stack([one.cos(), one.sin()], dim=1)) for one in (angles, other))
    golden = Golden(tuple(GoldenSample(str(i), "0" * 64, i >= 5) for i in range(7)), ())
    network: Any = SimpleNamespace(config=THFRConfig(neighbours=neighbours))
    return Bank(network, fitted, held_out, golden, 0)  # type: ignore[arg-type]


def test_a_sample_is_restored_with_its_most_similar_others_never_itself() -> None:
    bank, draw = _bank(1), torch.Generator().manual_seed(0)
    assert bank.draw(torch.arange(5), draw).tolist() == [1, 0, 3, 2, 3]
    assert [bank.nearest(i) for i in range(2)] == [2, 4]
    frames = torch.zeros(4_000, dtype=torch.int64)
    drawn = Counter(_bank(3).draw(frames, draw).tolist())
    assert set(drawn) == {1, 2, 3}
    assert min(drawn.values()) > 1_200, "each of the three as often"
    again = [_bank(3).draw(frames, torch.Generator().manual_seed(7)).tolist() for _ in range(2)]
    assert again[0] == again[1]


def test_a_recipe_keeps_a_bank_of_fitted_samples_with_their_pictures(banked: Recipe, golden_folder: Path) -> None:
    manifest = banked.manifest
    assert sorted(manifest.files) == [BANK, WEIGHTS]
    assert manifest.model.contrast == 1.0, "the one that the backbone was trained with"
    assert len(manifest.templates) == 3, "25 % of 10 fitted samples, rounded up"
    held_out = {sample.name for sample in manifest.golden if sample.held_out}
    assert not held_out & set(manifest.templates)
    templates = read_templates(banked)
    assert templates.features["level2"].shape == (3, 1, 40, 32, 32)
    assert templates.features["level2"].dtype == np.float16
    for i, name in enumerate(manifest.templates):
        shown, golden = templates.picture(i), read_image(golden_folder / name)
        assert cv2.absdiff(shown, golden).mean() < 6, "the same picture, but for JPEG"


def test_the_bank_holds_what_the_network_makes_of_the_pictures(banked: Recipe, golden_folder: Path) -> None:
    manifest, bank = banked.manifest, read_templates(banked).features
    backbone, network = load_network(banked)
    fitted = dict(
        zip(
            (sample.name for sample in manifest.golden if not sample.held_out),
            read_samples(golden_folder, manifest, held_out=False),
            strict=True,
        )
    )
    assert len(bank["level2"]) == len(manifest.templates) == 3
    for i, name in enumerate(manifest.templates):
        with torch.inference_mode():
            _, middle, deep = network.features(backbone(torch.from_numpy(manifest.geometry.cut_new(fitted[name]))))
        np.testing.assert_allclose(bank["level2"][i], middle, rtol=5e-3, atol=1e-2)
        np.testing.assert_allclose(bank["keys"][i] * bank["lengths"][i], deep.flatten(), rtol=5e-3, atol=1e-2)


def test_the_same_seed_gives_the_same_weights_and_bank(banked: Recipe, golden_folder: Path, tmp_path: Path) -> None:
    request = FitRequest(golden_folder, tmp_path / "again", "thfr", bank_ratio=25, steps=8)
    again = make_recipe(request, lambda _: None, lambda _: None)
    assert again.manifest.files == banked.manifest.files


def test_calibrate_bank_keeps_the_weights_and_asks_for_new_thresholds(
    command: Command, banked: Recipe, golden_folder: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(banked.folder, tmp_path / "own"))
    done = command("calibrate", "bank", "--recipe", own, "--golden", golden_folder, "--ratio", 50)
    assert done.returncode == 0, done.stderr
    assert "bank of 5 templates" in done.stdout
    made = load_recipe(own)
    assert len(made.manifest.templates) == 5
    assert set(banked.manifest.templates) <= set(made.manifest.templates), "greedy: a larger bank begins like a smaller one"
    assert isinstance(made.manifest.model, THFRConfig)
    assert made.manifest.model.bank_ratio == 50
    assert made.manifest.files[WEIGHTS] == banked.manifest.files[WEIGHTS]
    assert not (own / "engines").exists()
    with pytest.raises(RecipeError, match="calibrate again with"):
        load_thresholds(made)


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("thfr", {"template": "001.png"}, "--template: thfr keeps a bank of golden samples; leave it out, see --bank-ratio"),
        ("tfa-net", {"bank_ratio": 25}, "--bank-ratio: tfa-net has one template and no bank; leave it out, see --template"),
    ],
)
def test_options_of_the_other_network_are_refused(
    golden_folder: Path, tmp_path: Path, network: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_recipe(FitRequest(golden_folder, tmp_path / "none", network, **options), lambda _: None, lambda _: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("which", "ratio", "message"),
    [
        ("banked", "30", "--ratio 30: give 10, 25, 50 or 100"),
        ("banked", "all", "--ratio all: give 10, 25, 50 or 100"),
        ("recipe", "25", "its network has one template and no bank"),
        ("banked", "25", "this golden sample is missing"),
    ],
)
def test_bad_input_of_calibrate_bank_is_one_line(
    in_process: Command, request: pytest.FixtureRequest, tmp_path: Path, which: str, ratio: str, message: str
) -> None:
    recipe: Recipe = request.getfixturevalue(which)
    before = hashlib.sha256((recipe.folder / MANIFEST).read_bytes()).hexdigest()
    done = in_process("calibrate", "bank", "--recipe", recipe.folder, "--golden", tmp_path, "--ratio", ratio)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert hashlib.sha256((recipe.folder / MANIFEST).read_bytes()).hexdigest() == before
