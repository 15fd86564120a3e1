"""The capture thread: takes frames from the camera and submits them, each with its deadline."""

from __future__ import annotations

import threading
import time
from typing import Any

from appliance.capture import Camera, CameraError, EndOfFrames, Frame
from appliance.config.camera import AnyCameraConfig
from appliance.config.line import DecisionConfig
from appliance.host.process_table import CAPTURE
from appliance.host.time_limits import CAPTURE_LOOK_S, STALLED_S
from appliance.line.pipeline import Pipeline
from appliance.messages.notices import Notify
from appliance.messages.part_numbers import PartNumbers
from appliance.messages.schema import Reason

CLOSEST = 0.5  # of the spacing: times are not exact to the millisecond
UNSTAMPED = (
    "the camera's pictures carry no time stamp: the deadline counts from when one was read, and not from when it was taken"
)


class Capture:
    """Captures for a line, from `start` until ``stop`` is set, the replay is over, or so many parts are submitted."""

    def __init__(
        self,
        config: AnyCameraConfig,
        decision: DecisionConfig,
        camera: Camera,
        pipeline: Pipeline[Any],
        numbers: PartNumbers,
        stop: threading.Event,
        notify: Notify,
        parts: int | None,
    ) -> None:
        """The camera is open."""
        self._counted = config.counted
        self._camera, self._pipeline, self._numbers = camera, pipeline, numbers
        self._stop, self._notify, self._parts = stop, notify, parts
        self._deadline_ns = decision.deadline_ms * 1_000_000
        self._submitted = 0
        # A picture that waits in the driver is young by the clock of this box; only its own stamp tells.
        self._wants_stamp = config.trigger == "hardware"
        self._apart_ns = int(config.parts_apart_s * 1e9)
        self._taken_ns = 0  # when the last picture was, by the camera's own stamp
        self._moved_s = time.monotonic()  # when the present step began
        self._thread = threading.Thread(target=self._run, name=CAPTURE.name, daemon=True)
        self._gone = camera.state == "gone"
        self.over = False
        self.failure: BaseException | None = None

    @property
    def moving(self) -> bool:
        """Whether the thread moves; one that has ended in order counts as moving."""
        # A step may wait for a free slot until its part's deadline.
        longest = STALLED_S + self._deadline_ns / 1e9
        return self.failure is None and (self.over or time.monotonic() - self._moved_s < longest)

    @property
    def lost(self) -> bool:
        """Whether no pictures can be expected now."""
        return self._gone or self._camera.state != "here"

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the end, if it was started."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        lost = False
        try:
            while not self._stop.is_set():
                self._moved_s = time.monotonic()
                try:
                    frames = self._camera.grab(CAPTURE_LOOK_S)
                except EndOfFrames:
                    self._notify("info", "the replay is over")
                    break
                if self._camera.state == "gone":
                    self._gone = True
                elif self._gone:
                    self._gone = False
                    if not self._counted:
                        self._numbers.begin_epoch("the camera is back, and parts may have passed meanwhile")
                if self.lost != lost:
                    lost = self.lost
                    self._pipeline.wake()  # the decision loop tells the state at once
                self._numbers.begin_what_was_asked()
                self._submit(frames)
            try:
                self._submit(self._camera.stop(), stopping=True)
            except CameraError as error:
                self._notify("error", str(error), "camera-lost")
        except BaseException as error:  # noqa: BLE001 - kept for the line's `close`, which raises it in its caller's thread
            self.failure = error
        finally:
            self.over = True

    def _submit(self, frames: list[Frame], stopping: bool = False) -> None:
        refused: Reason = "stopping" if stopping else ""
        for frame in frames:
            if self._parts is not None and self._submitted >= self._parts:
                self._stop.set()
                frame.release()
                continue
            self._submitted += 1
            if self._wants_stamp and frame.image is not None:
                self._wants_stamp = False
                if not frame.camera_time:
                    self._notify("warning", UNSTAMPED)
            part = self._numbers.number(frame.number, frame.recount or self._too_soon(frame))
            self._pipeline.submit(frame, frame.captured_ns + self._deadline_ns, refused, self._camera.patient, part)
        if self._parts is not None and self._submitted >= self._parts:
            self._stop.set()

    def _too_soon(self, frame: Frame) -> str | None:
        """Why this picture can be of no part of its own: parts are never so close; None where it can."""
        if not self._apart_ns or frame.image is None or not frame.camera_time:
            return None  # without a stamp two pictures may be read at once, and were not taken so
        before, self._taken_ns = self._taken_ns, frame.captured_ns
        apart_ns = frame.captured_ns - before
        if not before or apart_ns >= CLOSEST * self._apart_ns:
            return None
        return (
            f"two pictures were taken {apart_ns / 1e6:.0f} ms apart, and parts are {self._apart_ns / 1e6:.0f} ms apart or more "
            "(camera.spacing_ms): the camera was triggered once too often"
        )
