"""Turns the tree into Python's source, compiled once: a cycle must not take longer than some tens of microseconds.

What the types do not show is checked while it runs: numbers that their type cannot hold, and indices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from appliance.plc.iec.tree import (
    BLOCKS,
    NUMBERS,
    ArrayOf,
    Assign,
    Binary,
    Body,
    Call,
    Element,
    Expression,
    File,
    For,
    If,
    Literal,
    Member,
    Name,
    Not,
    Note,
    Place,
    Statement,
    Type,
)
from appliance.plc.iec.values import copied, function

SIGNS = {"=": "==", "<>": "!=", "MOD": "%"}
WIDEST = "UDINT"  # what a number between two operators must fit


def compiled(file: File) -> Callable[[Any], None]:
    """The function that runs one cycle of an instance."""
    return function(_Source(file).source())  # type: ignore[no-any-return]


class _Source:
    """Python's source of the body. Variables are its locals, but for a program with VAR_IN_OUT.

    There a value may change between two statements, and what is looked at then is what the program has written so far.
    """

    def __init__(self, file: File) -> None:
        self._file, self._structs = file, file.types
        self._torn = any(section.kind == "VAR_IN_OUT" for section in file.sections)
        self._constants = {one.name: one.initial for section, one in file.variables() if section.kind == "VAR CONSTANT"}
        self._temporary = 0

    def source(self) -> str:
        names = [one.name for _, one in self._file.variables()]
        own = [one.name for section, one in self._file.variables() if section.kind in ("VAR", "VAR_OUTPUT")]
        load = [] if self._torn else [f" v_{name} = V[{name!r}]" for name in names]
        store = [] if self._torn else [f" V[{name!r}] = v_{name}" for name in own]
        head = ["def made(at):", " V, now, between = at.values, at.now, at.between"]
        return "\n".join([*head, *load, *self._body(self._file.body, 1), *store])

    def _body(self, body: Body, depth: int) -> Iterator[str]:
        pad = " " * depth
        yield f"{pad}pass"
        for one in body:
            if self._torn and not isinstance(one, Note):
                yield f"{pad}between()"
            yield from (pad + line for line in self._statement(one))

    def _statement(self, one: Statement) -> Iterator[str]:
        match one:
            case Assign():
                yield f"{self._place(one.target)} = {self._taken(one.target.type, one.value)}"
            case Call():
                given = dict(one.inputs)
                inputs = ", ".join(self._expression(given[name]) for name in BLOCKS[str(one.block.type)])
                yield f"{self._place(one.block)}.call(now, {inputs})"
            case If():
                for i, branch in enumerate(one.branches):
                    word = "elif" if i else "if"
                    yield "else:" if branch.condition is None else f"{word} {self._expression(branch.condition)}:"
                    yield from self._body(branch.body, 1)
            case For():
                first, last = (self._taken(one.target.type, bound) for bound in (one.first, one.last))
                yield f"for {self._place(one.target)} in range({first}, {last} + 1):"
                yield from self._body(one.body, 1)

    def _taken(self, kind: Type, value: Expression) -> str:
        """A value on its way into a place: in the range of its type, a STRUCT or an ARRAY as a copy."""
        if kind not in NUMBERS:
            return copied(kind, self._expression(value), self._structs)
        if _top(value, self._constants) < NUMBERS[str(kind)]:
            return self._expression(value)
        return self._within(self._raw(value), NUMBERS[str(kind)], kind)

    def _within(self, text: str, limit: int, kind: Type) -> str:
        name = self._name()
        return f"({name} if 0 <= ({name} := {text}) < {limit} else refused({name}, {kind!r}))"

    def _expression(self, one: Expression) -> str:
        match one:
            case Literal():
                return self._constant(one)
            case Not():
                return f"(not {self._expression(one.of)})"
            case Binary():
                text = self._raw(one)
                if one.type in NUMBERS and _top(one, self._constants) >= NUMBERS[WIDEST]:
                    return self._within(text, NUMBERS[WIDEST], WIDEST)
                if one.type == "TIME" and one.sign == "-":
                    name = self._name()
                    return f"({name} if ({name} := {text}) >= timedelta() else refused({name}, 'TIME'))"
                return text
        return self._place(one)

    def _raw(self, one: Expression) -> str:
        """An expression whose own result is not looked at."""
        if not isinstance(one, Binary):
            return self._expression(one)
        sign = SIGNS.get(one.sign, one.sign)
        if one.sign in ("AND", "OR"):  # both sides are always worked out, as a PLC may do: an error in either is one
            sign = {"AND": "&", "OR": "|"}[one.sign] if _may_fail(one.right) else one.sign.lower()
        return f"({self._expression(one.left)} {sign} {self._expression(one.right)})"

    def _name(self) -> str:
        """A name for a value in the middle of an expression."""
        self._temporary += 1
        return f"_{self._temporary}"

    def _constant(self, one: Literal) -> str:
        if isinstance(one.value, timedelta):
            return f"timedelta(microseconds={one.value // timedelta(microseconds=1)})"
        return repr(one.value)

    def _place(self, one: Place) -> str:
        match one:
            case Name():
                constant = self._constants.get(one.name)
                if constant is not None and constant.type != "TIME":
                    return repr(constant.value)
                return f"V[{one.name!r}]" if self._torn else f"v_{one.name}"
            case Member():
                return f"{self._place(one.of)}.Q" if one.of.type in BLOCKS else f"{self._place(one.of)}[{one.name!r}]"
            case Element():
                return f"{self._place(one.of)}[{self._index(one)}]"

    def _index(self, one: Element) -> str:
        assert isinstance(one.of.type, ArrayOf)
        length = one.of.type.length
        if _top(one.index, self._constants) < length:
            return self._expression(one.index)
        name = self._name()
        return f"{name} if 0 <= ({name} := {self._raw(one.index)}) < {length} else no_element({name}, {length})"


def _top(one: Expression, constants: Mapping[str, Literal | None]) -> int:
    """The largest number that this can be, or one beyond all where it might also be negative."""
    beyond = NUMBERS[WIDEST]
    match one:
        case Literal(value=int(value)):
            return value
        case Name(name=name) if constants.get(name) is not None:
            return _top(constants[name], constants)  # type: ignore[arg-type]
        case Binary(sign="MOD", right=right):
            return max(_top(right, constants) - 1, 0)
        case Binary(sign="-", left=left, right=right):
            a, b = (_fixed(side, constants) for side in (left, right))
            return a - b if a is not None and b is not None and a >= b else beyond
        case Binary(sign=sign, left=left, right=right):
            a, b = _top(left, constants), _top(right, constants)
            return min(a + b if sign == "+" else a * b, beyond)
    return NUMBERS[str(one.type)] - 1


def _fixed(one: Expression, constants: Mapping[str, Literal | None]) -> int | None:
    """The number, where it is always the same."""
    literal = constants.get(one.name) if isinstance(one, Name) else one
    return literal.value if isinstance(literal, Literal) and isinstance(literal.value, int) else None


def _may_fail(one: Expression) -> bool:
    """Whether working this out may be an error: it has arithmetic or an index."""
    match one:
        case Not() | Member():
            return _may_fail(one.of)
        case Binary():
            return one.sign in ("+", "-", "*", "MOD") or _may_fail(one.left) or _may_fail(one.right)
    return isinstance(one, Element)
