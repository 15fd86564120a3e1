"""The bridge from a line's messages to its PLC, a process of its own.

It writes the line's block and reads the PLC's at each verdict, and every 50 ms besides.  When the line is silent for three
heartbeats, it clears Valid itself: a PLC keeps what was written whatever becomes of who wrote it.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from appliance.host.service_manager import Stop
from appliance.host.time_limits import (
    BRIDGE_LOOK_S,
    PLC_HANDOVER_S,
    PLC_PERIOD_S,
    PLC_PRESSED_S,
    PLC_RETRY_FIRST_S,
    PLC_RETRY_LONGEST_S,
    PLC_SOON_S,
    REJECT_OLDEST_S,
    SILENT_AFTER_S,
)
from appliance.messages.alarms import AlarmKind, Severity
from appliance.messages.schema import (
    Heartbeat,
    ReasonCode,
    Verdict,
)
from appliance.messages.subscriber import Liveness, Message, Subscriber
from appliance.plc import Plc, PlcError
from appliance.plc.handshake import Handshake, Status
from appliance.plc.image import DOUBTS, STATE_CODES, VERDICT_CODES, PlcBlock, Slot

TELL_PERIOD_S = 5.0  # between two notices of withdrawn results
MESSAGES_AT_ONCE = 64
VALID_STATES = ("running", "not-calibrated", "stopping")
U32 = 0xFFFF_FFFF
_DOUBTS = {code: why for why, code in DOUBTS.items()}


class RaisesAlarms(Protocol):
    """Has the line publish an alarm, if it can be reached."""

    def __call__(self, severity: Severity, text: str, kind: AlarmKind) -> bool:
        """Raise it, without waiting; False when no line is there."""


class Bridge:
    """Carries one line's results to one PLC until told to stop."""

    def __init__(
        self,
        subscriber: Subscriber,
        plc: Plc,
        silent_s: float,
        say: Callable[[str, str, dict[str, object]], None],
        raise_alarm: RaisesAlarms,
        count_anew: Callable[[str], bool],
    ) -> None:
        """``silent_s``: how long the PLC's heartbeat may stand still; ``say`` takes severity, text and details for the log.

        ``count_anew`` tells the line why its count and the PLC's disagree.
        """
        self._subscriber, self._plc, self._silent_s = subscriber, plc, silent_s
        self._say, self._raise_alarm, self._count_anew = say, raise_alarm, count_anew
        self.handshake = Handshake()
        self._liveness = Liveness(SILENT_AFTER_S)
        self._last: Heartbeat | None = None
        self._was_alive = False
        self._connected = False
        self._due_s = self._retry_at_s = self._told_at_s = 0.0
        self._pause_s = PLC_RETRY_FIRST_S
        self._plc_heartbeat: int | None = None
        self._plc_heard_s = 0.0
        self._plc_silent = False
        self._plc_lost = self._alarm_raised = False
        self._lost = self._withdrawn = self._doubt = 0

    def run(self, stop: Stop) -> None:
        """Carry results until ``stop`` is set; then tell the PLC that nothing is valid any more."""
        try:
            while not stop.is_set():
                message = self._subscriber.receive(min(BRIDGE_LOOK_S, max(0.0, self._due_s - time.monotonic())))
                taken = 0
                while message is not None:
                    self._take(message)
                    taken += 1
                    message = self._subscriber.receive(0) if taken < MESSAGES_AT_ONCE else None
                self.handshake.expire(time.monotonic())
                self._tell_losses()
                if time.monotonic() >= self._due_s:
                    self._serve()
            if self._connected:
                self._plc.exchange(self.handshake.farewell())
        except PlcError as error:
            self._say("warning", f"the PLC went away while the bridge stopped: {error}", {})
        finally:
            self._plc.close()

    def _take(self, message: Message) -> None:
        if isinstance(message, Heartbeat):
            self._liveness.heard()
            if self._last is not None and message.epoch != self._last.epoch:
                self._alarm_raised = False  # a line that has started anew has not heard of it
            self._last = message
            before = self.handshake.counted
            self.handshake.follow(message.epoch & U32, message.seq & U32, message.seen & U32)
            if self.handshake.counted != before:
                self._due_s = self._retry_at_s  # at once: the PLC waits for the picture of its trigger
        elif isinstance(message, Verdict):
            self.handshake.take(result_of(message), time.monotonic() + seconds_left(message))
            self._due_s = self._retry_at_s  # at once, unless the PLC is away

    def _serve(self) -> None:
        """One exchange; a PLC that is gone is tried again later, with growing pauses."""
        try:
            if not self._connected:
                self._plc.connect()
                self._connected, self._pause_s, self._retry_at_s = True, PLC_RETRY_FIRST_S, 0.0
                self._plc_heartbeat, self._plc_heard_s, self._plc_silent = None, time.monotonic(), False
                self._say("info", "connected to the PLC", {})
            plc = self._plc.exchange(self.handshake.show(self._status(), time.monotonic()))
        except PlcError as error:
            self._connected = False
            self._plc.close()
            self._retry_at_s = self._due_s = time.monotonic() + self._pause_s
            self._say("error", f"PLC: {error}; inspection goes on, next try in {self._pause_s:g} s", {})
            self._pause_s = min(self._pause_s * 2, PLC_RETRY_LONGEST_S)
            self._lose_plc(f"PLC: {error}; inspection goes on, every part is a reject")
            return
        self.handshake.confirm(plc)
        self._watch(plc)
        self._tell_doubt(plc.doubt)
        if why := self.handshake.disagreement(plc):
            self._say("error", f"{why}: every part is a reject until both count the same again", {})
            self._count_anew(why)
        self._due_s = time.monotonic() + self._pause_until_next()

    def _pause_until_next(self) -> float:
        """Seconds until the next exchange is due; it comes sooner when the line is about to count as gone."""
        period_s = PLC_PRESSED_S if self.handshake.pressed else PLC_PERIOD_S
        left_s = self._liveness.left_s
        return min(period_s, left_s + PLC_SOON_S) if left_s >= 0 else period_s

    def _status(self) -> Status:
        alive = self._liveness.alive
        if alive != self._was_alive:
            self._was_alive = alive
            if alive:
                self._say("info", "the line is heard", {})
            else:
                self._say("error", "nothing is heard of the line: Valid is cleared", {})
        if not alive or self._last is None:
            return Status(STATE_CODES["offline"], valid=False, simulated=False)
        state = self._last.state
        # What a line has decided before it stopped is still good.
        valid = state in VALID_STATES or (state == "stopped" and (self.handshake.outstanding or self.handshake.pressed))
        return Status(STATE_CODES[state], valid, self._last.simulated)

    def _watch(self, plc: PlcBlock) -> None:
        """See that the PLC's own heartbeat moves."""
        now = time.monotonic()
        if plc.heartbeat != self._plc_heartbeat:
            first, self._plc_heartbeat, self._plc_heard_s = self._plc_heartbeat is None, plc.heartbeat, now
            self._plc_silent = False
            if self._plc_lost and not first:
                self._plc_lost = self._alarm_raised = False
                self._say("info", "the PLC is back", {})
                self._raise_alarm("info", "the PLC is back", "plc-lost")
        elif now - self._plc_heard_s > self._silent_s:
            text = f"the PLC is silent: its heartbeat has stood still for {self._silent_s:g} s"
            if not self._plc_silent:
                self._plc_silent = True
                self._say("error", text, {})
            self._lose_plc(text)

    def _tell_doubt(self, doubt: int) -> None:
        """Say why the PLC rejects every part, when that changes."""
        if doubt != self._doubt:
            self._doubt = doubt
            why = _DOUBTS.get(doubt, f"Plc.Doubt {doubt}")
            self._say("info", f"the PLC rejects every part: {why}" if doubt else "the PLC takes results again", {})

    def _lose_plc(self, text: str) -> None:
        """Raise the alarm, as soon as there is a line to raise it, once for each absence."""
        self._plc_lost = True
        if not self._alarm_raised:
            self._alarm_raised = self._raise_alarm("error", text, "plc-lost")

    def _tell_losses(self) -> None:
        if self._subscriber.lost > self._lost:
            lost, self._lost = self._subscriber.lost - self._lost, self._subscriber.lost
            self.handshake.missed()
            self._say("error", "verdicts were lost between the line and the bridge", {"lost": lost})
        if self.handshake.withdrawn > self._withdrawn and time.monotonic() >= self._told_at_s + TELL_PERIOD_S:
            withdrawn, self._withdrawn = self.handshake.withdrawn - self._withdrawn, self.handshake.withdrawn
            self._told_at_s = time.monotonic()
            self._say("warning", "the PLC has not taken results in time; they were withdrawn", {"results": withdrawn})


def result_of(verdict: Verdict) -> Slot:
    """A verdict as the PLC sees it."""
    return Slot(
        epoch=verdict.epoch & U32,
        part_id=verdict.part_id & U32,
        verdict=VERDICT_CODES[verdict.verdict],
        reason=ReasonCode.of(verdict.reason),
        score=math.nan if verdict.score is None else ctypes.c_float(verdict.score).value,
        valid=1,
        recipe=verdict.recipe,
        created=verdict.decided,
    )


def seconds_left(verdict: Verdict) -> float:
    """How long a verdict may still be shown: a pass until it must have been handed over, a reject until its part is gone.

    The line's times are UTC; they are compared with the wall clock once, now. A clock that was set back since the verdict
    makes it no longer than it was when the line decided.
    """
    decided = datetime.fromisoformat(verdict.decided)
    age_s = max(0.0, (datetime.now(UTC) - decided).total_seconds())
    longest_s = REJECT_OLDEST_S
    if verdict.verdict == "pass":
        longest_s = (datetime.fromisoformat(verdict.deadline) - decided).total_seconds() + PLC_HANDOVER_S
    return longest_s - age_s
