"""The program as a Studio 5000 export (L5X): an add-on instruction in structured text, with its data types and example tags.

A Logix controller has no unsigned numbers, no TIME and no IEC function blocks: numbers and milliseconds are DINT, TON is
TONR of an FBD_TIMER, R_TRIG is OSRI of an FBD_ONESHOT.  What a DINT is in the source stands in its description.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import chain

from appliance.plc.iec.tree import ArrayOf, Declared, File, Literal, Section, StructType, StructuredTextError, Type
from tests.appliance.plc.iec import xml
from tests.appliance.plc.iec.flat import flat
from tests.appliance.plc.iec.logix import INDEX, Logix

TYPES = {
    "BOOL": "BOOL",
    "UINT": "DINT",
    "UDINT": "DINT",
    "TIME": "DINT",
    "REAL": "REAL",
    "TON": "FBD_TIMER",
    "R_TRIG": "FBD_ONESHOT",
}
SAID = {"UINT": "UINT", "UDINT": "UDINT", "TIME": "TIME, milliseconds"}  # in the description
GIVEN = "Now"  # behind the name of the parameter that an input of a struct is copied from
ABOUT = """
The add-on instruction Inspect and its data types: export of Studio 5000 Logix Designer. Generated from program.st beside it, \
which is the source: change that, and run "make docs".

Studio 5000: Assets > Add-On Instructions, context menu > Import Add-On Instruction. Where the import refuses the \
example tags, remove the element Tags, and make them by hand.

The call, once in each scan, in a routine of structured text:

{call}

FirstCycle is needed: tags of a Logix controller keep their values without power. Numbers are DINT. What a register holds is \
copied field by field: 16 bits without sign, 32 bits as they are. An epoch of 2,147,483,648 or more is then a negative number, \
which is only compared with its like. A part id would come there after 68 years at one part a second.

README.md beside it has the wiring and the rules. No vendor's tool has opened this file here: what stands in it, translated \
back, is the same program as program.st, and the rest was written after public documentation and examples.
"""
DATE = "2026-01-01T00:00:00.000Z"


def l5x(file: File) -> str:
    """The whole file."""
    file = flat(file)
    types = xml.element("DataTypes", *(_struct(one) for one in file.structs), Use="Context")
    blocks = xml.element("AddOnInstructionDefinitions", _instruction(file), Use="Context")
    tags = xml.element("Tags", *(_tag(name, kind) for name, kind in _tags(file).items()), Use="Context")
    content = xml.element(
        "RSLogix5000Content",
        xml.element("Controller", types, blocks, tags, Use="Context", Name="Example"),
        SchemaRevision="1.0",
        SoftwareRevision="20.01",
        TargetName=file.name,
        TargetType="AddOnInstructionDefinition",
        TargetRevision="1.0 ",
        ContainsContext="true",
        ExportDate="Thu Jan 01 00:00:00 2026",
        ExportOptions="References NoRawData DecoratedData Context Dependencies AllProjDocTrans",
    )
    return "\n".join(chain([xml.DECLARATION], xml.comment(ABOUT.format(call=_call(file))), content)) + "\n"


# Around the instruction


def _struct(one: StructType) -> Iterator[str]:
    members = xml.element("Members", *map(_member, one.fields))
    return xml.element(
        "DataType", _described(one.remark), members, Name=one.name, Family="NoFamily", Class="User", Use="Context"
    )


def _member(one: Declared) -> Iterator[str]:
    length = one.type.length if isinstance(one.type, ArrayOf) else 0
    access = {"Radix": _radix(one.type), "Hidden": "false", "ExternalAccess": "Read/Write"}
    return xml.element(
        "Member", _described(_said(one)), Name=one.name, DataType=_type(one.type), Dimension=str(length), **access
    )


def _tags(file: File) -> dict[str, str]:
    """Example tags by name: the instruction's own, and what its structs are given."""
    given = {f"{file.name}{one.name}Tag": str(one.type) for one in _parameters(file) if one.type in file.types}
    return {f"{file.name}Instance": file.name, **given}


def _tag(name: str, kind: str) -> Iterator[str]:
    return xml.element("Tag", Name=name, TagType="Base", DataType=kind, Constant="false", ExternalAccess="Read/Write")


def _call(file: File) -> str:
    instance = f"{file.name}Instance"
    inputs = [one for one in _inputs(file) if one.type not in file.types]
    lines = [f"{instance}.{one.name} := {'S:FS' if one.name == 'FirstCycle' else '...'};" for one in inputs]
    return "\n".join([*lines, f"{file.name}({', '.join(_tags(file))});"])


# The instruction


def _instruction(file: File) -> Iterator[str]:
    logic = Logix(file)
    text = logic.logic([f"CPS({one.name}{GIVEN}, {one.name}, 1);" for one in _inputs(file) if one.type in file.types])
    numbered = (xml.cdata("Line", line, Number=str(i)) for i, line in enumerate(text))
    routine = xml.element("Routine", xml.element("STContent", *numbered), Name="Logic", Type="ST")
    system = (_system("EnableIn", "Input"), _system("EnableOut", "Output"))
    return xml.element(
        "AddOnInstructionDefinition",
        _described("One inspected line. The comment at the head of its logic says how it is called."),
        xml.element(
            "Parameters", *system, *(_parameter(section, one, file) for section, one in file.variables() if _outer(section))
        ),
        xml.element("LocalTags", *_local(file, logic.indices)),
        xml.element("Routines", routine),
        Use="Target",
        Name=file.name,
        Revision="1.0",
        ExecutePrescan="false",
        ExecutePostscan="false",
        ExecuteEnableInFalse="false",
        CreatedDate=DATE,
        CreatedBy="Inspect",
        EditedDate=DATE,
        EditedBy="Inspect",
        SoftwareRevision="v20.01",
    )


def _outer(section: Section) -> bool:
    if section.kind == "VAR_IN_OUT":
        raise StructuredTextError("VAR_IN_OUT: an input of a struct is one already")
    return section.kind in ("VAR_INPUT", "VAR_OUTPUT")


def _parameters(file: File) -> list[Declared]:
    return [one for section, one in file.variables() if _outer(section)]


def _inputs(file: File) -> list[Declared]:
    return [one for section, one in file.variables() if section.kind == "VAR_INPUT"]


def _system(name: str, usage: str) -> Iterator[str]:
    access = "Read Only"
    what = {"Radix": "Decimal", "Required": "false", "Visible": "false", "ExternalAccess": access}
    about = _described(f"Enable {usage} - System Defined Parameter")
    return xml.element("Parameter", about, Name=name, TagType="Base", DataType="BOOL", Usage=usage, **what)


def _parameter(section: Section, one: Declared, file: File) -> Iterator[str]:
    """A parameter. One of a struct can only be InOut, which is no copy: the logic copies an input at its beginning."""
    about = _described(_said(one))
    name, kind, usage = one.name, _type(one.type), "Input" if section.kind == "VAR_INPUT" else "Output"
    if one.type in file.types:
        name += GIVEN if usage == "Input" else ""
        more = {"Required": "true", "Visible": "true", "Constant": "false"}
        return xml.element("Parameter", about, Name=name, TagType="Base", DataType=kind, Usage="InOut", **more)
    access = "Read/Write" if usage == "Input" else "Read Only"
    more = {"Radix": _radix(one.type), "Required": "false", "Visible": "true", "ExternalAccess": access}
    return xml.element("Parameter", about, *_default(one), Name=name, TagType="Base", DataType=kind, Usage=usage, **more)


def _local(file: File, indices: int) -> Iterator[Iterator[str]]:
    """The instruction's own tags: copies of inputs, constants, variables, and the indices that the logic needs."""
    for one in _inputs(file):
        if one.type in file.types:
            yield _local_tag(Declared(one.name, one.type, remark=f"the copy of {one.name}{GIVEN}"), "")
    for section, one in file.variables():
        if not _outer(section):
            yield _local_tag(one, "constant, " if section.kind == "VAR CONSTANT" else "")
    for i in range(indices):
        yield _local_tag(Declared(f"{INDEX}{i + 1}", "UDINT", remark="of an array"), "")


def _local_tag(one: Declared, which: str) -> Iterator[str]:
    inner = one.type.element if isinstance(one.type, ArrayOf) else one.type
    size = {"Dimensions": str(one.type.length)} if isinstance(one.type, ArrayOf) else {}
    radix = {"Radix": _radix(inner)} if _type(inner) in ("BOOL", "DINT", "REAL") else {}
    about = _described(which + _said(one))
    more = {**size, **radix, "ExternalAccess": "None"}
    return xml.element("LocalTag", about, *_default(one), Name=one.name, DataType=_type(one.type), **more)


# Types and values


def _type(kind: Type) -> str:
    inner = kind.element if isinstance(kind, ArrayOf) else kind
    return TYPES.get(str(inner), str(inner))


def _radix(kind: Type) -> str:
    return {"REAL": "Float", "BOOL": "Decimal", "DINT": "Decimal"}.get(_type(kind), "NullType")


def _said(one: Declared) -> str:
    """A description: what a DINT is in the source, and the comment."""
    inner = one.type.element if isinstance(one.type, ArrayOf) else one.type
    return ": ".join(filter(None, [SAID.get(str(inner), ""), one.remark]))


def _described(content: str) -> Iterator[str]:
    return xml.cdata("Description", content) if content else iter(())


def _default(one: Declared) -> Iterator[Iterator[str]]:
    """The value of a new instance, of BOOL, DINT and REAL; all else begins as the tool makes it, with zeros."""
    kind = _type(one.type)
    if isinstance(one.type, ArrayOf) or kind not in ("BOOL", "DINT"):
        return
    value = one.initial.value if isinstance(one.initial, Literal) else 0
    number = value // timedelta(milliseconds=1) if isinstance(value, timedelta) else int(value)
    data = xml.element("DataValue", DataType=kind, Radix="Decimal", Value=str(number))
    yield xml.element("DefaultData", data, Format="Decorated")
