"""The body in the structured text of Logix controllers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from appliance.plc.iec.tree import (
    ArrayOf,
    Assign,
    Binary,
    Call,
    Element,
    Expression,
    File,
    If,
    Literal,
    Member,
    Name,
    Not,
    Statement,
)
from appliance.plc.iec.writer import INDENT, Writer

INDEX = "Index"  # a number behind it
COPY = (
    "Tags of a Logix controller keep their values without power: FirstCycle must be S:FS. "
    "Rule 1: the line's block may change while this runs. Only this copy is looked at."
)
OUTPUTS = {"TON": "DN", "R_TRIG": "OutputBit"}
CALLS = {
    "TON": (("TimerEnable", "IN"), ("PRE", "PT"), ("TONR", "")),
    "R_TRIG": (("InputBit", "CLK"), ("OSRI", "")),
}  # members that are set, and then the instruction


class Logix(Writer):
    """Structured text as Studio 5000 has it.

    An index that must be worked out is put into a tag of its own first: not all versions allow every operator there.
    """

    def __init__(self, file: File) -> None:
        self._file = file
        self._worked_out: list[str] = []  # for this statement
        self._in_use = 0  # by the statements around it
        self.indices = 0  # tags needed for them

    def logic(self, first: Sequence[str]) -> list[str]:
        """The lines of the routine, with the statements in ``first`` before all others."""
        head = self.comments(self._file.comments, 0)
        copies = [*self.comment(COPY, 0), *first, ""] if first else []
        return [*head, "", *copies, *self.body(self._file.body)]

    def literal(self, one: Literal) -> str:
        """BOOL is 0 or 1; times are milliseconds."""
        return str(one.value // timedelta(milliseconds=1) if isinstance(one.value, timedelta) else int(one.value))

    def member(self, one: Member) -> str:
        """A field of a struct, or what is Q of a function block elsewhere."""
        return f"{self.expression(one.of)}.{OUTPUTS.get(str(one.of.type), one.name)}"

    def expression(self, one: Expression, level: int = 0) -> str:
        """An expression; an index in it that is no name or number has been worked out before."""
        if not isinstance(one, Element) or isinstance(one.index, Name | Literal):
            return super().expression(one, level)
        index = self.expression(one.index)
        self._worked_out.append(f"{INDEX}{self._in_use + len(self._worked_out) + 1} := {index};")
        name = self._worked_out[-1].split()[0]
        self.indices = max(self.indices, self._in_use + len(self._worked_out))
        return f"{self.expression(one.of)}[{name}]"

    def statement(self, one: Statement, depth: int) -> list[str]:
        """The lines of one statement, with its indices before it."""
        outer, in_use = self._worked_out, self._in_use
        self._worked_out, self._in_use = [], in_use + len(outer)
        lines = self._assignment(one, depth) if isinstance(one, Assign) else super().statement(one, depth)
        begins = self.comments(one.branches[0].comments if isinstance(one, If) else one.comments, depth)
        indices = [INDENT * depth + line for line in self._worked_out]
        self._worked_out, self._in_use = outer, in_use
        return [*begins, *indices, *lines[len(begins) :]]

    def call(self, one: Call, depth: int) -> list[str]:
        """A call of a standard function block: its members are set, then it is executed."""
        block, given = self.name(one.block), dict(one.inputs)
        lines: list[str] = []
        for member, name in CALLS[str(one.block.type)]:
            text = f"{block}.{member} := {self._value(given[name])};" if name else f"{member}({block});"
            lines += self.code(text, depth, "" if name else one.remark)
        return lines

    def _assignment(self, one: Assign, depth: int) -> list[str]:
        """An assignment; whole structs and arrays are copied by an instruction."""
        kind, target, value = one.target.type, self.expression(one.target), self._value(one.value)
        text = f"{target} := {value};"
        if isinstance(kind, ArrayOf):
            text = f"COP({value}[0], {target}[0], {kind.length});"
        elif kind in self._file.types:
            text = f"COP({value}, {target}, 1);"
        return [*self.comments(one.comments, depth), *self.code(text, depth, one.remark)]

    def _value(self, one: Expression) -> str:
        text = self.expression(one)
        return f"({text})" if one.type == "BOOL" and isinstance(one, Binary | Not) else text
