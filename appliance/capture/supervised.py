"""A camera in a process of its own, watched: lost, hung or silent, it is started anew until it is back.

A stall is found by our own clock, not by the driver's word: no sign of life of the process, or nothing from the camera for
longer than the line's file allows.  A broken picture is a sign of life: opening the camera anew would not mend it.  While the
camera is gone, triggers that are counted here get their frame, without a picture.
"""

from __future__ import annotations

import time
from pathlib import Path

from appliance.capture import CameraError, CameraLostError, CameraState, Frame
from appliance.capture.process import CameraProcess
from appliance.config.camera import CameraConfig
from appliance.host.time_limits import CAMERA_RETRY_FIRST_S, CAMERA_RETRY_LONGEST_S
from appliance.messages.alarms import AlarmKind
from appliance.messages.notices import Notify

SPARE_SLOTS = 3  # one being filled, one being cut, one whose verdict is being given


class SupervisedCamera:
    """A `Camera` that never raises CameraLostError once it is open."""

    patient = False

    def __init__(
        self, config: CameraConfig, file: Path, deadline_ms: int, in_flight: int, notify: Notify, wait_for_it: bool
    ) -> None:
        """Start the process, with room for ``in_flight`` frames at the engine; ``file`` and ``deadline_ms``: see `make_camera`.

        ``wait_for_it``: a camera that is absent at `open` is no error, and tried again.
        """
        self._config, self._file, self._deadline_ms = config, file, deadline_ms
        self._notify, self._wait_for_it = notify, wait_for_it
        self._slots = in_flight + SPARE_SLOTS
        self._process: CameraProcess | None = CameraProcess()
        self.frame_size = (0, 0)  # the recipe's (width, height); to be set before `open`
        self._number = self._offset = 0  # of the newest frame; of the process's first one
        self._next_try_s, self._pause_s = 0.0, CAMERA_RETRY_FIRST_S
        self._heard_s = self._due_s = time.monotonic()  # triggers are counted from here on, with or without a camera
        self.simulated = self._lost = False
        self.channels: int | None = None
        self._raised: AlarmKind = ""  # what the present absence was told as

    @property
    def state(self) -> CameraState:
        """See `Camera.state`."""
        if self._lost:
            return "gone"
        return "silent" if self._process is not None and self._process.silent else "here"

    def open(self) -> None:
        """See `Camera.open`. Raises CameraLostError only when an absent camera is not waited for."""
        assert self._process is not None, "opened once"
        try:
            self._begin(self._process)
            while not self._process.opened:
                self._process.take(0.1)
            self._is_open()
        except CameraLostError as error:
            if not self._wait_for_it:
                self.close()
                raise
            self._lose(str(error), "camera-lost")
        except CameraError:
            self.close()
            raise

    def grab(self, timeout_s: float) -> list[Frame]:
        """See `Camera.grab`."""
        try:
            if self._process is None:
                return self._while_lost(timeout_s)
            frames = self._process.take(timeout_s)
            if self._lost:
                if self._process.opened:
                    self._is_back()
                return self._missed()
            frames = self._numbered(frames)
            # By the process's clock: whatever came before its last sign of life has been taken, however late.
            if self._process.told_s - self._heard_s > self._config.stall_s:
                stalled = f"no picture and no broken one for {self._config.stall_s:g} s"
                self._lose(f"camera {self._config.identity}: {stalled}", "stall")
            return frames
        except CameraError as error:
            self._lose(str(error), "camera-lost")
            return []

    def stop(self) -> list[Frame]:
        """See `Camera.stop`."""
        return self._numbered(self._process.stop()) if self._process and not self._lost else []

    def close(self) -> None:
        """See `Camera.close`."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _numbered(self, frames: list[Frame]) -> list[Frame]:
        """Frames with numbers that go on over restarts of the process."""
        now = time.monotonic()
        for frame in frames:
            frame.number += self._offset
            self._number = frame.number
            if not frame.silent:
                self._heard_s = now
        if frames:
            self._due_s = frames[-1].captured_ns / 1e9
        return frames

    def _begin(self, process: CameraProcess) -> None:
        process.begin(self._config, self._file, self._deadline_ms, self.frame_size, self._slots)

    def _is_open(self) -> None:
        assert self._process is not None, "just opened"
        self.simulated, self.channels = self._process.simulated, self._process.channels
        self._offset = self._number
        self._heard_s = self._due_s = time.monotonic()
        self._pause_s = CAMERA_RETRY_FIRST_S

    def _is_back(self) -> None:
        self._is_open()
        self._lost = False
        meanwhile = "got no-image rejects" if self._config.counted else "were not counted: a new epoch begins"
        self._notify("info", f"camera {self._config.identity}: is back; parts that passed meanwhile {meanwhile}", self._raised)

    def _lose(self, why: str, kind: AlarmKind) -> None:
        """Kill the process, and try again after a pause; each pause is twice the one before."""
        self.close()
        if not self._lost:
            self._lost, self._raised = True, kind
            self._notify("error", f"{why} (next try in {self._pause_s:g} s)", kind)
        else:  # the alarm is raised already
            self._notify("info", f"{why} (next try in {self._pause_s:g} s)")
        self._next_try_s = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, CAMERA_RETRY_LONGEST_S)

    def _while_lost(self, timeout_s: float) -> list[Frame]:
        now = time.monotonic()
        if now >= self._next_try_s:
            self._process = CameraProcess()
            self._begin(self._process)
        else:
            until = min(self._next_try_s, self._next_due_s() if self._config.counted else now + timeout_s)
            time.sleep(min(timeout_s, max(0.0, until - now)))
        return self._missed()

    def _missed(self) -> list[Frame]:
        """A frame without picture for each trigger that was due while the camera was gone."""
        frames: list[Frame] = []
        while self._lost and self._config.counted and time.monotonic() >= self._next_due_s():
            self._due_s = self._next_due_s()
            self._number += 1
            frames.append(Frame(self._number, int(self._due_s * 1e9), 0, None, "the camera is lost"))
        return frames

    def _next_due_s(self) -> float:
        return self._due_s + 1 / self._config.rate
