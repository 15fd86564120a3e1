"""The camera's own process: opens it, and brings its pictures into the memory shared with the line.

    python -m appliance.capture.camera_main SOCKET MEMORY PARENT      (file descriptors, and the line's process id)

Started by `process.py`.  Whatever the vendor's library does here, the line's process goes on.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import numpy as np

from appliance.capture import Camera, CameraLostError, Frame, make_camera
from appliance.capture.wire import Alive, Begin, Brought, Channel, Failed, Free, Halt, Halted, Opened, Order
from appliance.host.process_table import ALIVE
from appliance.host.time_limits import CAMERA_ALIVE_S, CAMERA_GRAB_S
from engines.common.errors import UserError

PR_SET_PDEATHSIG = 1


class CameraMain:
    """Serves one line until told to halt, or the line's end of the channel is gone."""

    def __init__(self, channel: Channel, memory: int) -> None:
        self._channel, self._memory_fd = channel, memory
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)
        self._free: list[int] = []
        self._halting = False
        self._moved_ns = time.monotonic_ns()

    def beat(self) -> None:
        """In a thread of its own: tell that this process lives, also while the camera is opened or waited for."""
        try:
            while True:
                self._channel.send(Alive(self._moved_ns, time.monotonic_ns()))
                time.sleep(CAMERA_ALIVE_S)
        except OSError:
            os._exit(0)  # the line is gone, whatever the vendor's library is at

    def serve(self) -> None:
        """From `Begin` to `Halted` or `Failed`."""
        begin = self._channel.receive()
        if not isinstance(begin, Begin):
            return
        width, height = begin.frame_size
        self._size = width * height * 3
        self._memory = np.frombuffer(mmap.mmap(self._memory_fd, self._size * begin.slots), np.uint8)
        self._free = list(range(begin.slots))
        camera: Camera | None = None
        try:
            camera = make_camera(begin.camera, Path(begin.file), begin.frame_size, begin.deadline_ms)
            camera.open()
            self._moved_ns = time.monotonic_ns()
            self._channel.send(Opened(camera.simulated, camera.channels))
            self._bring_all(camera)
            self._channel.send(Halted())
        except UserError as error:
            self._channel.send(Failed(str(error), isinstance(error, CameraLostError)))
        finally:
            if camera is not None:
                camera.close()

    def _bring_all(self, camera: Camera) -> None:
        while not self._halting:
            self._obey(wait_ms=0)
            if not self._free:  # the driver keeps what comes meanwhile
                self._obey(wait_ms=100)
                continue
            for frame in camera.grab(CAMERA_GRAB_S):
                self._bring(frame)
        for frame in camera.stop():
            self._bring(frame)
        camera.close()  # before the last word: who hears it may open the camera at once

    def _bring(self, frame: Frame) -> None:
        image, fault, slot = frame.image, frame.fault, None
        shape: tuple[int, ...] = ()
        if image is not None and image.nbytes > self._size:
            fault = f"the frame is {image.shape[1]} x {image.shape[0]} pixels, more than the recipe was made for"
        elif image is not None:
            while not self._free:
                self._obey(wait_ms=100)
            slot, shape = self._free.pop(), image.shape
            self._memory[slot * self._size :][: image.nbytes].reshape(shape)[...] = image
        frame.image = None
        frame.release()
        times = (frame.captured_ns, frame.camera_time)
        self._channel.send(Brought(frame.number, *times, fault, frame.silent, slot, shape, frame.recount))

    def _obey(self, wait_ms: int) -> None:
        """Carry out the orders that are there; an end of the channel that is gone is the end of this process."""
        self._moved_ns = time.monotonic_ns()
        while self._poll.poll(wait_ms):
            order = self._channel.receive()
            if order is None:
                raise SystemExit(0)
            if isinstance(order, Free):
                self._free.append(order.slot)
            elif isinstance(order, Halt):
                self._halting = True
            wait_ms = 0


def main() -> None:
    """Entry point."""
    end, memory, parent = map(int, sys.argv[1:])
    # Ctrl-C and a service's SIGTERM reach the whole group; the line says when to stop, after its last part.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A killed line must not leave a process behind that holds the camera, even one that hangs.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    channel = Channel(socket.socket(fileno=end), Order)
    try:
        served = CameraMain(channel, memory)
        threading.Thread(target=served.beat, name=ALIVE.name, daemon=True).start()
        served.serve()
    except (BrokenPipeError, ConnectionResetError):
        return  # the line is gone: nobody is left to tell
    finally:
        channel.close()


if __name__ == "__main__":
    main()
