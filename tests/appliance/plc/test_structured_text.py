"""The file `program.st`, and the interpreter that runs it."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.host.time_limits import PLC_STALE_S
from appliance.plc.iec.program import ArrayOf, StructuredTextError, parse
from appliance.plc.image import LINE_FIELDS, LINE_SPAN, PLC_FIELDS, PLC_SPAN, SLOT_FIELDS, SLOTS, Field
from tests.appliance.plc.belt import Belt
from tests.appliance.plc.scenarios import FILE, PROGRAM, SOURCE

TYPES = {"H": "UINT", "I": "UDINT", "f": "REAL"}


def declared(fields: tuple[Field, ...]) -> dict[str, str]:
    return {one.name: TYPES[one.code] for one in fields}


def test_the_types_of_the_file_are_the_process_image() -> None:
    assert list(PROGRAM.structs["InspectResult"].items()) == list(declared(SLOT_FIELDS).items())
    assert list(PROGRAM.structs["InspectPlc"].items()) == list(declared(PLC_FIELDS).items())
    results = {"Results": ArrayOf("InspectResult", SLOTS)}
    assert list(PROGRAM.structs["InspectLine"].items()) == list((declared(LINE_FIELDS) | results).items())
    assert len(PROGRAM.encode("InspectPlc", PROGRAM.decode("InspectPlc", bytes(PLC_SPAN.length)))) == PLC_SPAN.length
    assert PROGRAM.decode("InspectLine", bytes(LINE_SPAN.length))["Results"][7]["Valid"] == 0


def test_the_constants_of_the_file_are_those_of_the_line() -> None:
    constants = {name: one.initial for name, one in PROGRAM.variables.items() if one.section == "VAR CONSTANT"}
    assert constants == {
        "STALE": timedelta(seconds=PLC_STALE_S),
        "LATE": timedelta(seconds=1),
        "SLOTS": SLOTS,
        "BELT": 64,
    }


def test_another_parser_of_the_standard_reads_the_file(tmp_path: Path) -> None:
    def parsed(file: Path) -> int:
        return subprocess.run([sys.executable, "-m", "blark", "parse", str(file)], capture_output=True, timeout=60).returncode

    assert parsed(FILE) == 0
    broken = tmp_path / "program.st"
    broken.write_text(SOURCE.replace("END_FOR", "END_FOUR"))
    assert parsed(broken) != 0


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("i := 65535 + 1;", "out of the range of UINT"),
        ("i := 0 - 1;", "out of the range of UINT"),
        ("i := TRUE;", "is no UINT"),
        ("i := j;", "line 8: j is not declared"),
        ("a[2] := 0;", "index 2 of an array of 2"),
        ("IF i THEN i := 1; END_IF;", "is no BOOL"),
        ("IF NOT i = 1 THEN i := 1; END_IF;", "is no BOOL"),
        ("i := T#5MS + 1;", "\\+ 1"),
        ("WHILE TRUE DO i := 1; END_WHILE;", "line 8: WHILE is not declared"),
        ("LIMIT := 3;", "line 8: VAR CONSTANT is assigned to"),
        ("i := 1.5;", "line 8: '1.5"),
        ("i := 1", "line 9: 'END_FUNCTION_BLOCK' in place of ';'"),
    ],
)
def test_what_another_plc_might_do_otherwise_is_an_error(statement: str, message: str) -> None:
    source = (
        "FUNCTION_BLOCK Small\nVAR CONSTANT\n    LIMIT : UINT := 2;\nEND_VAR\nVAR\n"
        f"    i : UINT; a : ARRAY [0..1] OF UINT;\nEND_VAR\n{statement}\nEND_FUNCTION_BLOCK\n"
    )
    with pytest.raises(StructuredTextError, match=message):
        Belt(parse(source), 0, 0, 0).plc.cycle(timedelta())


def test_operators_bind_as_the_standard_says() -> None:
    source = (
        "FUNCTION_BLOCK Small\nVAR\n    a : BOOL; b : BOOL; c : UINT; Delay : TON; late : BOOL;\nEND_VAR\n"
        "a := TRUE OR FALSE AND FALSE;\nb := NOT FALSE AND 1 + 2 * 3 = 7 AND 9 MOD 4 < 2;\n"
        "c := 9 - 3 - 2;\nFOR c := c TO 6 DO IF c = 5 THEN a := a AND TRUE; "
        "ELSIF c > 5 THEN a := a; ELSE a := FALSE; END_IF; END_FOR;\n"
        "Delay(IN := TRUE, PT := T#20MS); late := Delay.Q;\nEND_FUNCTION_BLOCK\n"
    )
    small = Belt(parse(source), 0, 0, 0).plc
    told = []
    for now in (0, 10, 20):
        small.cycle(timedelta(milliseconds=now))
        told.append((small["a"], small["b"], small["c"], small["late"]))
    assert told == [(False, True, 6, False)] * 2 + [(False, True, 6, True)]
