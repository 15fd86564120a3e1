"""What a calibration report says in words and figures: each function fills one part of the page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from calibrate.pages.page import Pair, Row, Tile
from calibrate.thresholds.trade_off import detection
from engines.proof.admission import BuildRecord, built_engines, runs_here
from engines.recipe.bundle import Recipe
from engines.recipe.model_config import TEMPLATE
from engines.recipe.thresholds import Guarantee, Thresholds
from engines.recipe.trials import load_trials


def head(recipe: Recipe, thresholds: Thresholds) -> tuple[Pair, ...]:
    """What was calibrated, when, and by whom."""
    manifest = recipe.manifest
    width, height = manifest.geometry.frame
    return (
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


def _by_estimate(guarantee: Guarantee) -> str:
    estimate = guarantee.estimate
    return "an estimate" if estimate is not None and estimate.kept else "not kept: too many defects would pass"


def tiles_of(thresholds: Thresholds, records: Sequence[BuildRecord]) -> tuple[Tile, ...]:
    """The figures that are read first."""
    guarantee = thresholds.guarantee
    met = guarantee.rank is not None
    tiles = [
        Tile(
            "good parts rejected, at most",
            f"{guarantee.rate:.2%}",
            f"guaranteed at {guarantee.confidence:.0%} confidence",
            "good" if met else "fair",
            "as asked for" if met else f"asked for: {guarantee.asked_rate:.2%}, {_by_estimate(guarantee)}",
        ),
        Tile(
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
        between = f"{found.low:.1%} to {found.high:.1%} at 95% confidence"
        tiles.append(Tile("known rejects detected", f"{found.found} of {found.of}", between, tone, f"{found.share:.1%}"))
    measured = [one for one in records if f"{one.target} {one.precision}" == thresholds.engine]
    record = next(filter(runs_here, measured), None)
    if record is not None and record.parity is not None:
        tone, told = ("good", "proven") if record.parity.passed else ("poor", "not proven")
        tiles.append(Tile("one frame", f"{record.parity.latency_ms:.0f} ms", thresholds.engine, tone, told))
    return tuple(tiles)


def thresholds_of(thresholds: Thresholds) -> tuple[Pair, ...]:
    """What decides between pass and reject, and how it was got."""
    return (
        ("Score", f"{thresholds.score}: {thresholds.choice}"),
        ("Score threshold", f"{thresholds.score_threshold:.6g}"),
        ("Pixel threshold", f"{thresholds.pixel_threshold:.6g}, regions of {thresholds.minimum_area} map pixels and more"),
        ("Limit of deviations", f"{thresholds.limit:.3f}"),
        ("Got by", thresholds.method),
    )


def candidates_of(thresholds: Thresholds) -> tuple[Row, ...]:
    """The scores that could have been chosen, the chosen one strong."""
    return tuple(
        Row(
            (name, f"{one.spread:.3f}", f"{one.margin:.2f}", f"{one.detected:.0%}"),
            "strong" if name == thresholds.score else "",
        )
        for name, one in thresholds.candidates.items()
    )


def golden_set(recipe: Recipe, thresholds: Thresholds) -> tuple[Pair, ...]:
    """How many good parts went where."""
    samples = recipe.manifest.golden
    held_out = sum(sample.held_out for sample in samples)
    known = {sample.sha256 for sample in samples}
    added = sum(sample.sha256 not in known for sample in thresholds.samples)
    return (
        ("Fitted", str(len(samples) - held_out)),
        ("Held out by the fit", f"{held_out}, drawn with seed {recipe.manifest.seed}"),
        ("Further known-good parts", str(added)),
    )


def fit_of(recipe: Recipe) -> tuple[Pair, ...]:
    """What parts are compared with, and how that was made."""
    manifest = recipe.manifest
    names = manifest.templates
    pinned = manifest.model.templates_file == TEMPLATE
    text = (
        f"Every part is compared with it: {names[0]}."
        if pinned
        else f"The first of a bank of {len(names)}: {names[0]}. Every part is compared with the most similar of them."
    )
    how = f"{manifest.steps} steps" if manifest.steps else "a memory alone, without restoration"
    fit = f"{how}, seed {manifest.seed}; input at {manifest.model.contrast:g} times the backbone's own contrast"
    tried = [("Tried on golden samples", trial.told) for trial in load_trials(recipe)]
    return (("Template", text), ("Fit", fit), *tried, ("Profile", manifest.profile))


def engines_of(records: Sequence[BuildRecord]) -> tuple[Row, ...]:
    """The reference, and every engine that was built from this recipe, with what its gate measured."""
    rows = [Row(("torch float32", "the reference", "-", "-", "-", "-"))]
    for record in records:
        name, parity = f"{record.target} {record.precision}", record.parity
        if parity is None:
            rows.append(Row((name, "not proven", "-", "-", "-", "-")))
            continue
        told = f"{parity.map_error:.2g} (limit {parity.limits.map_error:g})"
        flips = "-" if parity.thresholds_version is None else f"{parity.flips} (thresholds version {parity.thresholds_version})"
        passed = "passed" if parity.passed else "failed"
        name += "" if runs_here(record) else ", of another environment"
        rows.append(Row((name, passed, str(parity.frames), told, flips, f"{parity.latency_ms:.1f} ms")))
    return tuple(rows)


def versions_of(recipe: Recipe, thresholds: Thresholds, records: Sequence[BuildRecord]) -> tuple[Pair, ...]:
    """Versions and digests of all that decides."""
    pairs = [*recipe.manifest.versions.items(), ("recipe", recipe.digest), *recipe.manifest.files.items()]
    pairs.append((f"thresholds version {thresholds.version}", thresholds.digest))
    if thresholds.ignore_mask is not None:
        pairs.append(("ignore-mask", thresholds.ignore_mask))
    for record in records:
        built = ", ".join(f"{name} {version}" for name, version in record.versions.items())
        pairs.append((f"engine {record.target} {record.precision}", f"{built}; built {record.built}"))
    return tuple(pairs)


def build_records(recipe: Recipe) -> list[BuildRecord]:
    """The records of the engines that were built from this recipe."""
    return [record for record in built_engines(recipe).values() if record.recipe_digest == recipe.digest]
