"""Notices an engine that has broken down for good: part after part ends in a fault that it raises.

A GPU that has once refused a launch refuses every later one in the same process; only a new process mends that.  An answer that
is not finite does not count: the picture may be at fault, such as one of no light at all, and a new process would not mend it.
"""

from __future__ import annotations

from appliance.host.time_limits import ENGINE_BROKEN_S, ENGINE_FAULTS
from appliance.line.pipeline import Job, S


class EngineWatch:
    """Fed by the decision loop, with every part in order."""

    def __init__(self) -> None:
        self._faults, self._since_s = 0, 0.0

    def take(self, job: Job[S], now_s: float) -> str:
        """Note the next part; returns why the line must end, or an empty text: it goes on.

        Parts that the engine has not seen, and those that it kept waiting, say nothing.
        """
        if not job.reason:
            self._faults = 0
        elif job.reason == "engine-fault":
            if not self._faults:
                self._since_s = now_s
            self._faults += 1
            if self._faults >= ENGINE_FAULTS and now_s - self._since_s >= ENGINE_BROKEN_S:
                return (
                    f"the engine failed for {self._faults} parts in a row, and does not recover in this process ({job.detail})"
                )
        return ""
