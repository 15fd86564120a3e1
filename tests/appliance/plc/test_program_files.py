"""The files for PLC tools: as the program has them now, and the same program when they are read back.

No vendor's tool is at hand.  What a form asks for is checked as far as it is known: PLCopen XML by the order of its schema,
the data block of SCL by the process image, L5X by its names and types.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from appliance.plc.iec.parser import read
from appliance.plc.iec.program import Program
from appliance.plc.iec.tree import File, StructuredTextError
from appliance.plc.iec.writer import Writer
from appliance.plc.image import LINE_SPAN, PLC_SPAN
from tests.appliance.plc.belt import Belt
from tests.appliance.plc.iec.back import from_l5x, from_plcopen, from_scl
from tests.appliance.plc.iec.files import FOLDER, KINDS, SOURCE, generated
from tests.appliance.plc.iec.flat import flat
from tests.appliance.plc.iec.l5x import TYPES, l5x
from tests.appliance.plc.iec.plcopen import SPACE, plcopen
from tests.appliance.plc.iec.scl import ordered, scl, size

TEXT = SOURCE.read_text(encoding="ascii")
PROGRAM = read(TEXT)
# What the program may come to need: indices that are worked out, in branches too; whole values; comments in all places.
OTHER = read(
    """
    (* Head. *)
    TYPE Pair : STRUCT (* two *) (* above *) One : UDINT; Two : ARRAY [0..1] OF UINT; END_STRUCT; END_TYPE
    (* About it. *)
    FUNCTION_BLOCK Other
    VAR_INPUT (* given *) Given : Pair; Fast : BOOL; Wait : TIME := T#1500MS; END_VAR
    VAR_OUTPUT Out : Pair; Found : BOOL := TRUE; END_VAR
    VAR CONSTANT SIZE : UINT := 2; END_VAR
    VAR a : ARRAY [0..3] OF UINT; b : ARRAY [0..3] OF UINT; Pairs : ARRAY [0..3] OF Pair;
        n : UINT; Late : TON; Edge : R_TRIG;
    END_VAR

    (* First. *)
    a := b; (* whole *)
    Pairs[n MOD 4] := Given;
    Out := Pairs[n];
    IF a[(n + 1) MOD 4] = 1 AND NOT Fast THEN (* then *)
        (* inside *)
        n := a[b[n MOD 4] MOD 4] * (2 - (1 - 1));
    ELSIF b[n MOD SIZE] > 2 OR NOT (Fast OR Found) THEN
        Found := FALSE;
        (* at the end *)
    ELSE
        Late(IN := TRUE, PT := Wait + Wait);
        Edge(CLK := n < 3);
    END_IF; (* done *)
    FOR n := 0 TO SIZE - 1 DO (* each *)
        Out.Two[n] := Given.Two[n];
    END_FOR;
    Found := Late.Q OR Edge.Q AND Fast;
    END_FUNCTION_BLOCK
    """
)
BOTH = pytest.mark.parametrize("program", [PROGRAM, OTHER], ids=["program", "other"])


def test_the_files_are_what_the_program_gives_now() -> None:
    assert sorted(KINDS) == ["program.L5X", "program.scl", "program.xml"]
    stale = [file.name for file, now in generated().items() if not file.exists() or file.read_text(encoding="utf-8") != now]
    assert stale == [], "make docs"


@pytest.mark.parametrize("name", KINDS)
def test_a_file_says_at_its_head_what_it_is_and_that_nothing_here_opened_it(name: str) -> None:
    head = " ".join(generated()[FOLDER / name][:2000].replace("//", "").split())
    assert "Generated from program.st" in head
    assert "No vendor's tool has opened this file here" in head
    assert re.search(r"Import PLCopenXML|Generate blocks from source|Import Add-On Instruction", head)


@BOTH
@pytest.mark.parametrize(
    ("write", "back", "expected"),
    [
        (lambda file: Writer().file(file), str, lambda file: file),
        (plcopen, from_plcopen, flat),
        (scl, from_scl, lambda file: ordered(flat(file))),
        (l5x, from_l5x, flat),
    ],
    ids=["st", "plcopen", "scl", "l5x"],
)
def test_nothing_is_lost_nor_changed(
    program: File, write: Callable[[File], str], back: Callable[[str], str], expected: Callable[[File], File]
) -> None:
    again = read(back(write(program)))
    wanted = expected(program)
    assert again.structs == wanted.structs
    assert again.sections == wanted.sections
    assert again.body == wanted.body
    assert again == wanted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "back"), [("program.xml", from_plcopen), ("program.scl", from_scl), ("program.L5X", from_l5x)]
)
def test_the_program_of_each_file_does_the_same_on_a_belt(name: str, back: Callable[[str], str]) -> None:
    again = read(back(generated()[FOLDER / name]))
    belts = [Belt(Program(file), spacing_ms=100, travel_ms=1200, parts=40, ignored={25}).run() for file in (PROGRAM, again)]
    told = [([(part.good, part.let_go) for part in one.all], one.heartbeats) for one in belts]
    assert told[0] == told[1]
    assert sum(part.let_go for part in belts[0].all) > 5


# PLCopen XML

ORDER = {  # of what stands in an element, by the schema of TC6
    "project": ["fileHeader", "contentHeader", "types", "instances"],
    "contentHeader": ["coordinateInfo"],
    "coordinateInfo": ["fbd", "ld", "sfc"],
    "types": ["dataTypes", "pous"],
    "dataType": ["baseType", "documentation"],
    "pou": ["interface", "body", "documentation"],
    "variable": ["type", "initialValue", "documentation"],
    "array": ["dimension", "baseType"],
    "instances": ["configurations"],
}
NEEDED = {  # attributes
    "fileHeader": {"companyName", "productName", "productVersion", "creationDateTime"},
    "contentHeader": {"name"},
    "dataType": {"name"},
    "pou": {"name", "pouType"},
    "variable": {"name"},
    "dimension": {"lower", "upper"},
    "derived": {"name"},
    "simpleValue": {"value"},
    "scaling": {"x", "y"},
}


@BOTH
def test_plcopen_xml_has_the_form_of_its_schema(program: File) -> None:
    root = ElementTree.fromstring(plcopen(program))
    elements = [one for one in root.iter() if one.tag.startswith(f"{{{SPACE}}}")]
    assert root.tag == f"{{{SPACE}}}project"
    assert {one.tag for one in root.iter()} - {one.tag for one in elements} == {"{http://www.w3.org/1999/xhtml}xhtml"}
    wrong = []
    for one in elements:
        name, inside = _local(one), [_local(each) for each in one]
        order = ORDER.get(name, inside)
        wrong += [(name, inside)] * (inside != [each for each in order if each in inside] and name in ORDER)
        wrong += [(name, sorted(one.keys()))] * (not NEEDED.get(name, set()) <= set(one.keys()))
    assert wrong == []
    assert len(elements) > 50


def _local(one: ElementTree.Element) -> str:
    return one.tag.rpartition("}")[2]


@pytest.mark.slow
def test_another_parser_of_the_standard_reads_what_stands_in_the_xml(tmp_path: Path) -> None:
    def parsed(text: str) -> int:
        file = tmp_path / "program.st"
        file.write_text(text, encoding="ascii")
        return subprocess.run([sys.executable, "-m", "blark", "parse", str(file)], capture_output=True, timeout=60).returncode

    text = from_plcopen(plcopen(PROGRAM))
    assert parsed(text) == 0
    assert parsed(Writer().file(PROGRAM)) == 0
    assert parsed(text.replace("END_FOR;", "END_FOUR;")) != 0
    assert parsed(text.replace("UDINT;", "UDINT", 1)) != 0


# SCL


def test_the_data_block_lies_as_the_process_image_does() -> None:
    text = scl(PROGRAM)
    assert size("InspectLine", PROGRAM.types) == LINE_SPAN.length
    assert size("InspectPlc", PROGRAM.types) == PLC_SPAN.length
    block = text[text.index('DATA_BLOCK "InspectData"') :]
    assert block.splitlines()[1] == "{ S7_Optimized_Access := 'FALSE' }"
    assert f'Line : "InspectLine"; // bytes 0 to {LINE_SPAN.length - 1}: the bridge writes them' in block
    assert f'Plc : "InspectPlc"; // bytes {PLC_SPAN.start} to {PLC_SPAN.start + PLC_SPAN.length - 1}: ' in block


def test_local_names_of_scl_have_their_sign_and_its_call_has_all_parameters() -> None:
    text = scl(PROGRAM)
    body = re.sub(r"\(\*.*?\*\)|//.*", "", text[text.index("\nBEGIN") : text.index("END_FUNCTION_BLOCK")], flags=re.DOTALL)
    names = {one.name for _, one in PROGRAM.variables()}
    assert [name for name in names if re.search(rf"(?<![#.\w]){name}\b", body)] == []
    call = text[text.index('"InspectInstance"(') :]
    parameters = [one.name for section, one in PROGRAM.variables() if section.kind in ("VAR_INPUT", "VAR_OUTPUT")]
    assert re.findall(r"(\w+) (?::=|=>)", call) == parameters


# L5X


@BOTH
def test_an_add_on_instruction_has_what_studio_5000_asks_for(program: File) -> None:
    root = ElementTree.fromstring(l5x(program))
    own = [str(one.get("Name")) for one in root.iter("DataType")] + [program.name]
    used = {one.get("DataType") for one in root.iter() if one.get("DataType")}
    assert used <= {*own, *TYPES.values()}
    block = next(root.iter("AddOnInstructionDefinition"))
    assert [one.tag for one in block] == ["Description", "Parameters", "LocalTags", "Routines"]
    tags = [*block.iter("Parameter"), *block.iter("LocalTag")]
    names = [str(one.get("Name")).lower() for one in tags]
    assert len(set(names)) == len(names), "names differ by more than their case"
    assert max(map(len, names)) <= 40
    assert max(len(one.text or "") for one in root.iter("Description")) <= 512
    usages = {one.get("Usage") for one in block.iter("Parameter") if one.get("DataType") in own}
    assert usages == {"InOut"}, "a struct is given by reference only"
    values = [int(str(one.get("Value"))) for one in root.iter("DataValue")]
    assert all(0 <= value < 1 << 31 for value in values)


def test_an_input_that_is_no_copy_has_no_place_in_an_add_on_instruction() -> None:
    text = TEXT.replace("VAR_INPUT\n", "VAR_IN_OUT Whole : InspectLine; END_VAR\nVAR_INPUT\n", 1)
    with pytest.raises(StructuredTextError, match="VAR_IN_OUT"):
        l5x(read(text))
    assert read(from_plcopen(plcopen(read(text)))) == flat(read(text))
