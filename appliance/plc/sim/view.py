"""What `inspect plc-sim` shows on a terminal: the line as the PLC sees it, and the newest results."""

from __future__ import annotations

from collections import deque

from rich.console import Group
from rich.table import Table
from rich.text import Text

LAST = 12


class SimView:
    """Takes what a simulation tells; rich draws it."""

    def __init__(self, line: str) -> None:
        self._name = line
        self._line: dict[str, object] = {}
        self._counts = {"pass": 0, "reject": 0, "missed": 0}
        self._recent: deque[str] = deque(maxlen=LAST)
        self._connection = "not connected"

    def take(self, event: dict[str, object]) -> None:
        """Note an event."""
        at = str(event["time"])[11:23]
        match event["event"]:
            case "line":
                self._line = event
            case "taken":
                self._counts[str(event["verdict"])] += 1
                score = "-" if event["score"] is None else f"{event['score']:.4g}"
                self._recent.append(f"{at}  part {event['part_id']:>6}  {event['verdict']:<6} {event['reason']:<14} {score}")
            case "missed":
                parts = int(str(event["last"])) - int(str(event["first"])) + 1
                self._counts["missed"] += parts
                self._recent.append(f"{at}  parts {event['first']} to {event['last']} without a result: rejected")
            case "connected":
                self._connection = "connected"
            case "lost":
                self._connection = str(event["text"])

    def __rich__(self) -> Group:
        """The table as it is now."""
        table = Table(title=f"PLC of line {self._name}: {self._connection}", title_justify="left", title_style="bold")
        for heading in ("line valid", "heartbeat", "state", "overrun", "simulated", "epoch", "pass", "reject", "no result"):
            table.add_column(heading, justify="right")
        line = self._line
        table.add_row(
            Text("yes", style="green") if line.get("valid") else Text("no: every part is a reject", style="bold red"),
            "fresh" if line.get("fresh") else "stands still",
            str(line.get("state", "-")),
            "yes" if line.get("overrun") else "no",
            "yes" if line.get("simulated") else "no",
            str(line.get("epoch", "-")),
            *map(str, self._counts.values()),
        )
        return Group(table, *(Text(text) for text in self._recent), Text("Ctrl-C stops", style="dim"))
