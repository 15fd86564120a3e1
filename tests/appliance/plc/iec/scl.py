"""The program as an external source of TIA Portal: SCL, with its data types, its data blocks and an example of the call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from appliance.plc.iec.tree import BLOCKS, ArrayOf, Declared, File, Name, Section, StructType, Type
from appliance.plc.iec.writer import INDENT, WIDTH, Writer, paragraphs
from tests.appliance.plc.iec.flat import flat

TYPES = {
    "BOOL": "Bool",
    "UINT": "UInt",
    "UDINT": "UDInt",
    "REAL": "Real",
    "TIME": "Time",
    "TON": "TON_TIME",
    "R_TRIG": "R_TRIG",
}
BYTES = {"UINT": 2, "UDINT": 4, "REAL": 4}
ORDER = ("VAR_INPUT", "VAR_OUTPUT", "VAR_IN_OUT", "VAR", "VAR CONSTANT")
OPTIMIZED = "{{ S7_Optimized_Access := '{}' }}"
VERSION = "VERSION : 0.1"
ABOUT = """\
The function block "Inspect", its data types and its data blocks: SCL source for S7-1200 and S7-1500. Generated from
program.st beside it, which is the source: change that, and run "make docs".

TIA Portal: External source files > Add new external file: this one; then in its context menu: Generate blocks from source.
After it, in the properties of "InspectData": its number, which is plc.db in the line's file (plc.start is 0). The CPU:
"Permit access with PUT/GET", and the system memory byte for "FirstScan". The data block may be loaded with initial values
only while the belt stands.

README.md beside it has the wiring and the rules. No vendor's tool has opened this file here: what stands in it is the same
program as program.st, and the rest was written after public documentation and examples.
"""


def scl(file: File) -> str:
    """The whole file."""
    return Scl(flat(file)).whole()


def ordered(file: File) -> File:
    """The same program with its sections in TIA Portal's order."""
    return replace(file, sections=tuple(sorted(file.sections, key=lambda one: ORDER.index(one.kind))))


def size(kind: Type, types: dict[str, dict[str, Type]]) -> int:
    """Bytes without optimised access: as all elements are of two or four bytes, there are no gaps."""
    if isinstance(kind, ArrayOf):
        return kind.length * size(kind.element, types)
    return sum(size(one, types) for one in types[kind].values()) if kind in types else BYTES[kind]


class Scl(Writer):
    """Structured text as TIA Portal has it."""

    def __init__(self, file: File) -> None:
        self._file = ordered(file)
        self._types = file.types

    def whole(self) -> str:
        """All blocks of the file, each after those that it needs."""
        file = self._file
        lines = [*_head(ABOUT.splitlines()), "", *_head(paragraphs("\n".join(file.comments), WIDTH)), ""]
        for one in file.structs:
            lines += [*self.struct(one), ""]
        lines += [f'FUNCTION_BLOCK "{file.name}"', OPTIMIZED.format("TRUE"), VERSION]
        for section in file.sections:
            lines += [*self.section(section), ""]
        lines += ["BEGIN", *self.body(file.body), "END_FUNCTION_BLOCK", "", *self._data(), "", *self._instance(), ""]
        return "\n".join([*lines, *self._example()]) + "\n"

    def name(self, one: Name) -> str:
        """Names of the block itself have a #."""
        return f"#{one.name}"

    def type(self, kind: Type) -> str:
        """A type's name, in quotes where it is our own."""
        if isinstance(kind, ArrayOf):
            return f"Array[0..{kind.length - 1}] of {self.type(kind.element)}"
        return TYPES.get(kind, f'"{kind}"')

    def declaration(self, one: Declared, depth: int) -> list[str]:
        """A field or a variable. A function block in it is an instance of its own, of a version of the library."""
        kind = self.type(one.type)
        library = f" {{InstructionName := '{kind}'; LibVersion := '1.0'}}" if one.type in BLOCKS else ""
        initial = f" := {self.literal(one.initial)}" if one.initial else ""
        return [f"{INDENT * depth}{one.name}{library} : {kind}{initial};{self.behind(one.remark)}"]

    def struct(self, one: StructType) -> list[str]:
        """A data type."""
        fields = [line for each in one.fields for line in self.declaration(each, 2)]
        return [
            f'TYPE "{one.name}"',
            VERSION,
            f"{INDENT}STRUCT{self.behind(one.remark)}",
            *fields,
            f"{INDENT}END_STRUCT;",
            "END_TYPE",
        ]

    def section(self, one: Section) -> list[str]:
        """A section of the block's interface."""
        fields = [line for each in one.variables for line in self.declaration(each, 2)]
        return [f"{INDENT}{one.kind}", *fields, f"{INDENT}END_VAR"]

    def behind(self, remark: str) -> str:
        """A comment in the line of what it speaks of; TIA Portal shows it beside the name."""
        return f" // {' '.join(remark.split())}" if remark else ""

    # Data blocks

    def _shared(self) -> list[tuple[Declared, bool]]:
        """What the bridge writes and reads: the inputs and outputs that are structs, and whether each is an input."""
        kinds = ("VAR_INPUT", "VAR_OUTPUT")
        found = [(one, section.kind) for section, one in self._file.variables() if section.kind in kinds]
        return [(one, kind == "VAR_INPUT") for one, kind in found if one.type in self._types]

    def _data(self) -> list[str]:
        lines = [f'DATA_BLOCK "{self._file.name}Data"', OPTIMIZED.format("FALSE"), VERSION, "NON_RETAIN", f"{INDENT}STRUCT"]
        start = 0
        for one, written in self._shared():
            end = start + size(one.type, self._types)
            lines.append(
                f"{INDENT * 2}{one.name} : {self.type(one.type)}; // bytes {start} to {end - 1}: the bridge "
                f"{'writes' if written else 'reads'} them"
            )
            start = end
        return [*lines, f"{INDENT}END_STRUCT;", "BEGIN", "END_DATA_BLOCK"]

    def _instance(self) -> list[str]:
        name = self._file.name
        return [
            f'DATA_BLOCK "{name}Instance"',
            OPTIMIZED.format("TRUE"),
            VERSION,
            "NON_RETAIN",
            f'"{name}"',
            "BEGIN",
            "END_DATA_BLOCK",
        ]

    def _example(self) -> list[str]:
        name, given = self._file.name, []
        for section, one in self._file.variables():
            place = f'"{name}Data".{one.name}' if one.type in self._types else f'"{one.name}"'
            if one.name == "FirstCycle":
                place = '"FirstScan"'
            if section.kind == "VAR_INPUT":
                given.append(f"{one.name} := {self.literal(one.initial) if one.initial and one.type == 'TIME' else place}")
            elif section.kind == "VAR_OUTPUT":
                given.append(f"{one.name} => {place}")
        call = [f'"{name}Instance"(', *(f"{INDENT}{one}," for one in given[:-1]), f"{INDENT}{given[-1]});"]
        head = ["The call, once in each cycle, for example in Main [OB1]; names in quotes are your own:", ""]
        return _head([*head, *(INDENT + line for line in call)])


def _head(lines: Iterable[str]) -> list[str]:
    return [f"// {line}".rstrip() for line in lines]
