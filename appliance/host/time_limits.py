"""Every time limit of a line that another part depends on, in seconds, and how they depend on each other.

A constant stands here when its change would have to be thought of elsewhere: each has its meaning beside it, and `RULES` says
which must stay below which, and why.  What a line's file may set (`deadline_ms`, `timeout_ms`, `silent_ms`, `stall_ms`) has its
bounds there.
"""

from __future__ import annotations

import sys
from typing import Annotated, NamedTuple, get_args, get_type_hints

# A line that is heard of
HEARTBEAT_PERIOD_S: Annotated[float, "between two heartbeats of a line"] = 0.1
SILENT_AFTER_S: Annotated[float, "without a heartbeat: the bridge takes the line for gone, and clears Valid"] = (
    2.5 * HEARTBEAT_PERIOD_S
)
PLC_KNOWS_S: Annotated[float, "within which a PLC knows, as promised: three heartbeats"] = 3 * HEARTBEAT_PERIOD_S
RECONNECT_S: Annotated[float, "between two tries of a subscriber to reach a line"] = 0.02
SNAPSHOT_ANSWER_S: Annotated[float, "a subscriber waits for the verdicts that it missed"] = 0.5
SEND_LINGER_S: Annotated[float, "a socket that is closed still sends what waits"] = 0.2
ORDER_ANSWER_S: Annotated[float, "a command waits for a running line's first answer"] = 2.0
ORDER_LONGEST_S: Annotated[float, "a command waits for the end of a change-over: an engine is loaded"] = 120.0

# The camera's process
CAMERA_ALIVE_S: Annotated[float, "between two signs of life of the camera's process"] = 0.02
CAMERA_SILENT_S: Annotated[float, "without a sign of life: the line says camera-lost"] = 0.15
CAMERA_GRAB_S: Annotated[float, "the camera's process waits for a picture before it looks for orders"] = 0.1
CAMERA_HUNG_S: Annotated[float, "of one step beyond the camera's own waits, or of silence: its process is killed"] = 2.0
CAMERA_OPEN_S: Annotated[float, "to find a camera in the network, read its description and set it up"] = 30.0
CAMERA_STOP_S: Annotated[float, "for the pictures that a camera has taken when it is stopped"] = 3.0
CAMERA_RETRY_FIRST_S: Annotated[float, "until the first new try to open a lost camera; each later pause is doubled"] = 1.0
CAMERA_RETRY_LONGEST_S: Annotated[float, "the longest such pause"] = 30.0

# The line's own threads
CAPTURE_LOOK_S: Annotated[float, "capture waits for a picture before it looks at the camera's state and the stop"] = 0.05
STALLED_S: Annotated[float, "of one step of capture, engine or decision: it counts as stalled"] = 10.0
ENGINE_BROKEN_S: Annotated[
    float, "of ENGINE_FAULTS or more parts at which the engine fails: the line ends, to be started anew"
] = 2.0
ENGINE_FAULTS = 3  # at the least, in a row: on a slow line the time alone would be over with the second part
ENGINE_END_S: Annotated[float, "to the end of the frame that the engine computes when the line ends"] = 10.0
ARCHIVE_END_S: Annotated[float, "for the frames that wait to be archived when the line ends"] = 5.0
ARCHIVE_CALM_S: Annotated[float, "without a refusal by the disk: the alarm archive-full is over"] = 60.0
JOURNAL_COLLECT_S: Annotated[float, "verdicts are collected for one transaction of the journal"] = 0.04
JOURNAL_LOSS_S: Annotated[float, "of verdicts that a killed line may lose in the journal, as promised"] = 0.1
JOURNAL_BUSY_S: Annotated[float, "one writer of a journal waits for another"] = 5.0
JOURNAL_RETRY_S: Annotated[float, "between two tries to write to a disk that refuses"] = 1.0
JOURNAL_SLOW_S: Annotated[float, "the oldest verdict waits for its row: the alarm journal-slow begins"] = 5.0
JOURNAL_CAUGHT_UP_S: Annotated[float, "it waits less than this: the alarm is over"] = 1.0
CHALLENGE_LOOK_S: Annotated[float, "between two looks at whether a challenge is due"] = 10.0
PART_COUNT_AGAIN_S: Annotated[float, "between two alarms part-count; what comes sooner stands in the log"] = 10.0

# The bridge and the PLC
PLC_PERIOD_S: Annotated[float, "between two exchanges with the PLC, at the latest"] = 0.05
PLC_PRESSED_S: Annotated[float, "the same while results wait for a slot"] = 0.01
PLC_SOON_S: Annotated[float, "from a line's last moment to the exchange that clears Valid"] = 0.001
PLC_STALE_S: Annotated[float, "a heartbeat stands still in the PLC: it takes the line for not valid"] = 0.27
PLC_SETTLE_S: Annotated[float, "it must have moved again for so long to be valid"] = 0.1
PLC_HANDOVER_S: Annotated[float, "from a verdict to the program of the PLC; so long a pass is shown after its deadline"] = 0.1
PLC_RETRY_FIRST_S: Annotated[float, "until the first new try to reach a PLC; each later pause is doubled"] = 0.5
PLC_RETRY_LONGEST_S: Annotated[float, "the longest such pause"] = 5.0
PLC_ANSWER_S: Annotated[float, "a server or client of this box answers its own bridge"] = 2.0
OPCUA_START_S: Annotated[float, "to build the address space of an OPC UA server, or to end it"] = 10.0
LOOP_END_S: Annotated[float, "for what a server still does when it ends"] = 5.0
REJECT_OLDEST_S: Annotated[float, "a reject is shown to the PLC: after it its part is gone"] = 5.0
BRIDGE_LOOK_S: Annotated[float, "the bridge waits for a message before it says that it lives"] = 1.0

# The service manager: what systemd/*.service say
WATCHDOG_S: Annotated[float, "without a sign of life: a service is killed (WatchdogSec)"] = 20.0
RESTART_S: Annotated[float, "until a service that failed is started again (RestartSec)"] = 2.0
LINE_START_S: Annotated[float, "for a line to be ready (TimeoutStartSec)"] = 120.0
BRIDGE_START_S: Annotated[float, "for a bridge to be ready (TimeoutStartSec)"] = 30.0
SERVICE_STOP_S: Annotated[float, "for a service to end before it is killed (TimeoutStopSec)"] = 30.0
LATCH_S: Annotated[float, "in which LATCH_FAILURES failures of a line latch the fault (StartLimitIntervalSec)"] = 900.0
LATCH_FAILURES = 5  # StartLimitBurst


class Limit(NamedTuple):
    """One time limit."""

    name: str
    seconds: float
    meaning: str


class Rule(NamedTuple):
    """The sum of ``shorter`` must be below ``longer``; a limit that counts several times stands there as often."""

    shorter: tuple[str, ...]
    longer: str
    because: str


RULES = (
    # A PLC knows within three heartbeats, whoever of the three falls silent
    Rule(("HEARTBEAT_PERIOD_S",) * 2, "SILENT_AFTER_S", "one heartbeat may be late or lost"),
    Rule(("SILENT_AFTER_S", "PLC_SOON_S"), "PLC_KNOWS_S", "a line that has gone: its bridge clears Valid in time"),
    Rule(
        ("HEARTBEAT_PERIOD_S", "HEARTBEAT_PERIOD_S", "PLC_PERIOD_S"),
        "PLC_STALE_S",
        "the heartbeat in the PLC moves when the line was heard, and one of the line's may be lost",
    ),
    Rule(("PLC_PERIOD_S",) * 5, "PLC_STALE_S", "a busy box or network may hold four exchanges up"),
    Rule(("PLC_STALE_S",), "PLC_KNOWS_S", "a bridge that has gone: the PLC sees it in time"),
    Rule(("SILENT_AFTER_S",), "PLC_STALE_S", "what the bridge can tell, it tells before the PLC must guess"),
    Rule(("CAMERA_SILENT_S",), "SILENT_AFTER_S", "a silent camera is told of by a heartbeat, before the line would be doubted"),
    Rule(
        ("CAMERA_SILENT_S", "CAPTURE_LOOK_S", "PLC_PERIOD_S"),
        "PLC_KNOWS_S",
        "a camera that has gone: capture sees it at its next look, the bridge hands it over with its next exchange",
    ),
    Rule(("CAMERA_ALIVE_S",) * 5, "CAMERA_SILENT_S", "a busy box may hold four signs of life up"),
    Rule(("RECONNECT_S",), "HEARTBEAT_PERIOD_S", "a subscriber is there before the second heartbeat of a line that starts"),
    Rule(("PLC_SOON_S",), "PLC_PRESSED_S", "Valid is cleared without waiting for anything else"),
    Rule(("PLC_PRESSED_S",), "PLC_PERIOD_S", "results that wait for a slot go out sooner"),
    Rule(("PLC_PERIOD_S",), "PLC_SETTLE_S", "a writing made after the interruption has come in by then"),
    Rule(("PLC_PERIOD_S",), "PLC_HANDOVER_S", "a verdict given at the deadline is still handed over"),
    Rule(("PLC_RETRY_FIRST_S",), "PLC_RETRY_LONGEST_S", "pauses grow"),
    Rule(("SNAPSHOT_ANSWER_S",), "REJECT_OLDEST_S", "a reject that was missed is fetched while it can still be ejected"),
    Rule(("HEARTBEAT_PERIOD_S",), "ORDER_ANSWER_S", "the decision loop takes orders with each heartbeat at the latest"),
    # A hang is told from work
    Rule(("CAMERA_GRAB_S",), "CAMERA_HUNG_S", "waiting for a picture is no hang"),
    Rule(("CAMERA_SILENT_S",), "CAMERA_HUNG_S", "a process is waited for before it is killed"),
    Rule(("CAMERA_HUNG_S",), "CAMERA_STOP_S", "a process that hangs while it stops is seen to hang"),
    Rule(("CAMERA_RETRY_FIRST_S",), "CAMERA_RETRY_LONGEST_S", "pauses grow"),
    Rule(("CAPTURE_LOOK_S",), "STALLED_S", "waiting for a picture is no stall"),
    Rule(("ARCHIVE_END_S",), "STALLED_S", "the decision loop waits for the archive at its end"),
    Rule(("JOURNAL_COLLECT_S",) * 2, "JOURNAL_LOSS_S", "a transaction may take as long as it was collected for"),
    Rule(("JOURNAL_COLLECT_S",), "JOURNAL_CAUGHT_UP_S", "collecting alone is no delay"),
    Rule(("JOURNAL_CAUGHT_UP_S",), "JOURNAL_SLOW_S", "an alarm that begins and ends at one limit would flap"),
    Rule(("ENGINE_BROKEN_S",), "STALLED_S", "an engine that says that it fails is given up before one that says nothing"),
    # The service manager kills only what does not move
    Rule(("STALLED_S",), "WATCHDOG_S", "what stalls for a moment may go on before its service is killed"),
    Rule(("BRIDGE_LOOK_S",) * 2, "WATCHDOG_S", "the watchdog is fed at least twice in its time"),
    Rule(("OPCUA_START_S", "LOOP_END_S"), "WATCHDOG_S", "a server that does not start is given up by the bridge itself"),
    Rule(("CAMERA_OPEN_S",), "LINE_START_S", "a line that needs its camera is ready when that is open"),
    Rule(
        ("CAMERA_STOP_S", "ARCHIVE_END_S", "JOURNAL_BUSY_S", "ENGINE_END_S", "SEND_LINGER_S"),
        "SERVICE_STOP_S",
        "a line ends by itself, one wait after the other",
    ),
    Rule(("PLC_ANSWER_S", "OPCUA_START_S", "LOOP_END_S", "SEND_LINGER_S"), "SERVICE_STOP_S", "and so does a bridge"),
    Rule(
        ("LINE_START_S", "STALLED_S", "WATCHDOG_S", "RESTART_S") * LATCH_FAILURES,
        "LATCH_S",
        "the slowest failure, a line that stalls right after a long start, latches as well",
    ),
)


def limits() -> tuple[Limit, ...]:
    """The table: each constant of this module with its meaning."""
    here = sys.modules[__name__]
    hints = get_type_hints(here, include_extras=True)
    return tuple(Limit(name, float(getattr(here, name)), get_args(hint)[1]) for name, hint in hints.items())
