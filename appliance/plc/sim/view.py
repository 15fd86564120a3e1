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
        self._plc: dict[str, object] = {}  # of a PLC with a belt
        self._parts = {"good": [0, 0], "bad": [0, 0]}  # rejected, let go
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
            case "plc":
                self._plc = event
            case "part":
                self._parts["good" if event["good"] else "bad"][bool(event["let_go"])] += 1
                went = "let go" if event["let_go"] else "rejected"
                self._recent.append(f"{at}  part {event['part']:>6}  {'good' if event['good'] else 'bad':<6} {went}")
            case "connected":
                self._connection = "connected"
            case "lost":
                self._connection = str(event["text"])

    def __rich__(self) -> Group:
        """The table as it is now."""
        table = Table(title=f"PLC of line {self._name}: {self._connection}", title_justify="left", title_style="bold")
        columns = self._of_belt() if self._plc else self._of_line()
        for heading in columns:
            table.add_column(heading, justify="right")
        table.add_row(*columns.values())
        return Group(table, *(Text(text) for text in self._recent), Text("Ctrl-C stops", style="dim"))

    def _of_line(self) -> dict[str, str | Text]:
        line = self._line
        return {
            "line valid": _yes_or(line.get("valid"), "no: every part is a reject"),
            "heartbeat": "fresh" if line.get("fresh") else "stands still",
            "state": str(line.get("state", "-")),
            "overrun": "yes" if line.get("overrun") else "no",
            "simulated": "yes" if line.get("simulated") else "no",
            "epoch": str(line.get("epoch", "-")),
            "pass": str(self._counts["pass"]),
            "reject": str(self._counts["reject"]),
            "no result": str(self._counts["missed"]),
        }

    def _of_belt(self) -> dict[str, str | Text]:
        plc, (good_rejected, good_passed), (bad_rejected, bad_let_go) = self._plc, self._parts["good"], self._parts["bad"]
        return {
            "synchronised": _yes_or(plc["synchronised"], f"no: {plc['doubt']}"),
            "infeed": "stopped: the belt must run empty" if plc["clear_belt"] else "runs",
            "good passed": str(good_passed),
            "good rejected": str(good_rejected),
            "bad rejected": str(bad_rejected),
            "bad let go": Text(str(bad_let_go), style="bold red" if bad_let_go else ""),
        }


def _yes_or(right: object, wrong: str) -> Text:
    return Text("yes", style="green") if right else Text(wrong, style="bold red")
