"""10,000 steps of a line, its bridge and its PLC in which everything goes wrong; no part may get another's verdict.

Which part a verdict ends at is not asked of its number: parts lie on a belt as they came, and for each part that the PLC
settles, the one in front has gone past the ejector.
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from dataclasses import dataclass, field

from appliance.host.time_limits import PLC_STALE_S
from appliance.plc.handshake import Handshake, Status
from appliance.plc.image import (
    STATE_CODES,
    VERDICT_CODES,
    LineBlock,
    PlcBlock,
    Slot,
    decode_line,
    encode_line,
    from_registers,
    to_registers,
)
from appliance.plc.sim.program import Memory, Missed, PlcProgram, Taken

RUNNING = Status(STATE_CODES["running"], valid=True, simulated=True)
PASS, REJECT = VERDICT_CODES["pass"], VERDICT_CODES["reject"]
STEPS = 10_000
STEP_S = 0.01


@dataclass
class World:
    """A line, its bridge, its PLC, and a connection that loses, repeats and delays; each step is 10 ms."""

    dice: random.Random
    now_s: float = 0.0
    epoch: int = 0x0001_FFFE  # both words change soon
    parts: int = 0
    made: deque[tuple[Slot, float]] = field(default_factory=lambda: deque(maxlen=50))  # what the line can tell a new bridge
    belts: dict[int, deque[tuple[Slot, float]]] = field(default_factory=lambda: defaultdict(deque))  # of each epoch
    parted: int = 0
    bridge: Handshake = field(default_factory=Handshake)
    registers: LineBlock = field(default_factory=LineBlock)  # of the PLC
    delayed: LineBlock | None = None  # a write that comes in after the next one
    plc: PlcProgram = field(default_factory=lambda: PlcProgram(0.8, Memory()))
    blocks: deque[PlcBlock] = field(default_factory=lambda: deque(maxlen=300))  # that the PLC has shown
    stands_until_s: float = 0.0
    cut_until_s: float = 0.0
    taken: list[tuple[int, int]] = field(default_factory=list)
    settled: set[tuple[int, int]] = field(default_factory=set)  # taken, or rejected by the PLC without a result
    seen: dict[str, int] = field(default_factory=dict)

    def chance(self, share: float, name: str) -> bool:
        happens = self.dice.random() < share
        self.seen[name] = self.seen.get(name, 0) + happens
        return happens

    def step(self) -> None:
        self.now_s += STEP_S
        if self.chance(0.002, "new epoch"):
            self.epoch, self.parts = self.epoch + 1, 0
            self.bridge.follow(self.epoch, 0)
        if self.chance(0.3, "part"):
            self.parts += 1
            verdict = self.dice.choice((PASS, REJECT))
            until_s = self.now_s + self.dice.choice((0.02, 0.2, 0.5)) if verdict == PASS else self.now_s + 5
            made = Slot(self.epoch, self.parts, verdict, self.dice.randrange(8), self.dice.randrange(256) / 256, 1)
            self.made.append((made, until_s))
            self.belts[self.epoch].append((made, until_s))
            self.parted += 1
            if not self.chance(0.02, "verdict lost"):
                self.bridge.take(made, until_s)
        if self.chance(0.003, "bridge restarts"):
            self.bridge = Handshake()
            for one, until_s in self.made:
                if one.epoch == self.epoch:
                    self.bridge.take(one, until_s)
        if self.chance(0.003, "PLC restarts"):
            self.registers, self.delayed = LineBlock(), None
            self.plc = PlcProgram(0.8, self.plc.memory)
        if self.now_s >= self.cut_until_s and self.chance(0.003, "connection cut"):
            self.cut_until_s = self.now_s + self.dice.random() * 2
        if self.now_s >= self.cut_until_s and not self.chance(0.05, "no exchange"):
            self.exchange()
        if self.now_s >= self.stands_until_s and self.chance(0.003, "PLC stands"):
            self.stands_until_s = self.now_s + self.dice.random() * 2
        if not self.chance(0.1, "no cycle"):
            self.cycle(self.registers)

    def exchange(self) -> None:
        block = self.bridge.show(RUNNING, self.now_s)
        if self.chance(0.1, "write lost"):
            return
        if self.delayed is None and self.chance(0.05, "write delayed"):
            self.delayed = block
            return
        if self.chance(0.1, "cycle while writing"):
            self.cycle(self.torn(self.registers, block))
        self.registers = block
        if self.delayed is not None:
            self.registers, self.delayed = self.delayed, None
        if self.chance(0.1, "answer lost"):
            return
        if self.chance(0.1, "cycle between write and read"):
            self.cycle(self.registers)
        self.blocks.append(self.plc.block)
        plc = self.dice.choice(self.blocks) if self.chance(0.1, "old block read") else self.plc.block
        for _ in range(1 + self.chance(0.1, "read twice")):
            held = {offer.slot for offer in self.bridge._ring if offer}
            self.bridge.confirm(plc)
            for slot in held - {offer.slot for offer in self.bridge._ring if offer}:
                assert (slot.epoch, slot.part_id) in self.settled, "nothing is acknowledged that the PLC has not settled"

    def torn(self, before: LineBlock, after: LineBlock) -> LineBlock:
        """What is read while it is written: each register old or new."""
        pairs = zip(to_registers(encode_line(before)), to_registers(encode_line(after)), strict=True)
        return decode_line(from_registers([self.dice.choice(pair) for pair in pairs]))

    def cycle(self, line: LineBlock) -> None:
        if self.now_s < self.stands_until_s:
            return
        for event in self.plc.cycle(line, self.now_s):
            belt = self.belts[self.plc.memory.epoch]
            if isinstance(event, Taken):
                made, until_s = belt.popleft()
                assert event.result.verdict == made.verdict, "the part's own verdict"
                assert (event.result.epoch, event.result.part_id) == (made.epoch, made.part_id)
                assert not self.taken or self.taken[-1] < (made.epoch, made.part_id), "once, and in order"
                assert made.verdict == REJECT or self.now_s < until_s + PLC_STALE_S + 5 * STEP_S, "no pass after its deadline"
                self.taken.append((made.epoch, made.part_id))
                self.settled.add(self.taken[-1])
            elif isinstance(event, Missed):
                gone = [belt.popleft()[0] for _ in range(event.first, event.last + 1)]
                self.settled.update((one.epoch, one.part_id) for one in gone)


def test_no_part_gets_anothers_verdict_whatever_is_lost_repeated_or_delayed() -> None:
    world = World(random.Random(7))
    for _ in range(STEPS):
        world.step()
        for offer, clean in zip(world.bridge._ring, world.bridge._clean, strict=True):
            assert offer is None or (not clean and offer.slot.epoch == world.epoch)
    assert len(world.taken) > 0.5 * world.parted, "most parts are handed over"
    assert all(times > 5 for times in world.seen.values()), world.seen
