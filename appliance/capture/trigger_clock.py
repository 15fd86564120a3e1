"""Software triggers: when the next one is due."""

from __future__ import annotations

import time


class TriggerClock:
    """Triggers at most ``rate`` times a second; a camera that is slower is not hurried afterwards."""

    def __init__(self, rate: float) -> None:
        self._period_s = 1 / rate
        self._due_s = 0.0

    def start(self) -> None:
        """The first trigger is due now."""
        self._due_s = time.monotonic()

    def wait(self, timeout_s: float) -> bool:
        """Sleep until the next trigger is due, at most ``timeout_s``; returns whether it is."""
        left = self._due_s - time.monotonic()
        if left > timeout_s:
            time.sleep(timeout_s)
            return False
        if left > 0:
            time.sleep(left)
        self._due_s = max(self._due_s + self._period_s, time.monotonic())
        return True
