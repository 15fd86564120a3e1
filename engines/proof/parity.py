"""The parity gate: an engine's answers beside the float32 reference's, on golden samples, synthetic defects and known rejects.

They are compared as a line judges them, without what an ignore-mask leaves out.  Maps and scores may differ by what the
precision costs; verdicts may not, except for frames whose reference lies within a guard band around
the thresholds, where a rounding decides either way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from engines.common.files import Sha256
from engines.judgement import judge, measure
from engines.pictures.geometry import Geometry, Pixels
from engines.recipe.thresholds import Thresholds
from engines.targets import Engine, Precision, run_once


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a precision may cost."""

    map_error: Annotated[
        float, Meta(description="largest |map - reference| / |reference| of a frame, Euclidean; and of a score, relative")
    ]
    correlation: Annotated[float, Meta(description="least correlation of a frame's map with the reference's")]
    guard_band: Annotated[float, Meta(description="share of a threshold within which a verdict may flip")]


LIMITS: Mapping[Precision, Limits] = {
    "float32": Limits(1e-3, 0.9999, 0.001),
    "float16": Limits(0.05, 0.999, 0.02),
    "bfloat16": Limits(0.15, 0.99, 0.06),
    "int8": Limits(0.30, 0.96, 0.12),
}


class Parity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a comparison found."""

    frames: int
    thresholds_version: Annotated[int | None, Meta(description="that verdicts were compared with; null: there were none")]
    limits: Limits
    map_error: float  # the worst frame's
    correlation: float  # the worst frame's
    score_error: float  # the worst frame's, relative
    flips: int  # verdicts that differ outside the guard band
    flips_in_band: int
    latency_ms: float  # median, one frame at a time
    reference_latency_ms: float
    float32_latency_ms: Annotated[
        float | None, Meta(description="of the same target in float32, in the same run; null: it is that itself, or has none")
    ] = None
    thresholds_digest: Annotated[Sha256 | None, Meta(description="of the same thresholds")] = None

    @property
    def slow(self) -> bool:
        """Whether float32, which is exact, is as fast here on the same target."""
        return self.float32_latency_ms is not None and self.latency_ms >= self.float32_latency_ms

    @property
    def close(self) -> bool:
        """Whether its numbers are near the reference's; whatever compares as false, NaN included, is not."""
        near = self.map_error <= self.limits.map_error and self.score_error <= self.limits.map_error
        return self.frames > 0 and near and self.correlation >= self.limits.correlation

    @property
    def passed(self) -> bool:
        """Whether the engine may serve: its numbers are close, and no verdict is another."""
        return self.close and self.flips == 0


def compare(
    engine: Engine,
    reference: Engine,
    precision: Precision,
    geometry: Geometry,
    thresholds: Thresholds | None,
    ignored: npt.NDArray[np.bool_] | None,
    images: Sequence[Pixels],
    tell: Callable[[int, int], None],
    float32: Engine | None = None,
) -> Parity:
    """Run both engines over the pictures; without thresholds there are no verdicts to compare.

    ``ignored`` (H, W) marks the map's pixels that the thresholds leave out.  ``float32``, of the same target, is timed beside
    them.
    """
    limits = LIMITS[precision]
    slot, truth = engine.new_slot(), reference.new_slot()
    slots = [slot, truth] if float32 is None else [slot, truth, float32.new_slot()]
    errors, correlations, score_errors, flips, band = [], [], [], 0, 0
    latencies: list[list[float]] = [[] for _ in slots]
    for done, image in enumerate(images, start=1):
        for one, taken in zip(slots, latencies, strict=True):
            begun = time.perf_counter()
            run_once(one, image, geometry)
            taken.append((time.perf_counter() - begun) * 1e3)
        found, expected = (measure(one.frame_map, one.scores, ignored) for one in (slot, truth))
        errors.append(float(np.linalg.norm(found.frame_map - expected.frame_map) / np.linalg.norm(expected.frame_map)))
        correlations.append(float(np.corrcoef(found.frame_map.ravel(), expected.frame_map.ravel())[0, 1]))
        score_errors.append(float(np.max(np.abs(found.scores - expected.scores) / np.abs(expected.scores))))
        if thresholds is not None:
            right = judge(expected, thresholds)
            if judge(found, thresholds).passed != right.passed:
                within = abs(right.margin() - 1) <= limits.guard_band
                flips, band = flips + (not within), band + within
        tell(done, len(images))
    return Parity(
        frames=len(images),
        thresholds_version=thresholds.version if thresholds else None,
        thresholds_digest=thresholds.digest if thresholds else None,
        limits=limits,
        map_error=_worst(errors, max),
        correlation=_worst(correlations, min),
        score_error=_worst(score_errors, max),
        flips=flips,
        flips_in_band=band,
        latency_ms=float(np.median(latencies[0])),
        reference_latency_ms=float(np.median(latencies[1])),
        float32_latency_ms=None if float32 is None else float(np.median(latencies[2])),
    )


def _worst(values: list[float], pick: Callable[[list[float]], float]) -> float:
    """The worst value; NaN if any is: `max` and `min` alone would pass over it."""
    return float("nan") if not np.isfinite(values).all() else pick(values)
