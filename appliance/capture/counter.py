"""Frame numbers: unwrapping the camera's counter, and seeing what is missing."""

from __future__ import annotations

# How many numbers a camera's frame counter has before it repeats (None: it does not), and the first of them: pylon's
# documentation of a grab result's block id.  Extended ids of GigE Vision go on after 65,535, with the same differences.
GIGE_COUNTER, USB_COUNTER = (65_535, 1), (None, 0)  # 16 bits without 0; 64 bits, which pylon's emulation has, too
TRIGGER_COUNTER = (None, None)  # goes on whether or not the camera is opened anew; 32 bits: years of parts
NO_CHUNK = "its pictures carry no chunk {}; correct camera.trigger_counter, or have camera.features enable that chunk"
MOST_AT_START = 100  # frames lost before the first; a counter further on is one that does not begin where it should


class FrameCounter:
    """Counts a camera's frames on without wrapping, and tells how many are missing before each.

    `restart` must be told of the camera's counter before the first frame.
    """

    def __init__(self) -> None:
        self._span: int | None = None
        self._first: int | None = None
        self._last: int | None = None
        self._unnumbered = 0  # frames without a number, of which those before the first number matter
        self.number = 0  # of the newest frame; the first one is 1

    def advance(self, counted: int | None) -> int | None:
        """Take the camera's number of a new frame, None where it has none; returns how many frames are missing before it.

        None is returned for a frame that is older than the newest one: its verdict was given already.
        """
        if counted is None:  # if it was a later one, the next will tell
            self._unnumbered += 1
            step, counted = 1, None if self._last is None else self._last + 1
        elif self._last is None:
            lost = 0 if self._first is None else counted - self._first - self._unnumbered
            step = 1 + lost if 0 <= lost <= MOST_AT_START else 1
        elif self._span is None:
            step = counted - self._last
        else:
            step = (counted - self._last) % self._span
            if step > self._span // 2:
                step -= self._span
        if step <= 0:
            return None
        self._last = counted
        self.number += step
        return step - 1

    def skip(self) -> int:
        """Count a frame that never came; returns its number. The camera's counter may be any after it."""
        self.number += 1
        self._last = self._first = None
        return self.number

    def restart(self, span: int | None, first: int | None) -> None:
        """The camera counts from its beginning again (opened); our numbers go on.

        ``span`` is how many numbers its counter has before it repeats, None where it does not; ``first`` is the number of its
        first frame, so that frames lost before the first to arrive are missed, too; None where it may be any.
        """
        self._span, self._first, self._last, self._unnumbered = span, first, None, 0
