"""What thresholds detect of known rejects, and what stricter or looser ones would: read from the stored samples."""

from __future__ import annotations

from typing import NamedTuple

from calibrate.thresholds.guarantee import rate_beyond, share_interval
from engines.recipe.thresholds import Thresholds

CONFIDENCE = 0.95  # of the detection's interval, which has two sides


class Detection(NamedTuple):
    """How many known rejects are rejected, and the exact interval of that share."""

    found: int
    of: int
    share: float
    low: float
    high: float


class Choice(NamedTuple):
    """A limit of deviations that could be chosen."""

    limit: float
    rejected: int  # held-out samples beyond it
    guaranteed: float  # rate of false rejects, at the thresholds' confidence
    detected: float  # share of the known rejects


def detection(thresholds: Thresholds) -> Detection:
    """Of the known rejects that the thresholds were got with; there must be some."""
    found, of = sum(one.deviation > thresholds.limit for one in thresholds.rejects), len(thresholds.rejects)
    return Detection(found, of, found / of, *share_interval(found, of, CONFIDENCE))


def trade_off(thresholds: Thresholds) -> list[Choice]:
    """The limits that held-out samples give, and the present one, from the loosest: each with what it costs and detects."""
    held_out = sorted((one.deviation for one in thresholds.samples), reverse=True)
    n, rejects = len(held_out), [one.deviation for one in thresholds.rejects]
    choices = []
    for limit in sorted({*held_out, thresholds.limit}, reverse=True):
        rejected = sum(one > limit for one in held_out)
        guaranteed = rate_beyond(n, n - rejected, thresholds.guarantee.confidence)
        detected = sum(one > limit for one in rejects) / len(rejects) if rejects else float("nan")
        choices.append(Choice(limit, rejected, guaranteed, detected))
    return choices
