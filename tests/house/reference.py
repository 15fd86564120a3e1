"""What the documents' marked parts say of the line: one function a part, each made from the table that the code itself uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
from msgspec import inspect as structs

from appliance.config.line import LineConfig
from appliance.config.plc import PLCS
from appliance.host.process_table import FILES, PROCESSES, SOCKETS, THREADS
from appliance.host.time_limits import RULES, limits
from appliance.messages.alarms import ALARMS
from appliance.messages.schema import MESSAGES, TOPICS, ReasonCode
from appliance.plc.image import STATE_CODES, image_rows
from appliance.plc.ports.opcua_nodes import STATES
from engines.common.typed_toml import KindTable


def table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """A Markdown table."""
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in [list(headings), *map(list, rows)]]
    yield "| " + " | ".join(cells[0]) + " |"
    yield "|" + "---|" * len(cells[0])
    yield from ("| " + " | ".join(row) + " |" for row in cells[1:])


class Setting(NamedTuple):
    """One key of a line's file."""

    key: str
    values: str
    default: str
    meaning: str


def settings() -> Iterator[str]:
    """Every key of a line's file; of a table that differs by its kind, with the kinds that have it."""
    rows = [
        (f"`{one.key}`" + (f" ({', '.join(kinds)})" if kinds else ""), one.values, one.default, one.meaning)
        for one, kinds in all_settings().items()
    ]
    yield from table(("key", "values", "default", "meaning"), rows)


def all_settings() -> dict[Setting, list[str]]:
    """Every key, with the kinds that have it; none where every kind has it, and where there are no kinds."""
    found: dict[Setting, list[str]] = {}
    for field in _fields(LineConfig):
        inner = _without_none(field.type)
        if isinstance(inner, structs.CustomType) and issubclass(inner.cls, KindTable):
            of_kinds: dict[Setting, list[str]] = {}
            for kind in inner.cls.kinds:
                for one in _fields(inner.cls.struct_of(kind)):
                    of_kinds.setdefault(_setting(one, f"{field.name}.{one.name}"), []).append(kind)
            kinds = ", ".join(f'"{kind}"' for kind in inner.cls.kinds)
            found[Setting(f"{field.name}.kind", kinds, "needed", "which of these; the other keys follow from it")] = []
            found |= {one: [] if len(having) == len(inner.cls.kinds) else having for one, having in of_kinds.items()}
        elif isinstance(inner, structs.StructType):
            found |= {_setting(one, f"{field.name}.{one.name}"): [] for one in _fields(inner.cls)}
        else:
            found[_setting(field, field.name)] = []
    return found


def _fields(struct: type) -> tuple[structs.Field, ...]:
    info = structs.type_info(struct)
    assert isinstance(info, structs.StructType)
    return info.fields


def _setting(field: structs.Field, key: str) -> Setting:
    meaning = _meaning(field.type)
    assert meaning, f"{key} has no description"
    if field.required:
        default = "needed"
    elif field.default is structs.NODEFAULT or field.default is None:
        default = "none"
    else:
        default = f"`{msgspec.json.encode(field.default, enc_hook=str).decode()}`"
    return Setting(key, _values(field.type), default, meaning)


def _meaning(kind: structs.Type) -> str:
    if isinstance(kind, structs.Metadata):
        return str((kind.extra_json_schema or {}).get("description", "")) or _meaning(kind.type)
    if isinstance(kind, structs.UnionType):
        return next(filter(None, map(_meaning, kind.types)), "")
    return ""


def _without_none(kind: structs.Type) -> structs.Type:
    if isinstance(kind, structs.Metadata):
        return _without_none(kind.type)
    if isinstance(kind, structs.UnionType):
        others = [one for one in kind.types if not isinstance(one, structs.NoneType)]
        return others[0] if len(others) == 1 else kind
    return kind


def _values(kind: structs.Type) -> str:
    inner = _without_none(kind)
    if isinstance(inner, structs.Metadata):
        return _values(inner.type)
    if isinstance(inner, structs.LiteralType):
        return ", ".join(f'"{value}"' for value in inner.values)
    if isinstance(inner, structs.IntType | structs.FloatType):
        whole = "whole number" if isinstance(inner, structs.IntType) else "number"
        low = f"{inner.ge:g}" if inner.ge is not None else f"over {inner.gt:g}" if inner.gt is not None else None
        bounds = f", {low} to {inner.le:,.10g}" if low is not None and inner.le is not None else ""
        return whole + bounds
    names = {structs.StrType: "text", structs.BoolType: "true, false", structs.DictType: "table", structs.CustomType: "path"}
    return names[type(inner)]


def alarms() -> Iterator[str]:
    """Alarms, and what to do."""
    yield from table(("kind", "when", "what to do"), [(f"`{kind}`", one.when, one.what_to_do) for kind, one in ALARMS.items()])


def topics() -> Iterator[str]:
    """What is published."""
    rows = [(f"`<line>/{one.name}`", one.message.__name__, one.when, one.loss) for one in TOPICS]
    yield from table(("topic", "message", "when", "who sees a loss"), rows)


def message_fields() -> Iterator[str]:
    """The fields of the published messages."""
    rows = []
    for message in MESSAGES[:3]:
        described = [(field.name, _meaning(field.type)) for field in _fields(message)]
        told = ", ".join(f"`{name}`" + (f" ({meaning})" if meaning else "") for name, meaning in described)
        rows.append((message.__name__, told))
    yield from table(("message", "fields"), rows)


def reasons() -> Iterator[str]:
    """Reasons of a reject, and their codes for a PLC."""
    rows = [(one.name.lower().replace("_", "-") if one else "-", int(one), one.meaning) for one in ReasonCode]
    yield from table(("reason", "code", "meaning"), rows)


def processes() -> Iterator[str]:
    """What a line consists of on its box."""
    yield from table(
        ("process", "command", "started by", "does"),
        [(one.name, f"`{one.command}`", one.started_by, one.does) for one in PROCESSES],
    )
    yield ""
    yield from table(
        ("thread", "of", "there", "does"), [(one.name, one.process, one.when or "always", one.does) for one in THREADS]
    )
    yield ""
    rows = [(one.name, one.process, one.kind, f"`{one.setting}`", one.when or "always", one.does) for one in SOCKETS]
    yield from table(("socket", "of", "kind", "address", "there", "does"), rows)
    yield ""
    files = [(one.name, one.process, f"`{one.place}`", one.access, one.when or "always", one.does) for one in FILES]
    yield from table(("file", "of", "place", "access", "there", "does"), files)


def time_limits(*names: str) -> Iterator[str]:
    """Time limits with what they depend on; ``names``: beginnings of those that are meant, all without."""
    rules: dict[str, list[str]] = {}
    for rule in RULES:
        less = " + ".join(
            f"{count} x {name}" if (count := rule.shorter.count(name)) > 1 else name for name in dict.fromkeys(rule.shorter)
        )
        rules.setdefault(rule.longer, []).append(f"more than {less}: {rule.because}")
    rows = [
        (one.name, _duration(one.seconds), one.meaning, "; ".join(rules.get(one.name, ())))
        for one in limits()
        if not names or one.name.startswith(names)
    ]
    yield from table(("limit", "is", "what for", "must be"), rows)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"


def plc_image() -> Iterator[str]:
    """The process image."""
    rows = []
    for one in image_rows():
        last = one.register + one.registers - 1
        registers = f"{one.register}" if last == one.register else f"{one.register} to {last}"
        rows.append((registers, one.byte, f"`{one.field}`", one.type, f"`{one.node}`", one.meaning))
    yield from table(("register", "byte", "field", "type", "OPC UA", "meaning"), rows)


def plc_states() -> Iterator[str]:
    """States of the line, and of the machine vision system of OPC 40100-1."""
    rows = [(code, name, *(state or "-" for state in STATES[name])) for name, code in STATE_CODES.items()]
    yield from table(("code", "state", "VisionStateMachine", "AutomaticModeStateMachine"), rows)


def plc_kinds() -> Iterator[str]:
    """Kinds of PLC, and the keys of each."""
    rows = []
    for kind in PLCS:
        keys = [(one.key, one.default) for one, kinds in all_settings().items() if kind in kinds]
        rows.append(
            (f"`{kind}`", ", ".join(f"`{key}`" + (" (needed)" if default == "needed" else "") for key, default in keys))
        )
    yield from table(("kind", "keys, beside `plc.silent_ms`"), rows)
