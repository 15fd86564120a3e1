"""What the documents' marked parts say, as Markdown: one function a part, each made from the table that the code itself uses."""

from __future__ import annotations

import ast
import importlib
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import typer

from appliance.messages.schema import MESSAGES, ReasonCode
from engines.proof.parity import LIMITS
from engines.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]


def table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """A Markdown table."""
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in [list(headings), *map(list, rows)]]
    yield "| " + " | ".join(cells[0]) + " |"
    yield "|" + "---|" * len(cells[0])
    yield from ("| " + " | ".join(row) + " |" for row in cells[1:])


def commands(program: str) -> Iterator[str]:
    """Every command of a program, with its options and what they are when they are left out."""
    package = {"inspect": "appliance"}.get(program, program)
    group: Any = typer.main.get_command(importlib.import_module(f"{package}.cli.main").app)
    rows = []
    for name, command in sorted(group.commands.items()):
        summary = " ".join(command.help.split("\n\n")[0].split())
        rows.append((f"`{program} {name}`", summary, ", ".join(_option(one) for one in command.params)))
    yield from table(("command", "what it does", "options, with their defaults"), rows)


def _option(option: Any) -> str:
    if option.param_type_name == "argument":
        return f"`{option.name.upper()}`" + ("" if option.required else " (may be left out)")
    name = option.opts[0]
    if option.is_flag or option.default in (None, "", []):
        return f"`{name}`" + (" (needed)" if option.required else "")
    return f"`{name} {option.default}`"


def rooms(package: str) -> Iterator[str]:
    """The rooms of a package, and what each may import."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(one for one in project["tool"]["importlinter"]["contracts"] if one["type"] == "allow-list")
    rows = []
    for entry in contract["rooms"]:
        room, _, names = entry.partition(":")
        if room.split(".")[0] == package:
            place = ROOT / room.replace(".", "/")
            file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
            summary = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
            shown = f"`{place.name}/`" if place.is_dir() else f"`{place.name}.py`"
            rows.append((shown, " ".join(summary.split()), ", ".join(f"`{name}`" for name in names.split()) or "nothing of ours"))
    yield from table(("room", "what lives there", "imports"), rows)


def targets() -> Iterator[str]:
    """What an engine can be compiled for."""
    rows = [
        (f"`{name}`", ", ".join(f"`{precision}`" for precision in info.precisions), f"`{info.extra}`" if info.extra else "-")
        for name, info in TARGETS.items()
    ]
    yield from table(("target", "precisions, the default first", "extra"), rows)


def parity_limits() -> Iterator[str]:
    """What the parity gate allows a precision."""
    rows = [(f"`{name}`", one.map_error, one.correlation, f"{one.guard_band:.1%}") for name, one in LIMITS.items()]
    yield from table(("precision", "error of map and score, at most", "correlation, at least", "guard band"), rows)


def reasons() -> Iterator[str]:
    """Reasons of a reject, and their codes for a PLC."""
    yield from table(("reason", "code"), [(one.name.lower().replace("_", "-"), one.value) for one in ReasonCode])


def message_fields() -> Iterator[str]:
    """The fields of the published messages."""
    rows = []
    for message in MESSAGES[:3]:
        for name in message.__struct_fields__:
            rows.append((message.__name__, f"`{name}`"))
    yield from table(("message", "field"), rows)


def extras() -> Iterator[str]:
    """What the base leaves out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = [(f"`{name}`", ", ".join(one.split(";")[0] for one in needs) or "-") for name, needs in project["optional-dependencies"].items()]
    yield from table(("extra", "packages"), rows)


_ = msgspec
