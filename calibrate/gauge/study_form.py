"""A gauge study as one self-contained page, in the order of the usual MSA form: made to be printed, signed and handed on."""

from __future__ import annotations

from html import escape

from calibrate.gauge.advice import LIMITS, findings
from calibrate.gauge.agreement import Kappa, Share
from calibrate.gauge.study import Count, PartResult, Rating, Study
from calibrate.gauge.study_charts import range_chart, score_chart
from calibrate.gauge.variation import CONFIDENCE, Variation
from calibrate.pages.page import note, page, section, table

TONES: dict[Rating | None, str] = {"acceptable": "good", "conditional": "fair", "not acceptable": "poor", None: ""}


def make_form(study: Study) -> str:
    """The page, as HTML."""
    header = study.header
    title = f"Gauge study, line {header.line}"
    sections = (
        _head(study),
        _tiles(study),
        section("What this says, and what to do", _findings(study)),
        section(
            "Scores and ranges", f'<div class="charts">{score_chart(study)}{range_chart(study)}</div>' + _chart_note(study)
        ),
        section("Variation", _variation(study)),
        section("Agreement of verdicts", _agreement(study)),
        section("Parts", _parts(study)),
        section("What the variation between repeats goes with", _causes(study)),
        section("Limits and method", _method(study)),
        '<div class="sign"><div>studied by, date</div><div>approved by, date</div></div>',
    )
    lead = "Measurement system analysis of an automatic inspection: repeatability of its score, agreement of its verdicts"
    return page(title, lead, "".join(sections))


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


def _head(study: Study) -> str:
    header = study.header
    people = f" x {len(study.appraisers)} appraisers" if len(study.appraisers) > 1 else ""
    entries = (
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
    return (
        '<dl class="head">'
        + "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in entries)
        + "</dl>"
    )


def _tiles(study: Study) -> str:
    score, ratings = study.score, study.ratings
    truth = study.truth_kappa
    tiles = (
        ("%GRR of tolerance", _percent(study.tolerance_percent), "3 GRR over the way from good parts to the limit"),
        (
            "%GRR of total variation",
            _percent(score.grr_percent),
            _between(told_interval(score.grr_percent_low, score.grr_percent_high, ".0f"), " %"),
        ),
        ("ndc", told_ndc(score), "number of distinct categories"),
        (
            "kappa over repeats",
            told_kappa(study.repeats_kappa),
            _between(told_interval(study.repeats_kappa.low, study.repeats_kappa.high)),
        ),
        (
            "kappa against the truth",
            told_kappa(truth),
            _between(told_interval(truth.low, truth.high)) if truth else "needs good and bad parts",
        ),
    )
    return '<div class="tiles">' + "".join(_tile(name, value, small, ratings[name]) for name, value, small in tiles) + "</div>"


def _tile(name: str, value: str, small: str, rating: Rating | None) -> str:
    below = escape(small) or "&nbsp;"
    return (
        f'<div class="tile {TONES[rating]}"><span>{escape(name)}</span><b>{escape(value)}</b><span>{below}</span>'
        f'<span class="rating">{rating or "no limit applies"}</span></div>'
    )


def _findings(study: Study) -> str:
    return (
        '<ul class="findings">'
        + "".join(f'<li class="{one.kind}">{escape(one.text)}</li>' for one in findings(study))
        + "</ul>"
    )


def _chart_note(study: Study) -> str:
    lines = " A line for each appraiser." if len(study.appraisers) > 1 else ""
    return note(
        "Scores: a dot for each take, a bar for the part's mean; parts with both verdicts are shaded. A take below the "
        "threshold is rejected where a region of its map is over the pixel threshold. Ranges: highest less lowest deviation."
        f"{lines}"
    )


def _variation(study: Study) -> str:
    names = {"ev": "EV, equipment variation (repeatability)"}
    if len(study.appraisers) > 1:
        names |= {"av": "AV, appraiser variation (reproducibility)", "interaction": "appraiser x part"}
    names |= {"grr": "GRR, gauge", "pv": "PV, part variation", "tv": "TV, total variation"}

    def cells(variation: Variation, name: str) -> tuple[str, str, str, str]:
        value = getattr(variation, name)
        share = value / variation.tv if variation.tv else 0.0
        bar = f'<span class="bar" style="width:{60 * share:.0f}px"></span>'
        return f"{value:.4g}", f"{6 * value:.4g}", bar + f"{share:.1%}", f"{share**2:.1%}"

    rows = [
        ("strong" if name in ("grr", "tv") else "", (text, *cells(study.score, name), *cells(study.deviation, name)[::2]))
        for name, text in names.items()
    ]
    columns = (
        "",
        "standard<br>deviation",
        "6 standard<br>deviations",
        "of TV",
        "of<br>variance",
        "of the<br>deviation",
        "of TV",
    )
    between = f"{study.score.ev_low:.4g} and {study.score.ev_high:.4g}"
    return table(columns, rows) + note(
        f"EV lies between {between}. Deviation: how far score and regions of the map are from typical good parts, in one "
        f"number and in logarithms, by which the thresholds are cut (limit {study.limit:.4g}); the verdict depends on it "
        "alone, so tolerance, distances, ranges and causes are worked out on it."
    )


def _agreement(study: Study) -> str:
    def counted(one: Share | None) -> tuple[str, str]:
        return ("-", "") if one is None else (f"{one.count} of {one.of}", f"{one.low:.0%} to {one.high:.0%}")

    def missed(takes: Count | None) -> tuple[str, str]:
        return ("-", "") if takes is None else (f"{takes.count} of {takes.of}", "")

    def kappa(one: Kappa | None) -> tuple[str, str]:
        return told_kappa(one), "" if one is None else told_interval(one.low, one.high)

    rows = (
        ("parts with the same verdict each time", *counted(study.steady)),
        ("kappa over repeats (Fleiss)", *kappa(study.repeats_kappa)),
        ("parts right each time", *counted(study.right)),
        ("kappa against the truth (Cohen)", *kappa(study.truth_kappa)),
        ("takes of bad parts that passed", *missed(study.bad_passed)),
        ("takes of good parts that were rejected", *missed(study.good_rejected)),
    )
    return table(("", "found", "interval"), (("", row) for row in rows))


def _parts(study: Study) -> str:
    def row(i: int, part: PartResult) -> tuple[str, tuple[str, ...]]:
        distance = "-" if part.distance is None else f"{part.distance:+.1f}"
        chance = "-" if part.flip_chance is None else "under 0.1 %" if part.flip_chance < 1e-3 else f"{part.flip_chance:.1%}"
        span = f"{part.lowest:.4g} to {part.highest:.4g}"
        verdicts = f"{part.takes - part.rejects} pass, {part.rejects} reject"
        cells = (f"{i}. {escape(part.name)}", part.truth or "-", f"{part.mean:.4g}", span, verdicts, distance, chance)
        return "flips" if part.flips else "", cells

    columns = (
        "part",
        "truth",
        "mean<br>score",
        "lowest to highest",
        "verdicts",
        "distance<br>from limit",
        "next verdict<br>other",
    )
    return table(columns, (row(i, part) for i, part in enumerate(study.parts, start=1))) + note(
        "Distance of the part's mean deviation from the limit, in standard deviations of the gauge (EV; GRR with several "
        "appraisers): above zero it is over. Chance that its next verdict is not its usual one: normal distribution."
    )


def _causes(study: Study) -> str:
    rows = []
    for cause in study.causes:
        spread = f"{cause.spread:.3g} {cause.unit}" if cause.unit else ""
        rows.append(("strong" if cause.named else "", (cause.name, spread, f"{cause.share:.0%}", _chance(cause.chance))))
    return table(("", "spread between repeats", "of the variance", "p"), rows) + note(
        "By least squares on the differences from each part's mean, the square of each included. Causes overlap, so that their "
        "shares need not add up."
    )


def _chance(p: float) -> str:
    return "under 0.001" if p < 1e-3 else f"{p:.3f}"


def _method(study: Study) -> str:
    kept = " The interaction of appraisers and parts was kept." if study.score.interaction_kept else ""
    return note(
        f"{LIMITS} %GRR of tolerance has the limits of %GRR: the manual compares a gauge that sorts parts with the tolerance. "
        "There is an upper limit only, so this is 3 GRR over the distance from the mean of good parts (those that always pass, "
        "less known bad ones) to the limit."
    ) + note(
        "Variation: analysis of variance with random effects (the manual's appendix A); a negative estimate is set to zero."
        f"{kept} Agreement: Fleiss' and Cohen's kappa with jackknife intervals over parts; where all agree, the lower end is "
        "that of the exact interval of the share of agreeing parts. Shares: Clopper-Pearson intervals. Recipe SHA-256: "
        f"{study.header.recipe_digest}."
    )


def _between(interval: str, unit: str = "") -> str:
    return f"interval {interval}{unit}" if interval else ""


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %" if value < 10 else f"{value:.0f} %"
