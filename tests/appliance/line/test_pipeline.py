"""The pipeline: order, deadlines, slots that come back, and a file descriptor to sleep on."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from appliance.capture import Frame
from appliance.line.pipeline import Job, Pipeline, Station
from engines.pictures.geometry import Geometry
from tests.appliance.conftest import Floats, MadeEngine, wait_for

GEOMETRY = Geometry(frame=(64, 64), region=(0, 0, 64, 64), input_side=64)
LONG_NS = 20_000_000_000
MakePipeline = Callable[..., Pipeline[Station]]


@pytest.fixture
def make_pipeline() -> Iterator[MakePipeline]:
    """A function that makes pipelines, which are closed at the end."""
    made: list[Pipeline[Station]] = []

    def make(engine: MadeEngine, slots: int = 2) -> Pipeline[Station]:
        engine.geometry = GEOMETRY
        made.append(Pipeline(Station(engine, GEOMETRY, slots)))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()


def frame(number: int, image: bool = True, release: Callable[[], None] = lambda: None) -> Frame:
    picture = np.full((64, 64, 3), number, np.uint8) if image else None
    return Frame(number, time.monotonic_ns(), 0, picture, None if image else "no trigger signal", release=release)


def submit(pipeline: Pipeline[Station], one: Frame, within_ns: int = LONG_NS, patient: bool = False) -> None:
    pipeline.submit(one, time.monotonic_ns() + within_ns, patient=patient)


def take(pipeline: Pipeline[Station], count: int) -> list[Job[Station]]:
    """So many results, each given back at once."""
    taken: list[Job[Station]] = []

    def enough() -> bool:
        for job in pipeline.results():
            taken.append(job)
            pipeline.release(job)
        return len(taken) >= count

    wait_for(enough, f"{count} results")
    return taken


def test_results_come_in_the_order_of_triggers_past_a_frame_without_image(make_pipeline: MakePipeline) -> None:
    go_on = threading.Event()
    pipeline = make_pipeline(MadeEngine(lambda call, _map, _scores: call > 1 or go_on.wait(20)))
    submit(pipeline, frame(1))
    submit(pipeline, frame(2, image=False))
    submit(pipeline, frame(3))
    assert pipeline.results() == [], "the second is known already, but the first is not"
    go_on.set()
    jobs = take(pipeline, 3)
    assert [job.frame.number for job in jobs] == [1, 2, 3]
    assert [(job.reason, job.detail) for job in jobs] == [("", ""), ("no-image", "no trigger signal"), ("", "")]
    assert pipeline.empty


def test_what_the_engine_writes_arrives_with_its_own_frame(make_pipeline: MakePipeline) -> None:
    def act(call: int, frame_map: Floats, scores: Floats) -> None:
        frame_map.fill(call)
        scores.fill(call)

    pipeline = make_pipeline(MadeEngine(act), slots=3)
    seen: list[tuple[int, float, float, int]] = []
    for first in (1, 4, 7):
        for number in range(first, first + 3):
            submit(pipeline, frame(number))
        wait_for(lambda: pipeline._order[-1].done, "three results")
        for job in pipeline.results():
            assert job.slot is not None
            seen.append((job.frame.number, job.slot.frame_map[0, 0], job.slot.scores[0], job.slot.tiles[0, 0, 0, 0]))
            pipeline.release(job)
    assert seen == [(number, number, number, number) for number in range(1, 10)]


def test_a_frame_that_finds_no_free_slot_is_an_overrun_at_once(make_pipeline: MakePipeline) -> None:
    go_on = threading.Event()
    pipeline = make_pipeline(MadeEngine(lambda call, _map, _scores: call > 1 or go_on.wait(20)), slots=1)
    submit(pipeline, frame(1))
    submit(pipeline, frame(2), within_ns=60_000_000_000)
    go_on.set()
    jobs = take(pipeline, 2)
    assert [(job.frame.number, job.reason) for job in jobs] == [(1, ""), (2, "overrun")]
    assert jobs[1].detail == "no free slot"


def test_a_patient_frame_waits_for_a_free_slot_until_its_deadline(make_pipeline: MakePipeline) -> None:
    go_on = threading.Event()
    pipeline = make_pipeline(MadeEngine(lambda call, _map, _scores: call > 1 or go_on.wait(20)), slots=1)
    submit(pipeline, frame(1))
    submit(pipeline, frame(2), within_ns=30_000_000, patient=True)
    go_on.set()
    (first, second) = take(pipeline, 2)
    assert [(job.frame.number, job.reason) for job in (first, second)] == [(1, ""), (2, "overrun")]
    assert second.detail == "no free slot by the deadline"
    submit(pipeline, frame(3), patient=True)
    assert [job.reason for job in take(pipeline, 1)] == [""]


def test_the_slots_of_late_jobs_come_back(make_pipeline: MakePipeline) -> None:
    go_on = threading.Event()
    engine = MadeEngine(lambda *_: go_on.wait(20))
    pipeline = make_pipeline(engine, slots=2)
    for number in (1, 2):
        submit(pipeline, frame(number), within_ns=20_000_000)
    late = take(pipeline, 2)
    assert [(job.reason, job.abandoned) for job in late] == [("late", True), ("late", True)]
    go_on.set()
    for number in (3, 4):
        submit(pipeline, frame(number), patient=True)
    assert [(job.frame.number, job.reason) for job in take(pipeline, 2)] == [(3, ""), (4, "")]
    wait_for(lambda: pipeline.station.free.qsize() == 2, "both slots")
    assert pipeline.late_results == 2
    assert engine.calls == 4, "late frames are finished as well: their slots are at work until then"


def test_an_engine_that_raises_gives_a_fault_and_its_slot_back(make_pipeline: MakePipeline) -> None:
    def act(_call: int, _map: Floats, _scores: Floats) -> None:
        raise ValueError("wrong shape")

    pipeline = make_pipeline(MadeEngine(act), slots=1)
    for number in (1, 2):
        submit(pipeline, frame(number))
        (job,) = take(pipeline, 1)
        assert (job.reason, job.detail) == ("engine-fault", "ValueError: wrong shape")


def test_a_frame_of_another_size_costs_no_slot(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(MadeEngine(), slots=1)
    wrong = frame(1)
    wrong.image = np.zeros((10, 20), np.uint8)
    submit(pipeline, wrong)
    submit(pipeline, frame(2))
    jobs = take(pipeline, 2)
    assert [job.reason for job in jobs] == ["no-image", ""]
    assert "the frame is 20 x 10 pixels" in jobs[0].detail


def test_refused_frames_come_out_with_the_reason_given(make_pipeline: MakePipeline) -> None:
    engine = MadeEngine()
    pipeline = make_pipeline(engine)
    pipeline.submit(frame(1), time.monotonic_ns() + LONG_NS, "stopping")
    assert [job.reason for job in take(pipeline, 1)] == ["stopping"]
    assert engine.calls == 0


def test_wakeup_becomes_readable_when_a_frame_has_come_and_when_it_has_finished(make_pipeline: MakePipeline) -> None:
    go_on = threading.Event()
    pipeline = make_pipeline(MadeEngine(lambda *_: go_on.wait(20)))
    submit(pipeline, frame(1))
    assert select.select([pipeline.wakeup], [], [], 0)[0] == [pipeline.wakeup], "its deadline may be the next one"
    os.eventfd_read(pipeline.wakeup)
    assert select.select([pipeline.wakeup], [], [], 0)[0] == []
    go_on.set()
    assert select.select([pipeline.wakeup], [], [], 20)[0] == [pipeline.wakeup]
    os.eventfd_read(pipeline.wakeup)
    assert len(take(pipeline, 1)) == 1


def test_next_deadline_is_that_of_the_oldest_frame(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(MadeEngine())
    assert pipeline.next_deadline_ns() is None
    deadline = time.monotonic_ns() + LONG_NS
    pipeline.submit(frame(1), deadline)
    pipeline.submit(frame(2), deadline + 1)
    assert pipeline.next_deadline_ns() == deadline
    take(pipeline, 2)
    assert pipeline.next_deadline_ns() is None


def test_the_cameras_buffer_is_given_back_once(make_pipeline: MakePipeline) -> None:
    released: list[int] = []
    pipeline = make_pipeline(MadeEngine())
    for number in (1, 2):
        submit(pipeline, frame(number, release=lambda number=number: released.append(number)))  # type: ignore[misc]
    jobs = take(pipeline, 2)
    assert released == [1, 2]
    assert all(job.frame.image is None for job in jobs)


def open_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_closing_leaves_no_descriptor_and_no_thread() -> None:
    before = open_descriptors(), threading.active_count()
    engine = MadeEngine()
    engine.geometry = GEOMETRY
    pipeline = Pipeline(Station(engine, GEOMETRY, 2))
    submit(pipeline, frame(1))
    take(pipeline, 1)
    pipeline.close()
    assert (open_descriptors(), threading.active_count()) == before


def test_a_change_of_station_waits_for_nobody_and_keeps_the_order(make_pipeline: MakePipeline) -> None:
    go_on = threading.Event()
    pipeline = make_pipeline(MadeEngine(lambda *_: go_on.wait(20)))
    second = MadeEngine()
    second.geometry = GEOMETRY
    submit(pipeline, frame(1))
    before = pipeline.change(Station(second, GEOMETRY, 2))
    submit(pipeline, frame(2))
    assert (before.frames, pipeline.station.frames) == (1, 1), "the first frame stays with the station that took it on"
    go_on.set()
    jobs = take(pipeline, 2)
    assert [(job.frame.number, job.station is before) for job in jobs] == [(1, True), (2, False)]
    assert before.frames == pipeline.station.frames == 0
    before.close()
    assert before.free.empty(), "its buffers are gone"


def test_a_station_keeps_a_late_frame_until_its_engine_is_done(make_pipeline: MakePipeline) -> None:
    go_on = threading.Event()
    pipeline = make_pipeline(MadeEngine(lambda *_: go_on.wait(20)))
    submit(pipeline, frame(1), within_ns=1_000_000)
    assert [job.reason for job in take(pipeline, 1)] == ["late"]
    assert pipeline.station.frames == 1, "the engine still writes into its slot"
    go_on.set()
    wait_for(lambda: pipeline.station.frames == 0, "the slot")
