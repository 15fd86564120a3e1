"""Values of the types: checked as they come in, copied, and made of elementary fields, each by a function compiled once.

They are Python's: BOOL a bool, UINT and UDINT an int, REAL a float, TIME a timedelta, a STRUCT a `Struct`, an ARRAY a list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from appliance.plc.iec.tree import NUMBERS, ArrayOf, StructuredTextError, Type

Structs = Mapping[str, Mapping[str, Type]]
PYTHON = {"BOOL": "bool", "UINT": "int", "UDINT": "int", "REAL": "float", "TIME": "timedelta"}


class Struct(dict[str, Any]):
    """A value of a STRUCT: its fields by name."""


def refused(value: object, kind: object) -> Any:
    """A number that its type cannot hold."""
    raise StructuredTextError(f"{value} is out of the range of {kind}")


def no_element(index: int, length: int) -> Any:
    """An index beyond an array."""
    raise StructuredTextError(f"index {index} of an array of {length}")


def not_of(value: object, kind: object) -> Any:
    """A value of another type."""
    raise StructuredTextError(f"{value!r} is no {kind}")


def function(source: str, **known: object) -> Any:
    """The last thing that this source defines, by the name "made"."""
    space: dict[str, Any] = {
        "Struct": Struct,
        "refused": refused,
        "no_element": no_element,
        "not_of": not_of,
        "timedelta": timedelta,
        **known,
    }
    exec(compile(source, "<structured text>", "exec"), space)
    return space["made"]


def copied(kind: Type, value: str, structs: Structs) -> str:
    """The expression for a copy of a value of this type, which has been checked before."""
    if isinstance(kind, ArrayOf):
        inner = copied(kind.element, "_e", structs)
        return f"{value}.copy()" if inner == "_e" else f"(lambda _a: [{inner} for _e in _a])({value})"
    if kind not in structs:
        return value
    deep = {name: copied(one, f"_s[{name!r}]", structs) for name, one in structs[kind].items()}
    changed = ", ".join(f"{name!r}: {text}" for name, text in deep.items() if text != f"_s[{name!r}]")
    return f"Struct({value})" if not changed else f"(lambda _s: Struct({{**_s, {changed}}}))({value})"


def taker(kind: Type, structs: Structs) -> Callable[[object], Any]:
    """A function that gives a value as a variable of this type takes it: checked, a STRUCT or an ARRAY as a copy."""
    if isinstance(kind, ArrayOf):
        return _array_taker(kind, structs)
    if kind in structs:
        return _struct_taker(kind, structs)
    return function(f"def made(v):\n return {_simple(kind, 'v')}")  # type: ignore[no-any-return]


def _simple(kind: str, value: str) -> str:
    """The expression that checks an elementary value."""
    if kind not in PYTHON:
        return f"not_of({value}, {kind!r})"
    held = f"({value} if 0 <= {value} < {NUMBERS[kind]} else refused({value}, {kind!r}))" if kind in NUMBERS else value
    return f"{held} if type({value}) is {PYTHON[kind]} else not_of({value}, {kind!r})"


def _array_taker(kind: ArrayOf, structs: Structs) -> Callable[[object], Any]:
    one = taker(kind.element, structs)

    def take(value: object) -> list[Any]:
        if not isinstance(value, list) or len(value) != kind.length:
            not_of(value, kind)
        return [one(each) for each in value]  # type: ignore[attr-defined]

    return take


def _struct_taker(kind: str, structs: Structs) -> Callable[[object], Any]:
    known = {f"take_{name}": taker(one, structs) for name, one in structs[kind].items()}
    lines = ["def made(v):", f" if type(v) is not Struct: not_of(v, {kind!r})"]
    fields = []
    for i, (name, one) in enumerate(structs[kind].items()):
        simple = isinstance(one, str) and one not in structs
        lines.append(f" f{i} = v[{name!r}]" if simple else f" f{i} = take_{name}(v[{name!r}])")
        lines += [f" {_simple(str(one), f'f{i}')}"] if simple else []
        fields.append(f"{name!r}: f{i}")
    return function("\n".join([*lines, f" return Struct({{{', '.join(fields)}}})"]), **known)  # type: ignore[no-any-return]


def builder(kind: Type, structs: Structs) -> Callable[[tuple[object, ...]], Any]:
    """A function that makes a value of its elementary fields in their order."""
    count = iter(range(1 << 20))

    def expression(one: Type) -> str:
        if isinstance(one, ArrayOf):
            return "[" + ", ".join(expression(one.element) for _ in range(one.length)) + "]"
        if one in structs:
            return "Struct({" + ", ".join(f"{name!r}: {expression(each)}" for name, each in structs[one].items()) + "})"
        return f"n{next(count)}"

    built = expression(kind)
    names = ", ".join(f"n{i}" for i in range(next(count)))
    return function(f"def made(n):\n {names}, = n\n return {built}")  # type: ignore[no-any-return]
