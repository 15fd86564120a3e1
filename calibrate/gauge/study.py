"""A gauge study's result: from takes to variation, agreement and flips, each with its rating. `--json` writes it as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import astuple

from calibrate.gauge.agreement import Kappa, Share, against_truth, over_repeats, share
from calibrate.gauge.causes import Cause, find_causes
from calibrate.gauge.study_pictures import Take, Truth
from calibrate.gauge.variation import Floats, Variation, analyse, flip_chance, range_limits
from engines.common.errors import ImageError
from engines.recipe.thresholds import Thresholds

Rating = Literal["acceptable", "conditional", "not acceptable"]
GRR_GOOD, GRR_POOR = 10.0, 30.0  # per cent; MSA, 4th edition, chapter II, section D, table II-D 1
NDC_FEWEST = 5  # the same section
KAPPA_GOOD, KAPPA_POOR = 0.75, 0.40  # chapter III, section C
SAFE_DISTANCE = 3.0  # standard deviations of the gauge between a part and the limit


class Header(msgspec.Struct, frozen=True):
    """What was studied, and by whom."""

    line: str
    recipe: str
    recipe_digest: str
    engine: str
    thresholds_version: int
    thresholds_engine: str  # whose scores the thresholds were got from
    score: str  # kind
    pictures: str  # where they come from
    simulated: bool
    created: str  # UTC, ISO 8601
    created_by: str


class PartResult(msgspec.Struct, frozen=True):
    """One part over all its takes."""

    name: str
    truth: Truth | None
    rejects: int
    takes: int
    mean: float  # of its scores
    lowest: float
    highest: float
    deviation: float  # mean of its deviations
    distance: float | None  # of that over the limit, in standard deviations of the gauge; None where it shows no variation
    flip_chance: float | None  # of the next verdict to be other than usual, by the normal model
    unsteady: bool  # its range is over the control limit: it varies more than the other parts

    @property
    def flips(self) -> bool:
        """Whether its verdicts were not all the same."""
        return 0 < self.rejects < self.takes


class Count(msgspec.Struct, frozen=True):
    """So many of so many takes; no interval, since takes of one part are not independent."""

    count: int
    of: int


class Ranges(msgspec.Struct, frozen=True):
    """The range chart: highest less lowest deviation of the repeats of each part (and appraiser)."""

    values: tuple[tuple[float, ...], ...]  # (parts, appraisers)
    mean: float
    lower: float
    upper: float


class Study(msgspec.Struct, frozen=True):
    """Everything that a study found.

    Of scores the manual's figures are given.  What concerns the verdict is worked out on deviations, by which the thresholds
    are cut: these hold score and regions in one number, in logarithms, where good and bad parts scatter alike.
    """

    header: Header
    parts_count: int
    appraisers: tuple[str, ...]
    repeats: int
    threshold: float
    limit: float  # of deviations
    score: Variation
    deviation: Variation
    good_deviation: float | None  # mean of the parts that always pass and are not known to be bad
    tolerance_percent: float | None  # three times the deviations' GRR over the way from there to the limit
    ranges: Ranges
    steady: Share  # parts whose verdicts are all the same
    repeats_kappa: Kappa
    right: Share | None  # parts whose verdicts are all right; None where the truth is not known
    truth_kappa: Kappa | None  # None without both good and bad parts
    bad_passed: Count | None  # None without such parts
    good_rejected: Count | None
    ratings: dict[str, Rating | None]  # of each figure that the manual has a limit for; None: not defined in this study
    parts: tuple[PartResult, ...]
    causes: tuple[Cause, ...]
    takes: tuple[Take, ...]


class _Table(NamedTuple):
    """Takes as arrays (parts, appraisers, repeats)."""

    parts: tuple[str, ...]
    appraisers: tuple[str, ...]
    scores: Floats
    deviations: Floats
    rejected: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def evaluate(header: Header, thresholds: Thresholds, takes: Sequence[Take], truth: Mapping[str, Truth]) -> Study:
    """Work out a study from takes in the order part, appraiser, repeat; as many of each."""
    table = _table(takes)
    score, deviation = analyse(table.scores), analyse(table.deviations)
    parts, _, repeats = table.scores.shape
    lower, upper = range_limits(repeats)
    spans = table.deviations.max(axis=2) - table.deviations.min(axis=2)
    mean_range = float(spans.mean())
    rejected = table.rejected.reshape(parts, -1)
    known = np.array([name in truth for name in table.parts])
    bad = np.array([truth.get(name) == "bad" for name in table.parts])
    results = tuple(
        _part(table, i, truth.get(table.parts[i]), thresholds.limit, deviation.grr, bool(spans[i].max() > upper * mean_range))
        for i in range(parts)
    )
    fine = ~rejected.any(axis=1) & ~bad
    good = float(table.deviations[fine].mean()) if fine.any() else None
    room = None if good is None else thresholds.limit - good
    tolerance = 100 * 3 * deviation.grr / room if room else None
    repeats_kappa = over_repeats(rejected)
    truth_kappa = against_truth(rejected[known], bad[known]) if len(set(bad[known].tolist())) == 2 else None
    always = rejected.all(axis=1) | ~rejected.any(axis=1)
    right = (rejected == bad[:, None]).all(axis=1)
    return Study(
        header=header,
        parts_count=parts,
        appraisers=table.appraisers,
        repeats=repeats,
        threshold=thresholds.score_threshold,
        limit=thresholds.limit,
        score=score,
        deviation=deviation,
        good_deviation=good,
        tolerance_percent=tolerance,
        ranges=Ranges(tuple(map(tuple, spans.tolist())), mean_range, lower * mean_range, upper * mean_range),
        steady=share(int(always.sum()), parts),
        repeats_kappa=repeats_kappa,
        right=share(int(right[known].sum()), int(known.sum())) if known.any() else None,
        truth_kappa=truth_kappa,
        bad_passed=_counted(~rejected[known & bad]),
        good_rejected=_counted(rejected[known & ~bad]),
        ratings={
            "%GRR of total variation": _rate_grr(score.grr_percent),
            "ndc": None if score.tv == 0 else _rate_ndc(score.ndc),
            "%GRR of tolerance": _rate_grr(tolerance),
            "kappa over repeats": _rate_kappa(repeats_kappa),
            "kappa against the truth": _rate_kappa(truth_kappa),
        },
        parts=results,
        causes=find_causes(table.deviations, np.array([astuple(take.look) for take in takes]).reshape(*table.scores.shape, -1)),
        takes=tuple(takes),
    )


def _rate_kappa(kappa: Kappa | None) -> Rating | None:
    """The manual's words: over 0.75 good to excellent, under 0.40 poor."""
    if kappa is None or kappa.kappa is None:
        return None
    if kappa.kappa > KAPPA_GOOD:
        return "acceptable"
    return "conditional" if kappa.kappa >= KAPPA_POOR else "not acceptable"


def _rate_grr(percent: float | None) -> Rating | None:
    if percent is None:
        return None
    if percent < GRR_GOOD:
        return "acceptable"
    return "conditional" if percent <= GRR_POOR else "not acceptable"


def _rate_ndc(ndc: int | None) -> Rating:
    return "acceptable" if ndc is None or ndc >= NDC_FEWEST else "not acceptable"


def _part(table: _Table, i: int, truth: Truth | None, limit: float, grr: float, unsteady: bool) -> PartResult:
    scores, rejected, deviation = table.scores[i], table.rejected[i], float(table.deviations[i].mean())
    distance = (deviation - limit) / grr if grr > 0 else None
    return PartResult(
        name=table.parts[i],
        truth=truth,
        rejects=int(rejected.sum()),
        takes=rejected.size,
        mean=float(scores.mean()),
        lowest=float(scores.min()),
        highest=float(scores.max()),
        deviation=deviation,
        distance=distance,
        flip_chance=None if distance is None else flip_chance(distance),
        unsteady=unsteady,
    )


def _table(takes: Sequence[Take]) -> _Table:
    parts = tuple(dict.fromkeys(take.part for take in takes))
    appraisers = tuple(dict.fromkeys(take.appraiser for take in takes))
    repeats = len(takes) // max(1, len(parts) * len(appraisers))
    shape = (len(parts), len(appraisers), repeats)
    expected = [(part, appraiser) for part in parts for appraiser in appraisers for _ in range(repeats)]
    if [(take.part, take.appraiser) for take in takes] != expected or min(shape[0], shape[2]) < 2:
        raise ImageError("a study needs 2 parts at least, and the same number of repeats of each, 2 at least")
    return _Table(
        parts,
        appraisers,
        np.array([take.score for take in takes]).reshape(shape),
        np.array([take.deviation for take in takes]).reshape(shape),
        np.array([not take.passed for take in takes]).reshape(shape),
    )


def _counted(which: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Count | None:
    return Count(int(which.sum()), which.size) if which.size else None
