"""Calibrating thresholds: versions, further good parts, known rejects, ignore-masks, going back, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import pytest

from calibrate.thresholds.calibration import ThresholdsRequest, calibrate_thresholds, restore_thresholds
from calibrate.thresholds.held_out import held_out_samples
from calibrate.thresholds.trade_off import detection, trade_off
from engines.common.errors import ImageError, RecipeError
from engines.pictures.images import png_bytes, read_image
from engines.pictures.scores import SCORES
from engines.proof.admission import engine_folder, load_engine, read_record
from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.thresholds import FILE, HISTORY, IGNORE_MASK, Scored, Thresholds, load_history, load_thresholds
from tests.virtual_line.product import render, save_parts

REFERENCE: dict[str, Any] = {"target": "torch", "precision": "float32"}  # it needs no build


class Calibrate(Protocol):
    """Calibrates, with known rejects unless it is told otherwise."""

    def __call__(self, **changes: Any) -> Thresholds:
        """``changes`` to the request."""


def _passes(one: Scored, thresholds: Thresholds) -> bool:
    return one.score <= thresholds.score_threshold and one.level <= thresholds.pixel_threshold


@pytest.fixture(autouse=True)
def _few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the fixture's recipe was calibrated."""
    monkeypatch.setattr("calibrate.thresholds.calibration.SYNTHETIC", 9)


@pytest.fixture
def own(recipe: Recipe, tmp_path: Path) -> Recipe:
    """A copy without thresholds."""
    folder = Path(shutil.copytree(recipe.folder, tmp_path / "assembly"))
    (folder / FILE).unlink()
    shutil.rmtree(folder / HISTORY)
    return load_recipe(folder)


@pytest.fixture(scope="module")
def rejects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three known rejects, one of them of another size."""
    folder = tmp_path_factory.mktemp("rejects")
    for i, defect in enumerate(("stain", "missing piece", "misplaced piece")):
        (folder / f"{i}.png").write_bytes(png_bytes(render(700 + i, defect).image[: 512 - 8 * i]))
    return folder


@pytest.fixture
def calibrate(own: Recipe, golden_folder: Path, rejects: Path) -> Calibrate:
    def run(**changes: Any) -> Thresholds:
        request = REFERENCE | {"recipe": own, "golden": golden_folder, "rejects": rejects, "max_false_reject": 0.01}
        return calibrate_thresholds(ThresholdsRequest(**request | changes), lambda _: None, lambda _done, _total: None)

    return run


def test_each_calibration_is_a_new_signed_version_and_every_one_is_kept(own: Recipe, calibrate: Calibrate) -> None:
    first = calibrate(by="A. Meyer", note="first lot")
    assert load_thresholds(own) == first
    second = calibrate(max_false_reject=0.1)
    assert load_thresholds(own) == second
    assert (first.version, second.version) == (1, 2)
    assert (first.created_by, first.note, first.engine) == ("A. Meyer", "first lot", "torch float32")
    assert first.recipe_digest == own.digest
    assert first.samples == second.samples
    assert set(first.candidates) == set(SCORES)
    assert first.score == max(first.candidates, key=lambda name: first.candidates[name].margin)
    assert len(first.samples) == 4
    assert first.guarantee.more_needed == 299 - 4
    assert all(_passes(one, first) and one.deviation <= first.limit for one in first.samples)
    assert first.guarantee.estimate is not None
    assert second.guarantee.estimate is not None
    assert second.guarantee.estimate.limit < first.guarantee.estimate.limit, "more good parts may be rejected"
    assert second.limit <= first.limit, "both can be held where the known rejects allow"
    assert load_history(own) == [first, second]


def test_an_earlier_version_is_taken_up_again_as_a_new_one_with_its_mask(
    own: Recipe, calibrate: Calibrate, tmp_path: Path
) -> None:
    mask = np.zeros((512, 512), np.uint8)
    mask[:200] = 255
    (tmp_path / "mask.png").write_bytes(png_bytes(mask))
    first = calibrate(ignore=tmp_path / "mask.png")
    calibrate()
    third = restore_thresholds(own, None, "night shift", "rejected too many")
    assert load_thresholds(own) == third
    assert (third.version, third.restores, third.created_by, third.note) == (3, 1, "night shift", "rejected too many")
    assert (third.limit, third.score_threshold, third.samples) == (first.limit, first.score_threshold, first.samples)
    assert hashlib.sha256((own.folder / IGNORE_MASK).read_bytes()).hexdigest() == first.ignore_mask
    assert restore_thresholds(own, 2, "", "").restores == 2
    with pytest.raises(RecipeError, match=r"no version 9 to go back to; there are: 1, 2, 3, 4"):
        restore_thresholds(own, 9, "", "")
    restore_thresholds(own, 1, "", "")
    with pytest.raises(RecipeError, match="no earlier version to go back to"):
        restore_thresholds(own, None, "", "")


def test_synthetic_defects_stand_in_for_rejects_and_progress_is_told(recipe: Recipe, own: Recipe, golden_folder: Path) -> None:
    told: list[tuple[int, int]] = []
    request = ThresholdsRequest(recipe=own, golden=golden_folder, **REFERENCE, max_false_reject=0.05, confidence=0.5)
    made = calibrate_thresholds(request, lambda _: None, lambda done, total: told.append((done, total)))
    assert told == [(i, 11 + 9 + 3) for i in range(1, 24)], "fitted samples, defects, held-out samples"
    before = load_thresholds(recipe)
    assert before is not None
    assert made.score_threshold == pytest.approx(before.score_threshold, rel=1e-4)
    assert made.rejects == ()
    assert "9 synthetic defects" in made.choice


def test_known_rejects_are_told_of_and_traded_against_false_rejects(calibrate: Calibrate) -> None:
    made = calibrate()
    assert [one.name for one in made.rejects] == ["0.png", "1.png", "2.png"]
    found = detection(made)
    assert found.of == 3
    assert found.found == sum(not _passes(one, made) for one in made.rejects)
    assert 0 <= found.low <= found.share <= found.high <= 1
    rows = trade_off(made)
    assert [row.rejected for row in rows] == [0, 0, 1, 2, 3], "the present limit, then each held-out sample's"
    assert [row.limit for row in rows] == sorted((row.limit for row in rows), reverse=True)
    assert all(a.detected <= b.detected and a.guaranteed <= b.guaranteed for a, b in pairwise(rows))


def test_further_good_parts_count_once_each_and_sharpen_the_guarantee(
    calibrate: Calibrate, golden_folder: Path, tmp_path: Path
) -> None:
    save_parts(tmp_path / "more", range(900, 906), [None])
    shutil.copy(tmp_path / "more" / "000.png", tmp_path / "more" / "copy.png")
    made = calibrate(known_good=tmp_path / "more")
    assert len(made.samples) == 4 + 6
    assert made.guarantee.rate == pytest.approx(1 - 0.05 ** (1 / 10))


def test_a_picture_that_was_fitted_is_refused_also_as_a_copy_saved_anew(
    recipe: Recipe, golden_folder: Path, tmp_path: Path
) -> None:
    save_parts(tmp_path / "more", range(900, 902), [None])
    fitted = next(sample.name for sample in recipe.manifest.golden if not sample.held_out)
    cv2.imwrite(str(tmp_path / "more" / "again.bmp"), cv2.imread(str(golden_folder / fitted)))
    with pytest.raises(ImageError, match=r"more: 1 of its pictures took part in the fit, the first is again\.bmp"):
        held_out_samples(golden_folder, tmp_path / "more", recipe.manifest, pytest.fail)
    (tmp_path / "more" / "again.bmp").unlink()
    held_out = next(sample.name for sample in recipe.manifest.golden if sample.held_out)
    shutil.copy(golden_folder / held_out, tmp_path / "more" / "held-out.png")
    told: list[str] = []
    assert len(held_out_samples(golden_folder, tmp_path / "more", recipe.manifest, told.append)) == 4 + 2
    assert told == ["1 of the held-out pictures are copies of others, which count once"]


def test_the_engine_that_serves_is_measured_and_proven_for_its_thresholds(
    built: Recipe, golden_folder: Path, rejects: Path, tmp_path: Path
) -> None:
    own = load_recipe(Path(shutil.copytree(built.folder, tmp_path / "own")))
    told: list[str] = []
    request = ThresholdsRequest(recipe=own, golden=golden_folder, rejects=rejects, target="openvino", precision="float32")
    made = calibrate_thresholds(request, told.append, lambda _done, _total: None)
    assert made.engine == "openvino float32"
    comparing, passed = told
    assert comparing == "comparing the verdicts of openvino float32 with the reference's"
    assert passed.startswith("openvino float32 has passed the parity gate for thresholds version 2 (")
    record = read_record(engine_folder(own, "openvino", "float32"))
    assert record.parity is not None
    assert record.parity.thresholds_version == made.version
    load_engine(own, "openvino", "float32").close()


def test_an_ignore_mask_changes_the_scores_and_is_kept_with_them(own: Recipe, calibrate: Calibrate, tmp_path: Path) -> None:
    mask = np.full((512, 512), 255, np.uint8)
    mask[200:300, 100:300] = 0
    (tmp_path / "mask.png").write_bytes(png_bytes(mask))
    with_mask = calibrate(ignore=tmp_path / "mask.png")
    assert with_mask.ignore_mask == hashlib.sha256((own.folder / IGNORE_MASK).read_bytes()).hexdigest()
    assert load_thresholds(own) == with_mask
    without = calibrate()
    assert without.ignore_mask is None
    assert load_thresholds(own) == without
    assert with_mask.pixel_threshold != without.pixel_threshold


def test_what_cannot_be_used_is_refused_and_nothing_is_written(
    own: Recipe, calibrate: Calibrate, rejects: Path, tmp_path: Path
) -> None:
    (tmp_path / "mask.png").write_bytes(png_bytes(np.zeros((256, 512), np.uint8)))
    with pytest.raises(ImageError, match=r"mask\.png: the ignore-mask is 512 x 256 pixels, the frame is 512 x 512"):
        calibrate(ignore=tmp_path / "mask.png")
    own_rejects = Path(shutil.copytree(rejects, tmp_path / "rejects"))
    (own_rejects / "1.png").write_bytes((rejects / "1.png").read_bytes()[:5000])
    with pytest.raises(ImageError, match=r"rejects/1\.png: damaged image"):
        calibrate(rejects=own_rejects)
    for file in own_rejects.iterdir():
        file.unlink()
    with pytest.raises(ImageError, match="rejects: no picture of a known reject; leave --rejects out"):
        calibrate(rejects=own_rejects)
    with pytest.raises(RecipeError, match="this golden sample is missing"):
        calibrate(golden=own_rejects)
    assert not {FILE, IGNORE_MASK, HISTORY} & {path.name for path in own.folder.iterdir()}


def test_edited_thresholds_are_mended_by_taking_up_what_was_signed_or_by_calibrating_again(
    own: Recipe, calibrate: Calibrate
) -> None:
    first = calibrate(by="A. Meyer")
    content = json.loads((own.folder / FILE).read_bytes())
    content |= {key: content[key] * 100 for key in ("score_threshold", "pixel_threshold")}
    (own.folder / FILE).write_text(json.dumps(content))
    with pytest.raises(RecipeError, match=r"score_threshold is .* calibrate again with: calibrate thresholds"):
        load_thresholds(own)
    restored = restore_thresholds(own, 1, "B. Braun", "")
    assert load_thresholds(own) == restored
    assert (restored.version, restored.score_threshold) == (2, first.score_threshold)
    (own.folder / FILE).write_text(json.dumps(content | {"version": 2}))
    again = calibrate()
    assert (again.version, load_thresholds(own)) == (3, again)


@pytest.mark.parametrize("edit", [{"score_threshold": 1.0}, {"minimum_area": 100_000}, {"ignore_mask": None, "note": "?"}])
def test_a_version_that_was_edited_in_the_history_is_not_taken_up(
    own: Recipe, calibrate: Calibrate, edit: dict[str, object]
) -> None:
    calibrate()
    second = calibrate()
    file = own.folder / HISTORY / "0001.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | edit))
    with pytest.raises(RecipeError, match=r"0001\.json: .*nobody has signed that: calibrate again with: calibrate thresholds"):
        restore_thresholds(own, 1, "", "")
    assert load_thresholds(own) == second, "the present one stays"


def test_damaged_thresholds_are_not_overwritten(own: Recipe, calibrate: Calibrate) -> None:
    (own.folder / FILE).write_text('{"version": ')
    with pytest.raises(RecipeError, match=r"thresholds\.json: .*truncated"):
        calibrate()
    assert (own.folder / FILE).read_text() == '{"version": '


def test_pictures_of_known_rejects_are_read_at_the_frames_size(recipe: Recipe, rejects: Path) -> None:
    from calibrate.thresholds.held_out import known_rejects

    assert {one.image.shape for one in known_rejects(rejects, recipe.manifest)} == {(512, 512, 3)}
    assert read_image(rejects / "2.png").shape == (496, 512, 3)
