"""Writes a tree as structured text. A vendor's dialect is a subclass that says what it writes otherwise."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from datetime import timedelta

from appliance.plc.iec.tree import (
    LEVELS,
    Assign,
    Binary,
    Body,
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
    Section,
    Statement,
    StructType,
    Type,
)

WIDTH = 120
INDENT = "    "
TIGHTEST = len(LEVELS)


class Writer:
    """Structured text as IEC 61131-3 has it."""

    # Expressions

    def name(self, one: Name) -> str:
        """A variable of the function block."""
        return one.name

    def literal(self, one: Literal) -> str:
        """TRUE, 5 or T#270MS."""
        if isinstance(one.value, timedelta):
            thousandths = one.value // timedelta(milliseconds=1)
            return f"T#{thousandths // 1000}S" if thousandths and thousandths % 1000 == 0 else f"T#{thousandths}MS"
        return str(one.value).upper()

    def member(self, one: Member) -> str:
        """A field of a struct, or Q of a function block."""
        return f"{self.expression(one.of)}.{one.name}"

    def expression(self, one: Expression, level: int = 0) -> str:
        """An expression, in brackets where it binds more loosely than its surroundings, which are of ``level``."""
        match one:
            case Literal():
                return self.literal(one)
            case Name():
                return self.name(one)
            case Member():
                return self.member(one)
            case Element():
                return f"{self.expression(one.of)}[{self.expression(one.index)}]"
            case Not():
                return f"NOT {self.expression(one.of, TIGHTEST)}"
            case Binary():
                own = next(i for i, signs in enumerate(LEVELS) if one.sign in signs)
                text = f"{self.expression(one.left, own)} {one.sign} {self.expression(one.right, own + 1)}"
                return f"({text})" if own < level else text

    # Statements

    def body(self, body: Body, depth: int = 0) -> list[str]:
        """Lines of statements. At the outermost level a blank line stands before each that has a comment."""
        lines: list[str] = []
        for one in body:
            written = self.statement(one, depth)
            begins = one.branches[0].comments if isinstance(one, If) else one.comments
            lines += ["", *written] if lines and begins and depth == 0 else written
        return lines

    def statement(self, one: Statement, depth: int) -> list[str]:
        """The lines of one statement with its comments."""
        lines = [] if isinstance(one, If) else self.comments(one.comments, depth)
        match one:
            case Assign():
                lines += self.code(f"{self.expression(one.target)} := {self.expression(one.value)};", depth, one.remark)
            case Call():
                lines += self.call(one, depth)
            case If():
                lines += self.choice(one, depth)
            case For():
                head = f"FOR {self.expression(one.target)} := {self.expression(one.first)} TO {self.expression(one.last)} DO"
                lines += self.code(head, depth, one.note)
                lines += [*self.body(one.body, depth + 1), *self.code("END_FOR;", depth, one.remark)]
        return lines

    def call(self, one: Call, depth: int) -> list[str]:
        """A call of a standard function block."""
        inputs = ", ".join(f"{name} := {self.expression(value)}" for name, value in one.inputs)
        return self.code(f"{self.name(one.block)}({inputs});", depth, one.remark)

    def choice(self, one: If, depth: int) -> list[str]:
        """IF with its branches."""
        conditions = [branch.condition and self.expression(branch.condition) for branch in one.branches]
        lines: list[str] = []
        for i, (branch, condition) in enumerate(zip(one.branches, conditions, strict=True)):
            head = f"{'ELSIF' if i else 'IF'} {condition} THEN" if condition else "ELSE"
            lines += [*self.comments(branch.comments, depth), *self.code(head, depth, branch.remark)]
            lines += self.body(branch.body, depth + 1)
        return [*lines, *self.code("END_IF;", depth, one.remark)]

    # Declarations

    def type(self, kind: Type) -> str:
        """A type's name."""
        return str(kind)

    def declaration(self, one: Declared, depth: int) -> list[str]:
        """A field or a variable."""
        initial = f" := {self.literal(one.initial)}" if one.initial else ""
        return [
            *self.comments(one.comments, depth),
            *self.code(f"{one.name} : {self.type(one.type)}{initial};", depth, one.remark),
        ]

    def struct(self, one: StructType) -> list[str]:
        """A TYPE."""
        lines = [*self.comments(one.comments, 0), "TYPE", *self.code(f"{one.name} : STRUCT", 1, one.remark)]
        lines += [line for each in one.fields for line in self.declaration(each, 2)]
        return [*lines, f"{INDENT}END_STRUCT;", "END_TYPE"]

    def section(self, one: Section) -> list[str]:
        """A VAR section."""
        lines = [*self.comments(one.comments, 0), *self.code(one.kind, 0, one.remark)]
        return [*lines, *(line for each in one.variables for line in self.declaration(each, 1)), "END_VAR"]

    def file(self, file: File) -> str:
        """The whole."""
        lines = [*self.comments(file.comments, 0), ""]
        for one in file.structs:
            lines += [*self.struct(one), ""]
        lines += [*self.comments(file.about, 0), f"FUNCTION_BLOCK {file.name}"]
        for section in file.sections:
            lines += self.section(section)
        return "\n".join([*lines, "", *self.body(file.body), "END_FUNCTION_BLOCK"]).strip() + "\n"

    # Lines

    def comments(self, texts: Iterable[str], depth: int) -> list[str]:
        """Comments of their own lines."""
        return [line for text in texts for line in self.comment(text, depth)]

    def comment(self, text: str, depth: int) -> list[str]:
        """One comment: a blank line between paragraphs, none before an item of a list."""
        lines = list(paragraphs(text, WIDTH - len(INDENT) * depth))
        lines[0] = f"(* {lines[0]}"
        lines[-1] += " *)"
        return [f"{INDENT * depth}{'   ' if i and line else ''}{line}".rstrip() for i, line in enumerate(lines)]

    def code(self, text: str, depth: int, remark: str = "") -> list[str]:
        """A statement's line, or several where it is too long, with the comment behind it."""
        lines = [INDENT * depth]
        for piece in re.split(r" (?=(?:AND|OR) )", text):
            if len(lines[-1]) + len(piece) > WIDTH and lines[-1].strip():
                lines.append(INDENT * (depth + 1))
            lines[-1] += piece if not lines[-1].strip() else f" {piece}"
        lines[-1] += self.behind(remark)
        return lines

    def behind(self, remark: str) -> str:
        """A comment in the line of what it speaks of."""
        return f" (* {' '.join(remark.split())} *)" if remark else ""


def paragraphs(text: str, width: int) -> Iterator[str]:
    """A comment's lines: broken at the width, with a blank line before each paragraph that is no item of a list."""
    for i, paragraph in enumerate(text.split("\n")):
        if i and not paragraph.startswith("- "):
            yield ""
        yield from textwrap.wrap(paragraph, width, break_long_words=False, break_on_hyphens=False) or [""]
