"""What the program of a PLC must do to be fail-safe, without sockets or a clock: the line's block goes in, the PLC's comes out.

It takes the result of the part that is due, and of no other, while the line is valid.  Whatever has no result by the ejector's
time is a reject.  A real program counts the triggers that it fires; here nothing is fired, so the parts are the line's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.host.time_limits import PLC_SETTLE_S, PLC_STALE_S
from appliance.plc.image import VERDICT_CODES, LineBlock, PlcBlock, Slot

NUMBERS = 1 << 16  # of a heartbeat counter


@dataclass(frozen=True, slots=True)
class Taken:
    """The result of the part that was due."""

    result: Slot


@dataclass(frozen=True, slots=True)
class Missed:
    """Parts without a result by the ejector's time: rejects."""

    epoch: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Seen:
    """How the line looks from here."""

    valid: bool  # Valid is 1, and its heartbeat is fresh
    fresh: bool
    state: int
    overrun: bool
    simulated: bool
    epoch: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What must outlive a restart of the PLC."""

    epoch: int = 0
    settled: int = 0  # newest part that was taken, or rejected without a result


Event = Taken | Missed | Seen


class PlcProgram:
    """One station of the PLC; called once in each of its cycles."""

    def __init__(self, eject_s: float, memory: Memory) -> None:
        """``eject_s``: from a part's verdict to the ejector."""
        self._eject_s = eject_s
        self.memory = memory
        self._heartbeat = 0
        self._cycled_s = self._heard_s = self._fresh_s = -float("inf")
        self._overdue: tuple[int, float] | None = None  # parts up to this have no result; since when
        self._seen: Seen | None = None
        self._epoch_before = 0
        self._cycles = 0

    @property
    def block(self) -> PlcBlock:
        """What the PLC shows the line."""
        return PlcBlock(self._cycles % NUMBERS, self.memory.epoch, self.memory.settled)

    def cycle(self, line: LineBlock, now_s: float) -> list[Event]:
        """One cycle; ``line`` is the newest block read. Returns what happened."""
        self._cycles += 1
        seen = self._look(line, now_s)
        events: list[Event] = []
        if seen != self._seen:
            self._seen = seen
            events.append(seen)
        # Seen in two cycles: what is read while it is written may be half of an epoch.
        if seen.valid and line.epoch != self.memory.epoch and line.epoch == self._epoch_before:
            self.memory, self._overdue = Memory(line.epoch), None
        self._epoch_before = line.epoch
        while seen.valid and line.epoch == self.memory.epoch and (result := self._next(line)):
            due = self.memory.settled + 1
            if due < result.part_id:  # results come in order: those before it do not come any more
                events.append(Missed(line.epoch, due, result.part_id - 1))
            events.append(Taken(result))
            self.memory = Memory(line.epoch, result.part_id)
        if line.epoch == self.memory.epoch:
            events.extend(self._eject(line.newest, now_s))
        return events

    def _look(self, line: LineBlock, now_s: float) -> Seen:
        stood = now_s - self._cycled_s > PLC_STALE_S
        self._cycled_s = now_s
        if stood:
            self._heartbeat = line.heartbeat  # only a change while this program runs tells that someone writes it now
        elif line.heartbeat != self._heartbeat:
            if now_s - self._heard_s > PLC_STALE_S:
                self._fresh_s = now_s
            self._heartbeat, self._heard_s = line.heartbeat, now_s
        fresh = now_s - self._heard_s <= PLC_STALE_S
        valid = line.valid == 1 and fresh and now_s - self._fresh_s >= PLC_SETTLE_S
        return Seen(valid, fresh, line.state, line.overrun == 1, line.simulated == 1, line.epoch)

    def _next(self, line: LineBlock) -> Slot | None:
        """The oldest complete result of this epoch that is not settled."""
        found = [
            slot
            for slot in line.slots
            if slot.valid == 1
            and slot.epoch == self.memory.epoch
            and slot.part_id > self.memory.settled
            and slot == line.slot_of(slot.part_id)
            and slot.verdict in VERDICT_CODES.values()
        ]
        return min(found, key=lambda slot: slot.part_id, default=None)

    def _eject(self, newest: int, now_s: float) -> list[Event]:
        """Give up the parts whose time is over."""
        if newest <= self.memory.settled:
            self._overdue = None
            return []
        if self._overdue is None or self._overdue[0] <= self.memory.settled:
            self._overdue = newest, now_s
        up_to, since_s = self._overdue
        if now_s - since_s < self._eject_s:
            return []
        missed = Missed(self.memory.epoch, self.memory.settled + 1, up_to)
        self.memory = Memory(self.memory.epoch, up_to)
        return [missed]
