"""Frame numbers: unwrapping the camera's counter, and seeing what is missing."""

from __future__ import annotations

GIGE_COUNTER_SPAN = 65_535  # GigE Vision block ids: 16 bits, 0 is not used


class FrameCounter:
    """Counts a camera's frames on without wrapping, and tells how many are missing before each.

    ``span`` is how many numbers the counter has before it repeats (`GIGE_COUNTER_SPAN` on GigE Vision);
    None for a counter that does not wrap.
    """

    def __init__(self, span: int | None) -> None:
        self._span = span
        self._last: int | None = None
        self.number = 0  # of the newest frame; the first one is 1

    def advance(self, counted: int) -> int | None:
        """Take the camera's number of a new frame; returns how many frames are missing before it.

        None means that this frame is older than the newest one: its verdict was given already.
        """
        if self._last is None:
            step = 1
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
        """Count a frame that never came; returns its number. The camera's counter starts anew after it."""
        self.number += 1
        self._last = None
        return self.number

    def restart(self, span: int | None) -> None:
        """The camera counts from its beginning again (reopened); our numbers go on."""
        self._span = span
        self._last = None
