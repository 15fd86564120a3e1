"""The line's side of a camera's process: starts it, takes its frames, kills it when it does not move any more."""

from __future__ import annotations

import mmap
import os
import select
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from appliance.capture import CameraError, CameraLostError, Frame
from appliance.capture.wire import LARGEST, Alive, Begin, Brought, Channel, Failed, Free, Halt, Halted, Opened, Report
from appliance.config.camera import CameraConfig
from appliance.host.time_limits import CAMERA_HUNG_S, CAMERA_OPEN_S, CAMERA_SILENT_S, CAMERA_STOP_S

SHARED_MEMORY = Path("/dev/shm")


class CameraProcess:
    """One life of a camera's process, from its start to its end."""

    def __init__(self) -> None:
        """Start the process; `begin` gives it its work, so that its imports run beside the line's."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
        self._memory_fd = os.memfd_create("camera")
        descriptors = (theirs.fileno(), self._memory_fd)
        words = [sys.executable, "-m", "appliance.capture.camera_main", *map(str, descriptors), str(os.getpid())]
        self._process = subprocess.Popen(words, pass_fds=descriptors)
        theirs.close()
        self._channel = Channel(ours, Report)
        self._poll = select.poll()
        self._poll.register(ours, select.POLLIN)
        self._step_s = CAMERA_OPEN_S  # the longest step allowed
        self._heard_s = self.told_s = time.monotonic()  # received last; when its last sign of life was sent
        self._size = 0
        self.silent = False
        self.opened = False
        self.simulated = False
        self.channels: int | None = None

    def begin(self, config: CameraConfig, file: Path, deadline_ms: int, frame_size: tuple[int, int], slots: int) -> None:
        """Have the camera opened, with room for so many pictures; `take` then tells how that ended."""
        self._config, self._name = config, config.identity
        self._size = frame_size[0] * frame_size[1] * 3
        os.ftruncate(self._memory_fd, self._size * slots)
        self._memory = np.frombuffer(mmap.mmap(self._memory_fd, self._size * slots), np.uint8)
        try:
            self._channel.send(Begin(config, str(file), deadline_ms, frame_size, slots))
        except OSError as error:
            raise self._gone() from error

    def take(self, timeout_s: float) -> list[Frame]:
        """The next frame, if one comes within the timeout.

        Raises CameraLostError when the process has ended, is silent, or is at one step for longer than its camera may take;
        CameraError when the camera refuses its configuration.
        """
        if not self._poll.poll(max(0, int(timeout_s * 1000))):
            # Judged only when nothing waits to be read: it may be this process that did not move.
            silent_s = time.monotonic() - self._heard_s
            self.silent = self.opened and silent_s > CAMERA_SILENT_S
            if silent_s > (CAMERA_HUNG_S if self.opened else CAMERA_OPEN_S):
                raise CameraLostError(f"camera {self._name}: its process has been silent for {silent_s:.1f} s, and is killed")
            return []
        report = self._channel.receive()
        self._heard_s = time.monotonic()
        self.silent = False
        if isinstance(report, Alive):
            self.told_s = report.sent_ns / 1e9
            step_s = self.told_s - report.moved_ns / 1e9
            if step_s > self._step_s:
                raise CameraLostError(f"camera {self._name}: its driver has hung for {step_s:.1f} s, and is killed")
            return []
        if isinstance(report, Brought):
            return [self._frame(report)]
        if isinstance(report, Opened):
            self.opened, self.simulated, self.channels = True, report.simulated, report.channels
            waits = 2 * self._config.timeout_ms / 1e3 if self._config.trigger == "software" else 0.0
            self._step_s = CAMERA_HUNG_S + waits
        elif isinstance(report, Failed):
            raise CameraLostError(report.text) if report.lost else CameraError(report.text)
        elif report is None or isinstance(report, Halted):
            raise self._gone()
        return []

    def stop(self) -> list[Frame]:
        """Stop the camera and its process; returns the frames that it had taken."""
        frames: list[Frame] = []
        until = time.monotonic() + CAMERA_STOP_S
        try:
            self._channel.send(Halt())
            while (left := until - time.monotonic()) > 0:
                frames += self.take(left)
        except (CameraError, OSError):
            return frames  # its last word, or its end: both are what was asked for
        return frames

    def close(self) -> None:
        """End the process, whatever it does. Frames not released yet stay readable."""
        self._process.kill()
        self._process.wait()
        if not self.opened:
            _remove_locks()
        if self._channel.fileno() >= 0:
            self._channel.close()
            os.close(self._memory_fd)

    def _gone(self) -> CameraLostError:
        return CameraLostError(f"camera {self._name}: its process has ended")

    def _frame(self, brought: Brought) -> Frame:
        frame = Frame(
            brought.number,
            brought.captured_ns,
            brought.camera_time,
            image=None,
            fault=brought.fault,
            silent=brought.silent,
            recount=brought.recount,
        )
        if brought.slot is None:
            return frame
        frame.image = self._memory[brought.slot * self._size :][: int(np.prod(brought.shape))].reshape(brought.shape)
        frame.release = partial(self._free, brought.slot)
        return frame

    def _free(self, slot: int) -> None:
        try:
            self._channel.send(Free(slot))
        except OSError:
            return  # the process has ended, and its memory goes with the last frame


def _remove_locks() -> None:
    """Remove the named semaphores under which GenICam's library, pylon's too, loads descriptions of cameras.

    A process killed meanwhile leaves them locked, and every later one on this box would hang for ever.  Who uses one at the
    moment keeps it; who comes later makes a new one.
    """
    for lock in SHARED_MEMORY.glob("sem.*GenICam_XML"):
        with suppress(OSError):  # another account's, or gone already
            lock.unlink()
