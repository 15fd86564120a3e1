"""What a running command tells: lines for a person on a terminal, one JSON object a line anywhere else."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.text import Text

from appliance.messages.clock import utc_now
from appliance.messages.notices import Notice
from appliance.messages.schema import Alarm, Verdict

if TYPE_CHECKING:
    from appliance.records.challenge_record import Challenge

COLOURS = {"pass": "green", "reject": "bold red", "info": "cyan", "warning": "yellow", "error": "bold red"}


class EventLog:
    """Writes events to standard output; a pipe gets one JSON object an event.

    ``goes_on``: for a command whose work is not to be told, but done. What a full disk or a reader that has gone does not
    take is left out then, and told of when it is taken again.
    """

    def __init__(self, console: Console, as_json: bool, goes_on: bool = False) -> None:
        self._console, self._json, self._goes_on = console, as_json, goes_on
        self._left_out = 0
        self._torn = False  # the last event was taken in part

    def say(self, severity: str, text: str, details: dict[str, object] | None = None) -> None:
        """Something that happened."""
        if self._json:
            self._write({"time": utc_now(), "event": severity, "text": text, **(details or {})})
        else:
            more = "".join(f"  {key}={value}" for key, value in (details or {}).items())
            self._print(Text.assemble((f"{severity:<7}", COLOURS.get(severity, "white")), f" {text}{more}"))

    def notice(self, notice: Notice | Alarm) -> None:
        """What a line told besides verdicts."""
        self.say(notice.severity, notice.text, {"kind": notice.kind} if notice.kind else None)

    def verdict(self, verdict: Verdict) -> None:
        """A verdict."""
        if self._json:
            self._write({"time": verdict.time, "event": "verdict", **msgspec.to_builtins(verdict)})
        else:
            self._print(verdict_line(verdict))

    def challenge(self, challenge: Challenge) -> None:
        """A challenge as the journal has it."""
        if self._json:
            self._write({"event": "challenge", **msgspec.to_builtins(challenge)})
        else:
            colour = COLOURS["pass" if challenge.passed else "reject"]
            rest = f" by {challenge.by} on {challenge.machine}: {challenge.conditions}  {challenge.note}"
            self._print(Text.assemble(f"{challenge.time[:19]}  ", (challenge.summary, colour), rest))

    def record(self, event: dict[str, object]) -> None:
        """An event as it is, always as JSON."""
        self._write(event)

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True, highlight=False)

    def _write(self, event: dict[str, object]) -> None:
        if not self._goes_on:
            sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
            sys.stdout.buffer.flush()
            return
        if self._left_out:
            event = {**event, "left_out_before": self._left_out}
        content = b"\n" * self._torn + msgspec.json.encode(event) + b"\n"
        try:
            # Not through Python's buffer, which would keep what was refused and fail again at each later event.
            written = os.write(sys.stdout.fileno(), content)
        except OSError:
            self._left_out += 1
            return
        self._torn = written < len(content)
        self._left_out = self._left_out + 1 if self._torn else 0


def verdict_line(verdict: Verdict) -> Text:
    """A verdict for a person."""
    score = "-" if verdict.score is None else f"{verdict.score:.4g}"
    limit = "-" if verdict.threshold is None else f"{verdict.threshold:.4g}"
    where = f"  {len(verdict.regions)} region{'s' if len(verdict.regions) > 1 else ''}" if verdict.regions else ""
    source = f"  {verdict.source}" if verdict.source else ""
    detail = f"  {verdict.detail}" if verdict.detail else ""
    return Text.assemble(
        f"{verdict.decided[11:23]}  part {verdict.part_id:>6}  ",
        (f"{verdict.verdict:<6}", COLOURS[verdict.verdict]),
        f" {verdict.reason:<14} score {score:>9} / {limit:<9} {verdict.stages['total']:7.1f} ms{where}{source}{detail}",
    )
