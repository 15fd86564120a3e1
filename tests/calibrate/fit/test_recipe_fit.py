"""Making a recipe: repeatable to the byte, resumable, whole or not at all, on a part of the frame and in tiles."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from calibrate.fit import training
from calibrate.fit.fit_request import FitRequest, auto_grid
from calibrate.fit.recipe_fit import make_recipe
from calibrate.fit.training import Progress
from calibrate.thresholds.calibration import ThresholdsRequest, calibrate_thresholds
from engines.common.errors import ConfigError, ImageError
from engines.graph.assembly import load_network
from engines.networks.backbone import Backbone, load_imagenet_weights
from engines.pictures.geometry import Pixels
from engines.pictures.images import png_bytes, read_image
from engines.proof.build import proof_images
from engines.recipe.bundle import MANIFEST, WEIGHTS, Recipe, load_recipe
from engines.recipe.model_config import TEMPLATE, ModelConfig
from engines.recipe.thresholds import load_thresholds
from engines.targets import load_reference, run_once

STEPS = 6

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_batches")]


@pytest.fixture(scope="module")
def ten(golden_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The least number of golden samples."""
    folder = tmp_path_factory.mktemp("ten")
    for file in sorted(golden_folder.iterdir())[:10]:
        shutil.copy(file, folder)
    return folder


@pytest.fixture(scope="module")
def first(ten: Path, tmp_path_factory: pytest.TempPathFactory, small_batches: None) -> Recipe:
    """A fit with seed 0, never interrupted."""
    return make_recipe(
        FitRequest(ten, tmp_path_factory.mktemp("first") / "module", steps=STEPS), lambda _: None, lambda _: None
    )


def _weights(recipe: Recipe) -> str:
    return hashlib.sha256((recipe.folder / WEIGHTS).read_bytes()).hexdigest()


class _Interrupted:
    """Told of each step; interrupts after one of them, as Ctrl-C does."""

    def __init__(self, after: int) -> None:
        self.after, self.steps, self.said = after, list[int](), list[str]()

    def tell(self, progress: Progress) -> None:
        self.steps.append(progress.step)
        assert np.isfinite(progress.loss)
        assert progress.eta_seconds >= 0
        if progress.step == self.after:
            raise KeyboardInterrupt

    def run(self, request: FitRequest) -> None:
        with pytest.raises(KeyboardInterrupt):
            make_recipe(request, self.said.append, self.tell)


def test_the_manifest_tells_what_was_made(first: Recipe, ten: Path) -> None:
    manifest = first.manifest
    assert sorted(path.name for path in first.folder.iterdir()) == sorted([MANIFEST, TEMPLATE, WEIGHTS])
    assert [path.name for path in first.folder.parent.iterdir()] == ["module"]
    assert (manifest.product, manifest.profile, manifest.seed, manifest.steps) == ("module", "small", 0, STEPS)
    assert (manifest.geometry.frame, manifest.geometry.channels) == ((512, 512), 3)
    assert sum(sample.held_out for sample in manifest.golden) == 3
    assert np.isfinite(manifest.held_out_loss)
    assert len(manifest.curve) == STEPS, "of a short fit, the loss of every step"
    assert np.isfinite(manifest.curve).all()
    template = next(sample for sample in manifest.golden if sample.name == manifest.templates[0])
    assert not template.held_out
    np.testing.assert_array_equal(read_image(first.folder / TEMPLATE), read_image(ten / manifest.templates[0]))


def test_a_recipe_of_grey_samples_takes_grey_pictures_only(ten: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They were saved as RGB by some program; the line's camera gives one channel."""
    monkeypatch.setattr("calibrate.thresholds.calibration.SYNTHETIC", 2)
    (tmp_path / "grey").mkdir()
    for file in ten.iterdir():
        grey = np.asarray(cv2.cvtColor(read_image(file), cv2.COLOR_RGB2GRAY), np.uint8)
        (tmp_path / "grey" / file.name).write_bytes(png_bytes(np.stack([grey] * 3, axis=2)))
    made = make_recipe(FitRequest(tmp_path / "grey", tmp_path / "made", steps=STEPS), lambda _: None, lambda _: None)
    assert load_recipe(made.folder).manifest.geometry.channels == 1
    asked = ThresholdsRequest(recipe=made, golden=tmp_path / "grey", target="torch", precision="float32")
    calibrate_thresholds(asked, lambda _: None, lambda _done, _total: None)
    colour = next(ten.iterdir())
    for changes in ({"known_good": ten}, {"rejects": ten}):
        with pytest.raises(ImageError, match=rf"^{ten}/.*\.png: the picture is in colour, the recipe was made from pictures"):
            calibrate_thresholds(msgspec.structs.replace(asked, **changes), lambda _: None, lambda _done, _total: None)
    with pytest.raises(ImageError, match="is in colour"):
        proof_images(made, tmp_path / "grey", ten)
    slot = load_reference(made).new_slot()
    run_once(slot, read_image(tmp_path / "grey" / colour.name)[..., 0].copy(), made.manifest.geometry)
    assert np.isfinite(slot.scores).all()
    with pytest.raises(ImageError, match="is in colour"):
        run_once(slot, read_image(colour), made.manifest.geometry)


def test_an_existing_recipe_is_refused_without_replace(first: Recipe, ten: Path) -> None:
    before = _weights(first)
    with pytest.raises(ConfigError, match=r"module: already exists; .*--replace"):
        make_recipe(FitRequest(ten, first.folder, steps=STEPS), pytest.fail, pytest.fail)
    assert _weights(first) == before


def test_the_same_seed_gives_the_same_bytes_whatever_lay_there(first: Recipe, ten: Path, tmp_path: Path) -> None:
    (tmp_path / "module").mkdir()
    (tmp_path / "module" / "thresholds.json").write_text("of an older fit")
    (tmp_path / ".module.fitting").mkdir()
    (tmp_path / ".module.fitting" / "state.pt").write_bytes(b"cut off by a power failure")
    again = make_recipe(FitRequest(ten, tmp_path / "module", steps=STEPS, replace=True), lambda _: None, lambda _: None)
    assert _weights(again) == _weights(first)
    assert sorted(path.name for path in again.folder.iterdir()) == sorted([MANIFEST, TEMPLATE, WEIGHTS])
    assert [path.name for path in tmp_path.iterdir()] == ["module"]


def test_an_interrupted_fit_goes_on_to_the_same_bytes(
    first: Recipe, ten: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
    request, after = FitRequest(ten, tmp_path / "module", steps=STEPS), 5
    _Interrupted(after).run(request)
    assert not (tmp_path / "module").exists()
    torch.manual_seed(12345)
    said, steps = list[str](), list[int]()
    made = make_recipe(request, said.append, lambda progress: steps.append(progress.step))
    assert f"going on with the interrupted fit after step {after} of {STEPS}" in said
    assert steps == list(range(after + 1, STEPS + 1))
    assert _weights(made) == _weights(first)
    assert made.manifest.held_out_loss == first.manifest.held_out_loss
    assert made.manifest.curve == first.manifest.curve
    assert [path.name for path in tmp_path.iterdir()] == ["module"]


def test_a_state_of_another_fit_is_not_taken_up(ten: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
    backbone = Backbone("efficientnet-lite0")
    load_imagenet_weights(backbone, "efficientnet-lite0", None)
    state = backbone.levels.state_dict()
    state["body.conv_stem.weight"] *= 1.01
    save_file(state, tmp_path / "other.safetensors")
    request = FitRequest(ten, tmp_path / "module", steps=STEPS)
    _Interrupted(1).run(request)
    for changes in (
        {"seed": 1},
        {"steps": STEPS + 1},
        {"template": "001.png"},
        {"backbone_weights": tmp_path / "other.safetensors"},
    ):
        changed = _Interrupted(1)
        changed.run(msgspec.structs.replace(request, **changes))
        assert changed.steps == [1], changes
        assert not any("going on" in line for line in changed.said), changes
    same = _Interrupted(2)
    same.run(msgspec.structs.replace(request, backbone_weights=tmp_path / "other.safetensors"))
    assert same.steps == [2]


def test_another_seed_gives_other_weights(first: Recipe, ten: Path, tmp_path: Path) -> None:
    other = make_recipe(FitRequest(ten, tmp_path / "module", steps=2, seed=1), lambda _: None, lambda _: None)
    same = make_recipe(FitRequest(ten, tmp_path / "again", steps=2, seed=0), lambda _: None, lambda _: None)
    assert len({_weights(one) for one in (first, other, same)}) == 3
    assert other.manifest.seed == 1


def test_a_recipe_keeps_the_contrast_that_it_was_fitted_at(first: Recipe, ten: Path, tmp_path: Path) -> None:
    made = make_recipe(FitRequest(ten, tmp_path / "module", steps=STEPS, contrast=0.7), lambda _: None, lambda _: None)
    assert [one.manifest.model.contrast for one in (first, made)] == [1.5, 0.7]
    assert _weights(made) != _weights(first)
    stds = [load_network(one)[0].std for one in (first, made)]
    torch.testing.assert_close(stds[0] * 1.5, stds[1] * 0.7)
    frame = read_image(ten / "001.png")
    maps = []
    for one in (first, made):
        slot = load_reference(one).new_slot()
        run_once(slot, frame, one.manifest.geometry)
        maps.append(slot.frame_map.copy())
    assert not np.allclose(*maps, rtol=0.01)


@pytest.mark.parametrize("contrast", [float("nan"), 0.0, -1.0, 9.0, float("inf")])
def test_a_contrast_that_is_none_is_refused(ten: Path, tmp_path: Path, contrast: float) -> None:
    with pytest.raises(ConfigError, match=r"--contrast \S+: give a number from 0.1 to 8, or leave it out"):
        make_recipe(FitRequest(ten, tmp_path / "module", contrast=contrast), pytest.fail, pytest.fail)
    assert list(tmp_path.iterdir()) == []


def test_contrast_is_measured_where_nobody_said_it(
    first: Recipe, ten: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def chosen(backbone: Backbone, config: ModelConfig, images: list[Pixels], *_: object) -> tuple[float, tuple[()]]:
        asked.append((config.contrast, len(images)))
        return 0.8, ()

    monkeypatch.setattr("calibrate.fit.recipe_fit.choose_contrast", chosen)
    made = make_recipe(FitRequest(ten, tmp_path / "module", steps=2), lambda _: None, lambda _: None)
    assert made.manifest.model.contrast == 0.8
    held_out = sum(sample.held_out for sample in first.manifest.golden)
    assert asked == [(1.5, 10 - held_out)], "once, and held-out samples take no part"


def test_a_region_in_tiles_works_from_fit_to_engine(ten: Path, tmp_path: Path) -> None:
    request = FitRequest(ten, tmp_path / "tiled", region=(60, 80, 360, 300), rows=2, columns=2, template="004.png", steps=3)
    made = make_recipe(request, lambda _: None, lambda _: None)
    assert made.manifest.templates == ("004.png",)
    geometry = made.manifest.geometry
    assert (geometry.region, geometry.tiles, geometry.map_shape) == ((60, 80, 360, 300), 4, (480, 480))
    rejects = tmp_path / "rejects"
    rejects.mkdir()
    for name in ("002.png", "003.png"):
        shutil.copy(ten / name, rejects)
    asked = ThresholdsRequest(recipe=made, golden=ten, target="torch", precision="float32", rejects=rejects, minimum_area=9)
    made_thresholds = calibrate_thresholds(asked, lambda _: None, lambda _done, _total: None)
    recipe = load_recipe(made.folder)
    assert load_thresholds(recipe) == made_thresholds
    slot, frame = load_reference(recipe).new_slot(), read_image(ten / "004.png")
    spoilt = frame.copy()
    spoilt[200:240, 200:240] = 255 - spoilt[200:240, 200:240]
    maps = np.full((2, *geometry.map_shape), np.nan, np.float32)
    scores = np.full((2, 3), np.nan, np.float32)
    for i, image in enumerate((frame, spoilt)):
        run_once(slot, image, geometry)
        maps[i], scores[i] = slot.frame_map, slot.scores
    assert np.isfinite(maps).all()
    assert np.isfinite(scores).all()
    row, column = np.unravel_index((maps[1] - maps[0]).argmax(), geometry.map_shape)
    x, y = geometry.to_frame(float(column), float(row))
    assert 180 <= x <= 260
    assert 180 <= y <= 260


def test_what_does_not_fit_the_golden_samples_is_refused_by_option(ten: Path, tmp_path: Path) -> None:
    request = FitRequest(ten, tmp_path / "module", steps=STEPS)
    for changes, named in (
        ({"template": "absent.png"}, r"--template absent\.png: no golden sample of that name in .*such as 000\.png"),
        ({"region": (500, 0, 20, 20)}, "--region or --grid: .*does not lie within the frame of 512 x 512"),
        ({"region": (0, 0, 40, 40), "rows": 6}, "--region or --grid: .*too fine"),
    ):
        with pytest.raises(ConfigError, match=named):
            make_recipe(msgspec.structs.replace(request, **changes), lambda _: None, pytest.fail)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (512, 512, (1, 1)),
        (1280, 1024, (1, 1)),
        (1920, 1080, (1, 1)),
        (512, 257, (1, 1)),
        (512, 256, (1, 2)),
        (330, 832, (3, 1)),  # tiles of 330 x 303
        (4000, 500, (1, 9)),
        (10, 4000, (16, 1)),
    ],
)
def test_the_grid_follows_the_regions_shape(width: int, height: int, expected: tuple[int, int]) -> None:
    assert auto_grid(width, height, overlap=0.125) == expected


def test_overlap_counts_in_the_grid_and_a_region_without_area_is_left_to_the_geometry() -> None:
    assert auto_grid(1000, 200, overlap=0.0) == (1, 5)
    assert auto_grid(1000, 200, overlap=0.5) == (1, 9)
    assert auto_grid(1000, 0, overlap=0.1)[0] == 1
