"""A PLC with a belt of its own: parts with a truth, two sensors, a gate, and `program.st`, the very program that is shipped.

It triggers a line's simulated camera over the trigger's wire.  Parts move by this clock; what is asked in the end is physical:
which of them went through the open gate.
"""

from __future__ import annotations

import random
import socket
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import timedelta
from importlib.resources import files

import msgspec

from appliance.plc.iec.program import Instance, parse
from appliance.plc.image import DOUBTS, LineBlock, PlcBlock, decode_plc, encode_line

SENSOR_S = 0.03  # a part is before a sensor for so long, or for two cycles
NUMBERS = 1 << 32  # of the belt's position, in ms
EVERY = 20  # triggers, of which a fault spoils one
_DOUBTS = {code: why for why, code in DOUBTS.items()}


class TriggerWire:
    """The wire from the PLC's output to the trigger input of a simulated camera."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def fire(self, picture: str | None) -> None:
        """One edge, while this lies before the camera; None: one that the camera does not hear."""
        self._socket.sendto(msgspec.json.encode({"picture": picture}), ("127.0.0.1", self._port))

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()


@dataclass
class Part:
    """A thing on the belt."""

    number: int
    picture: str
    good: bool
    at_camera_s: float
    part_id: int = 0  # by its trigger; 0: it had none
    let_go: bool = False


@dataclass(frozen=True)
class BeltSettings:
    """How parts come, and what is wrong."""

    parts: dict[str, bool]  # pictures, and whether they are of good parts
    spacing_s: float
    travel_s: float  # from the camera to the gate
    picture_s: float  # `Picture` of the program
    bad_share: float = 0.2
    count: int | None = None  # so many parts; None: without end
    seed: int | None = None
    fault: str = "none"  # loses-triggers, triggers-twice


@dataclass
class BeltCounts:
    """What became of the parts at the gate."""

    good_passed: int = 0
    good_rejected: int = 0
    bad_rejected: int = 0
    bad_let_go: int = 0

    @property
    def told(self) -> str:
        """In words."""
        return (
            f"good parts: {self.good_passed} passed, {self.good_rejected} rejected; "
            f"bad parts: {self.bad_rejected} rejected, {self.bad_let_go} let go"
        )


@dataclass
class BeltStation:
    """One station of the PLC; called once in each of its cycles."""

    settings: BeltSettings
    wire: TriggerWire
    counts: BeltCounts = field(default_factory=BeltCounts)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.settings.seed)
        kinds = self.settings.parts.items()
        self._kinds = {good: [name for name, is_good in kinds if is_good == good] for good in (True, False)}
        self._program = parse(files("appliance.plc").joinpath("program.st").read_text(encoding="ascii"))
        self._plc = Instance(self._program)
        self._gate_ms = round(self.settings.travel_s * 1e3)
        self._slack_ms = max(1, round(self.settings.spacing_s * 400))  # two parts are told apart
        self._way: deque[Part] = deque()
        self._made = self._fired = 0
        self._next_s: float | None = None
        self._first = True
        self._told: dict[str, object] = {}
        self._block = PlcBlock()

    @property
    def block(self) -> PlcBlock:
        """What the PLC shows the line."""
        return self._block

    @property
    def over(self) -> bool:
        """Whether the last part has gone by the gate."""
        return self.settings.count is not None and self._made >= self.settings.count and not self._way

    def cycle(self, line: LineBlock, now_s: float) -> list[dict[str, object]]:
        """One cycle; ``line`` is the newest block read. Returns what happened."""
        happened: list[dict[str, object]] = []
        self._feed(now_s)
        newest, oldest = (self._way[-1], self._way[0]) if self._way else (None, None)
        at_camera = newest if newest and now_s - newest.at_camera_s < SENSOR_S else None
        at_gate = oldest if oldest and now_s >= oldest.at_camera_s + self.settings.travel_s else None
        plc = self._plc
        # The pictures are as simulated as the parts that they are of.
        block = replace(line, simulated=0)
        plc.cycle(
            timedelta(seconds=now_s),
            Line=self._program.decode("InspectLine", encode_line(block)),
            PartAtCamera=at_camera is not None,
            PartAtEjector=at_gate is not None,
            FirstCycle=self._first,
            Picture=timedelta(seconds=self.settings.picture_s),
            Travel=timedelta(seconds=self.settings.travel_s + 2 * SENSOR_S),
            Position=round(now_s * 1e3) % NUMBERS,  # the belt never stands
            Nearest=max(0, self._gate_ms - self._slack_ms),
            Farthest=self._gate_ms + self._slack_ms,
        )
        self._first = False
        self._block = decode_plc(self._program.encode("InspectPlc", plc["Plc"]))
        if plc["FireTrigger"] and at_camera:
            at_camera.part_id = self._block.fired
            self._fire(at_camera)
        if at_gate:
            at_gate.let_go |= plc["OpenGate"]
            if now_s >= at_gate.at_camera_s + self.settings.travel_s + SENSOR_S:
                self._way.popleft()
                happened.append(self._count(at_gate))
        told = {"synchronised": plc["Synchronised"], "doubt": _DOUBTS[self._block.doubt], "clear_belt": plc["ClearBelt"]}
        if told != self._told:
            self._told = told
            happened.append({"event": "plc"} | told)
        return happened

    def _feed(self, now_s: float) -> None:
        settings = self.settings
        if self._next_s is None:
            self._next_s = now_s + settings.travel_s
        if now_s < self._next_s or self._plc["ClearBelt"] or (settings.count is not None and self._made >= settings.count):
            return
        self._made += 1
        good = self._dice.random() >= settings.bad_share
        self._way.append(Part(self._made, self._dice.choice(self._kinds[good]), good, now_s))
        self._next_s = max(self._next_s + settings.spacing_s, now_s + settings.spacing_s / 2)

    def _fire(self, part: Part) -> None:
        self._fired += 1
        spoilt = self._fired % EVERY == 0
        self.wire.fire(None if spoilt and self.settings.fault == "loses-triggers" else part.picture)
        if spoilt and self.settings.fault == "triggers-twice":
            self.wire.fire(part.picture)

    def _count(self, part: Part) -> dict[str, object]:
        counts = self.counts
        if part.good:
            counts.good_passed += part.let_go
            counts.good_rejected += not part.let_go
        else:
            counts.bad_let_go += part.let_go
            counts.bad_rejected += not part.let_go
        return {
            "event": "part",
            "part": part.number,
            "part_id": part.part_id,
            "picture": part.picture,
            "good": part.good,
            "let_go": part.let_go,
        }
