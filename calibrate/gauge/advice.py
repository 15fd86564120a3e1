"""What a gauge study means, in sentences: each finding with what to do about it. For terminal and form alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from calibrate.gauge.study import GRR_GOOD, GRR_POOR, KAPPA_GOOD, KAPPA_POOR, NDC_FEWEST, SAFE_DISTANCE, Study

MENDS = {
    "position": (
        "the position of the part",
        "Mend the fixture: a stop and a clamp that put the part in the same place each time; on a moving line the trigger's "
        "timing (light barrier, encoder) and guide rails",
    ),
    "brightness": (
        "brightness",
        "Mend the light: shield it from daylight and lamps, a strobe or a constant-current supply, clean optics, exposure and "
        "gain fixed (no automatic)",
    ),
    "sharpness": (
        "sharpness",
        "Mend the focus: lock lens and aperture, the same distance each time, a shorter exposure and a stiffer mount against "
        "vibration",
    ),
    "time": (
        "time, a drift over the study",
        "Let light and camera warm up for half an hour, shield the place from daylight, and take the study again",
    ),
}
LIMITS = (
    f"%GRR: under {GRR_GOOD:g} acceptable, {GRR_GOOD:g} to {GRR_POOR:g} may be acceptable for some applications (conditional), "
    f"over {GRR_POOR:g} not acceptable; number of distinct categories (ndc): {NDC_FEWEST} or more (AIAG, Measurement Systems "
    "Analysis, 4th edition, chapter II, section D, which adds that such limits alone must not decide on a gauge). "
    f"Kappa: over {KAPPA_GOOD:g} good to excellent agreement, under {KAPPA_POOR:g} poor (chapter III, section C)."
)


class Finding(NamedTuple):
    """A sentence or two, and how much it matters."""

    kind: Literal["good", "note", "mend"]
    text: str


def findings(study: Study) -> list[Finding]:
    """What the study says, the most telling first."""
    return [*_verdicts(study), *_variation(study), *_scope(study)]


def _verdicts(study: Study) -> Iterator[Finding]:
    flipping = [part for part in study.parts if part.flips]
    if flipping:
        names = ", ".join(part.name for part in flipping)
        yield Finding(
            "mend",
            f"{len(flipping)} of {study.parts_count} parts did not get the same verdict each time: {names}. Such parts lie "
            "near the limit for this gauge; less variation between repeats, or a clearer difference between good and bad, "
            "mends it.",
        )
    else:
        yield Finding("good", f"Each of the {study.parts_count} parts got the same verdict in all its takes.")
    near = [part for part in study.parts if not part.flips and part.distance is not None and abs(part.distance) < SAFE_DISTANCE]
    if near:
        told = ", ".join(f"{part.name} ({part.flip_chance:.1%})" for part in near)
        yield Finding("note", f"Not flipped yet, but within {SAFE_DISTANCE:g} standard deviations of the limit: {told}.")
    if study.bad_passed is not None and study.bad_passed.count:
        missed = ", ".join(part.name for part in study.parts if part.truth == "bad" and part.rejects < part.takes)
        yield Finding(
            "mend",
            f"Bad parts passed in {study.bad_passed.count} of {study.bad_passed.of} takes ({missed}). Where all takes of a "
            "part pass, the gauge repeats well and does not see the defect: better light or optics for it, tiles (--grid), or "
            "lower thresholds.",
        )
    if study.good_rejected is not None and study.good_rejected.count:
        lost = ", ".join(part.name for part in study.parts if part.truth == "good" and part.rejects)
        yield Finding(
            "mend",
            f"Good parts were rejected in {study.good_rejected.count} of {study.good_rejected.of} takes ({lost}). Where all "
            "takes of a part are rejected, parts like it are missing among the golden samples: add some, fit and calibrate "
            "again.",
        )


def _variation(study: Study) -> Iterator[Finding]:
    score, ratings = study.score, study.ratings
    if score.grr_percent is None:
        yield Finding("note", "No score differs from any other: there is nothing to analyse.")
        return
    if study.tolerance_percent is not None:
        yield Finding(
            "good" if ratings["%GRR of tolerance"] == "acceptable" else "mend",
            f"Three standard deviations of the gauge take {study.tolerance_percent:.0f} % of the way from good parts to the "
            "limit. For a gauge that sorts parts this is the figure that counts.",
        )
    bad = ratings["%GRR of total variation"] != "acceptable"
    if any(part.truth == "bad" for part in study.parts):
        yield Finding(
            "note",
            "%GRR of the total variation is over the parts of this study: bad ones among them can make it smaller than good "
            "parts alone would.",
        )
    if bad and ratings["%GRR of tolerance"] == "acceptable":
        yield Finding(
            "note",
            f"%GRR of the total variation is {score.grr_percent:.0f} % because the parts' scores are much alike, not because "
            "the gauge scatters: take parts over the whole range of the process, with some near the threshold and known bad "
            "ones.",
        )
    causes = [cause for cause in study.causes if cause.named]
    if not bad and ratings["%GRR of tolerance"] in (None, "acceptable") and not any(part.flips for part in study.parts):
        return
    for cause in sorted(causes, key=lambda one: -one.share):
        what, mend = MENDS[cause.name]
        yield Finding("mend", f"{cause.share:.0%} of the variation between repeats goes with {what}. {mend}.")
    if not causes and study.deviation.ev > 0:
        yield Finding(
            "note",
            "Position, brightness, sharpness and time do not explain the variation between repeats: look for parts that turn "
            "or tilt, reflections, moving pieces, dirt. If such differences are harmless, golden samples that show them teach "
            "the recipe so (fit and calibrate again).",
        )
    if study.deviation.av > study.deviation.ev:
        yield Finding(
            "mend",
            "Deviations differ more from one appraiser to the next than between repeats: agree on how parts are placed.",
        )
    if study.deviation.interaction_kept:
        yield Finding("note", "Appraisers differ more on some parts than on others: see which in the range chart.")


def _scope(study: Study) -> Iterator[Finding]:
    unsteady = [part.name for part in study.parts if part.unsteady]
    if unsteady:
        yield Finding(
            "note",
            f"More variation between repeats than of the other parts: {', '.join(unsteady)} (over the control limit of the "
            "range chart). Look at their pictures before the figures above are trusted, which take the gauge's variation as "
            "the same for all.",
        )
    if study.repeats_kappa.kappa is None:
        yield Finding("note", "Kappa over repeats is not defined: all verdicts are the same. Take good and bad parts.")
    if study.truth_kappa is None:
        yield Finding("note", "For kappa against the truth the study needs parts known to be good, and parts known to be bad.")
    if study.header.thresholds_engine != study.header.engine:
        yield Finding(
            "note",
            f"The thresholds were got from scores of {study.header.thresholds_engine}, this engine is {study.header.engine}: "
            "calibrate them on the engine that serves.",
        )
    if study.header.simulated:
        yield Finding("note", "The camera was simulated: this is no study of a real gauge.")
