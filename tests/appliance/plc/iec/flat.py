"""A tree whose comments all stand where XML has room for them: with a name, or before a statement."""

from __future__ import annotations

from dataclasses import replace

from appliance.plc.iec.tree import Declared, File, Section


def flat(file: File) -> File:
    """The same program; comments above a declaration, or at the head of a section, are those of the name that follows."""
    return replace(
        file,
        structs=tuple(
            replace(one, comments=(), remark=_one(*one.comments, one.remark), fields=tuple(map(_named, one.fields)))
            for one in file.structs
        ),
        sections=tuple(map(_section, file.sections)),
        comments=tuple(filter(None, ["\n".join((*file.comments, *file.about))])),
        about=(),
    )


def _section(section: Section) -> Section:
    first, *others = (_named(one) for one in section.variables)
    first = replace(first, remark=_one(*section.comments, section.remark, first.remark))
    return Section(section.kind, (first, *others))


def _named(one: Declared) -> Declared:
    return replace(one, comments=(), remark=_one(*one.comments, one.remark))


def _one(*texts: str) -> str:
    return " ".join(" ".join(text.split()) for text in texts if text)
