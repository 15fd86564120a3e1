"""The decision loop: takes results, gives verdicts, tells what there is to tell, and beats.

One thread does all of this: a heartbeat is then proof that verdicts are being given.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Literal

import zmq

from appliance.host.process_table import DECISION
from appliance.host.time_limits import STALLED_S
from appliance.line.capture_thread import Capture
from appliance.line.engine_watch import EngineWatch
from appliance.line.equipment import Equipment
from appliance.line.monitor import Monitor
from appliance.line.pipeline import Job
from appliance.line.recipe_at_work import LoadedRecipe
from appliance.messages.announcer import Announcer
from engines.common.errors import FaultError


class DecisionLoop:
    """Decides for a line, from `start` until capture is over and every frame has its verdict."""

    def __init__(self, equipment: Equipment, capture: Capture, announcer: Announcer, stop: threading.Event) -> None:
        """``stop`` is set when the loop breaks down, so that capture ends too."""
        self._camera, self._pipeline, self._publisher = equipment.camera, equipment.pipeline, equipment.publisher
        self._recorder, self._change_over = equipment.recorder, equipment.change_over
        self._capture, self._announcer, self._stop = capture, announcer, stop
        self._monitor, self._engine_watch = Monitor(), EngineWatch()
        self._engine_broken = ""  # why
        self._stepped_s = time.monotonic()  # when the present step began
        self._thread = threading.Thread(target=self._run, name=DECISION.name, daemon=True)
        self.failure: BaseException | None = None

    @property
    def running(self) -> bool:
        """Whether verdicts are still to come."""
        return self._thread.is_alive()

    @property
    def moving(self) -> bool:
        """Whether the thread moves; one that has ended in order counts as moving until the line's end."""
        return time.monotonic() - self._stepped_s < STALLED_S and self.failure is None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the end, if it was started."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        pipeline, publisher, capture = self._pipeline, self._publisher, self._capture
        numbers = publisher.numbers
        poller = zmq.Poller()
        poller.register(pipeline.wakeup, zmq.POLLIN)
        poller.register(publisher.snapshot_socket, zmq.POLLIN)
        poller.register(self._change_over.socket, zmq.POLLIN)
        try:
            while True:
                self._stepped_s = time.monotonic()
                # Asked first: whatever was said before the end of capture is then still told below.
                captured_all = capture.over
                publisher.simulated = self._camera.simulated
                publisher.late_results = pipeline.late_results
                publisher.change_state(self._state())
                epoch = numbers.counted.epoch
                for job in pipeline.results(epoch):
                    self._give_verdict(job)
                publisher.follow(epoch)
                self._announce()
                publisher.answer_snapshots()
                self._change_over.serve()
                if captured_all and pipeline.empty:
                    break
                ready = dict(poller.poll(self._poll_ms(publisher.beat())))
                if pipeline.wakeup in ready:
                    os.eventfd_read(pipeline.wakeup)
            self._recorder.close()  # now, so that what it has to tell is still heard
            self._announce()
            publisher.change_state("stopped")
            if self._engine_broken:
                raise FaultError(f"{self._engine_broken}; the line has ended, to be started anew")
        except BaseException as error:  # noqa: BLE001 - kept for the line's `close`, which raises it in its caller's thread
            self.failure = error
            self._stop.set()

    def _poll_ms(self, until_heartbeat_s: float) -> int:
        """How long to sleep: until the next heartbeat or the next deadline, rounded up to whole milliseconds."""
        deadline_ns = self._pipeline.next_deadline_ns()
        wait_s = until_heartbeat_s
        if deadline_ns is not None:
            wait_s = min(wait_s, (deadline_ns - time.monotonic_ns()) / 1e9)
        return max(0, int(wait_s * 1000) + 1)

    def _state(self) -> Literal["running", "camera-lost", "not-calibrated", "stopping"]:
        if self._stop.is_set() or self._capture.over:
            return "stopping"
        if self._capture.lost:
            return "camera-lost"
        return "running" if self._pipeline.station.calibrated else "not-calibrated"

    def _announce(self) -> None:
        self._announcer.take(self._monitor.look_at_journal(self._recorder.behind_s))
        self._announcer.announce(self._publisher)

    def _give_verdict(self, job: Job[LoadedRecipe]) -> None:
        """Judge a job, publish, have it recorded, and give its buffers back."""
        publisher, numbers = self._publisher, self._publisher.numbers
        publisher.follow(job.part.epoch)
        if doubt := numbers.doubt(job.part, job.frame.number):
            job.reason, job.detail = "miscounted", doubt
            numbers.ask(doubt)
        verdict = job.station.decider.verdict(job, publisher.line, publisher.epoch, publisher.seq + 1, self._camera.simulated)
        content = publisher.publish_verdict(verdict)
        self._announcer.tell(verdict)
        # After a fault of the engine the slot holds an earlier part's map, or NaN.
        has_map = job.slot is not None and not job.abandoned and verdict.reason != "engine-fault"
        frame_map = job.slot.frame_map if has_map and job.slot else None
        self._recorder.offer(verdict, content, job.frame.image, frame_map, job.station.geometry.region)
        self._pipeline.release(job)
        self._announcer.take(self._monitor.take(verdict, job.station.held_out_scores))
        broken = self._engine_watch.take(job, time.monotonic())
        if broken and not self._engine_broken:
            self._engine_broken = broken
            self._announcer.notify("error", f"{broken}; the line ends, to be started anew", "engine-fault")
            self._stop.set()  # parts in flight still get their verdict
