"""The calibration report: one file that needs no other, with what was measured in it; and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from calibrate.detection.detectability import Detectability
from calibrate.reporting.report import ReportRequest, make_report
from calibrate.thresholds.calibration import restore_thresholds
from engines.common.errors import RecipeError
from engines.pictures.images import png_bytes, read_image
from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.thresholds import FILE, load_thresholds
from tests.calibrate.pages.page_reader import PageReader
from tests.virtual_line.product import render

NASTY = """<script>alert("1")</script>' onload="x" & &lt; {{ 7 * 7 }}"""


def test_the_report_is_one_file_that_tells_what_was_measured(built: Recipe, golden_folder: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(built.folder, tmp_path / "own"))
    restore_thresholds(load_recipe(own), 1, by=NASTY, note=NASTY)  # the same once more, as version 2
    (own / "report").mkdir()
    (own / "report" / "detectability.png").write_bytes(png_bytes(render(1, None).image))
    seen = Detectability(
        "made", built.digest, 2, "torch float32", "torch float32", 3, 0, 512, 0.95, 0.95, 0, (), 0, "2026-11-22T00:00:00+00:00"
    )
    (own / "report" / "detectability.json").write_bytes(msgspec.json.encode(seen))
    page = make_report(ReportRequest(recipe=load_recipe(own), golden=golden_folder, target="torch", precision="float32"))
    reader = PageReader(page.read_text())
    assert reader.loads_nothing()
    thresholds = load_thresholds(built)
    assert thresholds is not None
    text = reader.text
    promise = thresholds.promise[1:]
    for told in (built.digest, promise, thresholds.method, f"{thresholds.score_threshold:.6g}", "openvino float32", "held out"):
        assert told in text
    assert text.count("(limit") == 2 + 3 + 1, (
        "of three good parts the two largest, synthetic defects, and the engine's map error"
    )
    assert text.count(NASTY) == 2, "who, and why"
    assert "passed" in text
    assert "Not measured yet" not in text
    assert "for other thresholds only" not in text
    names = {file.name for file in page.parent.glob("*.png")}
    assert {"deviations.png", "fit.png", "template.png", "golden.png", "example-1.png", "example-5.png"} <= names
    assert read_image(page.parent / "example-1.png").shape == (420, 840, 3)


def test_a_recipe_without_thresholds_has_no_report(recipe: Recipe, golden_folder: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(recipe.folder, tmp_path / "own"))
    (own / FILE).unlink()
    with pytest.raises(RecipeError, match="has no thresholds yet, which a report is about; first run: calibrate thresholds"):
        make_report(ReportRequest(recipe=load_recipe(own), golden=golden_folder, target="torch", precision="float32"))
    assert not (own / "report").exists()
