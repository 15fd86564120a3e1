"""A belt in simulated time: parts with a truth, a camera, a line, the bridge's handshake, and a PLC with its program.

The line numbers its pictures and knows nothing of parts; the PLC's program sees two sensors and the process image, as bytes.
What is asked at the end is physical: which parts went through the open gate, and whether those were good.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from appliance.host.time_limits import PLC_KNOWS_S, PLC_PERIOD_S, PLC_PRESSED_S
from appliance.messages.schema import SILENT_AFTER_S
from appliance.plc.handshake import Handshake, Status
from appliance.plc.iec.program import Instance, Program, Struct
from appliance.plc.image import (
    LINE_SPAN,
    PLC_SPAN,
    STATE_CODES,
    PlcBlock,
    decode_line,
    decode_plc,
    encode_line,
    from_registers,
    to_registers,
)
from tests.appliance.plc.line_side import LineSide, Part

CYCLE_MS = 10  # of the PLC; all the rest moves in the same steps
START_MS = 800  # beyond travel: the program synchronises before the first part comes
SENSOR_MS = 30  # a part is before a sensor for so long
FAULTS = ("write lost", "write delayed", "answer lost", "old answer", "torn")  # of one exchange
UNHEARD = -1  # a picture whose verdict never comes to the bridge has this latency


def ms(seconds: float) -> int:
    return round(seconds * 1000)


@dataclass
class Belt:
    """Everything from the infeed to the gate; what has a name without an underscore, a scenario sets, or changes on the way."""

    program: Program
    spacing_ms: int
    travel_ms: int
    parts: int
    deadline_ms: int = 500
    picture_limit_ms: int = 60  # Picture of the program
    picture_ms: tuple[int, int] = (10, 25)  # from trigger to arrival
    latency_ms: tuple[int, int] = (50, 230)  # from there to the verdict
    gap_after: dict[int, int] = field(default_factory=dict)  # by part's number: milliseconds more until the next one comes
    events: dict[int, Callable[[Belt], None]] = field(default_factory=dict)  # by part's number: as soon as it has come
    ignored: set[int] = field(default_factory=set)  # parts whose trigger the camera does not hear
    doubled: set[int] = field(default_factory=set)  # parts whose trigger it hears twice
    slow: dict[int, int] = field(default_factory=dict)  # by part's number: its latency
    camera_sensor: dict[int, str] = field(default_factory=dict)  # by part's number: misses, flickers
    gate_sensor: dict[int, str] = field(default_factory=dict)
    unheard: set[int] = field(default_factory=set)  # parts whose verdict never comes to the bridge
    first_cycle_wired: bool = True
    half_read: set[int] = field(default_factory=set)  # part ids whose result is read once while it is written
    feed_obeys: bool = True  # no part comes while the PLC says ClearBelt
    simulated: bool = False  # the pictures are of good parts, whatever lies on the belt
    position: int = 1_000_000  # of the belt at first
    first_id: int = 1
    connection: float = 0.0  # share of exchanges with the PLC of which a part is lost, delayed, torn or out of date
    seed: int = 7

    bridge_stands_until_ms: int = 0
    plc_stands_until_ms: int = 0
    inputs: dict[str, object] = field(default_factory=dict)  # of the program, for its next cycle only

    def __post_init__(self) -> None:
        self.dice, self.tear = random.Random(self.seed), random.Random(self.seed)
        self.now_ms = 0
        self.all: list[Part] = []
        self.way: deque[Part] = deque()
        self.coming_ms = self.travel_ms + self.picture_limit_ms + START_MS
        self.line = LineSide(
            self.deadline_ms, self.picture_ms, self.latency_ms, random.Random(self.seed), self.first_id, self.simulated
        )
        self.later: list[tuple[int, Callable[[], object]]] = []  # what happens at a time
        self.exchange_ms = 0
        self.urgent = False
        self.bridge = Handshake()
        self.shown, self.before = bytes(LINE_SPAN.length), bytes(LINE_SPAN.length)  # the line's block in the PLC's memory
        self.blind_ms = 0  # for which it said that it was synchronised, and had not heard of a running line for long
        self.kept = self.shown  # by a scenario, for later
        self.answer = bytes(PLC_SPAN.length)
        self._answers: deque[bytes] = deque(maxlen=300)
        self.heartbeats: list[int] = []
        self._decoded: tuple[bytes, Struct | None] = b"", None
        self._limits: dict[str, object] = {
            "Picture": timedelta(milliseconds=self.picture_limit_ms),
            "Travel": timedelta(milliseconds=self.travel_ms + 2 * SENSOR_MS),
        }
        slack_ms = min(30, self.spacing_ms // 2 - CYCLE_MS)
        self._limits |= {"Nearest": self.travel_ms - slack_ms, "Farthest": self.travel_ms + slack_ms}
        self.start_plc()

    # What a scenario may do

    def start_plc(self, stands_ms: int = 0, fresh: bool = True) -> None:
        """The PLC starts, after having stood still; ``fresh``: with its memory at the initial values."""
        self.plc_stands_until_ms = self.now_ms + stands_ms
        if fresh:
            self.plc = Instance(self.program)
        self.inputs["FirstCycle"] = self.first_cycle_wired

    def restart_bridge(self, stands_ms: int) -> None:
        """Another bridge begins, with what the line's snapshot socket still has."""
        self.bridge, self.bridge_stands_until_ms = Handshake(), self.now_ms + stands_ms
        for slot, until_ms in self.line.given:
            if slot.epoch == self.line.numbers.settled.epoch & 0xFFFF_FFFF:
                self.bridge.take(slot, until_ms)

    def at(self, delay_ms: int, what: Callable[[], object]) -> None:
        """Have something happen so much later."""
        self.later.append((self.now_ms + delay_ms, what))

    def before_camera(self) -> Part | None:
        """What a picture taken now would show."""
        newest = self.way[-1] if self.way else None
        return newest if newest and not newest.hidden and self.now_ms - newest.at_camera_ms < SENSOR_MS else None

    def without_position(self) -> Belt:
        """The program takes whatever way a part has come."""
        self._limits |= {"Nearest": 0, "Farthest": 2**32 - 1}
        return self

    # What happens

    def run(self) -> Belt:
        """Until the last part has gone by the gate."""
        while len(self.all) < self.parts or self.way:
            self.step()
            assert self.now_ms < self.coming_ms + 100_000, "the belt stands still"
        return self

    def step(self) -> None:
        self.now_ms = now = self.now_ms + CYCLE_MS
        self._feed()
        if self.later:
            due, self.later = [one for one in self.later if one[0] <= now], [one for one in self.later if one[0] > now]
            for _, happens in due:
                happens()
        self.urgent |= self.line.step(now, self.bridge)
        self._carry()
        at_camera = self.before_camera()
        at_gate = self.way[0] if self.way and self.now_ms >= self.way[0].at_camera_ms + self.travel_ms else None
        if now >= self.plc_stands_until_ms:
            self._cycle(self._sensed(at_camera, self.camera_sensor), self._sensed(at_gate, self.gate_sensor))
            heard = now - self.line.heard_ms <= ms(PLC_KNOWS_S) and self.line.state != "starting"
            self.blind_ms += CYCLE_MS * (self.plc["Synchronised"] and not heard)
            if self.plc["FireTrigger"] and at_camera:
                self._take_picture(at_camera)
            if at_gate and self.plc["OpenGate"]:
                self._let_go(at_gate)
        if at_gate and now >= at_gate.at_camera_ms + self.travel_ms + SENSOR_MS:
            self.way.popleft()

    def _sensed(self, part: Part | None, faults: dict[int, str]) -> bool:
        """What a sensor says; a part of its faults is missed, or its light flickers in the middle of it."""
        if part is None:
            return False
        fault = faults.get(self.all.index(part) + 1) if faults else None
        since_ms = self.now_ms - part.at_camera_ms - (self.travel_ms if faults is self.gate_sensor else 0)
        return fault is None or (fault == "flickers" and since_ms != CYCLE_MS)

    def _feed(self) -> None:
        if len(self.all) >= self.parts or self.now_ms < self.coming_ms or (self.feed_obeys and self.plc["ClearBelt"]):
            return
        part = Part(self.dice.random() < 0.5, self.now_ms)
        self.all.append(part)
        self.way.append(part)
        number = len(self.all)
        self.coming_ms = self.now_ms + self.spacing_ms + self.gap_after.get(number, 0)
        if number in self.events:
            self.events[number](self)

    def _take_picture(self, part: Part) -> None:
        number = len(self.all)
        if number in self.ignored:
            self.line.ignore()
            return
        latency_ms = UNHEARD if number in self.unheard else self.slow.get(number)
        for _ in range(1 + (number in self.doubled)):
            self.line.expose(part, latency_ms)

    def _let_go(self, part: Part) -> None:
        if not part.let_go:
            part.let_go = True
            picture = self.line.pictures.get((self.plc["Epoch"], self.plc["Id"]))
            part.by_its_own = picture is not None and picture.shows is part

    def _carry(self) -> None:
        """The bridge's exchange with the PLC's memory."""
        self.before = self.shown
        period_ms = ms(PLC_PRESSED_S if self.bridge.pressed else PLC_PERIOD_S)
        if self.now_ms < self.bridge_stands_until_ms or not (self.urgent or self.now_ms >= self.exchange_ms + period_ms):
            return
        self.exchange_ms, self.urgent = self.now_ms, False
        alive = self.now_ms - self.line.heard_ms <= ms(SILENT_AFTER_S)
        state = self.line.state
        valid = alive and state in ("running", "not-calibrated", "stopping")
        status = Status(STATE_CODES[state if alive else "offline"], valid, alive and self.simulated)
        written, answer = self._over_the_wire(encode_line(self.bridge.show(status, self.now_ms)))
        self.shown = self._half_written(written) if self.half_read else written
        if answer is None:
            return
        self.bridge.confirm(answer)
        if why := self.bridge.disagreement(answer):
            self.line.numbers.ask(why)

    def _over_the_wire(self, block: bytes) -> tuple[bytes, PlcBlock | None]:
        """What then stands in the PLC's memory, and what the bridge reads: None when the exchange fails."""
        self._answers.append(self.answer)
        fault = self.tear.choice(FAULTS) if self.connection and self.tear.random() < self.connection else ""
        match fault:
            case "write lost":
                return self.shown, None
            case "write delayed":  # it comes in after the next one
                self.at(60, lambda: setattr(self, "shown", block))
                return self.shown, None
            case "answer lost":
                return block, None
            case "old answer":
                return block, decode_plc(self.tear.choice(self._answers))
            case "torn":
                self.before, self.shown = self.shown, block
                self.at(CYCLE_MS, lambda: setattr(self, "shown", block))
                return self._half(), None
        return block, decode_plc(self.answer)

    def _half_written(self, block: bytes) -> bytes:
        """A result of `half_read`, as it stands for one cycle: its verdict is not there yet."""
        for i, slot in enumerate((line := decode_line(block)).slots):
            if slot.part_id in self.half_read and slot.valid:
                self.half_read.remove(slot.part_id)
                self.at(CYCLE_MS, lambda: setattr(self, "shown", block))
                half = replace(slot, verdict=0, reason=0, score=0.0, valid=0)
                return encode_line(replace(line, slots=(*line.slots[:i], half, *line.slots[i + 1 :])))
        return block

    def _line_block(self) -> Struct:
        if self._decoded[0] != self.shown or self._decoded[1] is None:
            self._decoded = self.shown, self.program.decode("InspectLine", self.shown)
        block = self._decoded[1]
        assert block is not None
        return block

    def _cycle(self, at_camera: bool, at_gate: bool) -> None:
        inputs, self.inputs = self.inputs, {}
        line = self._line_block()
        # No copy: it changes meanwhile.
        if self.program.variables["Line"].section == "VAR_IN_OUT" and self.shown != self.before:
            self.plc.between = lambda: line.update(self.program.decode("InspectLine", self._half()))
            self._decoded = b"", None
        self.plc.cycle(
            timedelta(milliseconds=self.now_ms),
            Line=line,
            PartAtCamera=at_camera,
            PartAtEjector=at_gate,
            Position=(self.position + self.now_ms) % 2**32,
            **self._limits,
            **{"FirstCycle": False, "PartsMoved": False} | inputs,
        )
        self.answer = self.program.encode("InspectPlc", self.plc["Plc"])
        self.heartbeats.append(self.plc["Plc"]["Heartbeat"])

    def _half(self) -> bytes:
        """The line's block while it is written: each register old or new."""
        pairs = zip(to_registers(self.before), to_registers(self.shown), strict=True)
        return from_registers([self.tear.choice(pair) for pair in pairs])

    # What became of it

    @property
    def bad_let_go(self) -> int:
        return sum(part.let_go and not part.good for part in self.all)

    @property
    def by_anothers(self) -> int:
        """Parts let go by a verdict that was not on a picture of theirs."""
        return sum(part.let_go and not part.by_its_own for part in self.all)

    @property
    def good_lost(self) -> int:
        return sum(part.good and not part.let_go for part in self.all)
