"""What came out of a driver's queue, and the frames that it makes: the same for every driver."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.capture import Frame
from appliance.capture.camera_clock import CameraClock
from appliance.capture.counter import FrameCounter

if TYPE_CHECKING:
    from engines.pictures.geometry import Pixels

Taken = tuple["Pixels", Callable[[], None]]  # a picture, and what gives its memory back


@dataclass(frozen=True, slots=True)
class Arrival:
    """One buffer of a driver's queue: either `take` or `drop` is called, once."""

    counted: int | None  # the camera's number of it; None: it has none
    camera_time: int  # the camera's own clock, in its ticks; 0 where it has none
    camera_ns: int | None  # the same in ns; None where it has none
    read_ns: int  # monotonic clock
    waited: bool  # nothing was there when we began to wait for it
    fault: str | None  # why there is no picture in it
    take: Callable[[], Taken]
    drop: Callable[[], None]


class Arrivals:
    """Makes a camera's frames: numbered without a gap, with the time at which each was taken."""

    def __init__(self, software: bool) -> None:
        """``software``: each is waited for by its trigger."""
        self.counter = FrameCounter()
        self.clock = CameraClock(awaited=software)

    def restart(self, span: int | None) -> None:
        """The camera was opened; ``span``: see `FrameCounter.restart`."""
        self.counter.restart(span)
        self.clock.restart()

    def frames(self, one: Arrival | None) -> list[Frame]:
        """The frame of an arrival, after one without picture for each number that the counter skipped."""
        if one is None:
            return []
        counted = self.counter.advance(one.counted)
        if counted is None:
            one.drop()
            return []
        frame = self.frame(one, self.counter.number)
        before = range(frame.number - counted.missing, frame.number)
        # Told with the picture behind them, and no later than it was taken.
        frames = [missing(number, frame.captured_ns, "the counter skipped it") for number in before]
        frames.append(frame)
        frames[0].recount = counted.recount
        return frames

    def left(self, one: Arrival | None, software: bool) -> list[Frame]:
        """The frames of an arrival that was left when the camera stopped; a software trigger has had its own already."""
        if software and one is not None:
            one.drop()
            return []
        return self.frames(one)

    def frame(self, one: Arrival, number: int) -> Frame:
        """An arrival as the frame of this number."""
        captured_ns = self.clock.captured(one.camera_ns, one.read_ns, one.waited, sure=one.fault is None)
        if one.fault is not None:
            one.drop()
            return missing(number, captured_ns, one.fault)
        image, release = one.take()
        return Frame(number, captured_ns, one.camera_time, image, release=release)


def missing(number: int, captured_ns: int | None, fault: str, silent: bool = False) -> Frame:
    """A frame without picture; ``captured_ns`` None: now."""
    return Frame(number, time.monotonic_ns() if captured_ns is None else captured_ns, 0, None, fault, silent=silent)
