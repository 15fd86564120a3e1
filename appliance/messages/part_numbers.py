"""The one owner of a line's part numbers: which picture is which part's, and from when on parts are counted anew.

A part's number is given when its picture comes and compared when its verdict goes.  Whatever does not agree begins a new
epoch, and is told: nobody may go on counting from a number that is in doubt.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import NamedTuple

from appliance.host.time_limits import PART_COUNT_AGAIN_S
from appliance.messages.notices import Notify


class PartNumber(NamedTuple):
    """A part of a line: its epoch, its number in that epoch, from 1 without a gap, and the camera's number of its frame."""

    epoch: int
    id: int
    frame: int = 0


class PartNumbers:
    """Two threads meet here, and each field is written by one of them: capture numbers frames, decision settles verdicts."""

    def __init__(self, notify: Notify) -> None:
        """``notify`` takes why an epoch has begun."""
        self._notify = notify
        self.counted = PartNumber(time.time_ns() // 1_000_000, 0)  # the newest part whose picture came, or is known to be lost
        self.settled = self.counted  # the newest part that has its verdict
        self._newest_frame: int | None = None
        self._asked: deque[str] = deque()  # by any thread
        self._alarmed_s = -math.inf

    # For capture

    def number(self, frame: int, recount: str | None = None) -> PartNumber:
        """The part of the camera's next frame; ``recount``: why the camera itself cannot say how many there were before it."""
        if recount is None and self._newest_frame is not None and frame != self._newest_frame + 1:
            recount = f"the camera's frame {frame} came after {self._newest_frame}"
        if recount is not None:
            self.begin_epoch(recount)
        self._newest_frame = frame
        self.counted = PartNumber(self.counted.epoch, self.counted.id + 1, frame)
        return self.counted

    def begin_epoch(self, why: str) -> None:
        """Count parts from 1 again; parts that have no verdict yet are in doubt."""
        self.counted = PartNumber(max(self.counted.epoch + 1, time.time_ns() // 1_000_000), 0)
        self._newest_frame = None
        text, now_s = f"{why}: parts are counted anew", time.monotonic()
        if now_s - self._alarmed_s >= PART_COUNT_AGAIN_S:
            self._alarmed_s = now_s
            self._notify("warning", text, "part-count")
        else:
            self._notify("info", text)  # for the log: a bad cable would raise alarms without end

    def begin_what_was_asked(self) -> None:
        """Begin one epoch for all that `ask` was told."""
        if self._asked:
            self.begin_epoch("; ".join(self._asked.popleft() for _ in range(len(self._asked))))

    # For any thread

    def ask(self, why: str) -> None:
        """Have capture begin a new epoch soon."""
        self._asked.append(why)

    # For decision

    def doubt(self, part: PartNumber, frame: int) -> str:
        """Why a verdict on this frame cannot be this part's; empty: it is the next part, and the frame is its own."""
        due = self.settled.id + 1 if part.epoch == self.settled.epoch else 1
        if part.epoch < self.settled.epoch or part.id != due:
            return f"a verdict on part {part.id} of epoch {part.epoch} came where part {due} was due"
        if part.frame != frame:
            return f"a verdict on part {part.id} was of frame {frame}, and its own is {part.frame}"
        return ""

    def settle(self, part: PartNumber) -> None:
        """Note that a part has its verdict; it must be the next one of its epoch, which may begin with it."""
        assert part.epoch >= self.settled.epoch, "an epoch that is over does not come back"
        due = self.settled.id + 1 if part.epoch == self.settled.epoch else 1
        assert part.id == due, "verdicts are numbered without a gap"
        self.settled = part

    def follow(self, epoch: int) -> None:
        """Go on in this epoch, which has no verdict yet."""
        if epoch > self.settled.epoch:
            self.settled = PartNumber(epoch, 0)

    @property
    def seen(self) -> int:
        """Parts of the epoch that is published whose picture came, or is known to be lost; never fewer than have a verdict."""
        counted = self.counted
        return max(counted.id, self.settled.id) if counted.epoch == self.settled.epoch else self.settled.id
