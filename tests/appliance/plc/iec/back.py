"""Reads the generated files back into structured text, as far as they are ours, so that a test can compare and run them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from tests.appliance.plc.iec.l5x import GIVEN
from tests.appliance.plc.iec.l5x import TYPES as LOGIX_TYPES
from tests.appliance.plc.iec.logix import INDEX
from tests.appliance.plc.iec.plcopen import SECTIONS, SPACE, XHTML
from tests.appliance.plc.iec.scl import TYPES

NAMES = {"": SPACE, "x": XHTML}


def from_plcopen(content: str) -> str:
    """PLCopen XML as structured text."""
    project = ElementTree.fromstring(content)
    block = _found(project, "types/pous/pou")
    lines = [_comment(block)]
    for one in project.findall("types/dataTypes/dataType", NAMES):
        lines += [f"TYPE {one.get('name')} : STRUCT {_comment(one)}"]
        lines += [*_variables(_found(one, "baseType/struct")), "END_STRUCT; END_TYPE"]
    lines.append(f"FUNCTION_BLOCK {block.get('name')}")
    words = {element: word for word, element in SECTIONS.items()}
    for section in _found(block, "interface"):
        constant = " CONSTANT" if section.get("constant") == "true" else ""
        lines += [words[section.tag.removeprefix(f"{{{SPACE}}}")] + constant, *_variables(section), "END_VAR"]
    body = _found(block, "body/ST/x:xhtml").text
    return "\n".join([*lines, "", str(body), "END_FUNCTION_BLOCK", ""])


def _found(of: ElementTree.Element, path: str) -> ElementTree.Element:
    one = of.find(path, NAMES)
    assert one is not None, path
    return one


def _variables(of: ElementTree.Element) -> Iterator[str]:
    for one in of.findall("variable", NAMES):
        value = one.find("initialValue/simpleValue", NAMES)
        initial = "" if value is None else f" := {value.get('value')}"
        yield f"{one.get('name')} : {_type(_found(one, 'type')[0])}{initial}; {_comment(one)}"


def _type(kind: ElementTree.Element) -> str:
    name = kind.tag.removeprefix(f"{{{SPACE}}}")
    if name == "array":
        size = _found(kind, "dimension")
        return f"ARRAY [{size.get('lower')}..{size.get('upper')}] OF {_type(_found(kind, 'baseType')[0])}"
    return str(kind.get("name")) if name == "derived" else name


def _comment(of: ElementTree.Element) -> str:
    one = of.find("documentation/x:xhtml", NAMES)
    return "" if one is None else f"(* {one.text} *)"


# TIA Portal


def from_scl(content: str) -> str:
    """An SCL source as structured text: its data types and its function block."""
    head, rest = content[: content.index("\nDATA_BLOCK")].split("\nTYPE", 1)
    own = "\n".join(line.removeprefix("//") for line in head.split("\n\n")[1].splitlines())
    rest = re.sub(r" // (.*)$", r" (* \1 *)", f"TYPE{rest}", flags=re.MULTILINE)
    rest = re.sub(r"\{.*?\}\n?", "", re.sub(r"VERSION : .*\n", "", rest))
    rest = re.sub(r'TYPE "(\w+)"\s+STRUCT', r"TYPE \1 : STRUCT", rest.replace("\nBEGIN\n", "\n"))
    for kind, written in TYPES.items():
        rest = re.sub(rf"(?<=: ){written}\b|(?<=of ){written}(?=;)", kind, rest)
    rest = re.sub(r"Array\[(\S+)\] of ", r"ARRAY [\1] OF ", rest)
    return f"(* {own} *)\n" + re.sub(r'(?<!\w)#(?=\w)|"(?=\w+")|(?<=\w)"(?=[;\n])', "", rest)


# Studio 5000


def from_l5x(content: str) -> str:
    """An add-on instruction as structured text."""
    root = ElementTree.fromstring(content)
    block = _one(root, "Controller/AddOnInstructionDefinitions/AddOnInstructionDefinition")
    lines = []
    for one in root.findall("Controller/DataTypes/DataType"):
        fields = (_logix_variable(each) for each in one.findall("Members/Member"))
        lines += [f"TYPE {one.get('Name')} : STRUCT {_logix_comment(one)}", *fields, "END_STRUCT; END_TYPE"]
    lines.append(f"FUNCTION_BLOCK {block.get('Name')}")
    sections: dict[str, list[ElementTree.Element]] = {name: [] for name in ("VAR_INPUT", "VAR_OUTPUT", "VAR CONSTANT", "VAR")}
    copies = []
    for one in block.findall("Parameters/Parameter"):
        name = str(one.get("Name"))
        if one.get("Usage") == "InOut" and name.endswith(GIVEN):
            one.set("Name", name.removesuffix(GIVEN))
            one.set("Usage", "Input")
            copies.append(one.get("Name"))
        if not name.startswith("Enable"):
            sections["VAR_INPUT" if one.get("Usage") == "Input" else "VAR_OUTPUT"].append(one)
    for one in block.findall("LocalTags/LocalTag"):
        if one.get("Name") not in copies and not str(one.get("Name")).startswith(INDEX):
            sections["VAR CONSTANT" if _description(one).startswith("constant, ") else "VAR"].append(one)
    for section, tags in sections.items():
        lines += [section, *map(_logix_variable, tags), "END_VAR"]
    head, body = re.match(r"(\(\*.*?\*\))(.*)", _logic(block), re.DOTALL).groups()  # type: ignore[union-attr]
    bools = {one.get("Name") for one in block.iter() if one.get("DataType") == "BOOL"}
    return "\n".join([head, *lines, _iec(body, bools), "END_FUNCTION_BLOCK", ""])


def _logic(block: ElementTree.Element) -> str:
    lines = _one(block, "Routines/Routine/STContent").findall("Line")
    assert [one.get("Number") for one in lines] == [str(i) for i in range(len(lines))]
    return "\n".join(one.text or "" for one in lines)


def _iec(body: str, bools: set[str | None]) -> str:
    """The logic in the words of the standard."""
    body = re.sub(r"\(\*[^*]*\*\)\nCPS\(\w+, \w+, 1\);\n", "", body)
    truth = {"0": "FALSE", "1": "TRUE"}
    body = re.sub(r"(TimerEnable|InputBit) := ([01]);", lambda one: f"{one[1]} := {truth[one[2]]};", body)
    timer = r"(\w+)\.TimerEnable := (.*?);\s*\1\.PRE := (.*?);\s*TONR\(\1\);"
    body = re.sub(timer, r"\1(IN := \2, PT := \3);", body, flags=re.DOTALL)
    body = re.sub(r"(\w+)\.InputBit := (.*?);\s*OSRI\(\1\);", r"\1(CLK := \2);", body, flags=re.DOTALL)
    body = re.sub(r"COP\((\S+)\[0\], (\S+)\[0\], \d+\);", r"\2 := \1;", body)
    body = re.sub(r"COP\((\S+), (\S+), 1\);", r"\2 := \1;", re.sub(r"\.(DN|OutputBit)\b", ".Q", body))
    body = re.sub(r"\b(\w+) := ([01]);", lambda one: f"{one[1]} := {truth[one[2]]};" if one[1] in bools else one[0], body)
    indices: dict[str, str] = {}
    lines = []
    for line in body.splitlines():
        line = re.sub(rf"\[({INDEX}\d+)\]", lambda one: f"[{indices[one[1]]}]", line)
        found = re.fullmatch(rf"\s*({INDEX}\d+) := (.*);", line)
        if found:
            indices[found[1]] = found[2]
        else:
            lines.append(line)
    return "\n".join(lines)


def _one(of: ElementTree.Element, path: str) -> ElementTree.Element:
    one = of.find(path)
    assert one is not None, path
    return one


def _description(of: ElementTree.Element) -> str:
    return (of.findtext("Description") or "").strip()


def _logix_variable(one: ElementTree.Element) -> str:
    kind, length = str(one.get("DataType")), int(one.get("Dimension") or one.get("Dimensions") or 0)
    said = re.match(r"(?:constant, )?(UINT|UDINT|TIME)\b", _description(one))
    kind = said[1] if said else {written: name for name, written in LOGIX_TYPES.items()}.get(kind, kind)
    value = one.find("DefaultData/DataValue")
    number = 0 if value is None else int(str(value.get("Value")))
    written = {"TIME": f"T#{number}MS", "BOOL": "TRUE"}.get(kind, str(number))
    shown = f"ARRAY [0..{length - 1}] OF {kind}" if length else kind
    return f"{one.get('Name')} : {shown}{f' := {written}' if number else ''}; {_logix_comment(one)}"


def _logix_comment(of: ElementTree.Element) -> str:
    words = re.sub(r"^(constant, )?((UINT|UDINT|TIME)(, milliseconds)?(: |$))?", "", _description(of))
    return f"(* {words} *)" if words else ""
