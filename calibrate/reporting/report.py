"""The calibration report: what a recipe was made from, what its thresholds guarantee, what it sees; to hand on and sign."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from calibrate.detection.detectability import Detectability
from calibrate.pages.page import Pair, Row, Tile, render
from calibrate.reporting.report_charts import Chart, curve_chart, deviation_chart, trade_off_chart
from calibrate.reporting.report_pictures import Example, examples, golden_strip
from calibrate.reporting.report_text import (
    build_records,
    candidates_of,
    engines_of,
    fit_of,
    golden_set,
    head,
    thresholds_of,
    tiles_of,
    versions_of,
)
from engines.common.errors import RecipeError
from engines.common.files import decode_json, write_file
from engines.pictures.images import png_bytes, read_image
from engines.recipe.bundle import Recipe
from engines.recipe.templates import read_templates
from engines.recipe.thresholds import Thresholds, load_thresholds

FOLDER, FILE, DETECTABILITY = "report", "report.html", "detectability.png"  # its figures beside it, as JSON


class ReportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for."""

    recipe: Recipe
    golden: Path  # folder that the fit used
    target: str
    precision: str
    rejects: Path | None = None  # examples are taken from it; else synthetic defects are shown


class Report(NamedTuple):
    """What the template `report.html` shows, in its order; pictures as PNG."""

    head: tuple[Pair, ...]
    tiles: tuple[Tile, ...]
    guaranteed: bool
    promise: str
    deviations: Chart
    trade_off: Chart | None  # None without known rejects
    thresholds: tuple[Pair, ...]
    candidates: tuple[Row, ...]
    golden: tuple[Pair, ...]
    strip: bytes
    seen: bytes | None  # what this line can see
    unseen: str  # why it is not shown
    examples: tuple[Example, ...]
    limit: float
    template: bytes
    curve: Chart | None  # of a memory alone there is none
    fit: tuple[Pair, ...]
    engines: tuple[Row, ...]
    versions: tuple[Pair, ...]


def make_report(request: ReportRequest) -> Path:
    """Write `report/report.html` and its PNGs into the recipe; returns the page.

    Raises RecipeError for a recipe without thresholds, and what reading golden samples and loading the engine raise.
    """
    recipe = request.recipe
    thresholds = load_thresholds(recipe)
    if thresholds is None:
        raise RecipeError(
            f"{recipe.folder}: has no thresholds yet, which a report is about; first run: "
            f"{recipe.naming.command('calibrate thresholds', request.target, request.precision)}"
        )
    records = build_records(recipe)
    seen, unseen = _detectability(recipe, thresholds, recipe.folder / FOLDER / DETECTABILITY)
    report = Report(
        head=head(recipe, thresholds),
        tiles=tiles_of(thresholds, records),
        guaranteed=thresholds.guarantee.rank is not None,
        promise=thresholds.promise[0].upper() + thresholds.promise[1:],
        deviations=deviation_chart(thresholds),
        trade_off=trade_off_chart(thresholds) if thresholds.rejects else None,
        thresholds=thresholds_of(thresholds),
        candidates=candidates_of(thresholds),
        golden=golden_set(recipe, thresholds),
        strip=golden_strip(recipe, request.golden),
        seen=seen,
        unseen=unseen,
        examples=tuple(examples(recipe, thresholds, request.golden, request.rejects, request.target, request.precision)),
        limit=thresholds.limit,
        template=png_bytes(read_templates(recipe, features=False).picture(0)),
        curve=curve_chart(recipe.manifest),
        fit=fit_of(recipe),
        engines=engines_of(records),
        versions=versions_of(recipe, thresholds, records),
    )
    return _write(recipe, report)


def _write(recipe: Recipe, report: Report) -> Path:
    charts = {"deviations": report.deviations, "fit": report.curve, "trade-off": report.trade_off}
    pictures = {f"{name}.png": chart.png for name, chart in charts.items() if chart is not None}
    pictures |= {"template.png": report.template, "golden.png": report.strip}
    pictures |= {f"example-{i}.png": one.png for i, one in enumerate(report.examples, start=1)}
    text = render("report.html", title=f"Recipe {recipe.manifest.product}", report=report)
    folder = recipe.folder / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        for name, content in pictures.items():
            write_file(folder / name, content)
        write_file(folder / FILE, text.encode())
    except OSError as error:
        raise RecipeError(
            f"{folder}: the report cannot be written ({error.strerror or error}); make room, then try again"
        ) from error
    return folder / FILE


def _detectability(recipe: Recipe, thresholds: Thresholds, file: Path) -> tuple[bytes | None, str]:
    """The picture; or why there is none to show."""
    figures = file.with_suffix(".json")
    if not (file.is_file() and figures.is_file()):
        return None, f"Not measured yet; run: {recipe.naming.command('calibrate detectability')}"
    seen = decode_json(figures.read_bytes(), Detectability, figures)
    if (seen.recipe_digest, seen.thresholds_version) != (recipe.digest, thresholds.version):
        return None, f"Measured for other thresholds only; run again: {recipe.naming.command('calibrate detectability')}"
    return png_bytes(read_image(file)), ""
