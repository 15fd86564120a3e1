"""Reads a file of structured text: as much of the language as `appliance/plc/program.st` uses, and anything else is an error.

Names and types are looked up as they come, so that an error has the line of what is wrong.
"""

from __future__ import annotations

import re
from datetime import timedelta

from appliance.plc.iec.tokens import Stream
from appliance.plc.iec.tree import (
    BLOCKS,
    LEVELS,
    NUMBERS,
    SIMPLE,
    ArrayOf,
    Assign,
    Binary,
    Body,
    Branch,
    Call,
    Declared,
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
    Section,
    Statement,
    StructType,
    Type,
)
from appliance.plc.iec.writer import Writer

SECTIONS = ("VAR", "VAR_INPUT", "VAR_OUTPUT", "VAR_IN_OUT")
FIXED = ("VAR CONSTANT", "VAR_INPUT")  # are not assigned to


def read(source: str) -> File:
    """A file of TYPEs and one FUNCTION_BLOCK. Raises StructuredTextError with the line of what is not known."""
    return _Parser(source).file()


def base(kind: Type) -> Type:
    """The type as operators see it: numbers of all widths are one."""
    return "UDINT" if kind in NUMBERS else kind


class _Parser(Stream):
    def __init__(self, source: str) -> None:
        super().__init__(source)
        self._structs: dict[str, dict[str, Type]] = {}
        self._variables: dict[str, Name] = {}

    # Declarations

    def file(self) -> File:
        head = tuple(self.token.above)
        self.token.above = []
        structs: list[StructType] = []
        while self.skip("TYPE"):
            structs.append(self._struct())
        self.need("FUNCTION_BLOCK")
        about, name, sections = self.comments(), self.next("word"), []
        while self.peek() in SECTIONS:
            sections.append(self._section())
        body = self._body("END_FUNCTION_BLOCK")
        self.need("END_FUNCTION_BLOCK")
        self.next("end")
        return File(tuple(structs), name, tuple(sections), body, head, about)

    def _struct(self) -> StructType:
        name = self.next("word")
        self.need(":", "STRUCT")
        comments, remark, fields = self.comments(), self.remark(), []
        while not self.skip("END_STRUCT"):
            fields.append(self._declared(of_struct=True))
        self._structs[name] = {one.name: one.type for one in fields}
        self.need(";", "END_TYPE")
        return StructType(name, tuple(fields), comments, remark)

    def _section(self) -> Section:
        kind = self.next()
        kind += " CONSTANT" if self.skip("CONSTANT") else ""
        comments, remark, variables = self.comments(), self.remark(), []
        while not self.skip("END_VAR"):
            one = self._declared(of_struct=False)
            self._variables[one.name] = Name(one.name, kind, one.type)
            variables.append(one)
        return Section(kind, tuple(variables), comments, remark)

    def _declared(self, of_struct: bool) -> Declared:
        name = self.next("word")
        self.need(":")
        kind, initial = self._type(), None
        if not of_struct and self.skip(":="):
            initial = self._literal()
            if initial is None:
                raise self.error(f"{self.peek()!r} in place of a literal")
            self._assignable(kind, initial)
        self.need(";")
        return Declared(name, kind, initial, self.comments(), self.remark())

    def _type(self) -> Type:
        if self.skip("ARRAY"):
            self.need("[", "0", "..")
            last = int(self.next("number"))
            self.need("]", "OF")
            return ArrayOf(self._type(), last + 1)
        if self.peek() not in (*SIMPLE, *BLOCKS, *self._structs):
            raise self.error(f"{self.peek()} is no known type")
        return self.next()

    # Statements

    def _body(self, *ends: str) -> Body:
        """Statements up to one of the words in ``ends``."""
        steps: list[Statement] = []
        while self.peek() not in ends:
            steps.append(self._statement())
        if self.token.behind or self.token.above:
            steps.append(Note(comments=(*self.token.behind, *self.token.above)))
            self.token.behind, self.token.above = [], []
        return tuple(steps)

    def _statement(self) -> Statement:
        match self.peek():
            case "IF":
                return self._if()
            case "FOR":
                return self._for()
        place = self._place()
        if self.skip("("):
            return self._call(place)
        self._open_to_assignment(place)
        self.need(":=")
        value = self._expression()
        self._assignable(place.type, value)
        self.need(";")
        return Assign(place, value, comments=self.comments(), remark=self.remark())

    def _if(self) -> Statement:
        branches: list[Branch] = []
        while self.skip("IF") or self.skip("ELSIF"):
            condition = self._bool(self._expression())
            self.need("THEN")
            comments, remark = self.comments(), self.remark()
            branches.append(Branch(condition, self._body("ELSIF", "ELSE", "END_IF"), comments=comments, remark=remark))
        if self.skip("ELSE"):
            comments, remark = self.comments(), self.remark()
            branches.append(Branch(None, self._body("END_IF"), comments=comments, remark=remark))
        self.need("END_IF", ";")
        return If(tuple(branches), remark=self.remark())

    def _for(self) -> Statement:
        self.need("FOR")
        place = self._place()
        self._open_to_assignment(place)
        self.need(":=")
        first = self._expression()
        self.need("TO")
        last = self._expression()
        self.need("DO")
        for one in (first, last):
            self._assignable(place.type, one)
        comments, note = self.comments(), self.remark()
        body = self._body("END_FOR")
        self.need("END_FOR", ";")
        return For(place, first, last, body, note, comments=comments, remark=self.remark())

    def _call(self, block: Place) -> Statement:
        if not isinstance(block, Name) or not isinstance(block.type, str) or block.type not in BLOCKS:
            raise self.error(f"{block.type} cannot be called")
        wanted, given = BLOCKS[block.type], {}
        while not self.skip(")"):
            name = self.next("word")
            if name not in wanted:
                raise self.error(f"{block.type} has no {name}")
            self.need(":=")
            given[name] = self._expression()
            self._assignable(wanted[name], given[name])
            if self.peek() != ")":
                self.need(",")
        self.need(";")
        if given.keys() != wanted.keys():
            raise self.error(f"{block.type} needs {', '.join(wanted)}")
        inputs = tuple((name, given[name]) for name in wanted)
        return Call(block, inputs, comments=self.comments(), remark=self.remark())

    # Expressions

    def _expression(self, level: int = 0) -> Expression:
        if level == len(LEVELS):
            return self._operand()
        left = self._expression(level + 1)
        while self.peek() in LEVELS[level]:
            sign = self.next()
            left = self._binary(sign, left, self._expression(level + 1))
        return left

    def _binary(self, sign: str, left: Expression, right: Expression) -> Expression:
        kind = base(left.type)
        logical, compares = sign in ("AND", "OR"), sign in (*LEVELS[2], *LEVELS[3])
        allowed = ("BOOL",) if logical else ("UDINT", "REAL", "TIME") if compares or sign in "+-" else ("UDINT",)
        if kind != base(right.type) or kind not in allowed:
            raise self.error(f"{left.type} {sign} {right.type}: {Writer().expression(Binary(sign, left, right, kind))}")
        return Binary(sign, left, right, "BOOL" if logical or compares else kind)

    def _operand(self) -> Expression:
        if self.skip("("):
            inner = self._expression()
            self.need(")")
            return inner
        if self.skip("NOT"):
            return Not(self._bool(self._operand()))
        return self._literal() or self._place()

    def _literal(self) -> Literal | None:
        kind, text = self.token.kind, self.peek()
        if kind == "time":
            number, unit = re.fullmatch(r"T#(\d+)(MS|S)", self.next()).groups()  # type: ignore[union-attr]
            return Literal(timedelta(milliseconds=int(number) * (1 if unit == "MS" else 1000)), "TIME")
        if kind == "number":
            return Literal(int(self.next()), "UDINT")
        return Literal(self.next() == "TRUE", "BOOL") if text in ("TRUE", "FALSE") else None

    def _place(self) -> Place:
        if self.token.kind == "word" and self.peek() not in self._variables:
            raise self.error(f"{self.peek()} is not declared")
        place: Place = self._variables[self.next("word")]
        while self.peek() in (".", "["):
            place = self._member(place) if self.skip(".") else self._element(place)
        return place

    def _member(self, of: Place) -> Place:
        name = self.next("word")
        if of.type in BLOCKS and name == "Q":
            return Member(of, name, "BOOL")
        if not isinstance(of.type, str) or name not in self._structs.get(of.type, {}):
            raise self.error(f"{of.type} has no {name}")
        return Member(of, name, self._structs[of.type][name])

    def _element(self, of: Place) -> Place:
        self.need("[")
        index = self._expression()
        self.need("]")
        if not isinstance(of.type, ArrayOf) or base(index.type) != "UDINT":
            raise self.error(f"{of.type} has no elements, or {index.type} is no index")
        return Element(of, index, of.type.element)

    # Types

    def _bool(self, one: Expression) -> Expression:
        if one.type != "BOOL":
            raise self.error(f"{Writer().expression(one)} is no BOOL")
        return one

    def _assignable(self, kind: Type, value: Expression) -> None:
        text = Writer().expression(value)
        if base(kind) != base(value.type) or kind in BLOCKS:
            raise self.error(f"{text} is no {kind}")
        if isinstance(value, Literal) and kind in NUMBERS and value.value >= NUMBERS[str(kind)]:  # type: ignore[operator]
            raise self.error(f"{text} is out of the range of {kind}")

    def _open_to_assignment(self, place: Place) -> None:
        root = place
        while not isinstance(root, Name):
            if root.of.type in BLOCKS:
                raise self.error(f"{root.name if isinstance(root, Member) else root} of a function block is assigned to")
            root = root.of
        if root.section in FIXED:
            raise self.error(f"{root.section} is assigned to")
