"""A simulated camera with a trigger input: the other end of the wire from `inspect plc-sim`.

Each datagram to its port is one edge of the trigger, and says what lies before the camera.  It takes all settings of a camera
that counts: hardware or software trigger, a counter of triggers, a process of its own.
"""

from __future__ import annotations

import math
import select
import socket
import struct
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from appliance.capture import CameraError, CameraLostError, CameraState, Frame
from appliance.capture.camera_clock import CameraClock
from appliance.capture.counter import ENDLESS, FrameCounter
from appliance.capture.trigger_clock import TriggerClock
from appliance.config.camera import CameraConfig
from engines.common.errors import ImageError

if TYPE_CHECKING:
    from engines.pictures.geometry import Pixels

PORT = 5570
LARGEST = 4096  # bytes of a datagram
SO_TIMESTAMPNS = 35  # of Linux; the module socket does not name it
STAMP = struct.Struct("@qq")  # of the kernel: seconds and nanoseconds at which it came
MOST_KEPT_BYTES = 64 << 20
COUNTER = "edges"  # what stands for the chunk of a trigger counter


class Edge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One edge on the trigger's wire."""

    picture: str | None  # of what lies before the camera, below its source; None: the camera does not hear this edge
    late_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0  # the picture comes so much later
    counted: Annotated[int, Meta(ge=0)] | None = None  # its counters are set to this by now


class Config(CameraConfig, frozen=True, forbid_unknown_fields=True, tag="simulated", kw_only=True):
    """A simulated camera, to try a line and its PLC without either: `inspect plc-sim` triggers it and has the parts."""

    by_network = False

    source: Annotated[Path, Meta(description="folder of pictures; those below a folder named good are of good parts")]
    port: Annotated[int, Meta(ge=1, le=65_535, description="UDP port on loopback: its trigger input")] = PORT

    def __post_init__(self) -> None:
        """Refuse what it has not."""
        super().__post_init__()
        if self.serial is not None or self.ip is not None:
            raise ValueError("a simulated camera has neither serial nor ip")
        if self.trigger_counter not in (None, COUNTER):
            raise ValueError(f'trigger_counter = "{COUNTER}" is the one that a simulated camera has')

    @property
    def identity(self) -> str:
        """What the camera is found by, in words."""
        return f"simulated, port {self.port}"


def parts_of(source: Path) -> dict[str, bool]:
    """Every picture below a simulated camera's source, by its path there, and whether its part is a good one."""
    from engines.pictures.images import SUFFIXES

    files = sorted(file for file in source.rglob("*") if file.suffix.lower() in SUFFIXES)
    names = [file.relative_to(source) for file in files]
    return {str(name): "good" in name.parts[:-1] for name in names}


class SimulatedCamera:
    """Gives one picture for each edge that it hears."""

    simulated = True
    patient = False
    state: CameraState = "here"
    channels: int | None = None

    def __init__(self, config: Config, line_file: Path) -> None:
        self._config, self._line_file = config, line_file
        self._wire: socket.socket | None = None
        self._counter, self._camera_clock, self._clock = FrameCounter(), CameraClock(), TriggerClock(config.rate)
        self._decoder = msgspec.json.Decoder(Edge)
        self._edges = self._pictures = 0
        self._late: deque[tuple[float, str, int, int, int]] = deque()  # when it comes, which, its number, when taken, its stamp
        self._kept: dict[str, Pixels] = {}
        self._names: list[str] = []

    def open(self) -> None:
        """See `Camera.open`."""
        config = self._config
        for name in config.features:
            raise CameraError(f"{self._line_file}: camera.features.{name}: a simulated camera has no features; remove it")
        self._names = list(parts_of(config.source))
        if not self._names:
            raise CameraError(f"{self._line_file}: {config.source}: no picture; set camera.source to a folder of pictures")
        if config.trigger == "hardware":
            self._wire = self._bound()
        self._counter.restart(ENDLESS)
        self._camera_clock.restart()
        self._edges = self._pictures = 0
        self._clock.start()

    def grab(self, timeout_s: float) -> list[Frame]:
        """See `Camera.grab`."""
        if self._config.trigger != "hardware":
            if not self._clock.wait(timeout_s):
                return []
            self._pictures += 1
            name = self._names[(self._pictures - 1) % len(self._names)]
            return self._brought(name, self._pictures, time.monotonic_ns(), 0)
        until = time.monotonic() + timeout_s
        while (left_s := until - time.monotonic()) > 0:
            if self._late and self._late[0][0] <= time.monotonic():
                return self._brought(*self._late.popleft()[1:])
            if self._late:
                left_s = min(left_s, max(0.0, self._late[0][0] - time.monotonic()))
            assert self._wire is not None, "open"
            if select.select([self._wire], [], [], left_s)[0] and (frames := self._hear()):
                return frames
        return []

    def stop(self) -> list[Frame]:
        """See `Camera.stop`."""
        frames: list[Frame] = []
        while self._wire is not None and select.select([self._wire], [], [], 0)[0]:
            frames += self._hear()
        return frames

    def close(self) -> None:
        """See `Camera.close`."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        self._late.clear()

    def _bound(self) -> socket.socket:
        """Its end of the trigger's wire; the kernel stamps each edge."""
        wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            wire.bind(("127.0.0.1", self._config.port))
        except OSError as error:
            wire.close()
            raise CameraLostError(
                f"{self._line_file}: camera.port: {self._config.port} cannot be bound ({error.strerror}); is this line running "
                "already? else choose another"
            ) from error
        wire.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        wire.setblocking(False)
        return wire

    def _hear(self) -> list[Frame]:
        """Take one edge off the wire."""
        assert self._wire is not None, "open"
        content, ancillary, _, _ = self._wire.recvmsg(LARGEST, socket.CMSG_SPACE(STAMP.size))
        read_ns, camera_ns = time.monotonic_ns(), 0
        for _, kind, stamp in ancillary:
            if kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = STAMP.unpack(stamp)
                camera_ns = seconds * 1_000_000_000 + nanoseconds
        taken_ns = self._camera_clock.captured(camera_ns or None, read_ns, waited=False)
        self._edges += 1
        try:
            edge = self._decoder.decode(content)
        except msgspec.DecodeError as error:
            edge = Edge(f"(an edge that cannot be read: {error})")
        if edge.counted is not None:
            self._edges = self._pictures = edge.counted
        if edge.picture is None:
            return []
        self._pictures += 1
        number = self._edges if self._config.trigger_counter else self._pictures
        if edge.late_ms or self._late:  # a picture does not overtake the one before
            due_s = max(time.monotonic() + edge.late_ms / 1e3, self._late[-1][0] if self._late else -math.inf)
            self._late.append((due_s, edge.picture, number, taken_ns, camera_ns))
            return []
        return self._brought(edge.picture, number, taken_ns, camera_ns)

    def _brought(self, name: str, counted: int, taken_ns: int, camera_ns: int) -> list[Frame]:
        """The frame, after one without picture for each number that was left out."""
        told = self._counter.advance(counted)
        if told is None:
            return []
        number = self._counter.number
        missing = [Frame(number - told.missing + i, taken_ns, 0, None, "the counter skipped it") for i in range(told.missing)]
        try:
            image, fault = self._picture(name), None
        except ImageError as error:
            image, fault = None, str(error)
        return [*missing, Frame(number, taken_ns, camera_ns, image, fault, source=name, recount=told.recount)]

    def _picture(self, name: str) -> Pixels:
        from engines.pictures.images import read_image

        if name not in self._names:
            raise ImageError(f"{name}: no such picture below {self._config.source}")
        if name not in self._kept:
            image = read_image(self._config.source / name)
            if sum(one.nbytes for one in self._kept.values()) + image.nbytes > MOST_KEPT_BYTES:
                return image
            self._kept[name] = image
        return self._kept[name].copy()


def connect(config: Config, file: Path, _frame_size: object, _deadline_ms: int) -> SimulatedCamera:
    """The simulated camera of a line."""
    return SimulatedCamera(config, file)
