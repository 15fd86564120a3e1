"""The program as PLCopen XML (TC6, version 2.0), which CODESYS, TwinCAT and others import.

A project with the data types and one function block.  Declarations are elements; the body is structured text.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from appliance.plc.iec.tree import SIMPLE, ArrayOf, Declared, File, Section, StructType, Type
from appliance.plc.iec.writer import WIDTH, Writer, paragraphs
from tests.appliance.plc.iec import xml
from tests.appliance.plc.iec.flat import flat

SPACE = "http://www.plcopen.org/xml/tc6_0200"
XHTML = "http://www.w3.org/1999/xhtml"
SECTIONS = {"VAR_INPUT": "inputVars", "VAR_OUTPUT": "outputVars", "VAR_IN_OUT": "inOutVars", "VAR": "localVars"}
ABOUT = """
The function block Inspect and its types: PLCopen XML (TC6, version 2.0). Generated from program.st beside it, which is the \
source: change that, and run "make docs".

CODESYS: Project > Import PLCopenXML.
TwinCAT 3 (XAE): context menu of the PLC project > Import PLCopenXML.

README.md beside it has the wiring and the rules. No vendor's tool has opened this file here: it was checked for its form, and \
what stands in it is the same program as program.st.
"""


def plcopen(file: File) -> str:
    """The whole file."""
    file = flat(file)
    header = xml.element(
        "fileHeader", companyName="", productName="Inspect", productVersion="1.0", creationDateTime="2026-01-01T00:00:00"
    )
    scales = (xml.element(name, xml.element("scaling", x="1", y="1")) for name in ("fbd", "ld", "sfc"))
    content = xml.element("contentHeader", xml.element("coordinateInfo", *scales), name="Inspect")
    structs = xml.element("dataTypes", *map(_struct, file.structs))
    pous = xml.element("pous", _block(file))
    instances = xml.element("instances", xml.element("configurations"))
    project = xml.element("project", header, content, xml.element("types", structs, pous), instances, xmlns=SPACE)
    return "\n".join(chain([xml.DECLARATION.replace(' standalone="yes"', "")], xml.comment(ABOUT), project)) + "\n"


def _struct(one: StructType) -> Iterator[str]:
    fields = xml.element("baseType", xml.element("struct", *map(_variable, one.fields)))
    return xml.element("dataType", fields, _documentation(one.remark), name=one.name)


def _block(file: File) -> Iterator[str]:
    body = "\n".join(Writer().body(file.body))
    return xml.element(
        "pou",
        xml.element("interface", *map(_section, file.sections)),
        xml.element("body", xml.element("ST", xml.text("xhtml", f"{body}\n", xmlns=XHTML))),
        _documentation("\n".join(file.comments)),
        name=file.name,
        pouType="functionBlock",
    )


def _section(one: Section) -> Iterator[str]:
    kind, _, constant = one.kind.partition(" ")
    return xml.element(SECTIONS[kind], *map(_variable, one.variables), **({"constant": "true"} if constant else {}))


def _variable(one: Declared) -> Iterator[str]:
    initial = one.initial and xml.element("initialValue", xml.element("simpleValue", value=Writer().literal(one.initial)))
    kind = xml.element("type", _type(one.type))
    return xml.element("variable", kind, initial or (), _documentation(one.remark), name=one.name)


def _type(kind: Type) -> Iterator[str]:
    if isinstance(kind, ArrayOf):
        size = xml.element("dimension", lower="0", upper=str(kind.length - 1))
        return xml.element("array", size, xml.element("baseType", _type(kind.element)))
    return xml.element(kind) if kind in SIMPLE else xml.element("derived", name=kind)


def _documentation(remark: str) -> Iterator[str]:
    if not remark:
        return iter(())
    return xml.element("documentation", xml.text("xhtml", "\n".join(paragraphs(remark, WIDTH)), xmlns=XHTML))
