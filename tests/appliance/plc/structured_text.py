"""Runs IEC 61131-3 structured text, as much of it as `appliance/plc/program.st` uses; anything else is an error.

Values are Python's: BOOL a bool, UINT and UDINT an int, REAL a float, TIME a timedelta, a STRUCT a `Struct`, an ARRAY a list.
There are no conversions, and a number that its type cannot hold is an error: a program that relies on either does
something else on another PLC.
"""

from __future__ import annotations

import operator
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

TOKEN = re.compile(
    r"(?P<space>\s+|\(\*.*?\*\))|(?P<time>T#\d+(?:MS|S)\b)|(?P<number>\d+(?!\.\d)\b)|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<sign>:=|<>|<=|>=|\.\.|[-+*=<>()\[\],;:.])",
    re.DOTALL,
)
LEVELS: tuple[dict[str, Callable[[Any, Any], Any]], ...] = (  # from the loosest to the tightest
    {"OR": operator.or_},
    {"AND": operator.and_},
    {"=": operator.eq, "<>": operator.ne},
    {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge},
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "MOD": operator.mod},
)
NUMBERS = {"UINT": 1 << 16, "UDINT": 1 << 32}
CODES = {"UINT": "H", "UDINT": "I", "REAL": "f"}  # as `struct` writes them
INITIAL: dict[str, object] = {"BOOL": False, "UINT": 0, "UDINT": 0, "REAL": 0.0, "TIME": timedelta()}


class StructuredTextError(Exception):
    """The program cannot be read, or does what is not allowed."""


@dataclass(frozen=True)
class ArrayOf:
    """The type ARRAY [0..last] OF element."""

    element: Type
    length: int


Type = str | ArrayOf


class Struct(dict[str, Any]):
    """A value of a STRUCT: its fields by name."""


@dataclass
class Ton:
    """TON: Q from when IN has been TRUE for PT."""

    began: timedelta | None = None
    Q: bool = False

    def call(self, now: timedelta, IN: bool, PT: timedelta) -> None:  # noqa: N803
        self.began = (now if self.began is None else self.began) if IN else None
        self.Q = self.began is not None and now - self.began >= PT


@dataclass
class RisingEdge:
    """R_TRIG: Q in the one call in which CLK has become TRUE."""

    was: bool = False
    Q: bool = False

    def call(self, _: timedelta, CLK: bool) -> None:  # noqa: N803
        self.Q, self.was = CLK and not self.was, CLK


STANDARD = {"TON": Ton, "R_TRIG": RisingEdge}
Evaluate = Callable[["Instance"], Any]
Execute = Callable[["Instance"], None]


@dataclass
class Variable:
    """One declared name of a function block."""

    section: str
    type: Type
    initial: object


@dataclass
class Program:
    """The types of a file, and its one function block."""

    structs: dict[str, dict[str, Type]] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    body: Execute = lambda _: None

    def initial(self, kind: Type) -> object:
        """What a variable of this type holds at first."""
        if isinstance(kind, ArrayOf):
            return [self.initial(kind.element) for _ in range(kind.length)]
        if kind in self.structs:
            return Struct({name: self.initial(one) for name, one in self.structs[kind].items()})
        return STANDARD[kind]() if kind in STANDARD else INITIAL[kind]

    def checked(self, kind: Type, value: object) -> object:
        """A value as a variable of this type takes it, a STRUCT or an ARRAY as a copy."""
        if isinstance(kind, ArrayOf):
            assert isinstance(value, list)
            assert len(value) == kind.length
            return [self.checked(kind.element, one) for one in value]
        if kind in self.structs:
            assert isinstance(value, Struct)
            return Struct({name: self.checked(one, value[name]) for name, one in self.structs[kind].items()})
        if kind in STANDARD or type(value) is not type(INITIAL[kind]):
            raise StructuredTextError(f"{value!r} is no {kind}")
        if kind in NUMBERS and not 0 <= value < NUMBERS[kind]:  # type: ignore[operator]
            raise StructuredTextError(f"{value} is out of the range of {kind}")
        return value

    def codes(self, kind: Type) -> str:
        """A type's elementary fields in their order, as `struct` writes them."""
        if isinstance(kind, ArrayOf):
            return self.codes(kind.element) * kind.length
        return "".join(map(self.codes, self.structs[kind].values())) if kind in self.structs else CODES[kind]

    def decode(self, kind: Type, content: bytes) -> Any:
        """A value from its bytes, big-endian and without gaps."""
        return self._filled(kind, iter(struct.unpack(">" + self.codes(kind), content)))

    def _filled(self, kind: Type, numbers: Iterator[object]) -> object:
        if isinstance(kind, ArrayOf):
            return [self._filled(kind.element, numbers) for _ in range(kind.length)]
        if kind in self.structs:
            return Struct({name: self._filled(one, numbers) for name, one in self.structs[kind].items()})
        return next(numbers)

    def encode(self, kind: str, value: Struct) -> bytes:
        """A STRUCT of elementary fields as bytes."""
        return struct.pack(">" + self.codes(kind), *value.values())


class Instance:
    """The function block at work, with its memory."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.now = timedelta()
        self.between: Callable[[], None] = lambda: None  # called before each statement
        self.values = {
            name: program.initial(one.type) if one.initial is None else one.initial for name, one in program.variables.items()
        }

    def cycle(self, now: timedelta, **inputs: object) -> None:
        """One call. An input that is not given keeps its value; one of VAR_IN_OUT is not copied."""
        self.now = now
        for name, value in inputs.items():
            variable = self.program.variables[name]
            assert variable.section in ("VAR_INPUT", "VAR_IN_OUT"), name
            self.values[name] = value if variable.section == "VAR_IN_OUT" else self.program.checked(variable.type, value)
        self.program.body(self)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def parse(source: str) -> Program:
    """Read a file of TYPEs and one FUNCTION_BLOCK. Raises StructuredTextError with the line of what is not known."""
    return _Parser(source).file()


@dataclass
class _Place:
    """A name with its members and indices: what can be read, and what can be assigned."""

    section: str
    type: Type
    container: Evaluate
    key: Evaluate

    def read(self, at: Instance) -> Any:
        return self.container(at)[self.key(at)]


class _Parser:
    def __init__(self, source: str) -> None:
        self._tokens: list[tuple[str, str, int]] = []
        self._at = at = 0
        self._program = Program()
        while at < len(source):
            found = TOKEN.match(source, at)
            line = source.count("\n", 0, at) + 1
            if found is None:
                raise StructuredTextError(f"line {line}: {source[at : at + 20]!r} is not known")
            if found.lastgroup != "space":
                self._tokens.append((str(found.lastgroup), found.group(), line))
            at = found.end()
        self._tokens.append(("end", "", source.count("\n")))

    # Tokens

    def _peek(self) -> str:
        return self._tokens[self._at][1]

    def _next(self, kind: str = "") -> str:
        found, text, line = self._tokens[self._at]
        if kind and found != kind:
            raise StructuredTextError(f"line {line}: {text!r} in place of a {kind}")
        self._at += 1
        return text

    def _skip(self, text: str) -> bool:
        """Whether this comes next; then it is passed over."""
        found = self._peek() == text
        self._at += found
        return found

    def _need(self, *texts: str) -> None:
        for text in texts:
            if not self._skip(text):
                raise self._error(f"{self._peek()!r} in place of {text!r}")

    def _error(self, what: str) -> StructuredTextError:
        return StructuredTextError(f"line {self._tokens[self._at][2]}: {what}")

    # Declarations

    def file(self) -> Program:
        while self._skip("TYPE"):
            name = self._next("word")
            self._need(":", "STRUCT")
            self._program.structs[name] = {}
            while not self._skip("END_STRUCT"):
                one = self._next("word")
                self._need(":")
                self._program.structs[name][one] = self._type()
                self._need(";")
            self._need(";", "END_TYPE")
        self._need("FUNCTION_BLOCK")
        self._next("word")
        while self._peek() in ("VAR", "VAR_INPUT", "VAR_OUTPUT", "VAR_IN_OUT"):
            self._section()
        self._program.body = self._statements("END_FUNCTION_BLOCK")
        self._next("end")
        return self._program

    def _section(self) -> None:
        section = self._next()
        section += " CONSTANT" if self._skip("CONSTANT") else ""
        while not self._skip("END_VAR"):
            name = self._next("word")
            self._need(":")
            kind = self._type()
            initial = self._program.checked(kind, self._expression()(Instance(Program()))) if self._skip(":=") else None
            self._program.variables[name] = Variable(section, kind, initial)
            self._need(";")

    def _type(self) -> Type:
        if self._skip("ARRAY"):
            self._need("[", "0", "..")
            last = int(self._next("number"))
            self._need("]", "OF")
            return ArrayOf(self._type(), last + 1)
        if self._peek() not in INITIAL | STANDARD | self._program.structs:
            raise self._error(f"{self._peek()} is no known type")
        return self._next()

    # Statements

    def _statements(self, *ends: str) -> Execute:
        """Statements up to one of the words in ``ends``, which is passed over but for ELSIF and ELSE."""
        steps: list[Execute] = []
        while self._peek() not in ends:
            steps.append(self._statement())
        if self._peek() not in ("ELSIF", "ELSE"):
            self._next()

        def run(at: Instance) -> None:
            for step in steps:
                at.between()
                step(at)

        return run

    def _statement(self) -> Execute:
        match self._peek():
            case "IF":
                return self._if()
            case "FOR":
                return self._for()
        place = self._place()
        if self._skip("("):
            return self._call(place)
        if place.section in ("VAR CONSTANT", "VAR_INPUT"):
            raise self._error(f"{place.section} is assigned to")
        self._need(":=")
        value = self._expression()
        self._need(";")
        checked, kind = self._program.checked, place.type

        def assign(at: Instance) -> None:
            place.container(at)[place.key(at)] = checked(kind, value(at))

        return assign

    def _if(self) -> Execute:
        branches: list[tuple[Evaluate, Execute]] = []
        while self._skip("IF") or self._skip("ELSIF"):
            condition = self._expression()
            self._need("THEN")
            branches.append((condition, self._statements("ELSIF", "ELSE", "END_IF")))
        if self._skip("ELSE"):
            branches.append((lambda _: True, self._statements("END_IF")))
        self._need(";")

        def choose(at: Instance) -> None:
            for condition, run in branches:
                if _true(condition(at)):
                    run(at)
                    break

        return choose

    def _for(self) -> Execute:
        self._need("FOR")
        place = self._place()
        self._need(":=")
        first = self._expression()
        self._need("TO")
        last = self._expression()
        self._need("DO")
        body = self._statements("END_FOR")
        self._need(";")

        def loop(at: Instance) -> None:
            for i in range(first(at), last(at) + 1):
                place.container(at)[place.key(at)] = i
                body(at)

        return loop

    def _call(self, block: _Place) -> Execute:
        inputs: dict[str, Evaluate] = {}
        while not self._skip(")"):
            name = self._next("word")
            self._need(":=")
            inputs[name] = self._expression()
            if self._peek() != ")":
                self._need(",")
        self._need(";")

        def call(at: Instance) -> None:
            block.read(at).call(at.now, **{name: value(at) for name, value in inputs.items()})

        return call

    # Expressions

    def _expression(self, level: int = 0) -> Evaluate:
        if level == len(LEVELS):
            return self._operand()
        left = self._expression(level + 1)
        while self._peek() in LEVELS[level]:
            left = _binary(self._next(), left, self._expression(level + 1), level)
        return left

    def _operand(self) -> Evaluate:
        kind, text, _ = self._tokens[self._at]
        if self._skip("("):
            inner = self._expression()
            self._need(")")
            return inner
        if self._skip("NOT"):
            negated = self._operand()
            return lambda at: not _true(negated(at))
        if kind in ("time", "number") or text in ("TRUE", "FALSE"):
            constant = _constant(kind, self._next())
            return lambda _: constant
        return self._place().read

    def _place(self) -> _Place:
        name = self._next("word")
        if name not in self._program.variables:
            self._at -= 1
            raise self._error(f"{name} is not declared")
        variable = self._program.variables[name]
        place = _Place(variable.section, variable.type, lambda at: at.values, lambda _: name)
        while self._peek() in (".", "["):
            place = self._member(place) if self._skip(".") else self._element(place)
        return place

    def _member(self, of: _Place) -> _Place:
        name = self._next("word")
        if of.type in STANDARD and name == "Q":
            return _Place("VAR CONSTANT", "BOOL", lambda at: vars(of.read(at)), lambda _: name)
        if not isinstance(of.type, str) or name not in self._program.structs.get(of.type, {}):
            raise self._error(f"{of.type} has no {name}")
        return _Place(of.section, self._program.structs[of.type][name], of.read, lambda _: name)

    def _element(self, of: _Place) -> _Place:
        self._need("[")
        index = self._expression()
        self._need("]")
        if not isinstance(of.type, ArrayOf):
            raise self._error(f"{of.type} has no elements")
        length = of.type.length

        def checked(at: Instance) -> int:
            place: int = index(at)
            if type(place) is not int or not 0 <= place < length:
                raise StructuredTextError(f"index {place} of an array of {length}")
            return place

        return _Place(of.section, of.type.element, of.read, checked)


def _true(value: object) -> bool:
    if not isinstance(value, bool):
        raise StructuredTextError(f"{value!r} is no BOOL")
    return value


def _constant(kind: str, text: str) -> object:
    if kind == "time":
        number, unit = re.fullmatch(r"T#(\d+)(MS|S)", text).groups()  # type: ignore[union-attr]
        return timedelta(milliseconds=int(number)) if unit == "MS" else timedelta(seconds=int(number))
    return int(text) if kind == "number" else text == "TRUE"


def _binary(sign: str, left: Evaluate, right: Evaluate, level: int) -> Evaluate:
    operation, logical = LEVELS[level][sign], sign in ("AND", "OR")

    def evaluate(at: Instance) -> Any:
        a, b = left(at), right(at)
        if type(a) is not type(b) or logical != isinstance(a, bool):
            raise StructuredTextError(f"{a!r} {sign} {b!r}")
        return operation(a, b)

    return evaluate
