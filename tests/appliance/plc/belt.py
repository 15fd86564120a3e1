"""A belt in simulated time: parts with a truth, a camera, a line, the bridge's handshake, and a PLC with its program.

The line numbers its pictures and knows nothing of parts; the PLC's program sees two sensors and the process image, as bytes.
What is asked at the end is physical: which parts went through the open gate, and whether those were good.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from appliance.host.time_limits import PLC_PERIOD_S, PLC_PRESSED_S, REJECT_OLDEST_S
from appliance.messages.schema import HEARTBEAT_PERIOD_S, SILENT_AFTER_S
from appliance.plc.handshake import Handshake, Status
from appliance.plc.image import (
    IMAGE_BYTES,
    LINE_SPAN,
    PLC_SPAN,
    STATE_CODES,
    VERDICT_CODES,
    Slot,
    decode_plc,
    encode_line,
    from_registers,
    to_registers,
)
from tests.appliance.plc.structured_text import Instance, Program

CYCLE_MS = 10  # of the PLC; all the rest moves in the same steps
START_MS = 500  # beyond travel and deadline: the program synchronises before the first part comes
SENSOR_MS = 30  # a part is before a sensor for so long
PASS, REJECT = VERDICT_CODES["pass"], VERDICT_CODES["reject"]
LATE = 2


def ms(seconds: float) -> int:
    return round(seconds * 1000)


@dataclass
class Part:
    """A thing on the belt."""

    good: bool
    at_camera_ms: int
    let_go: bool = False
    hidden: bool = False  # from the camera's sensor: put down behind it


@dataclass
class Result:
    """A verdict on its way."""

    slot: Slot
    given_ms: int
    until_ms: int


@dataclass
class Belt:
    """Everything from the infeed to the gate; what has a name without an underscore, a scenario sets, or changes on the way."""

    program: Program
    spacing_ms: int
    travel_ms: int
    parts: int
    deadline_ms: int = 500
    latency_ms: tuple[int, int] = (60, 250)  # from trigger to verdict
    gap_after: dict[int, int] = field(default_factory=dict)  # by part's number: milliseconds more until the next one comes
    events: dict[int, Callable[[Belt], None]] = field(
        default_factory=dict
    )  # by part's number: as soon as it has come to the camera
    ignored: set[int] = field(default_factory=set)  # parts whose trigger the camera does not hear
    slow: dict[int, int] = field(default_factory=dict)  # by part's number: its latency
    unheard: set[int] = field(default_factory=set)  # parts whose verdict never comes to the bridge
    feed_obeys: bool = True  # no part comes while the PLC says ClearBelt
    simulated: bool = False  # the pictures are of good parts, whatever lies on the belt
    first_id: int = 1
    seed: int = 7

    state: str = "running"
    camera_on: bool = True
    line_heard: bool = True
    bridge_stands_until_ms: int = 0
    plc_stands_until_ms: int = 0
    inputs: dict[str, object] = field(default_factory=dict)  # of the program, for its next cycle only

    def __post_init__(self) -> None:
        self.dice, self.tear = random.Random(self.seed), random.Random(self.seed)
        self.now_ms = 0
        self.all: list[Part] = []
        self.way: deque[Part] = deque()
        self.coming_ms = self.travel_ms + self.deadline_ms + START_MS
        self.epoch, self.newest_id, self.newest_verdict = 0x0001_FFFF, self.first_id - 1, self.first_id - 1
        self.results: deque[Result] = deque()
        self.given: list[Result] = []
        self.heard_ms = self.beat_ms = self.exchange_ms = 0
        self.urgent = False
        self.bridge = Handshake()
        self.memory = bytes(IMAGE_BYTES)  # of the PLC
        self.before = self.memory
        self.heartbeats: list[int] = []
        self.start_plc()

    # What a scenario may do

    def start_plc(self, stands_ms: int = 0, fresh: bool = True) -> None:
        """The PLC starts, after having stood still; ``fresh``: with its memory at the initial values."""
        self.plc_stands_until_ms = self.now_ms + stands_ms
        if fresh:
            self.plc = Instance(self.program)
        self.inputs["FirstCycle"] = True

    def restart_bridge(self, stands_ms: int) -> None:
        """Another bridge begins, with what the line's snapshot socket still has."""
        self.bridge, self.bridge_stands_until_ms = Handshake(), self.now_ms + stands_ms
        for result in self.given[-50:]:
            if result.slot.epoch == self.epoch:
                self.bridge.take(result.slot, result.until_ms)

    def begin_epoch(self) -> None:
        """The line counts parts from 1 again; its results on the way are given up."""
        self.epoch, self.newest_id, self.newest_verdict = self.epoch + 1, 0, 0
        self.results.clear()

    # What happens

    def run(self) -> Belt:
        """Until the last part has gone by the gate."""
        while len(self.all) < self.parts or self.way:
            self.step()
            assert self.now_ms < 200_000, "the belt stands still"
        return self

    def step(self) -> None:
        self.now_ms += CYCLE_MS
        self._feed()
        self._give_verdicts()
        self._carry()
        at_camera = [part for part in self.way if not part.hidden and 0 <= self.now_ms - part.at_camera_ms < SENSOR_MS]
        at_gate = [part for part in self.way if 0 <= self.now_ms - part.at_camera_ms - self.travel_ms < SENSOR_MS]
        if self.now_ms >= self.plc_stands_until_ms:
            self._cycle(bool(at_camera), bool(at_gate))
            if self.plc["FireTrigger"]:
                self._take_picture(at_camera[-1])
            for part in at_gate:
                part.let_go |= bool(self.plc["OpenGate"])
        while self.way and self.now_ms > self.way[0].at_camera_ms + self.travel_ms + SENSOR_MS:
            self.way.popleft()

    def _feed(self) -> None:
        waits = self.feed_obeys and self.plc["ClearBelt"]
        if len(self.all) >= self.parts or self.now_ms < self.coming_ms or waits:
            return
        part = Part(self.dice.random() < 0.5, self.now_ms)
        self.all.append(part)
        self.way.append(part)
        number = len(self.all)
        self.coming_ms = self.now_ms + self.spacing_ms + self.gap_after.get(number, 0)
        if number in self.events:
            self.events[number](self)

    def _take_picture(self, part: Part) -> None:
        number = self.all.index(part) + 1
        if not self.camera_on or number in self.ignored:
            return
        self.newest_id += 1
        latency_ms = self.slow.get(number, self.dice.randrange(*self.latency_ms))
        late = latency_ms > self.deadline_ms
        passed = (part.good or self.simulated) and not late
        given_ms = self.now_ms + min(latency_ms, self.deadline_ms)
        given_ms = max(given_ms, self.results[-1].given_ms if self.results else 0)
        until_ms = self.now_ms + self.deadline_ms if passed else given_ms + ms(REJECT_OLDEST_S)
        verdict, reason = (PASS, 0) if passed else (REJECT, LATE if late else 1)
        slot = Slot(self.epoch, self.newest_id, verdict, reason, 0.5, 1)
        if number in self.unheard:
            until_ms = 0
        self.results.append(Result(slot, given_ms, until_ms))

    def _give_verdicts(self) -> None:
        while self.results and self.results[0].given_ms <= self.now_ms:
            result = self.results.popleft()
            self.newest_verdict = result.slot.part_id
            self.given.append(result)
            if self.line_heard and result.until_ms:
                self.bridge.take(result.slot, result.until_ms)
                self.urgent = True
            else:
                self.bridge.missed()
        if self.now_ms >= self.beat_ms + ms(HEARTBEAT_PERIOD_S):
            self.beat_ms = self.now_ms
            if self.line_heard:
                self.heard_ms = self.now_ms
                self.bridge.follow(self.epoch, self.newest_verdict)

    def _carry(self) -> None:
        """The bridge's exchange with the PLC's memory."""
        self.before = self.memory
        period_ms = ms(PLC_PRESSED_S if self.bridge.pressed else PLC_PERIOD_S)
        if self.now_ms < self.bridge_stands_until_ms or not (self.urgent or self.now_ms >= self.exchange_ms + period_ms):
            return
        self.exchange_ms, self.urgent = self.now_ms, False
        alive = self.now_ms - self.heard_ms <= ms(SILENT_AFTER_S)
        valid = alive and self.state in ("running", "not-calibrated", "stopping")
        status = Status(STATE_CODES[self.state if alive else "offline"], valid, alive and self.simulated)
        line = encode_line(self.bridge.show(status, self.now_ms))
        self.memory = line + self.memory[PLC_SPAN.start :]
        self.bridge.confirm(decode_plc(self.memory[PLC_SPAN.start :]))

    def _cycle(self, at_camera: bool, at_gate: bool) -> None:
        inputs, self.inputs = self.inputs, {}
        line = self.program.decode("InspectLine", self.memory[: LINE_SPAN.length])
        if (
            self.program.variables["Line"].section == "VAR_IN_OUT" and self.memory != self.before
        ):  # no copy: it changes meanwhile
            self.plc.between = lambda: line.update(self.program.decode("InspectLine", self._half()[: LINE_SPAN.length]))
        self.plc.cycle(
            timedelta(milliseconds=self.now_ms),
            Line=line,
            PartAtCamera=at_camera,
            PartAtEjector=at_gate,
            Deadline=timedelta(milliseconds=self.deadline_ms),
            Spacing=timedelta(milliseconds=self.spacing_ms),
            Travel=timedelta(milliseconds=self.travel_ms + 2 * SENSOR_MS),
            **{"FirstCycle": False, "PartsMoved": False} | inputs,
        )
        self.memory = self.memory[: PLC_SPAN.start] + self.program.encode("InspectPlc", self.plc["Plc"])
        self.heartbeats.append(self.plc["Plc"]["Heartbeat"])

    def _half(self) -> bytes:
        """The PLC's memory while it is written: each register old or new."""
        pairs = zip(to_registers(self.before), to_registers(self.memory), strict=True)
        return from_registers([self.tear.choice(pair) for pair in pairs])

    # What became of it

    @property
    def bad_let_go(self) -> int:
        return sum(part.let_go and not part.good for part in self.all)

    @property
    def good_lost(self) -> int:
        return sum(part.good and not part.let_go for part in self.all)
