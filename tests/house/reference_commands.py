"""What the documents' marked parts say of the commands, the rooms and the engines; as `reference` says it of the line."""

from __future__ import annotations

import ast
import importlib
import inspect
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from engines.common.console import EXIT_STATUSES
from engines.proof.parity import LIMITS
from engines.targets import TARGETS
from tests.house.reference import table

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"inspect": "appliance", "calibrate": "calibrate", "engines": "engines"}


def commands(program: str) -> Iterator[str]:
    """Every command of a program, with its options and what they are when they are left out."""
    rows = []
    for name, command in sorted(commands_of(program).items()):
        summary = " ".join(command.help.split("\n\n")[0].split())
        rows.append((f"`{program} {name}`", summary, ", ".join(_option(one) for one in command.params)))
    yield from table(("command", "what it does", "options, with their defaults"), rows)


def commands_of(program: str) -> dict[str, Any]:
    """A program's commands by name."""
    group: Any = typer.main.get_command(importlib.import_module(f"{PACKAGES[program]}.cli.main").app)
    return dict(group.commands)


def _option(option: Any) -> str:
    if option.param_type_name == "argument":
        return f"`{option.name.upper()}`" + ("" if option.required else " (may be left out)")
    name = option.opts[0]
    if option.is_flag or option.default in (None, "", []):
        return f"`{name}`" + (" (needed)" if option.required else "")
    return f"`{name} {getattr(option.default, 'value', option.default)}`"


def docstring(name: str) -> Iterator[str]:
    """What a module, or something in it, says of itself, without its first sentence."""
    module, _, member = name.rpartition(".")
    found = getattr(importlib.import_module(module), member) if member[0].isupper() else importlib.import_module(name)
    text = inspect.cleandoc(found.__doc__ or "").partition("\n\n")[2]
    yield from (line.rstrip() for line in text.splitlines())


def exit_statuses() -> Iterator[str]:
    """How commands end."""
    rows = [(status, one.meaning, one.examples, one.service) for status, one in EXIT_STATUSES.items()]
    yield from table(("status", "meaning", "where", "as a service"), rows)


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
            shown = f"`{place.name}/`" if place.is_dir() else f"`{file.name}`"
            allowed = ", ".join(f"`{name.removeprefix(f'{package}.')}`" for name in names.split())
            rows.append((shown, " ".join(summary.split()), allowed or "nothing of ours"))
    yield from table(("room", "what lives there", "imports"), rows)


def targets() -> Iterator[str]:
    """What an engine can be compiled for."""
    rows = [(f"`{name}`", ", ".join(f"`{precision}`" for precision in info.precisions)) for name, info in TARGETS.items()]
    yield from table(("target", "precisions, the default first"), rows)


def parity_limits() -> Iterator[str]:
    """What the parity gate allows a precision."""
    rows = [(f"`{name}`", one.map_error, one.correlation, f"{one.guard_band:.1%}") for name, one in LIMITS.items()]
    yield from table(("precision", "error of map and score, at most", "correlation, at least", "guard band"), rows)


def extras() -> Iterator[str]:
    """What the base leaves out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = [
        (f"`{name}`", ", ".join(f"`{one}`" for one in needs) or "`python3-gi` and `gir1.2-aravis-0.8` of Debian, see below")
        for name, needs in project["optional-dependencies"].items()
        if name != "dev"
    ]
    yield from table(("extra", "brings"), rows)
