"""The line's own pipeline with parts offered at a steady rate, and change-overs while it runs."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from appliance.capture import Frame
from appliance.line.pipeline import Pipeline, Station
from engines.judgement import judge, measure
from engines.pictures.geometry import Pixels
from engines.recipe.bundle import Recipe
from engines.recipe.thresholds import load_thresholds
from engines.targets import Engine
from tests.benchmarks.cuda.measures import device_bytes, pictures, spread
from tests.benchmarks.cuda.steps import Found

SLOTS = 3
DEADLINE_NS = 1_000_000_000
POLL_S, PATIENCE_S = 0.5, 10.0


@dataclass
class Outcome:
    """What became of the parts."""

    latencies_ms: list[float] = field(default_factory=list)  # from the trigger to the judgement
    reasons: dict[str, int] = field(default_factory=dict)
    passed: int = 0


def offered(load: Callable[[], Engine], recipe: Recipe, per_second: float, seconds: float, changes: int) -> Found:
    """Offer parts for so long; change over to a newly loaded engine so many times meanwhile, evenly spread."""
    station = Station(load(), recipe.manifest.geometry, SLOTS)
    pipeline: Pipeline[Station] = Pipeline(station)
    outcome, total = Outcome(), int(per_second * seconds)
    camera = threading.Thread(target=_trigger, args=(pipeline, pictures(), per_second, total))
    changing = threading.Thread(target=_change, args=(pipeline, load, recipe, seconds, changes))
    before, begun = device_bytes(), time.monotonic()
    camera.start()
    if changes:
        changing.start()
    _decide(pipeline, recipe, total, outcome)
    taken = time.monotonic() - begun
    camera.join()
    if changes:
        changing.join()
    pipeline.close()
    last = pipeline.station
    del station
    after = device_bytes()
    last.close()
    judged = len(outcome.latencies_ms)
    return {
        "offered_per_second": per_second,
        "parts": total,
        "judged": judged,
        "judged_per_second": round(judged / taken, 1),
        "passed": outcome.passed,
        "not_judged": outcome.reasons,
        "late_results": pipeline.late_results,
        "latency": spread(outcome.latencies_ms) if judged else None,
        "changes": changes,
        "device_memory_grown_mb": round((after - before) / 1e6, 1),
    }


def _trigger(pipeline: Pipeline[Station], shown: list[Pixels], per_second: float, total: int) -> None:
    begun = time.monotonic()
    for i in range(total):
        due = begun + i / per_second
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
        now = time.monotonic_ns()
        pipeline.submit(Frame(i + 1, now, 0, shown[i % len(shown)]), now + DEADLINE_NS)


def _change(pipeline: Pipeline[Station], load: Callable[[], Engine], recipe: Recipe, seconds: float, changes: int) -> None:
    """As `appliance.line.change_over` does: the next engine beside the running one, the old one's frames to their end."""
    for _ in range(changes):
        time.sleep(seconds / (changes + 2))
        before = pipeline.change(Station(load(), recipe.manifest.geometry, SLOTS))
        while before.frames:
            time.sleep(0.005)
        before.close()


def _decide(pipeline: Pipeline[Station], recipe: Recipe, total: int, outcome: Outcome) -> None:
    thresholds = load_thresholds(recipe)
    assert thresholds is not None, "the recipe was calibrated"
    over = np.zeros(recipe.manifest.geometry.map_shape, np.uint8)
    patience = time.monotonic() + PATIENCE_S
    done = 0
    while done < total:
        if select.select([pipeline.wakeup], [], [], POLL_S)[0]:
            os.eventfd_read(pipeline.wakeup)
            patience = time.monotonic() + PATIENCE_S
        elif time.monotonic() > patience:
            raise RuntimeError(f"the pipeline stands still after {done} of {total} parts")
        for job in pipeline.results():
            if job.reason or job.slot is None:
                told = f"{job.reason}: {job.detail}" if job.reason == "engine-fault" else job.reason
                outcome.reasons[told] = outcome.reasons.get(told, 0) + 1
            else:
                outcome.passed += judge(measure(job.slot.frame_map, job.slot.scores, None), thresholds, over).passed
                outcome.latencies_ms.append((time.monotonic_ns() - job.frame.captured_ns) / 1e6)
            pipeline.release(job)
            done += 1
