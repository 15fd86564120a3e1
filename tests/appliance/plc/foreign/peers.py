"""The PLC's end of a protocol: a peer that reads and writes places of the process image, which it finds in the README."""

from __future__ import annotations

import re
import select
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.appliance.conftest import PATIENCE_S

README = Path(__file__).resolve().parents[4] / "appliance" / "plc" / "README.md"
TYPES = {"UINT": "u16", "UDINT": "u32", "REAL": "f32"}
SLOTS, SLOT_REGISTERS = 8, 9
REGISTERS = {"u16": 1, "u32": 2, "f32": 2}


def float32(value: float) -> float:
    """The nearest number that a REAL can hold."""
    narrowed: float = struct.unpack("f", struct.pack("f", value))[0]
    return narrowed


class RefusedError(Exception):
    """The other side, or the peer itself, does not do it."""


@dataclass(frozen=True)
class Place:
    """Where a field stands, counted from the image's beginning."""

    type: str  # u16, u32 or f32
    register: int
    node: str

    @property
    def byte(self) -> int:
        return 2 * self.register


def places_of_readme() -> dict[str, Place]:
    """Every field of the process image by its name, from the table that a PLC programmer has."""
    text = README.read_text(encoding="utf-8")
    table = text[text.index("<!-- BEGIN plc-image -->") : text.index("<!-- END plc-image -->")]
    row = re.compile(r"^\| (\d+)(?: to \d+)? \| (\d+) \| `(\w+\.\w+)` \| (\w+), \d+ bits \| `([\w.]+)` \|", re.MULTILINE)
    found = {name: Place(TYPES[kind], int(register), node) for register, _, name, kind, node in row.findall(table)}
    assert [2 * place.register for place in found.values()] == [int(byte) for _, byte, *_ in row.findall(table)]
    for name, first in [one for one in found.items() if one[0].startswith("Result0.")]:
        for i in range(1, SLOTS):
            node = first.node.replace("Result0", f"Result{i}")
            found[name.replace("Result0", f"Result{i}")] = Place(first.type, first.register + i * SLOT_REGISTERS, node)
    return found


class Peer(Protocol):
    """One end of a protocol. Both raise RefusedError when the other side does not do it."""

    def read(self, places: Sequence[Place]) -> list[float]:
        """The values of places, all in one request."""

    def write(self, values: Mapping[Place, float]) -> None:
        """Write places, all in one request."""


class PipePeer:
    """A process that takes orders; see the package."""

    def __init__(self, process: subprocess.Popen[str], stderr: Path, where: str, offset: int) -> None:
        """``where``: whether it counts places by `register`, `byte` or `node`; ``offset``: number of the first."""
        self._process, self._stderr = process, stderr
        self._where, self._offset = where, offset

    def ready(self) -> None:
        """Return when it has connected, or serves."""
        assert self._answer() == "ready", self._stderr.read_text()

    def read(self, places: Sequence[Place]) -> list[float]:
        """See `Peer.read`."""
        shown = self._order("read", map(self._name, places)).split()
        return [float32(float(text)) if place.type == "f32" else int(text) for place, text in zip(places, shown, strict=True)]

    def write(self, values: Mapping[Place, float]) -> None:
        """See `Peer.write`."""
        answer = self._order("write", (f"{self._name(place)}={value}" for place, value in values.items()))
        assert answer == "ok", answer

    def _name(self, place: Place) -> str:
        where = getattr(place, self._where)
        return f"{place.type}@{where if isinstance(where, str) else where + self._offset}"

    def _order(self, verb: str, words: Iterator[str]) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join([verb, *words]) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if answer.startswith("refused "):
            raise RefusedError(answer.removeprefix("refused "))
        return answer

    def _answer(self) -> str:
        out = self._process.stdout
        assert out is not None
        assert select.select([out], [], [], PATIENCE_S)[0], f"no answer; it said: {self._stderr.read_text()}"
        return out.readline().strip()


@contextmanager
def pipe_peer(command: Sequence[object], env: Mapping[str, str], stderr: Path, where: str, offset: int) -> Iterator[PipePeer]:
    """A peer at work, ended when the block is left: its input then ends, and so does it."""
    with stderr.open("w") as log:
        words = list(map(str, command))
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=env, cwd=stderr.parent
        )
    with process:
        try:
            peer = PipePeer(process, stderr, where, offset)
            peer.ready()
            yield peer
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(PATIENCE_S) == 0, stderr.read_text()
        finally:
            process.kill()


class Mbpoll:
    """The command `mbpoll`, once for each request; it shows 16-bit numbers, which are put together as the README says."""

    def __init__(self, port: int, base: int) -> None:
        self._port, self._base = port, base

    def read(self, places: Sequence[Place]) -> list[float]:
        """See `Peer.read`."""
        first = min(place.register for place in places)
        end = max(place.register + REGISTERS[place.type] for place in places)
        register = [int(value, 16) for value in self.show(first, end - first, "4:hex")]
        return [_value(register, place.register - first, place.type) for place in places]

    def write(self, values: Mapping[Place, float]) -> None:
        """See `Peer.write`."""
        words: list[int] = []
        ordered = sorted(values, key=lambda place: place.register)
        for place in ordered:
            words += divmod(int(values[place]), 65_536) if place.type == "u32" else [int(values[place])]
        self._run("-t", "4", "-r", self._number(ordered[0].register), "127.0.0.1", *words)

    def show(self, register: int, count: int, kind: str, *switches: str) -> list[str]:
        """What it prints of so many values from a register on, as its `-t` calls them."""
        shown = self._run("-t", kind, *switches, "-r", self._number(register), "-c", count, "127.0.0.1")
        return re.findall(r"^\[\d+\]:\s+(\S+)", shown, re.MULTILINE)

    def _number(self, register: int) -> int:
        return self._base + register + 1  # it counts from 1

    def _run(self, *words: object) -> str:
        command = ["mbpoll", "-m", "tcp", "-p", self._port, "-1", *words]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=PATIENCE_S)
        if done.returncode or "failed" in done.stderr:
            raise RefusedError(done.stderr.strip())
        return done.stdout


def _value(register: Sequence[int], n: int, kind: str) -> float:
    """A value from the registers as README.md puts them together."""
    if kind == "u16":
        return register[n]
    whole = register[n] * 65_536 + register[n + 1]
    value: float = struct.unpack("=f", struct.pack("=I", whole))[0] if kind == "f32" else whole
    return value
