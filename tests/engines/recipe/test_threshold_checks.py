"""Thresholds and sensitivities that were edited are refused: nobody has signed what stands above the name there."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engines.common.errors import RecipeError
from engines.pictures.images import png_bytes
from engines.recipe.bundle import Recipe
from engines.recipe.sensitivity_changes import FILE as SENSITIVITY
from engines.recipe.sensitivity_changes import Change, load_changes, save_changes
from engines.recipe.threshold_checks import contradiction
from engines.recipe.thresholds import (
    FILE,
    HISTORY,
    IGNORE_MASK,
    Guarantee,
    Scale,
    Scored,
    Thresholds,
    load_thresholds,
    save_thresholds,
)
from tests.engines.made_recipe import made_recipe
from tests.engines.pictures.test_geometry import GRIDS

SCALE = Scale(-3.0, 0.1, -2.0, 0.2)
SCORES = ((0.05, 0.14), (0.052, 0.15), (0.048, 0.16))
MENDED = r"nobody has signed that: calibrate again with: calibrate thresholds --recipe .*made"


def _scored(scale: Scale = SCALE) -> tuple[Scored, ...]:
    """Three held-out samples."""
    return tuple(
        Scored(f"{i}.png", "0" * 64, score, level, float(scale.deviations(np.array([score]), np.array([level]))[0]))
        for i, (score, level) in enumerate(SCORES)
    )


def _made(recipe: Recipe, **changes: Any) -> Thresholds:
    samples = _scored()
    limit = sorted(one.deviation for one in samples)[2]
    score, pixel = SCALE.thresholds(limit)
    made = Thresholds(
        version=1,
        recipe_digest=recipe.digest,
        engine="openvino float32",
        score="max",
        score_threshold=score,
        pixel_threshold=pixel,
        minimum_area=12,
        scale=SCALE,
        limit=limit,
        guarantee=Guarantee(0.5, 0.5, 3, 3, 0.2, 0, None),
        method="",
        promise="",
        samples=samples,
        rejects=samples[:1],
        candidates={},
        choice="",
        ignore_mask=None,
        created="2024-01-01T00:00:00+00:00",
        created_by="A. Meyer",
        note="first lot",
    )
    return msgspec.structs.replace(made, **changes)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """One without a fit, whose thresholds a calibration might have written, with a mask."""
    made = made_recipe(tmp_path / "made", GRIDS[0])
    mask = png_bytes(np.zeros((480, 640), np.uint8))
    save_thresholds(made.folder, _made(made, ignore_mask=hashlib.sha256(mask).hexdigest()), mask)
    return made


def _edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_bytes())
    change(content)
    file.write_text(json.dumps(content))


def _times_100(content: dict[str, Any]) -> None:
    for key in ("score_threshold", "pixel_threshold"):
        content[key] *= 100


def _looser_by_its_scale(content: dict[str, Any]) -> None:
    content["scale"]["score_centre"] += 1
    content["score_threshold"], content["pixel_threshold"] = Scale(**content["scale"]).thresholds(content["limit"])


def _looser_by_its_limit(content: dict[str, Any]) -> None:
    content["limit"] += 9
    content["score_threshold"], content["pixel_threshold"] = Scale(**content["scale"]).thresholds(content["limit"])


def _sets(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: content.update(changes)


def _changed(key: str, **changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: (content[key][0] if isinstance(content[key], list) else content[key]).update(changes)


EDITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "both thresholds": (_times_100, "score_threshold is "),
    "score threshold": (_sets(score_threshold=0.2), "score_threshold is 0.2, and its limit and scale give 0.05"),
    "pixel threshold": (_sets(pixel_threshold=0.9), "pixel_threshold is 0.9, and its limit and scale give "),
    "limit": (_sets(limit=1e9), "score_threshold is .* and its limit and scale give inf"),
    "limit and thresholds": (_looser_by_its_limit, "limit is .*, and the sample that sets it has "),
    "scale and thresholds": (_looser_by_its_scale, r"score_threshold is .*, and .* in .* \(other ones there: scale\)"),
    "a sample": (_changed("samples", score=9.0), r"samples: the deviation of 0\.png does not follow"),
    "a reject": (_changed("rejects", level=9.0), r"rejects: the deviation of 0\.png does not follow"),
    "samples left out": (_sets(samples=[]), "guarantee: it rests on 3 samples, and 0 are listed"),
    "rank": (_changed("guarantee", rank=4), "guarantee: there is no sample of rank 4"),
    "minimum area": (_sets(minimum_area=100_000), "minimum_area is 100000, and 12 in "),
    "score": (_sets(score="std"), "score is std, and max in "),
    "mask left out": (_sets(ignore_mask=None), "ignore_mask is None, and [0-9a-f]{64} in "),
    "engine": (_sets(engine="torch float32"), "engine is torch float32, and openvino float32 in "),
    "promise": (_changed("guarantee", confidence=0.99), "guarantee is another than in "),
    "who and why": (
        _sets(created_by="B. Braun", note=""),
        r"created_by is B\. Braun, and A\. Meyer in .*0001\.json \(other ones there: note\)",
    ),
    "version": (_sets(version=2), r"version 2 has no copy in the history \(.*0002\.json is missing\)"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_field_is_refused_with_the_command_that_mends_it(recipe: Recipe, edit: str) -> None:
    change, told = EDITS[edit]
    assert load_thresholds(recipe) is not None
    _edit(recipe.folder / FILE, change)
    with pytest.raises(RecipeError, match=f"^{recipe.folder / FILE}: {told}.*; {MENDED}") as caught:
        load_thresholds(recipe)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("edit", [edit for edit in EDITS if edit != "version"])
def test_so_it_is_when_the_historys_copy_was_edited_as_well(recipe: Recipe, edit: str) -> None:
    for file in (recipe.folder / FILE, recipe.folder / HISTORY / "0001.json"):
        _edit(file, EDITS[edit][0])
    with pytest.raises(RecipeError, match=MENDED):
        load_thresholds(recipe)


def test_a_mask_of_another_content_is_refused_although_the_file_has_its_digest(recipe: Recipe) -> None:
    mask = png_bytes(np.full((480, 640), 255, np.uint8))
    (recipe.folder / IGNORE_MASK).write_bytes(mask)
    with pytest.raises(RecipeError, match=r"ignore\.png: changed since it was written"):
        load_thresholds(recipe)
    _edit(recipe.folder / FILE, _sets(ignore_mask=hashlib.sha256(mask).hexdigest()))
    with pytest.raises(RecipeError, match=f"ignore_mask is .*; {MENDED}"):
        load_thresholds(recipe)


def test_every_field_is_covered(recipe: Recipe) -> None:
    """Whatever thresholds may come to hold: one that differs from the history's copy is found."""
    file = recipe.folder / FILE
    content = json.loads(file.read_bytes())
    for key in content:
        changed = content | {key: _other(content[key])}
        file.write_text(json.dumps(changed))
        with pytest.raises(RecipeError):
            load_thresholds(recipe)
    file.write_text(json.dumps(content))
    assert load_thresholds(recipe) is not None, "what was not changed is taken, however it is written"


def _other(value: Any) -> Any:
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    if isinstance(value, dict):
        return {key: _other(one) for key, one in value.items()} or {"max": {"spread": 1, "margin": 1, "detected": 1}}
    if isinstance(value, list):
        return value[1:]
    return 1 if value is None else value + 1


def test_a_history_without_its_copy_is_refused_and_one_from_before_digests_is_taken(recipe: Recipe) -> None:
    history = recipe.folder / HISTORY
    (history / "0001.sha256").unlink()
    assert load_thresholds(recipe) is not None
    shutil.rmtree(history)
    with pytest.raises(RecipeError, match=rf"version 1 has no copy in the history .*; {MENDED}"):
        load_thresholds(recipe)


def test_the_historys_digests_are_such_as_other_tools_check(recipe: Recipe) -> None:
    done = subprocess.run(["sha256sum", "-c", "0001.sha256"], cwd=recipe.folder / HISTORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "0001.json: OK\n")


def test_an_estimates_limit_is_never_below_a_sample(recipe: Recipe) -> None:
    estimated = _made(recipe, guarantee=Guarantee(0.5, 0.5, 3, None, 0.2, 9, None))
    higher = estimated.limit + 1
    score, pixel = SCALE.thresholds(higher)
    assert not contradiction(msgspec.structs.replace(estimated, limit=higher, score_threshold=score, pixel_threshold=pixel))
    score, pixel = SCALE.thresholds(estimated.limit - 1)
    lower = msgspec.structs.replace(estimated, limit=estimated.limit - 1, score_threshold=score, pixel_threshold=pixel)
    assert "below a sample's" in contradiction(lower)


@pytest.mark.parametrize("change", [{"offset": -0.2}, {"offset": 0.0}, {"by": "anna"}, {"thresholds_version": 2}])
def test_an_edited_sensitivity_is_refused_with_the_command_that_mends_it(recipe: Recipe, change: dict[str, object]) -> None:
    made = Change(0.05, 1, recipe.digest, "otto", "batch 7", "2024-01-01T00:00:00+00:00")
    save_changes(recipe.folder, (made,))
    assert load_changes(recipe.folder) == (made,)
    _edit(recipe.folder / SENSITIVITY, _changed("changes", **change))
    with pytest.raises(RecipeError, match=r"changes: edited by hand, which nobody has signed.*inspect sensitivity .* --reset"):
        load_changes(recipe.folder)


def test_a_sensitivity_whose_changes_were_left_out_is_refused(recipe: Recipe) -> None:
    changes = tuple(Change(offset, 1, recipe.digest, "otto", "", "2024-01-01T00:00:00+00:00") for offset in (-0.1, 0.1))
    save_changes(recipe.folder, changes)
    _edit(recipe.folder / SENSITIVITY, lambda content: content["changes"].pop())
    with pytest.raises(RecipeError, match="edited by hand"):
        load_changes(recipe.folder)
    _edit(recipe.folder / SENSITIVITY, lambda content: content.pop("sha256"))
    with pytest.raises(RecipeError, match=r"sha256.*--reset"):
        load_changes(recipe.folder)
