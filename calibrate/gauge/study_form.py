"""A gauge study as one self-contained page, in the order of the usual MSA form: made to be printed, signed and handed on."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from calibrate.gauge.advice import LIMITS, Finding, findings
from calibrate.gauge.agreement import Kappa, Share
from calibrate.gauge.study import Count, PartResult, Rating, Study
from calibrate.gauge.study_charts import range_chart, score_chart
from calibrate.gauge.variation import CONFIDENCE, Variation
from calibrate.pages.page import Pair, Row, Tile, render

TONES: dict[Rating | None, str] = {"acceptable": "good", "conditional": "fair", "not acceptable": "poor", None: ""}


class Component(NamedTuple):
    """A row of the table of variation: standard deviations of scores and of deviations, and their shares of TV."""

    name: str
    strong: bool
    score: float
    score_share: float
    deviation: float
    deviation_share: float


class Form(NamedTuple):
    """What the template `study_form.html` shows, in its order."""

    head: tuple[Pair, ...]
    tiles: tuple[Tile, ...]
    findings: tuple[Finding, ...]
    scores: Markup
    ranges: Markup
    several_appraisers: bool
    variation: tuple[Component, ...]
    ev_between: str
    limit: str  # of deviations
    agreement: tuple[Row, ...]
    parts: tuple[Row, ...]
    causes: tuple[Row, ...]
    limits: str  # of the figures, as the manual has them
    interaction_kept: bool
    recipe_digest: str


def make_form(study: Study) -> str:
    """The page, as HTML."""
    form = Form(
        head=_head(study),
        tiles=_tiles(study),
        findings=tuple(findings(study)),
        scores=score_chart(study),
        ranges=range_chart(study),
        several_appraisers=len(study.appraisers) > 1,
        variation=_variation(study),
        ev_between=f"{study.score.ev_low:.4g} and {study.score.ev_high:.4g}",
        limit=f"{study.limit:.4g}",
        agreement=_agreement(study),
        parts=tuple(_part(i, part) for i, part in enumerate(study.parts, start=1)),
        causes=_causes(study),
        limits=LIMITS,
        interaction_kept=study.score.interaction_kept,
        recipe_digest=study.header.recipe_digest,
    )
    return render("study_form.html", title=f"Gauge study, line {study.header.line}", form=form)


def told_kappa(kappa: Kappa | None) -> str:
    """A kappa in short."""
    return "not defined" if kappa is None or kappa.kappa is None else f"{kappa.kappa:.2f}"


def told_ndc(variation: Variation) -> str:
    """The number of distinct categories in short."""
    if variation.tv == 0:
        return "-"
    return "over 1000" if variation.ndc is None or variation.ndc > 1000 else str(variation.ndc)


def told_interval(low: float | None, high: float | None, form: str = ".2f") -> str:
    """An interval in short; empty where there is none."""
    return "" if low is None or high is None else f"{low:{form}} to {high:{form}}"


def _head(study: Study) -> tuple[Pair, ...]:
    header = study.header
    people = f" x {len(study.appraisers)} appraisers" if len(study.appraisers) > 1 else ""
    return (
        ("Line", header.line),
        ("Recipe", header.recipe),
        ("Recipe digest", header.recipe_digest[:16]),
        ("Engine", header.engine),
        ("Thresholds", f"version {header.thresholds_version}"),
        ("Score", f"{header.score}, threshold {study.threshold:.4g}"),
        ("Study", f"{study.parts_count} parts{people} x {study.repeats} repeats"),
        ("Pictures", header.pictures + (" (simulated camera)" if header.simulated else "")),
        ("Date", header.created[:16].replace("T", " ") + " UTC"),
        ("By", header.created_by),
        ("Method", "analysis of variance, " + ("crossed" if people else "one-way")),
        ("Intervals", f"{CONFIDENCE:.0%} confidence"),
    )


def _tiles(study: Study) -> tuple[Tile, ...]:
    score, truth, repeats = study.score, study.truth_kappa, study.repeats_kappa

    def tile(name: str, value: str, small: str) -> Tile:
        rating = study.ratings[name]
        return Tile(name, value, small, TONES[rating], rating or "no limit applies")

    of_total = told_interval(score.grr_percent_low, score.grr_percent_high, ".0f")
    against_truth = _between(told_interval(truth.low, truth.high)) if truth else "needs good and bad parts"
    return (
        tile("%GRR of tolerance", _percent(study.tolerance_percent), "3 GRR over the way from good parts to the limit"),
        tile("%GRR of total variation", _percent(score.grr_percent), _between(of_total, " %")),
        tile("ndc", told_ndc(score), "number of distinct categories"),
        tile("kappa over repeats", told_kappa(repeats), _between(told_interval(repeats.low, repeats.high))),
        tile("kappa against the truth", told_kappa(truth), against_truth),
    )


def _variation(study: Study) -> tuple[Component, ...]:
    names = {"ev": "EV, equipment variation (repeatability)"}
    if len(study.appraisers) > 1:
        names |= {"av": "AV, appraiser variation (reproducibility)", "interaction": "appraiser x part"}
    names |= {"grr": "GRR, gauge", "pv": "PV, part variation", "tv": "TV, total variation"}

    def sized(variation: Variation, name: str) -> tuple[float, float]:
        value = getattr(variation, name)
        return value, value / variation.tv if variation.tv else 0.0

    return tuple(
        Component(text, name in ("grr", "tv"), *sized(study.score, name), *sized(study.deviation, name))
        for name, text in names.items()
    )


def _agreement(study: Study) -> tuple[Row, ...]:
    def counted(one: Share | None) -> tuple[str, str]:
        return ("-", "") if one is None else (f"{one.count} of {one.of}", f"{one.low:.0%} to {one.high:.0%}")

    def missed(takes: Count | None) -> tuple[str, str]:
        return ("-", "") if takes is None else (f"{takes.count} of {takes.of}", "")

    def kappa(one: Kappa | None) -> tuple[str, str]:
        return told_kappa(one), "" if one is None else told_interval(one.low, one.high)

    return (
        Row(("parts with the same verdict each time", *counted(study.steady))),
        Row(("kappa over repeats (Fleiss)", *kappa(study.repeats_kappa))),
        Row(("parts right each time", *counted(study.right))),
        Row(("kappa against the truth (Cohen)", *kappa(study.truth_kappa))),
        Row(("takes of bad parts that passed", *missed(study.bad_passed))),
        Row(("takes of good parts that were rejected", *missed(study.good_rejected))),
    )


def _part(i: int, part: PartResult) -> Row:
    distance = "-" if part.distance is None else f"{part.distance:+.1f}"
    chance = "-" if part.flip_chance is None else "under 0.1 %" if part.flip_chance < 1e-3 else f"{part.flip_chance:.1%}"
    span = f"{part.lowest:.4g} to {part.highest:.4g}"
    verdicts = f"{part.takes - part.rejects} pass, {part.rejects} reject"
    cells = (f"{i}. {part.name}", part.truth or "-", f"{part.mean:.4g}", span, verdicts, distance, chance)
    return Row(cells, "flips" if part.flips else "")


def _causes(study: Study) -> tuple[Row, ...]:
    rows = []
    for cause in study.causes:
        spread = f"{cause.spread:.3g} {cause.unit}" if cause.unit else ""
        chance = "under 0.001" if cause.chance < 1e-3 else f"{cause.chance:.3f}"
        rows.append(Row((cause.name, spread, f"{cause.share:.0%}", chance), "strong" if cause.named else ""))
    return tuple(rows)


def _between(interval: str, unit: str = "") -> str:
    return f"interval {interval}{unit}" if interval else ""


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %" if value < 10 else f"{value:.0f} %"
