"""What a threshold taken from held-out good parts guarantees, whatever their distribution; and a fitted tail as an estimate.

The share of good parts beyond the k-th smallest of n independent scores follows the law Beta(n - k + 1, k), exactly and for
every continuous distribution (S. S. Wilks, "Determination of sample sizes for setting tolerance limits", Annals of
Mathematical Statistics 12, 1941); ties only make it smaller.  So, with samples enough, a rank keeps the false-reject rate
within a limit at a stated confidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
TAIL_SHARE, TAIL_FEWEST = 0.25, 10  # of the scores: the largest, which a tail is fitted to; and how many that are at least
RESAMPLES = 400
SHAPELESS = 1e-9  # a shape below this is an exponential tail
INTERVAL = 0.9  # of a tail's estimate; from 400 simulated scores 0.9 to 0.83 held the truth, from 42 0.87 to 0.68, by tail


def rank_within(n: int, rate: float, confidence: float) -> int | None:
    """The smallest rank (1 to n) beyond which at most ``rate`` of good parts lie, at this confidence; None: too few samples."""
    ranks = np.arange(1, n + 1)
    within = stats.beta.cdf(rate, n - ranks + 1, ranks) >= confidence
    return int(ranks[np.argmax(within)]) if within.any() else None


def samples_needed(rate: float, confidence: float) -> int:
    """The fewest samples whose largest keeps ``rate`` at this confidence: (1 - rate)^n <= 1 - confidence."""
    return math.ceil(math.log1p(-confidence) / math.log1p(-rate))


def rate_beyond(n: int, rank: int, confidence: float) -> float:
    """The rate that the value at this rank of n keeps, at this confidence."""
    return float(stats.beta.ppf(confidence, n - rank + 1, rank))


@dataclass(frozen=True)
class Tail:
    """A generalised Pareto tail over the largest scores: an estimate beyond what was seen, never a guarantee."""

    value: float  # that the rate asked for is estimated to exceed
    low: float  # of the interval `INTERVAL`
    high: float
    goodness: float  # p-value of the fit; small when the scores do not have such a tail
    fitted: int  # scores that it was fitted to


def estimate_tail(scores: Floats, rate: float, seed: int) -> Tail | None:
    """Where a share ``rate`` of good parts is estimated to lie beyond, from scores (n,); None for too few of them.

    Probability-weighted moments (J. R. M. Hosking, J. R. Wallis, "Parameter and quantile estimation for the generalized
    Pareto distribution", Technometrics 29, 1987), which fit small samples better than maximum likelihood.  The interval comes
    from resampling all scores, the tail's from its fit; goodness of fit (Cramér-von Mises) from resampling the tail.
    """
    n = len(scores)
    fitted = round(TAIL_SHARE * n)
    if fitted < TAIL_FEWEST:
        return None
    ordered = np.sort(scores)
    start = ordered[-fitted - 1]
    excess = ordered[-fitted:] - start
    if not excess[-1] > 0:
        return Tail(float(start), float(start), float(start), 1.0, fitted)
    shape, scale = _moments(excess)
    beyond = np.array(rate * n / fitted)  # share of the tail
    rng = np.random.default_rng(seed)
    tails = np.sort(_quantile(rng.random((RESAMPLES, fitted)), shape, scale))
    worse = _misfit(tails, *_moments(tails)) >= _misfit(excess, shape, scale)
    drawn = ordered[rng.integers(n, size=(RESAMPLES, n))]
    again = np.sort(np.where(drawn > start, start + _quantile(rng.random(drawn.shape), shape, scale), drawn))
    starts = again[:, -fitted - 1]
    values = starts + _quantile(beyond, *_moments(again[:, -fitted:] - starts[:, None]))
    low, high = np.quantile(values, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    value = float(start + _quantile(beyond, shape, scale))
    return Tail(value, float(low), float(high), float(worse.mean()), fitted)


def _moments(excess: Floats) -> tuple[Floats, Floats]:
    """Shape and scale (...) of generalised Pareto distributions from ordered excesses (..., m) >= 0."""
    m = excess.shape[-1]
    first = excess.mean(axis=-1)
    second = ((m - np.arange(1, m + 1)) / (m - 1) * excess).mean(axis=-1)
    ratio = np.maximum(first - 2 * second, 1e-9 * first)
    return 2 - first / ratio, 2 * first * second / ratio


def _quantile(beyond: Floats, shape: Floats, scale: Floats) -> Floats:
    """Where shares ``beyond`` of the distributions lie beyond."""
    power = np.where(np.abs(shape) < SHAPELESS, SHAPELESS, shape)
    value: Floats = scale / power * np.expm1(-power * np.log(beyond))
    return value


def _misfit(excess: Floats, shape: Floats, scale: Floats) -> Floats:
    """Cramér-von Mises distance (...) of ordered excesses (..., m) from the distributions."""
    m = excess.shape[-1]
    probability = stats.genpareto.cdf(excess, shape[..., None], scale=scale[..., None])
    distance: Floats = 1 / (12 * m) + ((probability - (np.arange(1, m + 1) - 0.5) / m) ** 2).sum(axis=-1)
    return distance


def share_interval(count: int, of: int, confidence: float) -> tuple[float, float]:
    """The exact two-sided interval of a share (C. J. Clopper, E. S. Pearson, Biometrika 26, 1934)."""
    if of == 0:
        return 0.0, 1.0
    side = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(stats.beta.ppf(side, count, of - count + 1))
    high = 1.0 if count == of else float(stats.beta.ppf(1 - side, count + 1, of - count))
    return low, high
