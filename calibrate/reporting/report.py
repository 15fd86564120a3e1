"""The calibration report: what a recipe was made from, what its thresholds guarantee, what it sees; to hand on and sign."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import msgspec

from calibrate.detection.detectability import Detectability
from calibrate.pages.page import note, page, section, table
from calibrate.reporting.report_charts import Chart, curve_chart, deviation_chart, trade_off_chart
from calibrate.reporting.report_pictures import Example, examples, golden_strip
from calibrate.thresholds.trade_off import detection
from engines.common.errors import RecipeError
from engines.common.files import decode_json, write_file
from engines.common.images import png_bytes, read_image
from engines.proof.admission import BuildRecord, built_engines, runs_here
from engines.recipe.bundle import Recipe
from engines.recipe.model_config import TEMPLATE
from engines.recipe.templates import read_templates
from engines.recipe.thresholds import Guarantee, Thresholds, load_thresholds

FOLDER, FILE, DETECTABILITY = "report", "report.html", "detectability.png"  # its figures beside it, as JSON


class ReportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for."""

    recipe: Recipe
    golden: Path  # folder that the fit used
    target: str
    precision: str
    rejects: Path | None = None  # examples are taken from it; else synthetic defects are shown


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
    charts = {"deviations": deviation_chart(thresholds), "fit": curve_chart(recipe.manifest)}
    if thresholds.rejects:
        charts["trade-off"] = trade_off_chart(thresholds)
    shown = examples(recipe, thresholds, request.golden, request.rejects, request.target, request.precision)
    strip = golden_strip(recipe, request.golden)
    template = png_bytes(read_templates(recipe, features=False).picture(0))
    detectability = recipe.folder / FOLDER / DETECTABILITY
    body = "".join(
        (
            _head(recipe, thresholds),
            _tiles(recipe, thresholds),
            section("What is guaranteed", _guarantee(thresholds, charts)),
            section("Golden samples", _golden(recipe, thresholds, strip)),
            section("What this line can see", _detectability(recipe, thresholds, detectability)),
            section("Examples", _examples(shown, thresholds)),
            section("Template and fit", _fit(recipe, template, charts["fit"])),
            section("Engines", _engines(recipe)),
            section("Versions and digests", _versions(recipe, thresholds)),
            '<div class="sign"><div>calibrated by, date</div><div>approved by, date</div></div>',
        )
    )
    lead = "Calibration report: what this recipe was made from, what its thresholds guarantee, and what it can see"
    pictures = {f"{name}.png": chart.png for name, chart in charts.items()} | {"template.png": template, "golden.png": strip}
    pictures |= {f"example-{i}.png": one.png for i, one in enumerate(shown, start=1)}
    return _write(recipe, page(f"Recipe {recipe.manifest.product}", lead, body), pictures)


def _write(recipe: Recipe, text: str, pictures: dict[str, bytes]) -> Path:
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


def _head(recipe: Recipe, thresholds: Thresholds) -> str:
    manifest = recipe.manifest
    width, height = manifest.geometry.frame
    entries = (
        ("Product", manifest.product),
        ("Recipe digest", recipe.digest[:16]),
        ("Network", f"{type(manifest.model).__struct_config__.tag}, {manifest.profile}"),
        ("Engine", thresholds.engine),
        ("Frame", f"{width} x {height} pixels"),
        ("Inspected in", f"{manifest.geometry.tiles} tile{'s' * (manifest.geometry.tiles > 1)}"),
        ("Thresholds", f"version {thresholds.version}"),
        ("Calibrated", thresholds.created[:16].replace("T", " ") + " UTC"),
        ("By", thresholds.created_by),
        ("Note", thresholds.note or "-"),
        ("Fitted", manifest.created[:16].replace("T", " ") + " UTC"),
        ("Report of", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
    )
    cells = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in entries)
    return f'<dl class="head">{cells}</dl>'


def _by_estimate(guarantee: Guarantee) -> str:
    estimate = guarantee.estimate
    return "an estimate" if estimate is not None and estimate.kept else "not kept: too many defects would pass"


def _tiles(recipe: Recipe, thresholds: Thresholds) -> str:
    guarantee = thresholds.guarantee
    met = guarantee.rank is not None
    sure = f"{guarantee.confidence:.0%}"
    tiles = [
        (
            "good parts rejected, at most",
            f"{guarantee.rate:.2%}",
            f"guaranteed at {sure} confidence",
            "good" if met else "fair",
            "as asked for" if met else f"asked for: {guarantee.asked_rate:.2%}, {_by_estimate(guarantee)}",
        ),
        (
            "held-out good parts",
            str(guarantee.samples),
            "that took no part in the fit",
            "good" if met else "fair",
            "enough" if met else f"{guarantee.more_needed} more are needed",
        ),
    ]
    if thresholds.rejects:
        found = detection(thresholds)
        tone = "good" if found.found == found.of else "fair"
        tiles.append(
            (
                "known rejects detected",
                f"{found.found} of {found.of}",
                f"{found.low:.1%} to {found.high:.1%} at 95% confidence",
                tone,
                f"{found.share:.1%}",
            )
        )
    measured = [one for one in _records(recipe) if f"{one.target} {one.precision}" == thresholds.engine]
    record = next(filter(runs_here, measured), None)
    if record is not None and record.parity is not None:
        tone, told = ("good", "proven") if record.parity.passed else ("poor", "not proven")
        tiles.append(("one frame", f"{record.parity.latency_ms:.0f} ms", thresholds.engine, tone, told))
    return '<div class="tiles">' + "".join(_tile(*one) for one in tiles) + "</div>"


def _tile(name: str, value: str, small: str, tone: str, rating: str) -> str:
    return (
        f'<div class="tile {tone}"><span>{escape(name)}</span><b>{escape(value)}</b><span>{escape(small)}</span>'
        f'<span class="rating">{escape(rating)}</span></div>'
    )


def _guarantee(thresholds: Thresholds, charts: dict[str, Chart]) -> str:
    rows = [
        ("Score", f"{thresholds.score}: {thresholds.choice}"),
        ("Score threshold", f"{thresholds.score_threshold:.6g}"),
        ("Pixel threshold", f"{thresholds.pixel_threshold:.6g}, regions of {thresholds.minimum_area} map pixels and more"),
        ("Limit of deviations", f"{thresholds.limit:.3f}"),
        ("Got by", thresholds.method),
    ]
    drawn = "".join(charts[name].svg for name in ("deviations", "trade-off") if name in charts)
    candidates = table(
        ("score", "spread of good parts", "margin of defects", "defects above all good parts"),
        [
            (
                "strong" if name == thresholds.score else "",
                (name, f"{one.spread:.3f}", f"{one.margin:.2f}", f"{one.detected:.0%}"),
            )
            for name, one in thresholds.candidates.items()
        ],
    )
    promise = escape(thresholds.promise[0].upper() + thresholds.promise[1:])
    return (
        f'<ul class="findings"><li class="{"good" if thresholds.guarantee.rank is not None else ""}">{promise}.</li></ul>'
        f'<div class="charts">{drawn}</div>{_pairs(rows)}{candidates}'
    )


def _golden(recipe: Recipe, thresholds: Thresholds, strip: bytes) -> str:
    samples = recipe.manifest.golden
    held_out = sum(sample.held_out for sample in samples)
    known = {sample.sha256 for sample in samples}
    added = sum(sample.sha256 not in known for sample in thresholds.samples)
    rows = [
        ("Fitted", str(len(samples) - held_out)),
        ("Held out by the fit", f"{held_out}, drawn with seed {recipe.manifest.seed}"),
        ("Further known-good parts", str(added)),
    ]
    return _pairs(rows) + _picture(strip, "golden samples") + note("Golden samples, evenly drawn from the set.")


def _fit(recipe: Recipe, template: bytes, curve: Chart) -> str:
    manifest = recipe.manifest
    names = manifest.templates
    pinned = manifest.model.templates_file == TEMPLATE
    text = (
        f"Every part is compared with it: {names[0]}."
        if pinned
        else f"The first of a bank of {len(names)}: {names[0]}. Every part is compared with the most similar of them."
    )
    fit = (
        f"{manifest.steps} steps, seed {manifest.seed}; input at {manifest.model.contrast:g} times the backbone's own contrast"
    )
    rows = [("Template", text), ("Fit", fit), ("Profile", manifest.profile)]
    return f'<div class="charts"><div>{_picture(template, "template")}</div><div>{curve.svg}{_pairs(rows)}</div></div>'


def _detectability(recipe: Recipe, thresholds: Thresholds, file: Path) -> str:
    figures = file.with_suffix(".json")
    if not (file.is_file() and figures.is_file()):
        return note(f"Not measured yet; run: {recipe.naming.command('calibrate detectability')}")
    seen = decode_json(figures.read_bytes(), Detectability, figures)
    if (seen.recipe_digest, seen.thresholds_version) != (recipe.digest, thresholds.version):
        return note(f"Measured for other thresholds only; run again: {recipe.naming.command('calibrate detectability')}")
    return _picture(png_bytes(read_image(file)), "what this line can see")


def _examples(shown: Iterable[Example], thresholds: Thresholds) -> str:
    figures = "".join(
        f"<figure>{_picture(one.png, one.what)}<figcaption><b>{escape(one.what)}</b><br>deviation {one.deviation:.2f} "
        f"(limit {thresholds.limit:.2f}): {'pass' if one.passed else 'reject'}</figcaption></figure>"
        for one in shown
    )
    return f'<div class="examples">{figures}</div>' + note(
        "Left the part, right the anomaly map over it, all in the same colours."
    )


def _engines(recipe: Recipe) -> str:
    rows = [("", ("torch float32", "the reference", "-", "-", "-", "-"))]
    for record in _records(recipe):
        parity = record.parity
        if parity is None:
            rows.append(("", (f"{record.target} {record.precision}", "not proven", "-", "-", "-", "-")))
            continue
        told = f"{parity.map_error:.2g} (limit {parity.limits.map_error:g})"
        flips = "-" if parity.thresholds_version is None else f"{parity.flips} (thresholds version {parity.thresholds_version})"
        passed = "passed" if parity.passed else "failed"
        name = f"{record.target} {record.precision}" + ("" if runs_here(record) else ", of another environment")
        rows.append(("", (name, passed, str(parity.frames), told, flips, f"{parity.latency_ms:.1f} ms")))
    return table(("engine", "gate", "frames", "map error", "verdicts flipped", "one frame"), rows)


def _versions(recipe: Recipe, thresholds: Thresholds) -> str:
    rows = [(name, value) for name, value in recipe.manifest.versions.items()]
    rows += [("recipe", recipe.digest), *recipe.manifest.files.items()]
    rows.append((f"thresholds version {thresholds.version}", thresholds.digest))
    if thresholds.ignore_mask is not None:
        rows.append(("ignore-mask", thresholds.ignore_mask))
    for record in _records(recipe):
        built = ", ".join(f"{name} {version}" for name, version in record.versions.items())
        rows.append((f"engine {record.target} {record.precision}", f"{built}; built {record.built}"))
    return _pairs(rows)


def _records(recipe: Recipe) -> list[BuildRecord]:
    return [record for record in built_engines(recipe).values() if record.recipe_digest == recipe.digest]


def _pairs(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f'<tr><td>{escape(name)}</td><td class="text">{escape(value)}</td></tr>' for name, value in rows)
    return f'<table class="pairs"><tbody>{cells}</tbody></table>'


def _picture(png: bytes, what: str) -> str:
    return f'<img alt="{escape(what)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
