"""Agreement of verdicts, corrected for chance: kappa over repeats of the same parts, and against the truth.

The interval is the jackknife's over parts (J. L. Fleiss, M. Davies, "Jackknifing functions of multinomial frequencies, with
an application to a measure of concordance", American Journal of Epidemiology 115, 1982): repeats of one part are not
independent of each other, parts are.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import stats

from calibrate.gauge.variation import CONFIDENCE
from calibrate.thresholds.guarantee import share_interval

Verdicts = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


class Kappa(msgspec.Struct, frozen=True):
    """A kappa with its interval."""

    kappa: float | None  # None: not defined, since every verdict (or every truth) is the same
    low: float | None  # None: no interval can be told from these parts
    high: float | None


class Share(msgspec.Struct, frozen=True):
    """So many of so many, with the exact interval (Clopper and Pearson)."""

    count: int
    of: int
    low: float
    high: float


def share(count: int, of: int) -> Share:
    """A share with its interval."""
    return Share(count, of, *share_interval(count, of, CONFIDENCE))


def fleiss_kappa(counts: Counts) -> float:
    """Agreement among the ratings of each subject, from counts (subjects, categories) with equal sums; NaN: not defined.

    J. L. Fleiss, "Measuring nominal scale agreement among many raters", Psychological Bulletin 76, 1971.
    """
    raters = int(counts[0].sum())
    if (counts.sum(axis=1) != raters).any() or raters < 2:
        raise ValueError("every subject needs the same number of ratings, and at least two")
    observed = ((counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))).mean()
    return _corrected(float(observed), float(((counts.sum(axis=0) / counts.sum()) ** 2).sum()))


def cohen_kappa(table: Counts) -> float:
    """Agreement of two ratings, from how often each pair of them occurs, (categories, categories); NaN: not defined.

    J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20, 1960.
    """
    shares = table / table.sum()
    return _corrected(float(np.trace(shares)), float(shares.sum(axis=1) @ shares.sum(axis=0)))


def over_repeats(rejected: Verdicts) -> Kappa:
    """Fleiss' kappa of verdicts (parts, repeats): whether a part gets the same verdict each time."""
    counts = np.stack([(~rejected).sum(axis=1), rejected.sum(axis=1)], axis=1)
    chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return _with_interval(counts, fleiss_kappa, chance)


def against_truth(rejected: Verdicts, bad: Verdicts) -> Kappa:
    """Cohen's kappa of verdicts (parts, repeats) and the truth of each part (parts,)."""
    passes, rejects = (~rejected).sum(axis=1), rejected.sum(axis=1)
    # A part's table (verdict, truth): pass and reject, good and bad.
    counts = np.stack([passes * ~bad, passes * bad, rejects * ~bad, rejects * bad], axis=1)

    def kappa(part_counts: Counts) -> float:
        return cohen_kappa(part_counts.sum(axis=0).reshape(2, 2))

    table = counts.sum(axis=0).reshape(2, 2) / counts.sum()
    return _with_interval(counts, kappa, float(table.sum(axis=1) @ table.sum(axis=0)))


def _corrected(observed: float, chance: float) -> float:
    """Agreement beyond chance, as a share of what there could be."""
    return (observed - chance) / (1 - chance) if chance < 1 - 1e-12 else math.nan


def _with_interval(counts: Counts, statistic: Callable[[Counts], float], chance: float) -> Kappa:
    """The statistic of all parts' counts (parts, k), with its interval."""
    value, parts = statistic(counts), len(counts)
    if not math.isfinite(value):
        return Kappa(None, None, None)
    tail = (1 - CONFIDENCE) / 2
    if value > 1 - 1e-12:
        # Nothing to resample: the exact lower limit for the share of parts that agree, the others counted as never agreeing.
        return Kappa(1.0, max(-1.0, (tail ** (1 / parts) - chance) / (1 - chance)), 1.0)
    without = np.array([statistic(np.delete(counts, i, axis=0)) for i in range(parts)]) if parts > 2 else np.array([math.nan])
    if not np.isfinite(without).all():
        return Kappa(value, None, None)
    pseudo = parts * value - (parts - 1) * without
    half = float(stats.t.ppf(1 - tail, parts - 1) * pseudo.std(ddof=1) / math.sqrt(parts))
    if half < 1e-12:  # every verdict is the same, for good and bad parts: that the others would be too is not known
        return Kappa(value, None, None)
    return Kappa(value, max(-1.0, value - half), min(1.0, value + half))
