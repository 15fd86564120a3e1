"""The pipeline: frames in, measured frames out, in order, with a few in flight.

The pipeline owns the slots: buffers made once by the engine, into which a frame is cut and the engine writes its map and
scores.  Three threads meet here: capture submits and starts the work, a worker waits for it in order, the decision loop
takes results.  The decision loop sleeps on `wakeup`, a file descriptor that becomes readable when something has finished.
The engine can be changed between two frames: a frame stays with the station that it was taken on for.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from appliance.capture import Frame
from appliance.host.process_table import ENGINE
from appliance.host.time_limits import ENGINE_END_S, STALLED_S
from appliance.messages.part_numbers import PartNumber
from appliance.messages.schema import Reason
from engines.common.errors import ImageError
from engines.pictures.geometry import Geometry, Pixels
from engines.targets import Engine, EngineSlot, begin


class Station:
    """An engine with its slots, and the frames that it was given."""

    def __init__(self, engine: Engine, geometry: Geometry, slots: int) -> None:
        self.engine, self.geometry, self.slots = engine, geometry, slots
        self.free: queue.SimpleQueue[EngineSlot] = queue.SimpleQueue()
        for _ in range(slots):
            self.free.put(engine.new_slot())
        self.frames = 0  # taken on, and their buffers not back yet

    def close(self) -> None:
        """Let buffers and engine go; only when no frame is left."""
        while not self.free.empty():
            self.free.get()
        self.engine.close()


S = TypeVar("S", bound=Station)
NO_PART = PartNumber(0, 0)  # of a frame that no line has numbered


@dataclass(eq=False)
class Job(Generic[S]):
    """One frame on its way: what became of it, and when. A job without slot was never measured."""

    frame: Frame
    deadline_ns: int
    station: S
    part: PartNumber
    slot: EngineSlot | None = None
    reason: Reason = ""
    detail: str = ""
    done: bool = False
    abandoned: bool = False  # its verdict was given before the engine was ready
    stages: dict[str, float] = field(default_factory=dict)
    queued_ns: int = 0


class Pipeline(Generic[S]):
    """Runs one station, with as many frames in flight as it has slots."""

    def __init__(self, station: S) -> None:
        self._station = station
        self._work: queue.SimpleQueue[Job[S] | None] = queue.SimpleQueue()
        self._order: deque[Job[S]] = deque()  # in the order of triggers; the decision loop takes from the left
        self._handover = threading.Lock()  # who frees a slot, worker or decision loop; and which station a frame is for
        self.wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._waiting_since_s: float | None = None  # for the engine, with one frame
        self.late_results = 0  # came after their part's verdict, and were dropped
        self._worker = threading.Thread(target=self._run, name=ENGINE.name, daemon=True)
        self._worker.start()

    @property
    def station(self) -> S:
        """What takes the next frame on."""
        return self._station

    def change(self, station: S) -> S:
        """Have another station take on the next frame. Returns the one before, which may still have frames."""
        with self._handover:
            before, self._station = self._station, station
        return before

    def submit(
        self, frame: Frame, deadline_ns: int, refused: Reason = "", patient: bool = False, part: PartNumber = NO_PART
    ) -> None:
        """Take a frame on; every frame taken on comes out of `results`, measured or with a reason.

        A frame that finds no free slot is an `overrun` at once; ``patient`` waits for one until the frame's deadline.
        ``refused`` takes a frame on only to have its verdict given.
        """
        with self._handover:
            station = self._station
            station.frames += 1
        job = Job(frame, deadline_ns, station, part)
        if frame.image is None:
            self._refuse(job, "no-image", frame.fault or "")
        elif refused:
            self._refuse(job, refused, "")
        else:
            self._start(job, frame.image, patient)

    def results(self, epoch: int = 0) -> list[Job[S]]:
        """The jobs at the head of the order that are finished or past their deadline. Give each back with `release`.

        Those of an epoch before this one are over: whose picture each of them is, is in doubt.
        """
        finished = []
        while self._order:
            job = self._order[0]
            with self._handover:
                if job.part.epoch < epoch:
                    job.abandoned = not job.done
                    job.reason, job.detail = "miscounted", "parts are counted anew"
                elif not job.done:
                    if time.monotonic_ns() < job.deadline_ns:
                        break
                    job.abandoned = True
                    job.reason, job.detail = "late", "no result by the deadline"
            self._order.popleft()
            finished.append(job)
        return finished

    def release(self, job: Job[S]) -> None:
        """Give a job's buffers back; its slot's contents must not be read after this."""
        job.frame.image = None
        job.frame.release()
        if not job.abandoned:  # else the worker does
            self._give_back(job)

    def next_deadline_ns(self) -> int | None:
        """When the oldest job in flight must have its verdict; None when nothing is in flight."""
        try:
            return self._order[0].deadline_ns
        except IndexError:
            return None

    @property
    def empty(self) -> bool:
        """Whether nothing is in flight."""
        return not self._order

    @property
    def moving(self) -> bool:
        """Whether the worker is alive, and the engine has not kept it waiting for too long."""
        since = self._waiting_since_s
        return self._worker.is_alive() and (since is None or time.monotonic() - since < STALLED_S)

    def wake(self) -> None:
        """Have the decision loop look; any thread."""
        os.eventfd_write(self.wakeup, 1)

    def close(self) -> None:
        """Stop the worker after the work it has begun; jobs in flight are lost, so take the results first."""
        self._work.put(None)
        self._worker.join(ENGINE_END_S)
        os.close(self.wakeup)

    def _start(self, job: Job[S], image: Pixels, patient: bool) -> None:
        free = job.station.free
        try:
            wait_s = (job.deadline_ns - time.monotonic_ns()) / 1e9
            slot = free.get(timeout=max(wait_s, 0.001)) if patient else free.get_nowait()
        except queue.Empty:
            self._refuse(job, "overrun", "no free slot by the deadline" if patient else "no free slot")
            return
        begun = time.perf_counter_ns()
        try:
            job.station.geometry.cut(image, slot.tiles)
        except ImageError as error:
            free.put(slot)
            self._refuse(job, "no-image", str(error))
            return
        job.queued_ns = time.perf_counter_ns()
        job.stages["cut"] = (job.queued_ns - begun) / 1e6
        job.slot = slot
        try:
            begin(slot)
        except Exception as error:  # noqa: BLE001 - whatever an engine raises: this part is a reject, the line goes on
            free.put(slot)
            job.slot = None
            self._refuse(job, "engine-fault", f"{type(error).__name__}: {error}")
            return
        self._order.append(job)
        self._work.put(job)
        self.wake()  # its deadline may be the next one, and that its picture has come is told

    def _refuse(self, job: Job[S], reason: Reason, detail: str) -> None:
        job.reason, job.detail, job.done = reason, detail, True
        self._order.append(job)
        self.wake()

    def _give_back(self, job: Job[S]) -> None:
        if job.slot is not None:
            job.station.free.put(job.slot)
        with self._handover:
            job.station.frames -= 1

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            slot = job.slot
            assert slot is not None, "only jobs with a slot are queued"
            begun = time.perf_counter_ns()
            self._waiting_since_s = time.monotonic()
            job.stages["queue"] = (begun - job.queued_ns) / 1e6
            reason: Reason = ""
            detail = ""
            try:
                slot.finish()
            except Exception as error:  # noqa: BLE001 - whatever an engine raises: this part is a reject, the line goes on
                reason, detail = "engine-fault", f"{type(error).__name__}: {error}"
            self._waiting_since_s = None
            with self._handover:
                if not job.abandoned:
                    job.stages["engine"] = (time.perf_counter_ns() - begun) / 1e6
                    job.reason, job.detail, job.done = reason, detail, True
            if job.abandoned:
                self.late_results += 1
                self._give_back(job)
            else:
                self.wake()
            del job, slot  # else the last frame before a pause would keep its engine in memory after a change-over
