"""Runs IEC 61131-3 structured text, as much of it as `appliance/plc/program.st` uses; anything else is an error.

There are no conversions, and a number that its type cannot hold is an error: a program that relies on either does
something else on another PLC.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from appliance.plc.iec.parser import read
from appliance.plc.iec.python import compiled
from appliance.plc.iec.tree import ArrayOf, File, StructuredTextError, Type
from appliance.plc.iec.values import Struct, builder, taker

__all__ = ["ArrayOf", "Instance", "Program", "RisingEdge", "Struct", "StructuredTextError", "Ton", "Type", "Variable", "parse"]

CODES = {"UINT": "H", "UDINT": "I", "REAL": "f"}  # as `struct` writes them
INITIAL: dict[str, object] = {"BOOL": False, "UINT": 0, "UDINT": 0, "REAL": 0.0, "TIME": timedelta()}


class Ton:
    """TON: Q from when IN has been TRUE for PT."""

    __slots__ = ("Q", "began")

    def __init__(self) -> None:
        self.began: timedelta | None = None
        self.Q = False

    def call(self, now: timedelta, IN: bool, PT: timedelta) -> None:  # noqa: N803
        """One call."""
        if not IN:
            self.began, self.Q = None, False
            return
        if self.began is None:
            self.began = now
        self.Q = now - self.began >= PT


class RisingEdge:
    """R_TRIG: Q in the one call in which CLK has become TRUE."""

    __slots__ = ("Q", "was")

    def __init__(self) -> None:
        self.was = self.Q = False

    def call(self, _: timedelta, CLK: bool) -> None:  # noqa: N803
        """One call."""
        self.Q, self.was = CLK and not self.was, CLK


STANDARD = {"TON": Ton, "R_TRIG": RisingEdge}


@dataclass
class Variable:
    """One declared name of a function block."""

    section: str
    type: Type
    initial: object


class Program:
    """The types of a file, and its one function block."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.structs = file.types
        self.variables = {
            one.name: Variable(section.kind, one.type, one.initial.value if one.initial else None)
            for section, one in file.variables()
        }
        self._takers: dict[Type, Callable[[object], Any]] = {}
        self._layouts: dict[Type, tuple[struct.Struct, Callable[[tuple[object, ...]], Any]]] = {}

    @cached_property
    def body(self) -> Callable[[Instance], None]:
        """One cycle."""
        return compiled(self.file)

    @cached_property
    def inputs(self) -> dict[str, Callable[[object], Any]]:
        """How each input takes a value; one of VAR_IN_OUT is not copied."""
        given = {name: one for name, one in self.variables.items() if one.section in ("VAR_INPUT", "VAR_IN_OUT")}
        return {
            name: (lambda value: value) if one.section == "VAR_IN_OUT" else self._taker(one.type) for name, one in given.items()
        }

    def initial(self, kind: Type) -> object:
        """What a variable of this type holds at first."""
        if isinstance(kind, ArrayOf):
            return [self.initial(kind.element) for _ in range(kind.length)]
        if kind in self.structs:
            return Struct({name: self.initial(one) for name, one in self.structs[kind].items()})
        return STANDARD[kind]() if kind in STANDARD else INITIAL[kind]

    def checked(self, kind: Type, value: object) -> object:
        """A value as a variable of this type takes it, a STRUCT or an ARRAY as a copy."""
        return self._taker(kind)(value)

    def _taker(self, kind: Type) -> Callable[[object], Any]:
        if kind not in self._takers:
            self._takers[kind] = taker(kind, self.structs)
        return self._takers[kind]

    def codes(self, kind: Type) -> str:
        """A type's elementary fields in their order, as `struct` writes them."""
        if isinstance(kind, ArrayOf):
            return self.codes(kind.element) * kind.length
        return "".join(map(self.codes, self.structs[kind].values())) if kind in self.structs else CODES[kind]

    def decode(self, kind: Type, content: bytes) -> Any:
        """A value from its bytes, big-endian and without gaps."""
        layout, build = self._layout(kind)
        return build(layout.unpack(content))

    def encode(self, kind: str, value: Struct) -> bytes:
        """A STRUCT of elementary fields as bytes."""
        return self._layout(kind)[0].pack(*value.values())

    def _layout(self, kind: Type) -> tuple[struct.Struct, Callable[[tuple[object, ...]], Any]]:
        if kind not in self._layouts:
            self._layouts[kind] = struct.Struct(">" + self.codes(kind)), builder(kind, self.structs)
        return self._layouts[kind]


class Instance:
    """The function block at work, with its memory."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.now = timedelta()
        self.between: Callable[[], None] = lambda: None  # called before each statement of a program with VAR_IN_OUT
        self.values = {
            name: program.initial(one.type) if one.initial is None else one.initial for name, one in program.variables.items()
        }

    def cycle(self, now: timedelta, **inputs: object) -> None:
        """One call. An input that is not given keeps its value; one of VAR_IN_OUT is not copied."""
        self.now = now
        takers = self.program.inputs
        for name, value in inputs.items():
            self.values[name] = takers[name](value)
        self.program.body(self)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def parse(source: str) -> Program:
    """Read a file of TYPEs and one FUNCTION_BLOCK. Raises StructuredTextError with the line of what is not known."""
    return Program(read(source))
