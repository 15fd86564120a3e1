"""Gauge study of a measured score: how much of its variation is the gauge's own, and how much the parts'.

Analysis of variance with random effects as in AIAG, Measurement Systems Analysis (MSA), 4th edition, chapter III, section B
and appendix A: parts crossed with appraisers, each measured a few times.  An automatic gauge has no appraisers, and the
analysis is then the one-way one; appraisers can be sessions or the people who place the parts.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
CONFIDENCE = 0.95  # of every interval in a study
POOL_ALPHA = 0.05  # an interaction less significant than this is none; the level of the manual's example
ROUNDING = 1e-12  # of the largest score: a smaller deviation is none
CATEGORIES = 1.41  # ndc = 1.41 PV / GRR, cut to a whole number, at least 1


class Variation(msgspec.Struct, frozen=True):
    """Standard deviations, in the score's unit; an estimate below zero is set to zero, as the manual has it."""

    ev: float  # equipment variation: repeatability
    ev_low: float  # of its interval
    ev_high: float
    av: float  # appraiser variation: reproducibility; 0 with one appraiser
    interaction: float  # of parts and appraisers; 0 where it is not significant
    grr: float  # the gauge: all three of them
    pv: float  # part variation
    tv: float  # total variation: gauge and parts
    grr_percent: float | None  # of the total variation; None when nothing varies
    grr_percent_low: float | None  # of its interval; None with several appraisers, where no exact one is known
    grr_percent_high: float | None
    ndc: int | None  # number of distinct categories; None when the gauge shows no variation
    f_interaction: float | None  # None with one appraiser, or where repeats do not vary
    interaction_kept: bool


def analyse(scores: Floats) -> Variation:
    """Variation of scores (parts, appraisers, repeats), at least 2 parts and 2 repeats.

    The interval of EV is chi-squared's; that of %GRR follows from the exact one of the intraclass correlation (S. R. Searle,
    Linear Models, 1971, section 9.9; D. C. Montgomery, Design and Analysis of Experiments, "The random effects model").
    """
    parts, appraisers, repeats = scores.shape
    if parts < 2 or repeats < 2:
        raise ValueError(f"a study needs 2 parts and 2 repeats at least, not {parts} and {repeats}")
    grand, cells = scores.mean(), scores.mean(axis=2)
    of_part, of_appraiser = cells.mean(axis=1), cells.mean(axis=0)
    part_ss = appraisers * repeats * ((of_part - grand) ** 2).sum()
    appraiser_ss = parts * repeats * ((of_appraiser - grand) ** 2).sum()
    mixed_ss = repeats * ((cells - of_part[:, None] - of_appraiser[None, :] + grand) ** 2).sum()
    error_ss = ((scores - cells[:, :, None]) ** 2).sum()
    error_df, mixed_df = parts * appraisers * (repeats - 1), (parts - 1) * (appraisers - 1)
    part_ms = part_ss / (parts - 1)

    f_interaction, kept = None, False
    if appraisers > 1:
        f_interaction = float(mixed_ss / mixed_df / (error_ss / error_df)) if error_ss > 0 else None
        kept = bool(mixed_ss / mixed_df > stats.f.ppf(1 - POOL_ALPHA, mixed_df, error_df) * error_ss / error_df)
    if kept:
        error_ms, mixed_ms = error_ss / error_df, mixed_ss / mixed_df
        interaction = (mixed_ms - error_ms) / repeats
    else:
        error_df += mixed_df
        error_ms = mixed_ms = (error_ss + (mixed_ss if appraisers > 1 else 0.0)) / error_df
        interaction = 0.0
    av = (appraiser_ss / (appraisers - 1) - mixed_ms) / (parts * repeats) if appraisers > 1 else 0.0
    pv = (part_ms - mixed_ms) / (appraisers * repeats)

    least = (ROUNDING * float(np.abs(scores).max())) ** 2
    ev, av, interaction, pv = (
        math.sqrt(value) if value > least else 0.0 for value in map(float, (error_ms, av, interaction, pv))
    )
    grr = math.hypot(ev, av, interaction)
    tv = math.hypot(grr, pv)
    low: float | None = None
    high: float | None = None
    if appraisers == 1 and tv > 0:
        low, high = _grr_interval(part_ms / error_ms, parts, repeats) if ev > 0 else (0.0, 0.0)
    tail = (1 - CONFIDENCE) / 2
    return Variation(
        ev=ev,
        ev_low=ev * math.sqrt(error_df / stats.chi2.ppf(1 - tail, error_df)),
        ev_high=ev * math.sqrt(error_df / stats.chi2.ppf(tail, error_df)),
        av=av,
        interaction=interaction,
        grr=grr,
        pv=pv,
        tv=tv,
        grr_percent=100 * grr / tv if tv > 0 else None,
        grr_percent_low=low,
        grr_percent_high=high,
        ndc=max(1, int(CATEGORIES * pv / grr)) if grr > 0 else None,
        f_interaction=f_interaction,
        interaction_kept=kept,
    )


def _grr_interval(f: float, parts: int, repeats: int) -> tuple[float, float]:
    """The interval of %GRR of a one-way study, from the ratio of its mean squares."""
    tail, between, within = (1 - CONFIDENCE) / 2, parts - 1, parts * (repeats - 1)
    bounds = []
    for probability in (tail, 1 - tail):
        ratio = f / float(stats.f.ppf(probability, between, within))
        correlation = (ratio - 1) / (ratio + repeats - 1)  # share of the parts in the variance
        bounds.append(100 * math.sqrt(1 - min(max(correlation, 0.0), 1.0)))
    return bounds[0], bounds[1]


def range_limits(repeats: int) -> tuple[float, float]:
    """Lower and upper control limit of ranges over their mean: D3 and D4 of every table of control charts.

    Mean d2 and standard deviation d3 of the range of ``repeats`` normal values (L. H. C. Tippett, "On the extreme individuals
    and the range of samples taken from a normal population", Biometrika 17, 1925), by numerical integration.
    """
    at = np.linspace(-8.0, 8.0, 801)
    step, below = at[1] - at[0], stats.norm.cdf(at)
    n = repeats
    d2 = float((1 - below**n - (1 - below) ** n).sum() * step)
    low, high = below[:, None], below[None, :]
    both = np.triu(1 - high**n - (1 - low) ** n + np.maximum(high - low, 0.0) ** n, 1)
    both += np.diag((1 - below**n - (1 - below) ** n) / 2)  # the corners of the triangle
    d3 = math.sqrt(2 * float(both.sum()) * step * step - d2 * d2)
    return max(0.0, 1 - 3 * d3 / d2), 1 + 3 * d3 / d2


def flip_chance(distance: float) -> float:
    """How likely a part's next verdict is not its usual one, at so many of the gauge's standard deviations from the limit.

    The normal model: the part's measurements scatter about its own mean, with the gauge's variation.
    """
    return float(stats.norm.sf(abs(distance)))
