"""Runs a PLC's program on its connection, cycle by cycle, and tells what happens."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from appliance.host.process_table import EXCHANGES
from appliance.host.service_manager import Stop
from appliance.messages.clock import utc_now
from appliance.messages.schema import ReasonCode
from appliance.plc import PlcError
from appliance.plc.image import STATE_CODES, VERDICT_CODES, LineBlock, PlcBlock
from appliance.plc.sim import Side
from appliance.plc.sim.program import Event, Memory, Missed, PlcProgram, Taken
from engines.common.errors import ConfigError

RETRY_S = 0.2
Fault = Literal["none", "never-acknowledges", "stands-still", "loses-triggers", "triggers-twice"]
_STATES = {code: name for name, code in STATE_CODES.items()}
_VERDICTS = {code: name for name, code in VERDICT_CODES.items()}


def told(event: Event) -> dict[str, object]:
    """An event as what is logged of it: names in place of codes."""
    if isinstance(event, Taken):
        result = event.result
        return {
            "event": "taken",
            "epoch": result.epoch,
            "part_id": result.part_id,
            "verdict": _VERDICTS[result.verdict],
            "reason": reason_name(result.reason),
            "score": None if math.isnan(result.score) else result.score,
        }
    if isinstance(event, Missed):
        return {"event": "missed", "epoch": event.epoch, "first": event.first, "last": event.last}
    return {
        "event": "line",
        "valid": event.valid,
        "fresh": event.fresh,
        "state": _STATES.get(event.state, str(event.state)),
        "overrun": event.overrun,
        "simulated": event.simulated,
        "epoch": event.epoch,
    }


def reason_name(code: int) -> str:
    """A reason as messages write it; a code that is not known as a number."""
    if code not in list(ReasonCode):
        return str(code)
    return "" if code == ReasonCode.NONE else ReasonCode(code).name.lower().replace("_", "-")


def recall(file: Path | None) -> Memory:
    """What an earlier run has left in retentive memory. Raises ConfigError when the file holds something else."""
    if file is None or not file.exists():
        return Memory()
    try:
        return msgspec.json.decode(file.read_bytes(), type=Memory)
    except msgspec.DecodeError as error:
        raise ConfigError(f"--retain {file}: not the memory of a PLC ({error}); name another file") from error


class Station(Protocol):
    """What a PLC does in each of its cycles."""

    @property
    def block(self) -> PlcBlock:
        """What it shows the line."""

    @property
    def over(self) -> bool:
        """Whether its work is done."""

    def cycle(self, line: LineBlock, now_s: float) -> list[dict[str, object]]:
        """One cycle; ``line`` is the newest block read. Returns what happened, as it is logged."""


class Follower:
    """A station without a belt: it fires nothing, and takes the results of whatever parts the line has."""

    over = False

    def __init__(self, program: PlcProgram, retain: Path | None) -> None:
        """``retain``: file for what outlives a restart."""
        self._program, self._retain = program, retain

    @property
    def block(self) -> PlcBlock:
        """See `Station.block`."""
        return self._program.block

    def cycle(self, line: LineBlock, now_s: float) -> list[dict[str, object]]:
        """See `Station.cycle`."""
        before = self._program.memory
        events = self._program.cycle(line, now_s)
        if self._retain and self._program.memory != before:
            remember(self._retain, self._program.memory)
        return [told(event) for event in events]


class Simulation:
    """One PLC at work."""

    def __init__(
        self, side: Side, station: Station, cycle_s: float, fault: Fault, tell: Callable[[dict[str, object]], None]
    ) -> None:
        """``tell`` takes what happens, with UTC and monotonic time."""
        self._side, self._station, self._cycle_s, self._fault, self._tell = side, station, cycle_s, fault, tell
        self._line, self._block = LineBlock(), PlcBlock()
        self._connected = False
        self._trouble = ""
        self._ended = threading.Event()
        self._failure: BaseException | None = None

    def run(self, stop: Stop) -> None:
        """Work until ``stop`` is set, or the work is done."""
        self._note({"event": "started"})
        exchanges = threading.Thread(target=self._communicate, name=EXCHANGES.name)
        exchanges.start()
        next_s = time.monotonic()
        try:
            while not stop.is_set() and not self._station.over and self._failure is None:
                self._show()
                for event in self._station.cycle(self._line, time.monotonic()):
                    self._note(event)
                next_s = max(next_s + self._cycle_s, time.monotonic())
                time.sleep(max(0.0, next_s - time.monotonic()))
        finally:
            self._ended.set()
            exchanges.join()
        if self._failure is not None:
            raise self._failure

    def _communicate(self) -> None:
        """In a thread of its own: a PLC's program does not wait for its network."""
        try:
            while not self._ended.wait(self._cycle_s):
                self._exchange()
        except BaseException as error:  # noqa: BLE001 - raised by `run`, in its caller's thread
            self._failure = error
        finally:
            self._side.close()

    def _exchange(self) -> None:
        """Show and read; a bridge that is away leaves what was read last, whose heartbeat stands still."""
        try:
            if not self._connected:
                self._side.connect()
                self._connected = True
                self._note({"event": "connected"})
            self._line = self._side.exchange(self._block)
        except PlcError as error:
            if self._connected or str(error) != self._trouble:
                self._trouble = str(error)
                self._note({"event": "lost", "text": self._trouble})
            self._connected = False
            self._side.close()
            self._ended.wait(RETRY_S)

    def _show(self) -> None:
        """What the next exchange shows."""
        block = self._station.block
        if self._fault == "stands-still":
            block = replace(block, heartbeat=0, epoch=0, part_id=0)
        elif self._fault == "never-acknowledges":
            block = replace(block, epoch=0, part_id=0)
        self._block = block

    def _note(self, what: dict[str, object]) -> None:
        self._tell({"time": utc_now(), "monotonic": time.monotonic()} | what)


def remember(file: Path, memory: Memory) -> None:
    """Write retentive memory; a reader sees the old or the new, never half."""
    written = file.with_name(file.name + ".new")
    written.write_bytes(msgspec.json.encode(memory))
    written.replace(file)
