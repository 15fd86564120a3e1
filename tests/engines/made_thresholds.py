"""Thresholds that were set by hand, and are as consistent as a calibration's."""

from __future__ import annotations

import math

import msgspec

from engines.recipe.thresholds import ROUNDING, Scale, Thresholds


def consistent(thresholds: Thresholds) -> Thresholds:
    """The same thresholds with a scale and a limit that give them, and without samples that would contradict."""
    score, pixel = (math.log(one / (1 + ROUNDING)) for one in (thresholds.score_threshold, thresholds.pixel_threshold))
    return msgspec.structs.replace(
        thresholds,
        scale=Scale(score, 1.0, pixel, 1.0),
        limit=0.0,
        samples=(),
        rejects=(),
        guarantee=msgspec.structs.replace(thresholds.guarantee, samples=0, rank=None),
    )
