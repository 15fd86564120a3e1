"""What an evaluation says of one category: from each picture's score and verdict, and the measures of its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from calibrate.evaluation.datasets import GOOD
from calibrate.evaluation.measures import PixelMeasures, auroc, average_precision, f1
from calibrate.thresholds.guarantee import share_interval
from engines.recipe.thresholds import Thresholds

INTERVAL = 0.95  # of shares; two sides
LIMITS = (0.05, 0.30)  # of false-positive rate, that areas under regions' overlap go up to

Measure = Annotated[float | None, Meta(description="0 to 1; null where there is nothing to measure it by")]
Interval = tuple[float, float]


class Judged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One test picture at the calibrated thresholds."""

    file: Annotated[str, Meta(description="from the category's folder")]
    kind: str
    score: float
    level: Annotated[float, Meta(description="the highest pixel threshold at which it would still have a region")]
    deviation: Annotated[float, Meta(description="from typical good parts: beyond the limit it is a reject")]
    passed: bool


class Found(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well defects are told from good parts."""

    image_auroc: Measure
    image_ap: Measure
    pixel_auroc: Measure
    pixel_ap: Measure
    aupro_30: Measure
    aupro_05: Measure
    auspro_30: Measure  # only where the set says how much of a defect must be found: MVTec LOCO AD
    auspro_05: Measure
    defects: int
    misses: int
    miss_interval: Annotated[Interval, Meta(description="exact, of the share, at 95 %")]
    f1: Measure


class Result(Found, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One category."""

    good: int
    false_rejects: int
    false_reject_interval: Annotated[Interval, Meta(description="exact, of the share, at 95 %")]
    score: str
    threshold: float
    pixel_threshold: float
    limit: Annotated[float, Meta(description="of deviations: both thresholds stand for this one number")]
    guarantee: Annotated[float, Meta(description="the rate of false rejects is at most this, with the confidence")]
    confidence: float
    guarantee_kept: Annotated[bool, Meta(description="the false rejects do not contradict the guarantee")]
    fitted: int  # golden samples
    held_out: int
    fit_seconds: float
    frame_ms: Annotated[float, Meta(description="median of one frame through the engine")]
    engine: str
    defect_types: dict[str, Found]


def summarise(
    judged: Sequence[Judged],
    pixels: Mapping[str, PixelMeasures],
    thresholds: Thresholds,
    *,
    fitted: int,
    fit_seconds: float,
    frame_ms: float,
) -> Result:
    """All that is said of a category, from its test pictures and the pixels of each kind of them."""
    whole = _found(judged, list(pixels.values()))
    good = [one for one in judged if one.kind == GOOD]
    false_rejects = sum(not one.passed for one in good)
    interval = share_interval(false_rejects, len(good), INTERVAL)
    guarantee = thresholds.guarantee
    return Result(
        **msgspec.structs.asdict(whole),
        good=len(good),
        false_rejects=false_rejects,
        false_reject_interval=interval,
        score=thresholds.score,
        threshold=thresholds.score_threshold,
        pixel_threshold=thresholds.pixel_threshold,
        limit=thresholds.limit,
        guarantee=guarantee.rate,
        confidence=guarantee.confidence,
        guarantee_kept=interval[0] <= guarantee.rate,
        fitted=fitted,
        held_out=guarantee.samples,
        fit_seconds=fit_seconds,
        frame_ms=frame_ms,
        engine=thresholds.engine,
        defect_types={
            kind: _found(
                [one for one in judged if one.kind in (GOOD, kind)], [pixels[one] for one in (GOOD, kind) if one in pixels]
            )
            for kind in sorted({one.kind for one in judged} - {GOOD})
        },
    )


def _found(judged: Sequence[Judged], pixels: Sequence[PixelMeasures]) -> Found:
    defect = np.array([one.kind != GOOD for one in judged], bool)
    scores = np.array([one.score for one in judged])
    defects, misses = int(defect.sum()), sum(one.passed for one in judged if one.kind != GOOD)
    joined = PixelMeasures.joined(pixels)
    strict, generous = LIMITS
    return Found(
        image_auroc=auroc(defect, scores),
        image_ap=average_precision(defect, scores),
        pixel_auroc=joined.auroc(),
        pixel_ap=joined.average_precision(),
        aupro_30=joined.aupro(generous),
        aupro_05=joined.aupro(strict),
        auspro_30=joined.auspro(generous),
        auspro_05=joined.auspro(strict),
        defects=defects,
        misses=misses,
        miss_interval=share_interval(misses, defects, INTERVAL),
        f1=f1(defects - misses, defects, sum(not one.passed for one in judged if one.kind == GOOD)),
    )
