"""Probability of detection over a defect's size, from hits and misses; and the size found with 95 % probability.

The model is that of MIL-HDBK-1823A, "Nondestructive Evaluation System Reliability Assessment" (2009), appendix G, for hits and
misses: a logistic curve over the logarithm of size.  It may level off below 1, since some places hide a defect of any size
(the handbook's own model must rise to 1, and then promises too much).  The bound is the one called a90/95 there, of 95 in place
of 90 %: the largest size that a likelihood ratio test leaves (profile likelihood, one-sided).  The likelihood is computed on a
grid of all curves: nothing diverges when hits and misses do not overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Floats = npt.NDArray[np.float64]
PROBABILITY, CONFIDENCE = 0.95, 0.95
# One-sided level of the likelihood ratio. At 95 % the bound of a steep detector was too small in 17 of 100 simulated studies,
# since sizes are tried where earlier trials pointed; at this one in 6.
LEVEL = 0.985
# The grid: slopes are of the logit per unit of the natural logarithm of size.
MIDDLES, SLOPES = 100, np.geomspace(0.7, 60, 26)
TOPS = np.array([1.0, 0.995, 0.99, 0.98, 0.97, 0.96, 0.93, 0.9, 0.8, 0.6, 0.3])
CONFIRMED = 3  # times as many trials about the size found with 95 % as elsewhere
TIED = 0.01  # of the log-likelihood: of curves as likely as this, the most cautious counts


class Tried(NamedTuple):
    """Trials at one size."""

    size: float
    trials: int
    found: int


class Found(NamedTuple):
    """What trials say of the sizes that are found; None where 95 % were not shown up to the largest size that was tried."""

    size: float | None  # found with 95 % probability, the best estimate
    bound: float | None  # the same, with 95 % confidence: the true size is no larger
    shares: Floats  # the curve at the sizes that were tried


def fit_curve(tried: Sequence[Tried]) -> Found:
    """Fit the curve to trials at one size or more, in rising order. No size below the smallest one tried is claimed."""
    sizes, trials, hits = (np.array(column, np.float64) for column in zip(*tried, strict=True))
    x = np.log(sizes)
    middles = np.linspace(x[0] - 1.5, x[-1] + 1.5, MIDDLES)
    logistic = special.expit(SLOPES[:, None] * (x - middles[:, None, None]))  # (middles, slopes, sizes)
    shares = TOPS[:, None, None, None] * logistic  # (tops, middles, slopes, sizes)
    likelihood = (special.xlogy(hits, shares) + special.xlog1py(trials - hits, -shares)).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = special.logit(np.where(TOPS > PROBABILITY, PROBABILITY / TOPS, np.nan))
    ends = middles[:, None] + wanted[:, None, None] / SLOPES  # (tops, middles, slopes): log of the size found with 95 %
    ends = np.where(np.isnan(ends), np.inf, ends)
    best = likelihood.max()
    tied = np.where(likelihood >= best - TIED, ends, -np.inf)
    chosen = np.unravel_index(int(tied.argmax()), tied.shape)
    left = likelihood >= best - stats.chi2.ppf(2 * LEVEL - 1, 1) / 2

    def claimed(end: float) -> float | None:
        return float(np.exp(max(end, x[0]))) if end <= x[-1] else None

    return Found(claimed(float(ends[chosen])), claimed(float(ends[left].max())), shares[chosen])


def explore(sizes: Sequence[float], start: int, try_at: Callable[[int, int], tuple[int, int]], trials: int) -> list[Tried]:
    """Try a rising ladder of sizes only where it matters: from ``start`` outwards, then again about the size found with 95 %.

    ``try_at(rung, trials)`` returns how many defects could be drawn there, and how many of them were found.  Upwards it ends
    after two rungs where all were found, downwards after one where none was, or where none could be drawn.
    """
    results: dict[int, Tried] = {}

    def at(rung: int, trials: int) -> Tried | None:
        drawn, found = try_at(rung, trials)
        before = results.get(rung, Tried(sizes[rung], 0, 0))
        if drawn == 0:
            return None
        results[rung] = Tried(sizes[rung], before.trials + drawn, before.found + found)
        return results[rung]

    in_row = 0
    for rung in range(start, len(sizes)):
        tried = at(rung, trials)
        in_row = in_row + 1 if tried is not None and tried.found == tried.trials else 0
        if tried is None or in_row == 2:
            break
    for rung in range(start - 1, -1, -1):
        if start in results and results[start].found == 0:
            break
        tried = at(rung, trials)
        if tried is None or tried.found == 0:
            break
    if not results:
        return []
    ordered = sorted(results)
    size = fit_curve([results[rung] for rung in ordered]).size
    if size is not None:
        above = next(rung for rung in ordered if sizes[rung] >= size * 0.999)
        for rung in {above, min(above + 1, ordered[-1])}:
            at(rung, CONFIRMED * trials)
    return [results[rung] for rung in ordered]
