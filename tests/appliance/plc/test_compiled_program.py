"""The program as compiled Python: what is checked in it, what is copied, and when something may come between two statements."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from appliance.plc.iec.parser import read
from appliance.plc.iec.program import Instance, StructuredTextError, parse
from appliance.plc.iec.writer import WIDTH, Writer

STRUCTS = (
    "TYPE Inner : STRUCT Number : UINT; END_STRUCT; END_TYPE\n"
    "TYPE Outer : STRUCT Before : UDINT; Inners : ARRAY [0..1] OF Inner; END_STRUCT; END_TYPE\n"
)
NAMES = (
    "VAR_INPUT Given : Outer; Time : TIME; END_VAR\nVAR CONSTANT FOUR : UINT := 4; END_VAR\n"
    "VAR a : UINT; b : UINT; d : UDINT; yes : BOOL; Late : TON; "
    "Numbers : ARRAY [0..3] OF UINT; Kept : Outer; One : Inner; END_VAR\n"
)


def instance(statements: str, names: str = NAMES) -> Instance:
    return Instance(parse(f"{STRUCTS}FUNCTION_BLOCK Small\n{names}{statements}\nEND_FUNCTION_BLOCK\n"))


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        ("yes := a - b - 1 > 0;", "-1 is out of the range of UDINT"),
        ("d := 4294967295; yes := d + 1 > d;", "4294967296 is out of the range of UDINT"),
        ("Late(IN := TRUE, PT := Time - T#1MS);", "is out of the range of TIME"),
        ("yes := a > 0 AND Numbers[a + 4] = 1;", "index 4 of an array of 4"),
        ("yes := TRUE OR Numbers[b + FOUR] = 1;", "index 4 of an array of 4"),
        ("a := d + 65536;", "65536 is out of the range of UINT"),
        ("FOR a := 0 TO d + 65536 DO b := 0; END_FOR;", "65536 is out of the range of UINT"),
        ("a := 70000;", "line 7: 70000 is out of the range of UINT"),
        ("Late(IN := yes);", "TON needs IN, PT"),
        ("Late.Q := TRUE;", "of a function block is assigned to"),
        ("Kept := One;", "is no Outer"),
        ("Late := Late;", "is no TON"),
        ("yes := yes = yes;", "yes = yes"),
        ("Given.Before := 1;", "VAR_INPUT is assigned to"),
    ],
)
def test_what_its_types_cannot_hold_is_an_error(statements: str, message: str) -> None:
    with pytest.raises(StructuredTextError, match=message):
        instance(statements).cycle(timedelta())


@pytest.mark.parametrize("value", [-1, 65_536, True, 1.0])
def test_an_input_is_checked_to_its_last_field(value: object) -> None:
    small = instance("a := Given.Inners[1].Number;")
    given = small.program.initial("Outer")
    assert isinstance(given, dict)
    small.cycle(timedelta(), Given=given)
    given["Inners"][1]["Number"] = value
    with pytest.raises(StructuredTextError, match=r"out of the range of UINT|is no UINT"):
        small.cycle(timedelta(), Given=given)


def test_whole_values_are_copies() -> None:
    small = instance("Kept := Given; One := Kept.Inners[0]; Kept.Inners[0].Number := 5; One.Number := One.Number + 1;")
    given = small.program.initial("Outer")
    assert isinstance(given, dict)
    small.cycle(timedelta(), Given=given)
    assert given["Inners"][0]["Number"] == small["Given"]["Inners"][0]["Number"] == 0
    assert small["Kept"]["Inners"][0]["Number"] == 5
    assert small["One"]["Number"] == 1


def test_between_two_statements_an_in_out_may_change_and_an_input_not() -> None:
    names = "VAR_IN_OUT Given : Outer; END_VAR\nVAR a : UDINT; b : UDINT; END_VAR\n"
    for section, expected in (("VAR_IN_OUT", (1, 3)), ("VAR_INPUT", (0, 0))):
        small = instance("a := Given.Before; IF TRUE THEN b := Given.Before; END_IF;", names.replace("VAR_IN_OUT", section))
        given = small.program.initial("Outer")
        assert isinstance(given, dict)
        small.between = lambda given=given: given.update(Before=given["Before"] + 1)  # type: ignore[misc]
        small.cycle(timedelta(), Given=given)
        assert (small["a"], small["b"]) == expected


def test_values_are_decoded_in_the_order_of_their_fields() -> None:
    program = instance("").program
    value = program.decode("Outer", bytes([0, 0, 1, 0, 0, 2, 0, 3]))
    assert value == {"Before": 256, "Inners": [{"Number": 2}, {"Number": 3}]}
    assert program.encode("Inner", value["Inners"][1]) == bytes([0, 3])


def test_comments_are_kept_wherever_they_stand() -> None:
    words = [f"word{i}" for i in range(17)]
    marks = iter(f"(* {word} *)" for word in words)
    source = "{}\n{}TYPE A : STRUCT {} {}\nx : UINT; {}\nEND_STRUCT; END_TYPE\n"
    source += "{}FUNCTION_BLOCK F VAR {}\n{}\nx : UINT; {}\nEND_VAR\n"
    source += "{}\nIF {} x = 1 THEN {}\n x := 2; {}\n {}\nELSE {}\n{}\nEND_IF; {}\nEND_FUNCTION_BLOCK"
    file = read(source.format(*marks))
    text = Writer().file(file)
    assert sorted(word for word in words if f" {word} " in text.replace("\n", " ")) == sorted(words)
    assert read(text) == file


def test_long_lines_are_broken_between_conditions() -> None:
    condition = " AND ".join(["yes", *(f"a = {i} AND (b > {i} OR d <> {i})" for i in range(9))])
    file = read(f"{STRUCTS}FUNCTION_BLOCK Small\n{NAMES}yes := {condition};\nEND_FUNCTION_BLOCK\n")
    lines = Writer().body(file.body)
    assert len(lines) > 2
    assert max(map(len, lines)) <= WIDTH + 1
    assert all(after.strip().startswith(("AND", "OR")) for _, after in pairwise(lines))
    assert read(Writer().file(file)) == file
