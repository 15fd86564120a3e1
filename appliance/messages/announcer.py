"""What a line tells besides verdicts: notices of any thread, published as alarms and kept for those who look on.

What people look at is a bounded queue, so that a slow terminal never holds up a verdict.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from appliance.messages.alarms import AlarmKind, Severity
from appliance.messages.clock import utc_now
from appliance.messages.notices import Event, Notice
from appliance.messages.publisher import Publisher
from appliance.messages.schema import Alarm, Verdict

EVENTS_KEPT = 10_000


class Announcer:
    """Takes notices from any thread; the thread that publishes announces them."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)  # verdicts and notices, in the order of their publishing
        self._waiting: deque[Notice] = deque()

    def notify(self, severity: Severity, text: str, kind: AlarmKind = "") -> None:
        """Take a notice, without waiting: a `Notify`."""
        self._waiting.append(Notice(severity, text, kind))

    def take(self, notices: Iterable[Notice]) -> None:
        """Take several."""
        self._waiting.extend(notices)

    def tell(self, verdict: Verdict) -> None:
        """Tell of a verdict that was published."""
        self.events.append(verdict)

    def announce(self, publisher: Publisher) -> None:
        """Publish what waits; used by the publisher's thread."""
        while self._waiting:
            notice = self._waiting.popleft()
            self.events.append(notice)
            if notice.severity != "info" or notice.kind:
                publisher.publish_alarm(
                    Alarm(
                        line=publisher.line,
                        epoch=publisher.epoch,
                        seq=publisher.seq,
                        time=utc_now(),
                        severity=notice.severity,
                        kind=notice.kind,
                        text=notice.text,
                    )
                )
