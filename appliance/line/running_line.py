"""A running line: capture, pipeline, decision and publishing, wired together.

Two threads of its own besides the pipeline's: capture (grab, submit) and the decision loop (results, decide, publish,
heartbeat, snapshots).  What people look at is told through a bounded queue, so that a slow terminal never holds up a verdict.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from contextlib import ExitStack
from typing import Literal

import cv2
import zmq

from appliance.capture import Camera, make_camera
from appliance.capture.supervised import SupervisedCamera
from appliance.config.camera import CameraConfig
from appliance.config.line import Line
from appliance.host.process_table import DECISION
from appliance.host.time_limits import STALLED_S
from appliance.line.capture_thread import Capture
from appliance.line.challenge_watch import ChallengeWatch, conditions_of
from appliance.line.change_over import ChangeOver
from appliance.line.judging import judge
from appliance.line.monitor import Monitor
from appliance.line.pipeline import Job, Pipeline
from appliance.line.recipe_at_work import LoadedRecipe
from appliance.line.threshold_offset import Sensitivity, tell
from appliance.messages.alarms import AlarmKind, Severity
from appliance.messages.clock import utc_now
from appliance.messages.notices import Event, Notice
from appliance.messages.publisher import Publisher
from appliance.messages.schema import Alarm
from appliance.records.archive import Archive
from appliance.records.challenge_record import need_challenge
from appliance.records.journal import Journal

EVENTS_KEPT = 10_000
SWITCH_INTERVAL_S = 0.0005


class RunningLine:
    """One line at work, from construction until `close`."""

    def __init__(self, line: Line, parts: int | None = None, wait_for_camera: bool = False) -> None:
        """Load recipe and engine, open the camera, bind the sockets; ``parts``: stop after so many verdicts.

        ``wait_for_camera``: go on without a camera that is absent, and take it up when it comes.
        Raises UserError kinds; nothing stays open then.
        """
        self._line = line
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._alarms: deque[Notice] = deque()  # of other threads, for the decision loop to publish
        self._stop = threading.Event()
        self._camera: Camera
        self._journal: Journal | None = None
        with ExitStack() as opened:
            config = line.config.camera
            if isinstance(config, CameraConfig):  # its process starts while the engine is loaded
                supervised = self._camera = SupervisedCamera(line, config, self._notify, wait_for_camera)
                opened.callback(supervised.close)
                loaded = LoadedRecipe(line, line.config.recipe)
                opened.callback(loaded.close)
                supervised.frame_size = loaded.geometry.frame
            else:
                loaded = LoadedRecipe(line, line.config.recipe)
                opened.callback(loaded.close)
                self._camera = make_camera(line, loaded.geometry.frame)
                opened.callback(self._camera.close)
            need_challenge(line, conditions_of(line, loaded))
            self._camera.open()
            self._publisher = Publisher(line, self._camera.simulated)
            opened.callback(self._publisher.close)
            if journal := line.config.journal:
                self._journal = Journal(journal.file, self._notify)
                opened.callback(self._journal.close)
            self._pipeline = Pipeline(loaded)
            opened.callback(self._pipeline.close)
            self._change_over = ChangeOver(line, self._publisher.context, self._pipeline, self._notify)
            opened.pop_all()
        self._archive: Archive | None = None
        if archive := line.config.archive:
            self._archive = Archive(archive, archive.folder, line.name, self._notify)
        self._challenge_watch: ChallengeWatch | None = None
        if line.config.challenge and line.config.challenge.every_hours:
            self._challenge_watch = ChallengeWatch(line, lambda: conditions_of(line, self._pipeline.station), self._notify)
        self._monitor = Monitor()
        tell(loaded.sensitivity, Sensitivity(), self._notify)
        if loaded.caution:
            self._notify("warning", loaded.caution)
        self._capture = Capture(line, self._camera, self._pipeline, self._stop, self._notify, parts)
        self._decide = threading.Thread(target=self._decision_loop, name=DECISION.name, daemon=True)
        self._failure: BaseException | None = None
        self._decided_s = time.monotonic()  # when the decision loop began its present step

    @property
    def recipe_name(self) -> str:
        """Name of the recipe that runs."""
        return self._pipeline.station.recipe.name

    @property
    def engine_target(self) -> str:
        """What computes."""
        return self._pipeline.station.engine.target

    @property
    def counts(self) -> tuple[int, dict[str, int]]:
        """Passes, and rejects by reason, so far."""
        return self._publisher.passed, dict(self._publisher.rejected)

    @property
    def late_results(self) -> int:
        """Results that came after their part's verdict."""
        return self._pipeline.late_results

    @property
    def state(self) -> str:
        """The state that heartbeats tell."""
        return self._publisher.state

    @property
    def running(self) -> bool:
        """Whether verdicts are still to come."""
        return self._decide.is_alive()

    @property
    def moving(self) -> bool:
        """Whether every stage is alive and moves; a line that stops in order counts as moving until its end."""
        now = time.monotonic()
        decides = now - self._decided_s < STALLED_S and self._failure is None
        return decides and self._capture.moving and self._pipeline.moving

    def start(self) -> None:
        """Begin to inspect."""
        # An engine that is called from Python takes the interpreter's lock hundreds of times a frame; with the usual 5 ms a
        # thread that decodes or logs would hold it up each time.
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        # OpenCV's helpers wait for work by spinning, on the cores that the engine computes on.
        cv2.setNumThreads(1)
        self._decide.start()
        self._capture.start()

    def stop(self) -> None:
        """Ask to stop: frames in flight still get their verdict."""
        self._stop.set()

    def close(self) -> None:
        """Wait for the end, and let everything go. Raises what broke the line, if something did."""
        self._stop.set()
        self._capture.join()
        if self._decide.ident is not None:
            self._decide.join()
        self._change_over.close()
        if self._challenge_watch:
            self._challenge_watch.close()
        self._pipeline.close()
        self._pipeline.station.close()
        self._camera.close()
        self._publisher.close()
        for writer in (self._archive, self._journal):
            if writer:
                writer.close()
        for failure in (self._capture.failure, self._failure):
            if failure is not None:
                raise failure

    # Decision

    def _decision_loop(self) -> None:
        poller = zmq.Poller()
        poller.register(self._pipeline.wakeup, zmq.POLLIN)
        poller.register(self._publisher.snapshot_socket, zmq.POLLIN)
        poller.register(self._change_over.socket, zmq.POLLIN)
        try:
            while True:
                self._decided_s = time.monotonic()
                # Asked first: whatever was said before the end of capture is then still told below.
                captured_all = self._capture.over
                if self._capture.epoch_due.is_set() and self._pipeline.empty:
                    self._publisher.begin_epoch()
                    self._capture.epoch_due.clear()
                self._publisher.simulated = self._camera.simulated
                self._publisher.late_results = self._pipeline.late_results
                self._publisher.change_state(self._state())
                for job in self._pipeline.results():
                    self._give_verdict(job)
                self._raise_alarms()
                self._publisher.answer_snapshots()
                self._change_over.serve()
                if captured_all and self._pipeline.empty:
                    break
                ready = dict(poller.poll(self._poll_ms(self._publisher.beat())))
                if self._pipeline.wakeup in ready:
                    os.eventfd_read(self._pipeline.wakeup)
            for writer in (self._archive, self._journal):
                if writer:
                    writer.close()  # now, so that what it has to tell is still heard
            self._raise_alarms()
            self._publisher.change_state("stopped")
        except BaseException as error:  # noqa: BLE001 - kept for `close`, which raises it in the caller's thread
            self._failure = error
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

    def _give_verdict(self, job: Job[LoadedRecipe]) -> None:
        """Judge a job, publish, and give its buffers back."""
        publisher = self._publisher
        verdict = judge(job, self._line.name, publisher.epoch, publisher.seq + 1, self._camera.simulated)
        content = publisher.publish_verdict(verdict)
        if self._journal:
            self._journal.offer(content)
        self.events.append(verdict)
        if self._archive and job.frame.image is not None:
            # After a fault of the engine the slot holds an earlier part's map, or NaN.
            has_map = job.slot is not None and not job.abandoned and verdict.reason != "engine-fault"
            frame_map = job.slot.frame_map if has_map and job.slot else None
            self._archive.offer(verdict, job.frame.image, frame_map, job.station.geometry.region)
        self._pipeline.release(job)
        self._alarms.extend(self._monitor.take(verdict, job.station.held_out_scores))

    def _notify(self, severity: Severity, text: str, kind: AlarmKind = "") -> None:
        self._alarms.append(Notice(severity, text, kind))

    def _raise_alarms(self) -> None:
        if self._journal:
            self._alarms.extend(self._monitor.look_at_journal(self._journal.behind_s))
        while self._alarms:
            self._raise_alarm(self._alarms.popleft())

    def _raise_alarm(self, notice: Notice) -> None:
        self.events.append(notice)
        if notice.severity != "info" or notice.kind:
            self._publisher.publish_alarm(
                Alarm(
                    line=self._line.name,
                    epoch=self._publisher.epoch,
                    seq=self._publisher.seq,
                    time=utc_now(),
                    severity=notice.severity,
                    kind=notice.kind,
                    text=notice.text,
                )
            )
