"""Software triggers: each gets its own picture, or none; never another's.

A picture that comes after its time is recognised by its number, which its trigger has used up, or by its time stamp: it was
taken before the trigger that it would be given to.  Where neither can tell, the camera is stopped, its queue drained until it
is quiet, and all begins anew.
"""

from __future__ import annotations

import time
from typing import Protocol

from appliance.capture import CameraLostError, Frame
from appliance.capture.arrivals import Arrival, Arrivals, missing
from appliance.capture.trigger_clock import TriggerClock

QUIET_S = 0.25  # without a picture: none is on its way any more
NOISY_S = 1.0  # and not quiet for so long: the camera does not stop
CAREFUL_TRIGGERS = 100  # wait for quiet before so many, after a picture that nobody triggered


class TriggeredDriver(Protocol):
    """What a driver does for it; all raise CameraLostError when the camera is lost."""

    def fire(self, limit_s: float) -> bool:
        """Trigger once the camera is ready for it; False where it is not within the limit, and nothing was triggered."""

    def arrival(self, timeout_s: float) -> Arrival | None:
        """The next of the driver's queue; 0: only what is there."""

    def halt(self) -> None:
        """Have the camera take no more; what is on its way still arrives."""

    def resume(self) -> None:
        """After `halt`: grab again, with an empty queue that no earlier picture can reach."""


class SoftwareTrigger:
    """Triggers at the configured rate, waits for each picture up to ``limit_ms`` from its trigger, and gives it its frame."""

    def __init__(self, driver: TriggeredDriver, arrivals: Arrivals, rate: float, limit_ms: int) -> None:
        self._driver, self._arrivals, self._counter = driver, arrivals, arrivals.counter
        self._due, self._limit_ms = TriggerClock(rate), limit_ms
        self._doubt: str | None = None  # why it could not be told whose the next picture is
        self._careful = 0  # so many triggers wait until it is quiet

    def start(self) -> None:
        """The camera grabs; the first trigger is due now."""
        self._doubt, self._careful = None, 0
        self._due.start()

    def grab(self, timeout_s: float) -> list[Frame]:
        """See `appliance.capture.Camera.grab`."""
        if not self._due.wait(timeout_s):
            return []
        self._empty_queue(QUIET_S if self._careful else 0)
        self._careful = max(0, self._careful - 1)
        recount, self._doubt = self._doubt, None
        if recount is not None:
            self._driver.halt()
            self._empty_queue(QUIET_S)
            self._driver.resume()
            self._doubt = None  # whatever came meanwhile
            self._counter.begin_anew()
            self._arrivals.clock.restart()
        frame = self._answered()
        frame.recount = recount
        return [frame]

    def _answered(self) -> Frame:
        """Trigger, and wait for what is this trigger's."""
        triggered_ns = time.monotonic_ns()
        limit_ns = self._limit_ms * 1_000_000
        dropped = 0
        fired = self._driver.fire(self._limit_ms / 1e3)
        while fired:
            left_ns = triggered_ns + limit_ns - time.monotonic_ns()
            one = self._driver.arrival(max(0, left_ns) / 1e9)
            if one is None:
                break
            if self._is_of(one, triggered_ns):
                frame = self._arrivals.frame(one, self._counter.number)
                frame.captured_ns = triggered_ns  # its deadline counts from there
                return frame
            one.drop()
            dropped += 1
        number = self._counter.skip(used=fired)
        if fired and (dropped or not self._counter.knows):
            came = "only pictures that may be earlier triggers' came" if dropped else "no picture came"
            self._doubt = (
                f"{came} within {self._limit_ms} ms after a trigger: whose the next ones are could not be told, and the camera "
                "was started anew; if this comes again, raise camera.timeout_ms and decision.deadline_ms"
            )
        fault = f"no picture within {self._limit_ms} ms after its trigger"
        return missing(number, triggered_ns, fault, silent=not dropped)

    def _is_of(self, one: Arrival, triggered_ns: int) -> bool:
        """Whether a picture is that of the trigger just given; then it is counted."""
        taken_ns = self._arrivals.clock.mapped(one.camera_ns) if one.fault is None else None
        if taken_ns is not None and taken_ns < triggered_ns:
            return False
        if one.fault is not None and one.counted is None:  # whose it was is not known, and not needed: it uses up one number
            self._counter.skip(used=True)
            return True
        return self._counter.answers(one.counted)

    def _empty_queue(self, quiet_s: float) -> None:
        """Drop what comes between two triggers until it is quiet: late pictures, and such as nobody triggered."""
        until = time.monotonic() + NOISY_S
        while (one := self._driver.arrival(quiet_s)) is not None:
            one.drop()
            if one.fault is None and not self._counter.is_late(one.counted):
                if not self._careful:
                    self._doubt = (
                        "the camera sent a picture that nobody triggered: whose the others are could not be told, and it was "
                        "started anew; have camera.features set one picture for each trigger"
                    )
                self._careful = CAREFUL_TRIGGERS
            if time.monotonic() > until:
                raise CameraLostError(
                    "the camera sends pictures that nobody triggers, and does not stop: its trigger was changed meanwhile; "
                    "close whatever else uses it"
                )
