"""The bridge from a line's messages to its PLC, a process of its own.

It hears verdicts and heartbeats, tells the PLC each verdict once and in order, and every 50 ms how the line is.  When the
line is silent for three heartbeats, it clears Valid itself: a PLC keeps its registers whatever becomes of who wrote them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from appliance.messages import DEAD_AFTER_PERIODS, HEARTBEAT_PERIOD_S, Heartbeat, ReasonCode, Verdict
from appliance.plc import Plc, PlcError, PlcStatus, PlcVerdict
from appliance.service import Stop
from appliance.subscriber import Liveness, Message, Subscriber

OLDEST_S = 5.0  # a verdict older than this is no use to the PLC: its part is gone
STATUS_PERIOD_S = HEARTBEAT_PERIOD_S / 2
RETRY_FIRST_S, RETRY_LONGEST_S = 0.5, 5.0
VALID_STATES = ("running", "not-calibrated", "stopping")


class Bridge:
    """Carries one line's verdicts to one PLC until told to stop."""

    def __init__(self, subscriber: Subscriber, plc: Plc, say: Callable[[str, str, dict[str, object]], None]) -> None:
        """``say`` takes severity, text and details of everything a person may want to know."""
        self._subscriber, self._plc, self._say = subscriber, plc, say
        self._liveness = Liveness(DEAD_AFTER_PERIODS * HEARTBEAT_PERIOD_S)
        self._waiting: deque[Verdict] = deque()
        self._last: Heartbeat | None = None
        self._connected = False
        self._was_alive = False
        self._retry_at, self._pause = 0.0, RETRY_FIRST_S
        self._status_at = 0.0
        self._beats = 0
        self._lost = 0
        self.delivered = 0

    def run(self, stop: Stop) -> None:
        """Carry messages until ``stop`` is set; then tell the PLC that nothing is valid any more."""
        try:
            while not stop.is_set():
                message = self._subscriber.receive(max(0.0, self._status_at - time.monotonic()))
                if message is not None:
                    self._take(message)
                self._drop_old()
                if self._connected or time.monotonic() >= self._retry_at:
                    self._serve()
                else:
                    self._status_at = self._retry_at
            if self._connected:
                self._plc.write_status(PlcStatus(self._beats + 1, "offline", False, False))
        except PlcError as error:
            self._say("warning", f"the PLC went away while the bridge stopped: {error}", {})
        finally:
            self._plc.close()

    def _take(self, message: Message) -> None:
        if isinstance(message, Heartbeat):
            self._liveness.heard()
            self._last = message
        elif isinstance(message, Verdict):
            self._waiting.append(message)
        if self._subscriber.lost > self._lost:
            self._say(
                "error", "verdicts were lost between the line and the bridge", {"lost": self._subscriber.lost - self._lost}
            )
            self._lost = self._subscriber.lost

    def _serve(self) -> None:
        """Everything that is due towards the PLC; a PLC that is gone is tried again later, with growing pauses."""
        try:
            if not self._connected:
                self._plc.connect()
                self._connected, self._pause = True, RETRY_FIRST_S
                self._say("info", "connected to the PLC", {})
            while self._waiting:
                self._deliver(self._waiting[0])
                self._waiting.popleft()
            self._tell_status()
        except PlcError as error:
            self._connected = False
            self._plc.close()
            self._retry_at = time.monotonic() + self._pause
            self._say(
                "error",
                f"PLC: {error}; inspection goes on, next try in {self._pause:g} s",
                {"verdicts_waiting": len(self._waiting)},
            )
            self._pause = min(self._pause * 2, RETRY_LONGEST_S)

    def _drop_old(self) -> None:
        """Leave out verdicts whose parts are gone, and say how many."""
        dropped = 0
        now = datetime.now(UTC)
        while self._waiting and (now - datetime.fromisoformat(self._waiting[0].decided)).total_seconds() > OLDEST_S:
            self._waiting.popleft()
            dropped += 1
        if dropped:
            self._say("warning", f"verdicts older than {OLDEST_S:g} s were not handed to the PLC", {"verdicts": dropped})

    def _deliver(self, verdict: Verdict) -> None:
        taken = self._plc.write_verdict(
            PlcVerdict(verdict.part_id, verdict.verdict, ReasonCode.of(verdict.reason), verdict.score)
        )
        self.delivered += 1
        if not taken:
            self._say("warning", "the PLC did not acknowledge a verdict in time", {"part_id": verdict.part_id})

    def _tell_status(self) -> None:
        alive = self._liveness.alive
        if alive != self._was_alive:
            self._say(
                "info" if alive else "error",
                "the line is heard" if alive else "nothing is heard of the line: Valid is cleared",
                {},
            )
        if time.monotonic() < self._status_at and alive == self._was_alive:
            return
        self._was_alive = alive
        state = self._last.state if alive and self._last else "offline"
        self._beats += 1
        self._plc.write_status(
            PlcStatus(self._beats, state, state in VALID_STATES, bool(alive and self._last and self._last.simulated))
        )
        self._status_at = time.monotonic() + STATUS_PERIOD_S
