"""Thresholds from held-out golden samples: which score to use, where to cut, and what that promises.

The cut bounds the share of good parts that are rejected.  With enough held-out samples it is an order statistic, which needs no
assumption but that good parts go on as they are (split conformal prediction: the (n + 1)(1 - rate)-th smallest of n
scores).  With fewer, it is a one-sided tolerance limit of a log-normal distribution at 95 % confidence (Hahn and
Meeker, Statistical Intervals, chapter 4), which does assume that shape, and the promise says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from engines.scores import SCORES, ScoreName

Floats = npt.NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Limit:
    """An upper limit of what good parts show."""

    value: float
    method: str
    promise: str


def upper_limit(values: Floats, rate: float) -> Limit:
    """The value that at most a share ``rate`` of good parts exceeds, from the values (n,) > 0 of held-out good parts."""
    n = len(values)
    rank = math.ceil((n + 1) * (1 - rate))
    if rank <= n:
        return Limit(
            float(np.sort(values)[rank - 1]),
            f"order statistic: the {rank}. smallest of {n} held-out scores",
            f"at most {rate:.2%} of good parts exceed it, on average over calibrations, as long as good parts stay as they are",
        )
    logs = np.log(values)
    factor = float(stats.nct.ppf(CONFIDENCE, n - 1, stats.norm.ppf(1 - rate) * math.sqrt(n)) / math.sqrt(n))
    return Limit(
        float(np.exp(logs.mean() + factor * logs.std(ddof=1))),
        f"log-normal tolerance limit from {n} held-out scores (an order statistic needs {math.ceil(1 / rate) - 1})",
        f"at most {rate:.2%} of good parts exceed it, with {CONFIDENCE:.0%} confidence, if their scores are log-normal",
    )


def choose_score(good: Floats, defect: Floats, rate: float) -> dict[ScoreName, float]:
    """How well each candidate score tells defects (m, 3) from good parts (n, 3); the largest is the best.

    The margin by which the weakest tenth of the defects clears the limit of good parts, in standard deviations of the good
    parts' log-scores.  Unlike AUROC it goes on telling scores apart when all of them separate perfectly.
    """
    margins: dict[ScoreName, float] = {}
    for i, name in enumerate(SCORES):
        limit = upper_limit(good[:, i], rate).value
        spread = max(float(np.log(good[:, i]).std(ddof=1)), 1e-9)
        margins[name] = round((math.log(float(np.percentile(defect[:, i], 10))) - math.log(limit)) / spread, 4)
    return margins
