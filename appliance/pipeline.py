"""The pipeline: frames in, measured frames out, in order, with a few in flight.

The pipeline owns the slots: buffers made once by the engine, into which a frame is cut and the engine writes its map and
scores.  Three threads meet here: capture submits and starts the work, a worker waits for it in order, the decision loop
takes results.  The decision loop sleeps on `wakeup`, a file descriptor that becomes readable when something has finished.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from appliance.capture import Frame
from appliance.messages import Reason
from engines.errors import ImageError
from engines.geometry import Geometry, Pixels
from engines.targets import Engine, EngineSlot


@dataclass(slots=True, eq=False)
class Job:
    """One frame on its way: what became of it, and when. A job without slot was never measured."""

    frame: Frame
    deadline_ns: int
    slot: EngineSlot | None = None
    reason: Reason = ""
    detail: str = ""
    done: bool = False
    abandoned: bool = False  # its verdict was given before the engine was ready
    stages: dict[str, float] = field(default_factory=dict)
    queued_ns: int = 0


class Pipeline:
    """Runs one engine with ``slots`` frames in flight."""

    def __init__(self, engine: Engine, geometry: Geometry, slots: int) -> None:
        self._engine, self._geometry = engine, geometry
        self._free: queue.SimpleQueue[EngineSlot] = queue.SimpleQueue()
        for _ in range(slots):
            self._free.put(engine.new_slot())
        self._work: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._order: deque[Job] = deque()  # in the order of triggers; the decision loop takes from the left
        self._handover = threading.Lock()  # who frees the slot: the worker or the decision loop, whoever comes last
        self.wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._worker = threading.Thread(target=self._run, name="engine", daemon=True)
        self._worker.start()

    @property
    def engine_target(self) -> str:
        """What computes."""
        return self._engine.target

    def submit(self, frame: Frame, deadline_ns: int, refused: Reason = "") -> None:
        """Take a frame on; every frame taken on comes out of `results`, measured or with a reason.

        Waits for a free slot until the frame's deadline, then gives up on it (`overrun`).  ``refused`` takes a frame on only to
        have its verdict given.
        """
        job = Job(frame, deadline_ns)
        if frame.image is None:
            self._refuse(job, "no-image", frame.fault or "")
        elif refused:
            self._refuse(job, refused, "")
        else:
            self._start(job, frame.image)

    def results(self) -> list[Job]:
        """The jobs at the head of the order that are finished or past their deadline. Give each back with `release`."""
        finished = []
        while self._order:
            job = self._order[0]
            with self._handover:
                if not job.done:
                    if time.monotonic_ns() < job.deadline_ns:
                        break
                    job.abandoned = True
                    job.reason, job.detail = "late", "no result by the deadline"
            self._order.popleft()
            finished.append(job)
        return finished

    def release(self, job: Job) -> None:
        """Give a job's buffers back; its slot's contents must not be read after this."""
        job.frame.image = None
        job.frame.release()
        if job.slot is not None and not job.abandoned:
            self._free.put(job.slot)

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

    def close(self) -> None:
        """Stop the worker after the work it has begun; jobs in flight are lost, so take the results first."""
        self._work.put(None)
        self._worker.join(timeout=10)
        os.close(self.wakeup)

    def _start(self, job: Job, image: Pixels) -> None:
        wait_s = (job.deadline_ns - time.monotonic_ns()) / 1e9
        try:
            slot = self._free.get(timeout=max(wait_s, 0.001))
        except queue.Empty:
            self._refuse(job, "overrun", "no free slot by the deadline")
            return
        begun = time.perf_counter_ns()
        try:
            self._geometry.cut(image, slot.tiles)
        except ImageError as error:
            self._free.put(slot)
            self._refuse(job, "no-image", str(error))
            return
        job.queued_ns = time.perf_counter_ns()
        job.stages["cut"] = (job.queued_ns - begun) / 1e6
        job.slot = slot
        try:
            slot.start()
        except Exception as error:  # noqa: BLE001 - whatever an engine raises: this part is a reject, the line goes on
            self._free.put(slot)
            job.slot = None
            self._refuse(job, "engine-fault", f"{type(error).__name__}: {error}")
            return
        self._order.append(job)
        self._work.put(job)

    def _refuse(self, job: Job, reason: Reason, detail: str) -> None:
        job.reason, job.detail, job.done = reason, detail, True
        self._order.append(job)
        self._wake()

    def _wake(self) -> None:
        os.eventfd_write(self.wakeup, 1)

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            slot = job.slot
            assert slot is not None, "only jobs with a slot are queued"
            begun = time.perf_counter_ns()
            job.stages["queue"] = (begun - job.queued_ns) / 1e6
            reason: Reason = ""
            detail = ""
            try:
                slot.finish()
            except Exception as error:  # noqa: BLE001 - whatever an engine raises: this part is a reject, the line goes on
                reason, detail = "engine-fault", f"{type(error).__name__}: {error}"
            with self._handover:
                if job.abandoned:
                    self._free.put(slot)
                    continue
                job.stages["engine"] = (time.perf_counter_ns() - begun) / 1e6
                job.reason, job.detail, job.done = reason, detail, True
            self._wake()
