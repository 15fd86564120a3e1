"""The live table of `inspect run` on a terminal."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from appliance.cli.event_log import verdict_line
from appliance.line.running_line import RunningLine
from appliance.messages.notices import Event
from appliance.messages.schema import Verdict

WINDOW = 1_000  # verdicts that latency and rate are taken from
LAST_REJECTS, LAST_NOTICES = 8, 4


class LiveView:
    """Collects events and draws them."""

    def __init__(self, name: str, running: RunningLine) -> None:
        self._name, self._running = name, running
        self._recent: deque[tuple[float, float]] = deque(maxlen=WINDOW)  # (when, total ms)
        self._rejects: deque[Text] = deque(maxlen=LAST_REJECTS)
        self._notices: deque[str] = deque(maxlen=LAST_NOTICES)

    def take(self, event: Event) -> None:
        """Note an event."""
        if isinstance(event, Verdict):
            self._recent.append((time.monotonic(), event.stages["total"]))
            if event.verdict == "reject":
                self._rejects.append(verdict_line(event))
        else:
            self._notices.append(f"{event.severity}: {event.text}")

    def __rich__(self) -> Group:
        """The table as it is now."""
        passed, rejected = self._running.counts
        table = Table(
            title=f"line {self._name}: {self._running.recipe_name} on {self._running.engine_target}, {self._running.state}",
            title_justify="left",
            title_style="bold",
        )
        for heading in ("parts/s", "pass", "reject", "by reason", "latency median", "p99"):
            table.add_column(heading, justify="right" if heading != "by reason" else "left")
        latencies = np.array([total for _, total in self._recent]) if self._recent else None
        table.add_row(
            f"{self._rate():.1f}",
            str(passed),
            str(sum(rejected.values())),
            ", ".join(f"{reason} {count}" for reason, count in rejected.items()) or "-",
            "-" if latencies is None else f"{np.median(latencies):.1f} ms",
            "-" if latencies is None else f"{np.percentile(latencies, 99):.1f} ms",
        )
        rejects = list(self._rejects) or [Text("none yet", style="dim")]
        notices = [Text(line, style="yellow") for line in self._notices]
        return Group(table, Text("last rejects", style="bold"), *rejects, *notices, Text("Ctrl-C stops", style="dim"))

    def _rate(self) -> float:
        if len(self._recent) < 2:
            return 0.0
        span = time.monotonic() - self._recent[0][0]
        return (len(self._recent) - 1) / span if span > 0 else 0.0
