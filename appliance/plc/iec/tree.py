"""What a program of structured text consists of.

Two trees are equal when they do the same and say the same: the types, the statements and the comments count, the places in
the file do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta


class StructuredTextError(Exception):
    """The program cannot be read, or does what is not allowed."""


@dataclass(frozen=True)
class ArrayOf:
    """The type ARRAY [0..last] OF element."""

    element: Type
    length: int

    def __str__(self) -> str:
        return f"ARRAY [0..{self.length - 1}] OF {self.element}"


Type = str | ArrayOf
NUMBERS = {"UINT": 1 << 16, "UDINT": 1 << 32}  # each holds what is below
BLOCKS = {"TON": {"IN": "BOOL", "PT": "TIME"}, "R_TRIG": {"CLK": "BOOL"}}  # standard function blocks, and their inputs
SIMPLE = ("BOOL", "UINT", "UDINT", "REAL", "TIME")

# Expressions


@dataclass(frozen=True)
class Literal:
    """TRUE, 5, T#270MS."""

    value: bool | int | timedelta
    type: Type


@dataclass(frozen=True)
class Name:
    """A variable; ``section`` is where it is declared."""

    name: str
    section: str
    type: Type


@dataclass(frozen=True)
class Member:
    """A field of a struct, or Q of a standard function block."""

    of: Place
    name: str
    type: Type


@dataclass(frozen=True)
class Element:
    """An element of an array."""

    of: Place
    index: Expression
    type: Type


@dataclass(frozen=True)
class Not:
    """NOT of a BOOL."""

    of: Expression
    type: Type = "BOOL"


@dataclass(frozen=True)
class Binary:
    """Two operands and what stands between them."""

    sign: str
    left: Expression
    right: Expression
    type: Type


Place = Name | Member | Element
Expression = Literal | Place | Not | Binary
LEVELS = (("OR",), ("AND",), ("=", "<>"), ("<", ">", "<=", ">="), ("+", "-"), ("*", "MOD"))  # from the loosest to the tightest

# Statements


@dataclass(frozen=True)
class Statement:
    """What all statements have: the comments before them, and the one behind them in the same line."""

    comments: tuple[str, ...] = field(default=(), kw_only=True)
    remark: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Note(Statement):
    """Comments that no statement follows."""


@dataclass(frozen=True)
class Assign(Statement):
    """A value into a place."""

    target: Place
    value: Expression


@dataclass(frozen=True)
class Call(Statement):
    """A call of a standard function block with all its inputs."""

    block: Name
    inputs: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True)
class Branch(Statement):
    """IF, ELSIF or, without a condition, ELSE; it is no statement of its own. Its remark stands behind THEN or ELSE."""

    condition: Expression | None
    body: Body


@dataclass(frozen=True)
class If(Statement):
    """The first branch whose condition holds. The comments before it are its first branch's."""

    branches: tuple[Branch, ...]


@dataclass(frozen=True)
class For(Statement):
    """A body for each number from first to last; ``note`` stands behind DO."""

    target: Place
    first: Expression
    last: Expression
    body: Body
    note: str = ""


Body = tuple[Statement, ...]

# Declarations


@dataclass(frozen=True)
class Declared:
    """A field of a struct, or a variable: only this has an initial value."""

    name: str
    type: Type
    initial: Literal | None = None
    comments: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class StructType:
    """A TYPE ... END_TYPE with one STRUCT."""

    name: str
    fields: tuple[Declared, ...]
    comments: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class Section:
    """VAR_INPUT, VAR_OUTPUT, VAR_IN_OUT, VAR or VAR CONSTANT with its variables."""

    kind: str
    variables: tuple[Declared, ...]
    comments: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class File:
    """The types and the one function block of a file."""

    structs: tuple[StructType, ...]
    name: str
    sections: tuple[Section, ...]
    body: Body
    comments: tuple[str, ...] = ()  # at the head of the file
    about: tuple[str, ...] = ()  # before FUNCTION_BLOCK

    @property
    def types(self) -> dict[str, dict[str, Type]]:
        """The fields of each struct by name."""
        return {one.name: {each.name: each.type for each in one.fields} for one in self.structs}

    def variables(self) -> Iterator[tuple[Section, Declared]]:
        """Each variable with its section."""
        return ((section, one) for section in self.sections for one in section.variables)
