"""The table of alarms: every kind that the code raises, and no other, with what a person reads of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import appliance
from appliance.line import monitor
from appliance.messages.alarms import ALARMS, AlarmKind

SEVERITIES = {"info", "warning", "error"}
CALLS = [
    node
    for file in Path(appliance.__path__[0]).rglob("*.py")
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    if isinstance(node, ast.Call)
]


def raised() -> set[str]:
    """The kinds that stand in the code as the third argument of what takes severity, text, kind; or as what `_lose` is told."""
    kinds: set[str] = set()
    for call in CALLS:
        arguments = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "kind")]
        if call.args and constants(call.args[0]) & SEVERITIES and len(arguments) > 2:
            kinds |= constants(arguments[2])
        elif isinstance(call.func, ast.Attribute) and call.func.attr == "_lose":
            kinds |= constants(arguments[1])
    return kinds


def constants(value: ast.expr) -> set[str]:
    """The texts that an expression may be: itself, or either side of a choice."""
    return set(_constants(value))


def _constants(value: ast.expr) -> Iterator[str]:
    if isinstance(value, ast.IfExp):
        yield from _constants(value.body)
        yield from _constants(value.orelse)
    elif isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value


def test_the_code_raises_what_is_in_the_table_and_nothing_else() -> None:
    assert raised() == set(ALARMS)
    assert set(get_args(AlarmKind)) - {""} == set(ALARMS)
    assert all(meaning.when and meaning.what_to_do for meaning in ALARMS.values())


@pytest.mark.parametrize(
    ("kind", "figures"),
    [
        ("overrun", (monitor.WINDOW,)),
        ("late-rate", (monitor.LATE_BEGINS - 1, monitor.WINDOW, monitor.LATE_ENDS)),
        ("drift", (monitor.PASSES, round(100 * (1 - 2 * monitor.OUTSIDE)), monitor.FEWEST_SAMPLES)),
    ],
)
def test_the_figures_in_the_table_are_the_codes(kind: AlarmKind, figures: tuple[int, ...]) -> None:
    words = ALARMS[kind].when.replace(";", " ").replace("(", " ").split()
    assert [word for word in words if word.isdigit()] == [str(figure) for figure in figures]
