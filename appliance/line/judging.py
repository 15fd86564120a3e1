"""From a finished job to its verdict message."""

from __future__ import annotations

import math
import time

import numpy as np
import numpy.typing as npt

from appliance.line.decision import Decision
from appliance.line.pipeline import Job
from appliance.line.recipe_at_work import LoadedRecipe
from appliance.messages.clock import utc_now, utc_of
from appliance.messages.schema import TemplateMatch, Verdict


def judge(job: Job[LoadedRecipe], line: str, epoch: int, seq: int, simulated: bool) -> Verdict:
    """The verdict of a job, by the recipe that it was taken on for. Only a measured, in-time, good part passes."""
    begun = time.perf_counter_ns()
    loaded, frame, stages = job.station, job.frame, job.stages
    if job.reason or job.slot is None:
        decision = Decision(False, job.reason or "engine-fault", job.detail, None, ())
    else:
        decision = loaded.decider.decide(job.slot.frame_map, job.slot.scores)
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
        threshold=loaded.decider.score_threshold,
        regions=decision.regions,
        template=None
        if job.slot is None or decision.score is None
        else matched(loaded.recipe.manifest.templates, job.slot.match),
        captured=utc_of(frame.captured_ns),
        decided=utc_of(decided),
        deadline=utc_of(job.deadline_ns),
        camera_time=frame.camera_time,
        stages={name: round(value, 3) for name, value in stages.items()},
        recipe=loaded.recipe.digest,
        engine=loaded.engine.target,
        simulated=simulated,
        source=frame.source,
    )


def matched(names: tuple[str, ...], match: npt.NDArray[np.float32]) -> TemplateMatch | None:
    """What the engine says of the template (2,): index and similarity; None when that cannot be."""
    index, similarity = float(match[0]), float(match[1])
    if not (index in range(len(names)) and math.isfinite(similarity)):
        return None
    return TemplateMatch(int(index), names[int(index)], similarity)
