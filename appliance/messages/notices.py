"""What a line tells besides verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from appliance.messages.alarms import AlarmKind, Severity
from appliance.messages.schema import Verdict


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened; with a kind, or worse than `info`, it is published as an alarm."""

    severity: Severity
    text: str
    kind: AlarmKind = ""


class Notify(Protocol):
    """Takes a notice from any thread, without waiting."""

    def __call__(self, severity: Severity, text: str, kind: AlarmKind = "") -> None:
        """Tell."""


Event = Verdict | Notice
