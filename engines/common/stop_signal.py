"""Ctrl-C and SIGTERM as something to look at."""

from __future__ import annotations

import signal
from types import FrameType


class StopSignal:
    """Set by SIGINT and SIGTERM while the block is entered.

    Not a `threading.Event`: a handler runs in the main thread wherever that stands, also inside an event's own methods, whose
    lock it would then wait for, for ever.  An assignment needs no lock.
    """

    def __init__(self) -> None:
        self._set = False

    def __enter__(self) -> StopSignal:
        self._before = [(number, signal.signal(number, self._handle)) for number in (signal.SIGINT, signal.SIGTERM)]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    def is_set(self) -> bool:
        """Whether a signal has come."""
        return self._set

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._set = True
