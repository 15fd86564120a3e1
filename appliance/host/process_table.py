"""What a line is made of on its box: processes, threads, sockets and files.

Threads bear the names that stand here, and sockets and files lie where the line's settings named here say.
"""

from __future__ import annotations

from typing import NamedTuple

MAIN = "MainThread"  # Python's own name


class Process(NamedTuple):
    """One process. ``command`` is how it is started, by the service manager, a person, or the process ``started_by``."""

    name: str
    command: str
    started_by: str
    does: str


class Thread(NamedTuple):
    """One thread of Python; libraries have others of their own. ``when``: empty where it is there all the time."""

    name: str
    process: str
    does: str
    when: str = ""


class Socket(NamedTuple):
    """A socket that others connect to; ``setting`` is where its address is set in the line's file, or how it is made."""

    name: str
    process: str
    kind: str
    setting: str
    does: str
    when: str = ""


class File(NamedTuple):
    """What a process reads or writes; ``place`` is where it is set in the line's file, or how it is made."""

    name: str
    process: str
    place: str
    access: str
    does: str
    when: str = ""


LINE = Process("line", "inspect run --line LINE", "service manager", "frames, verdicts, messages, records")
CAMERA = Process("camera", "python -m appliance.capture.camera_main", "line", "the vendor's library, which may hang or crash")
BRIDGE = Process("bridge", "inspect plc --line LINE", "service manager", "the line's messages to its PLC")
SIMULATION = Process("plc-sim", "inspect plc-sim --line LINE", "person", "a PLC to try a line with")
PROCESSES = (LINE, CAMERA, BRIDGE, SIMULATION)

CAPTURE = Thread("capture", "line", "takes frames from the camera, cuts them into slots, starts the engine")
ENGINE = Thread("engine", "line", "waits for the engine, frame by frame in order")
DECISION = Thread("decision", "line", "judges, publishes, hands over to the records, takes orders, beats")
JOURNAL = Thread("journal", "line", "writes verdicts into the journal", "[journal]")
ARCHIVE = Thread("archive", "line", "encodes and writes frames", "[archive]")
CHALLENGE = Thread("challenge", "line", "looks whether a challenge is due", "challenge.every_hours")
CHANGE_OVER = Thread("change-over", "line", "loads the next recipe beside the running one", "during a change-over")
KEYS = Thread("keys", "line", "admits subscribers by their keys", "publish.keys")
ALIVE = Thread("alive", "camera", "tells that the process lives, also while the camera is waited for")
MODBUS_SERVER = Thread("modbus server", "bridge", "answers the PLC", 'plc.kind = "modbus-server"')
OPCUA_SERVER = Thread("opc ua server", "bridge", "answers the PLC", 'plc.kind = "opcua"')
OPCUA_CLIENT = Thread("opc ua client", "plc-sim", "asks the bridge", 'plc.kind = "opcua"')
EXCHANGES = Thread("exchanges", "plc-sim", "exchanges blocks with the bridge")
THREADS = (
    Thread(MAIN, "line", "starts and ends the line, prints what it tells, feeds the watchdog"),
    CAPTURE,
    ENGINE,
    DECISION,
    JOURNAL,
    ARCHIVE,
    CHALLENGE,
    CHANGE_OVER,
    KEYS,
    Thread(MAIN, "camera", "opens the camera, brings its pictures into the shared memory"),
    ALIVE,
    Thread(MAIN, "bridge", "takes messages, exchanges with the PLC, feeds the watchdog"),
    MODBUS_SERVER,
    OPCUA_SERVER,
    OPCUA_CLIENT,
    EXCHANGES,
)

VERDICTS = Socket("verdicts", "line", "PUB", "publish.verdicts", "messages by topic, to whoever listens")
SNAPSHOT = Socket("snapshot", "line", "ROUTER", "publish.snapshot", "answers what a subscriber has missed")
ORDERS = Socket(
    "orders",
    "line",
    "ROUTER",
    "abstract: tfa-inspect-LINE-DIGEST",
    "change-overs, alarms and doubts from this box; one owner a camera",
)
CHANNEL = Socket("channel", "camera", "SEQPACKET", "a pair, inherited", "orders to the camera, its reports to the line")
TRIGGER = Socket(
    "trigger", "camera", "UDP", "loopback: camera.port", "the trigger's wire from plc-sim", 'camera.kind = "simulated"'
)
PLC = Socket("plc", "bridge", "TCP", "plc.port", "for a PLC that connects to this box", 'plc.kind = "modbus-server", "opcua"')
SOCKETS = (VERDICTS, SNAPSHOT, ORDERS, CHANNEL, TRIGGER, PLC)

FILES = (
    File("line's file", "line, camera, bridge", "LINE.toml", "read", "all settings"),
    File("recipe", "line", "recipe", "read", "weights, templates, thresholds, sensitivity, engines"),
    File("keys", "line, bridge", "publish.keys", "read", "who may listen", "publish.keys"),
    File("journal", "line", "journal.file", "written", "every verdict and challenge", "[journal]"),
    File("journal's log", "line", "journal.file + -wal", "written", "SQLite's, while the line runs", "[journal]"),
    File("journal's index", "line", "journal.file + -shm", "written", "SQLite's, while the line runs", "[journal]"),
    File("frames", "line", "archive.folder / DAY / *.png", "written", "rejects and a sample of passes", "[archive]"),
    File("maps", "line", "archive.folder / DAY / *.npz", "written", "their anomaly maps", "[archive]"),
    File("pictures", "line, camera", "memfd camera", "written", "memory that the two share"),
)
