"""Frame numbers: unwrapping the camera's counter, seeing what is missing, and noticing when it cannot be trusted."""

from __future__ import annotations

from typing import NamedTuple

# How many numbers a camera's frame counter has before it repeats; None: it does not.  GigE Vision's has 16 bits without 0.
# Its extended ids go on after 65,535, with the same differences.  A counter of triggers has 32 bits: years of parts.
GIGE_SPAN, ENDLESS = 65_535, None
NO_CHUNK = "its pictures carry no chunk {}; correct camera.trigger_counter, or have camera.features enable that chunk"
OLDER_AT_MOST = 3  # so many older numbers in a row are no stragglers: the counter was set back, or stands still
MISSING_AT_MOST = 1_000  # pictures lost in one gap: seconds of a fast line; a longer step is another count


class Counted(NamedTuple):
    """What a new frame's number tells."""

    missing: int  # frames lost before it
    recount: str | None  # see `appliance.capture.Frame.recount`


class FrameCounter:
    """Counts a camera's frames on without wrapping; `restart` must be told of the camera's counter before the first frame.

    After `restart` the camera's first number may be any: what was lost before it, only the PLC can tell.
    """

    def __init__(self) -> None:
        self._span: int | None = None
        self._last: int | None = None  # the newest number that a frame had
        self._unnumbered = 0  # frames since then that had none
        self._older: list[int] = []  # older numbers in a row, dropped
        self._repeated = 0  # how often a trigger was answered by the number before it
        self._stands_still = False  # what the camera calls numbers are none
        self.number = 0  # of the newest frame; the first one is 1

    @property
    def knows(self) -> bool:
        """Whether a picture that comes too late could be told by its number."""
        return self._last is not None and not self._stands_still

    def restart(self, span: int | None) -> None:
        """The camera was opened, and may count from anywhere; our numbers go on.

        ``span`` is how many numbers its counter has before it repeats, None where it does not.
        """
        self._span, self._repeated, self._stands_still = span, 0, False
        self.begin_anew()

    def begin_anew(self) -> None:
        """The next number may be any; a counter that stands still is still none."""
        self._last, self._unnumbered, self._older = None, 0, []

    def advance(self, counted: int | None) -> Counted | None:
        """Take the camera's number of a new frame, None where it has none.

        None is returned for a frame that is older than the newest one, and to be dropped: its verdict was given already.
        """
        if counted is None or self._stands_still:  # if it was a later one, the next will tell
            self._unnumbered += 1
            self.number += 1
            return Counted(0, None)
        if self._last is None:
            return self._take(counted)
        ahead = self._ahead(counted)
        if ahead <= 0:
            self._older.append(counted)
            return self._set_back() if len(self._older) == OLDER_AT_MOST else None
        missing = max(0, ahead - 1 - self._unnumbered)
        if missing > MISSING_AT_MOST:
            return self._take(counted, recount=f"the camera's frame counter went from {self._last} to {counted}")
        return self._take(counted, missing)

    def answers(self, counted: int | None) -> bool:
        """Whether a picture of this number can be that of the newest trigger; then it is counted, as the next one.

        It cannot when that number was used up by a trigger before it: by a picture, or by `skip`.
        """
        if counted is None or self._stands_still:
            if self.knows and self._unnumbered:
                return False  # it may be one of those that did not come in time
            self._unnumbered += 1
            self.number += 1
            return True
        if self._last is not None and self._ahead(counted) <= self._unnumbered:
            self._repeated += counted == self._last
            self._stands_still = self._repeated >= OLDER_AT_MOST
            return False
        if self._last is not None:
            self._repeated = 0
        self._take(counted)
        return True

    def is_late(self, counted: int | None) -> bool:
        """Whether a picture that comes between two triggers is an earlier trigger's, which did not come in time."""
        return counted is not None and self.knows and counted != self._last and self._ahead(counted) <= self._unnumbered

    def skip(self, used: bool) -> int:
        """Count a frame that did not come, or came broken; returns its number.

        ``used``: the camera may have a number for it, which is then no later frame's.
        """
        self._unnumbered += used
        self.number += 1
        return self.number

    def _take(self, counted: int, missing: int = 0, recount: str | None = None) -> Counted:
        self._last, self._unnumbered, self._older = counted, 0, []
        self.number += 1 + missing
        return Counted(missing, recount)

    def _set_back(self) -> Counted:
        """Of the last older number in a row: it is the first of a new count, or no number at all."""
        newest, older = self._last, self._older
        dropped = f"{len(older) - 1} pictures were dropped meanwhile"
        if len(set(older)) > 1:
            return self._take(older[-1], recount=f"the camera's frame counter went back from {newest} to {older[0]}; {dropped}")
        self._stands_still = True
        return self._take(older[-1], recount=f"the camera's frame counter stands still at {older[0]}; {dropped}")

    def _ahead(self, counted: int) -> int:
        """How far a number is ahead of the newest one; 0 or less: not at all."""
        assert self._last is not None, "asked when there is one"
        if self._span is None:
            return counted - self._last
        ahead = (counted - self._last) % self._span
        return ahead - self._span if ahead > self._span // 2 else ahead
