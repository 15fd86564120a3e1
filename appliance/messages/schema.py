"""What goes over the wire: typed messages, JSON, and the table of topics.

Every message carries `line`, `epoch` (another at each start of the line) and UTC time.  Verdicts count `seq` from 1 without a
gap; a heartbeat carries the newest `seq`, so that a subscriber sees a loss even after the last verdict.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

TOPICS = {
    "verdict": "every verdict",
    "reject": "the same message, rejects only",
    "heartbeat": "every 100 ms",
    "alarm": "something a person must look at",
}

VerdictName = Literal["pass", "reject"]
Reason = Literal["", "defect", "late", "overrun", "no-image", "engine-fault", "not-calibrated", "stopping"]
State = Literal["starting", "running", "camera-lost", "not-calibrated", "stopping", "stopped"]
AlarmKind = Literal[
    "camera-lost",
    "stall",
    "overrun",
    "late-rate",
    "plc-lost",
    "archive-full",
    "journal-slow",
    "drift",
    "recipe",
    "sensitivity",
    "challenge-due",
    "",
]
Severity = Literal["info", "warning", "error"]
Milliseconds = Annotated[float, Meta(description="milliseconds")]
UtcTime = Annotated[str, Meta(description="UTC, ISO 8601 with microseconds")]


class ReasonCode(IntEnum):
    """Reasons as numbers, for a PLC; never renumbered."""

    NONE = 0
    DEFECT = 1
    LATE = 2
    OVERRUN = 3
    NO_IMAGE = 4
    ENGINE_FAULT = 5
    NOT_CALIBRATED = 6
    STOPPING = 7

    @classmethod
    def of(cls, reason: str) -> ReasonCode:
        """The code of a reason's name."""
        return cls[reason.replace("-", "_").upper()] if reason else cls.NONE


class Region(msgspec.Struct, frozen=True):
    """A connected area over the pixel threshold, in frame pixels."""

    x: int
    y: int
    w: int
    h: int
    area: float
    peak: float


class TemplateMatch(msgspec.Struct, frozen=True):
    """The golden sample that a part was compared with."""

    index: Annotated[int, Meta(ge=0, description="among the recipe's templates")]
    name: Annotated[str, Meta(description="the golden sample's file")]
    similarity: Annotated[float, Meta(description="cosine of the part's and the template's deepest features")]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One part's verdict."""

    line: str
    epoch: int
    seq: int
    time: UtcTime
    part_id: int
    frame: Annotated[int, Meta(description="the camera's frame number")]
    verdict: VerdictName
    reason: Reason
    detail: Annotated[str, Meta(description="the reason in words, where there is more to say")] = ""
    score: Annotated[float | None, Meta(description="None where nothing was measured")]
    threshold: float | None
    regions: tuple[Region, ...]
    template: Annotated[TemplateMatch | None, Meta(description="None where nothing was measured")] = None
    captured: UtcTime
    decided: UtcTime
    deadline: UtcTime
    camera_time: Annotated[int, Meta(description="the camera's own clock, ticks")]
    stages: Annotated[
        dict[str, float], Meta(description="milliseconds: cut, queue, engine, decide, total (capture to verdict)")
    ]
    recipe: Annotated[str, Meta(description="the recipe's digest")]
    engine: Annotated[str, Meta(description="the engine's target")]
    simulated: Annotated[bool, Meta(description="the picture is not of a real part")]
    source: Annotated[str | None, Meta(description="file of a replayed picture")] = None


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """The line is alive, and how far it is."""

    line: str
    epoch: int
    seq: Annotated[int, Meta(description="of the newest verdict; 0 before the first")]
    time: UtcTime
    state: State
    simulated: bool
    passed: int
    rejected: dict[str, int]
    late_results: Annotated[int, Meta(description="results that came after their part's verdict, and were dropped")] = 0


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person must look at."""

    line: str
    epoch: int
    seq: Annotated[int, Meta(description="of the newest verdict")]
    time: UtcTime
    severity: Annotated[Severity, Meta(description="info: what was told of this kind before is over")]
    kind: AlarmKind = ""
    text: str


class SnapshotRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks the snapshot socket for everything after `seq` of `epoch`; another epoch gets everything kept."""

    epoch: int
    seq: Annotated[int, Meta(ge=0)]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: the verdicts still kept, oldest first. A first `seq` beyond the one asked for shows what is lost."""

    line: str
    epoch: int
    seq: Annotated[int, Meta(description="of the newest verdict")]
    verdicts: tuple[Verdict, ...]


class RecipeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="change-over", tag_field="order"):
    """Asks a running line to change over; taken from this box only."""

    recipe: Annotated[str, Meta(description="the recipe's folder")]
    again: Annotated[bool, Meta(description="only if it runs already: something in the folder has changed")] = False


class RaiseAlarm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="raise-alarm", tag_field="order", kw_only=True):
    """Asks a running line to publish an alarm of a process beside it; taken from this box only, and not answered."""

    severity: Severity
    kind: AlarmKind = ""
    text: str


class RecipeAnswer(msgspec.Struct, frozen=True):
    """`loading` at once, then how it ended."""

    state: Literal["loading", "changed", "failed"]
    text: str


MESSAGES = (Verdict, Heartbeat, Alarm, SnapshotRequest, Snapshot, RecipeRequest, RaiseAlarm, RecipeAnswer)
