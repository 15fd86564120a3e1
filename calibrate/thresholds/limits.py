"""Which score to use and where to cut, from what an engine measures of good parts.

A part has two ways to fail: its score, and a region of its map.  Both become one number, the deviation, so that one order
statistic of the held-out samples sets both thresholds and its guarantee needs no splitting: the larger of the two
logarithms' distances from typical good parts, in standard deviations.  What is typical is measured on samples that were
fitted; held-out ones decide nothing but the cut.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import stats

from calibrate.thresholds.guarantee import estimate_tail, rank_within, rate_beyond, samples_needed
from engines.pictures.scores import SCORES, ScoreName
from engines.recipe.thresholds import Candidate, Estimate, Guarantee, Scale

Floats = npt.NDArray[np.float64]
MOST_MISSED = 0.1  # of the defects above every held-out sample, for the sake of a lower rate of false rejects by estimate
LEAST_SPREAD = 0.01  # of log-scores: golden samples that are one picture again and again have none


def scale_of(scores: Floats, levels: Floats) -> Scale:
    """From the scores and region levels (n,) > 0 of typical good parts."""
    return Scale(*_centre_and_spread(scores), *_centre_and_spread(levels))


def choose_score(good: Floats, defects: Floats) -> tuple[ScoreName, dict[ScoreName, Candidate]]:
    """The score that tells defects (m, 3) best from good parts (n, 3), and how well each of them does.

    By the margin of the weakest tenth of defects over the highest good part, in spreads of the good parts: a score must be
    stable over good parts and high on defects.  Unlike AUROC it tells scores apart also when all of them separate perfectly.
    """
    candidates = {name: _candidate(good[:, i], defects[:, i]) for i, name in enumerate(SCORES)}
    return max(SCORES, key=lambda name: candidates[name].margin), candidates


def choose_area(good: Floats, defects: Floats) -> int:
    """Which least area of a region tells defects best, by the same margin; from levels (n, areas) and (m, areas).

    What is smaller still has a score: a small defect is not lost with its region.
    """
    return int(np.argmax([_candidate(good[:, i], defects[:, i]).margin for i in range(good.shape[1])]))


def _candidate(good: Floats, defects: Floats) -> Candidate:
    spread = _centre_and_spread(good)[1]
    highest = float(np.log(good.max()))
    weakest = float(np.log(np.percentile(defects, 10)))
    return Candidate(round(spread, 4), round((weakest - highest) / spread, 4), round(float((defects > good.max()).mean()), 4))


def cut(deviations: Floats, defects: Floats, rate: float, confidence: float, seed: int) -> tuple[float, Guarantee]:
    """From the deviations (n,) of held-out samples: their limit for this rate of false rejects, and what it guarantees.

    With enough samples the limit is one of them.  With fewer it is where a fitted distribution puts it, never below the
    largest of them: an estimate for what was asked for, and a guarantee only for what the samples can carry.  And never so
    high that more than a tenth of the defects (m,) pass that the largest would reject: what few samples leave unknown is a
    reject.
    """
    n = len(deviations)
    ordered = np.sort(deviations)
    rank = rank_within(n, rate, confidence)
    if rank is not None:
        kept = rate_beyond(n, rank, confidence)
        return float(ordered[rank - 1]), Guarantee(rate, confidence, n, rank, kept, 0, None)
    estimate = _estimate(deviations, rate, confidence, seed)
    largest = float(ordered[-1])
    limit = max(largest, min(estimate.limit, _room(largest, np.sort(defects[defects > largest]))))
    missing = samples_needed(rate, confidence) - n
    estimate = msgspec.structs.replace(estimate, kept=limit >= estimate.limit)
    return limit, Guarantee(rate, confidence, n, None, rate_beyond(n, n, confidence), missing, estimate)


def _room(largest: float, found: Floats) -> float:
    """How high the limit may be: midway between the last defect that may pass and the next; ``found`` (m,) ascending."""
    if not len(found):
        return largest  # nothing is known to be found beyond: then nothing passes there
    passing = int(MOST_MISSED * len(found))
    below = float(found[passing - 1]) if passing else largest
    return (below + float(found[passing])) / 2


def promise(guarantee: Guarantee) -> str:
    """What a guarantee says, in words."""
    text = (
        f"at most {guarantee.rate:.2%} of good parts are rejected, with {guarantee.confidence:.0%} confidence, whatever the "
        "distribution of their scores, as long as good parts stay as they were"
    )
    if guarantee.estimate is None:
        return text
    if guarantee.estimate.kept:
        asked = f"that it is {guarantee.asked_rate:.2%} is an estimate"
    else:
        asked = (
            f"it is more than the {guarantee.asked_rate:.2%} asked for, by estimate: a limit as high as that would let more "
            "than a tenth of the defects pass that are rejected now"
        )
    return (
        f"{text}; {asked}: to guarantee it, {guarantee.more_needed} more golden samples are needed that took no part in the fit"
    )


def method(guarantee: Guarantee) -> str:
    """How the limit was got, in words."""
    estimate, n = guarantee.estimate, guarantee.samples
    if guarantee.rank is not None:
        return f"order statistic: the {guarantee.rank}. smallest deviation of {n} held-out samples"
    assert estimate is not None, "without a rank there is an estimate"
    fit = "" if estimate.goodness is None else f" (p-value of its fit {estimate.goodness:.2f})"
    source = f"a {estimate.shape} fitted to the {estimate.fitted} largest of {n} held-out deviations{fit}"
    if estimate.kept:
        return f"estimate: {source}, and not below the largest of them"
    return (
        f"the largest of {n} held-out deviations, or as far beyond as a tenth of the defects that exceed it allows; the "
        f"estimate, {source}, lies higher, at {estimate.limit:.2f}"
    )


def _estimate(deviations: Floats, rate: float, confidence: float, seed: int) -> Estimate:
    """By a generalised Pareto tail, or with too few samples for one by a normal distribution's tolerance limit.

    The latter: G. J. Hahn and W. Q. Meeker, "Statistical Intervals", chapter 4.
    """
    tail = estimate_tail(deviations, rate, seed)
    if tail is not None:
        return Estimate("generalised Pareto tail", tail.value, tail.low, tail.high, tail.goodness, tail.fitted)
    n = len(deviations)
    factor = float(stats.nct.ppf(confidence, n - 1, stats.norm.ppf(1 - rate) * math.sqrt(n)) / math.sqrt(n))
    limit = float(deviations.mean() + factor * deviations.std(ddof=1))
    return Estimate("normal distribution's tolerance limit", limit, None, None, None, n)


def _centre_and_spread(values: Floats) -> tuple[float, float]:
    logs = np.log(values)
    return float(np.median(logs)), max(float(logs.std(ddof=1)), LEAST_SPREAD)
