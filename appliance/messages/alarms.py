"""Alarms: every kind that there is, when it is raised, and what a person does about it.

Each is told once when it begins, and as `info` when it is over; a distance between the two keeps it from flapping. None of
them stops inspection but `engine-fault`, after which the line is started anew.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from appliance.host.time_limits import (
    ARCHIVE_CALM_S,
    CAMERA_RETRY_FIRST_S,
    CAMERA_RETRY_LONGEST_S,
    ENGINE_BROKEN_S,
    ENGINE_FAULTS,
    JOURNAL_CAUGHT_UP_S,
    JOURNAL_SLOW_S,
)

Severity = Literal["info", "warning", "error"]
AlarmKind = Literal[
    "camera-lost",
    "stall",
    "engine-fault",
    "overrun",
    "late-rate",
    "part-count",
    "plc-lost",
    "archive-full",
    "journal-slow",
    "drift",
    "recipe",
    "sensitivity",
    "challenge-due",
    "",
]


class AlarmMeaning(NamedTuple):
    """A kind of alarm, for people."""

    when: str
    what_to_do: str


ALARMS: dict[AlarmKind, AlarmMeaning] = {
    "camera-lost": AlarmMeaning(
        "the camera is absent, does not answer, or its process died or hung; "
        f"it is tried again after {CAMERA_RETRY_FIRST_S:g} to {CAMERA_RETRY_LONGEST_S:g} s",
        "see to its power, its cable, and who else uses it",
    ),
    "stall": AlarmMeaning(
        "neither a picture nor a broken one for `camera.stall_ms` (software trigger: three times `camera.timeout_ms`; free: "
        "2 s); the camera is opened anew",
        "see to trigger and light",
    ),
    "engine-fault": AlarmMeaning(
        f"the engine has failed at every part for {ENGINE_BROKEN_S:g} s, and at {ENGINE_FAULTS} at the least; the line ends "
        "with exit status 1, and as a service is started anew",
        "if it comes again, `inspect doctor --line LINE`; on a GPU its log: `journalctl -k -g NVRM`",
    ),
    "overrun": AlarmMeaning(
        "a part found no free slot; over after 100 parts without",
        "fewer parts a second, a faster engine, or more of `engine.slots`",
    ),
    "late-rate": AlarmMeaning(
        "more than 2 of the last 100 verdicts were late; over at 1",
        "see what else runs on the box; a longer `decision.deadline_ms`",
    ),
    "part-count": AlarmMeaning(
        "the counts of triggers, pictures and verdicts disagree: parts without a verdict are rejects, a new epoch begins",
        "what the text says: the trigger's cable, the camera's debouncer, its counter; who else triggers it",
    ),
    "plc-lost": AlarmMeaning(
        "the PLC does not answer, or its heartbeat has stood still for `plc.silent_ms`",
        "see to its power, its cable, its address",
    ),
    "archive-full": AlarmMeaning(
        "frames are not archived: disk full, refused, too slow, or less than `archive.free_gb` left; "
        f"over after {ARCHIVE_CALM_S:g} s without",
        "make room, or a smaller `archive.quota_gb`",
    ),
    "journal-slow": AlarmMeaning(
        f"the disk refuses the journal (`error`), or it is more than {JOURNAL_SLOW_S:g} s behind, over below "
        f"{JOURNAL_CAUGHT_UP_S:g} s; up to 20,000 verdicts wait",
        "make room, see to the disk",
    ),
    "drift": AlarmMeaning(
        "the median score of the last 200 passes is outside the inner 90 % of the held-out golden samples' scores "
        "(from 10 samples on)",
        "see to light, lens and position; then calibrate again",
    ),
    "recipe": AlarmMeaning(
        "a change-over failed; the line goes on with the recipe it has",
        "what the text says",
    ),
    "sensitivity": AlarmMeaning(
        "an operator's sensitivity is in force (at each start and change); over when the calibrated thresholds hold again",
        "`inspect sensitivity --line LINE` shows whose and why; `--reset` ends it",
    ),
    "challenge-due": AlarmMeaning(
        "the last challenge was failed, is older than `challenge.every_hours`, or was of another recipe, thresholds, "
        "sensitivity or engine; over after a passed one",
        "`inspect challenge --line LINE`",
    ),
}
