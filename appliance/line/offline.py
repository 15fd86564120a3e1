"""Frames through a recipe's pipeline without a line around it: the very path of its parts, and nobody in a hurry."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import cv2

from appliance.capture import Frame
from appliance.line.pipeline import Job, Pipeline
from appliance.line.recipe_at_work import LoadedRecipe

LONGEST_S = 60.0  # for one frame
POLL_S = 1.0
T = TypeVar("T")


def through(
    loaded: LoadedRecipe, frames: Iterable[Frame], finish: Callable[[Job[LoadedRecipe]], T], in_flight: int
) -> Iterator[T]:
    """What ``finish`` makes of each frame's job, in order, before its buffers go back; so many frames in flight at most."""
    cv2.setNumThreads(1)  # its helpers wait by spinning, on cores that engines compute on
    pipeline = Pipeline(loaded)
    waiting = 0
    try:
        for frame in frames:
            pipeline.submit(frame, time.monotonic_ns() + int(LONGEST_S * 1e9))
            waiting += 1
            if waiting == in_flight:
                finished = _finish_next(pipeline, finish)
                waiting -= len(finished)
                yield from finished
        while waiting:
            finished = _finish_next(pipeline, finish)
            waiting -= len(finished)
            yield from finished
    finally:
        pipeline.close()


def _finish_next(pipeline: Pipeline[LoadedRecipe], finish: Callable[[Job[LoadedRecipe]], T]) -> list[T]:
    """Wait for the next jobs that are done."""
    while not (jobs := pipeline.results()):
        if select.select([pipeline.wakeup], [], [], POLL_S)[0]:
            os.eventfd_read(pipeline.wakeup)
    finished = []
    for job in jobs:
        finished.append(finish(job))
        pipeline.release(job)
    return finished
