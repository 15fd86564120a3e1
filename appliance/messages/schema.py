"""What goes over the wire: typed messages, JSON, and the table of topics.

Every message carries `line`, `epoch` (another at each start of the line) and UTC time.  Verdicts count `seq` from 1 without a
gap; a heartbeat carries the newest `seq`, so that a subscriber sees a loss even after the last verdict.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from appliance.host.time_limits import HEARTBEAT_PERIOD_S, SILENT_AFTER_S
from appliance.messages.alarms import AlarmKind, Severity

VerdictName = Literal["pass", "reject"]
Reason = Literal["", "defect", "late", "overrun", "no-image", "engine-fault", "not-calibrated", "stopping", "miscounted"]
State = Literal["starting", "running", "camera-lost", "not-calibrated", "stopping", "stopped"]
Milliseconds = Annotated[float, Meta(description="milliseconds")]
UtcTime = Annotated[str, Meta(description="UTC, ISO 8601 with microseconds")]


class ReasonCode(IntEnum):
    """Reasons as numbers, for a PLC, never renumbered; and what each says."""

    meaning: str

    def __new__(cls, code: int, meaning: str = "") -> ReasonCode:
        """A number with its meaning beside it."""
        self = int.__new__(cls, code)
        self._value_, self.meaning = code, meaning
        return self

    NONE = 0, "the part passed"
    DEFECT = 1, "the score is over its threshold, or a region is"
    LATE = 2, "no result by the deadline"
    OVERRUN = 3, "no free slot: parts come faster than the engine measures them"
    NO_IMAGE = 4, "the camera gave no picture, or one that cannot be measured"
    ENGINE_FAULT = 5, "the engine failed, or its result is not finite"
    NOT_CALIBRATED = 6, "the recipe has no thresholds"
    STOPPING = 7, "the part came when the line was being stopped"
    MISCOUNTED = 8, "it is not known whose picture it was: parts are counted anew from the next one on"

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
    seen: Annotated[int, Meta(description="parts of this epoch whose picture came, or is known to be lost")]
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


class CountAnew(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="count-anew", tag_field="order", kw_only=True):
    """Tells a running line that its count and the PLC's disagree: it begins a new epoch; from this box only, not answered."""

    why: str


class RecipeAnswer(msgspec.Struct, frozen=True):
    """`loading` at once, then how it ended."""

    state: Literal["loading", "changed", "failed"]
    text: str


class Topic(NamedTuple):
    """One topic of the socket that publishes, `<line>/<name>`."""

    name: str
    message: type[Verdict | Heartbeat | Alarm]
    stream: Literal["all", "rejects", "both"]  # who subscribes to it: those who hear all, those who hear only rejects
    when: str
    loss: str  # who sees that a message was lost, and how
    period_s: float | None = None  # without an occasion
    silent_s: float | None = None  # without a message: the line has gone

    def of(self, line: str) -> bytes:
        """The topic as it goes over the wire."""
        return f"{line}/{self.name}".encode()


TOPICS = (
    Topic(
        "verdict",
        Verdict,
        "all",
        "for each part",
        "a gap in `seq`, also to a heartbeat's; the snapshot socket has what is missing",
    ),
    Topic(
        "reject", Verdict, "rejects", "the same message, rejects only", "nobody: who must have all rejects hears all verdicts"
    ),
    Topic(
        "heartbeat",
        Heartbeat,
        "all",
        f"every {HEARTBEAT_PERIOD_S * 1000:g} ms, at each change of the state, and as soon as a picture has come",
        f"no need: the next one says it, and a line without one for {SILENT_AFTER_S * 1000:g} ms counts as gone",
        HEARTBEAT_PERIOD_S,
        SILENT_AFTER_S,
    ),
    Topic("alarm", Alarm, "both", "when something a person must look at begins or ends", "nobody: the line's own log has it"),
)
MESSAGES = (Verdict, Heartbeat, Alarm, SnapshotRequest, Snapshot, RecipeRequest, RaiseAlarm, CountAnew, RecipeAnswer)
