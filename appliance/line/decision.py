"""The decision: from a finished job to its verdict message. Only a measured, finite, in-time, good part passes."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.line.pipeline import Job, S
from appliance.messages.clock import utc_now, utc_of
from appliance.messages.schema import Reason, Region, TemplateMatch, Verdict
from engines.judgement import Judgement, judge, measure
from engines.pictures.regions import MapRegion
from engines.recipe.bundle import Recipe
from engines.recipe.thresholds import Thresholds

MOST_REGIONS = 16  # in a verdict: the highest peaks


class Decision(NamedTuple):
    """What a frame's map and scores say. ``passed`` is true only when every check was made and held."""

    passed: bool
    reason: Reason
    detail: str
    score: float | None
    regions: tuple[Region, ...]


class Decider:
    """Decides for one recipe with the thresholds that its line compares with; ``thresholds`` None rejects every part."""

    def __init__(self, recipe: Recipe, thresholds: Thresholds | None, ignored: npt.NDArray[np.bool_] | None) -> None:
        """``ignored`` (H, W) marks map pixels that are not inspected."""
        self._recipe, self._thresholds, self._ignored = recipe, thresholds, ignored
        self._geometry = geometry = recipe.manifest.geometry
        self._over = np.zeros(geometry.map_shape, np.uint8)
        self._pixel_area = geometry.region[2] * geometry.region[3] / (geometry.map_shape[0] * geometry.map_shape[1])

    @property
    def score_threshold(self) -> float | None:
        """What scores are compared with."""
        return self._thresholds.score_threshold if self._thresholds else None

    def verdict(self, job: Job[S], line: str, epoch: int, seq: int, simulated: bool) -> Verdict:
        """The verdict of a job whose station this decider is of."""
        begun = time.perf_counter_ns()
        frame, stages = job.frame, job.stages
        if job.reason or job.slot is None:
            decision = Decision(False, job.reason or "engine-fault", job.detail, None, ())
        else:
            decision = self.decide(job.slot.frame_map, job.slot.scores)
        decided = time.monotonic_ns()
        reason, passed = decision.reason, decision.passed
        if decided > job.deadline_ns and reason in ("", "defect"):
            reason, passed = "late", False
        stages["decide"] = (time.perf_counter_ns() - begun) / 1e6
        stages["total"] = (decided - frame.captured_ns) / 1e6
        return Verdict(
            line=line,
            epoch=epoch,
            seq=seq,
            time=utc_now(),
            part_id=seq,
            frame=frame.number,
            verdict="pass" if passed else "reject",
            reason=reason,
            detail=decision.detail,
            score=decision.score,
            threshold=self.score_threshold,
            regions=decision.regions,
            template=None
            if job.slot is None or decision.score is None
            else matched(self._recipe.manifest.templates, job.slot.match),
            captured=utc_of(frame.captured_ns),
            decided=utc_of(decided),
            deadline=utc_of(job.deadline_ns),
            camera_time=frame.camera_time,
            stages={name: round(value, 3) for name, value in stages.items()},
            recipe=self._recipe.digest,
            engine=job.station.engine.target,
            simulated=simulated,
            source=frame.source,
        )

    def decide(self, frame_map: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> Decision:
        """What a map (H, W) and its scores (3,) come to; the map's ignored pixels are set to 0."""
        judgement = self.judge(frame_map, scores)
        if judgement is None:
            return Decision(False, "not-calibrated", "the recipe has no thresholds", None, ())
        if judgement.fault:
            return Decision(False, "engine-fault", judgement.fault, None, ())
        found = judgement.regions
        found.sort(key=lambda region: -region.peak)
        regions = tuple(self._in_frame(region) for region in found[:MOST_REGIONS])
        return Decision(judgement.passed, "" if judgement.passed else "defect", "", judgement.score, regions)

    def judge(self, frame_map: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> Judgement | None:
        """The same before it is put into a verdict's words; None: there are no thresholds."""
        if self._thresholds is None:
            return None
        return judge(measure(frame_map, scores, self._ignored), self._thresholds, self._over)

    def _in_frame(self, region: MapRegion) -> Region:
        """A region of the map in frame pixels."""
        x0, y0 = self._geometry.to_frame(region.left, region.top)
        x1, y1 = self._geometry.to_frame(region.left + region.width, region.top + region.height)
        area = round(region.area * self._pixel_area, 1)
        return Region(round(x0), round(y0), round(x1 - x0), round(y1 - y0), area, region.peak)


def matched(names: tuple[str, ...], match: npt.NDArray[np.float32]) -> TemplateMatch | None:
    """What the engine says of the template (2,): index and similarity; None when that cannot be."""
    index, similarity = float(match[0]), float(match[1])
    if not (index in range(len(names)) and math.isfinite(similarity)):
        return None
    return TemplateMatch(int(index), names[int(index)], similarity)
