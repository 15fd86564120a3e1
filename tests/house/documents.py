"""The parts of the documents that repeat code: made from it, and put between their marks in the README files.

    python -m tests.house.documents      # writes them anew, and the PLC's files; `make docs`

A mark is `<!-- BEGIN name words -->`, up to `<!-- END name words -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.appliance.plc.iec.files import generated
from tests.house import reference, reference_commands

ROOT = Path(__file__).resolve().parents[2]
MARKED = re.compile(r"<!-- BEGIN (?P<name>[\w. -]+) -->\n(?P<content>.*?)<!-- END (?P=name) -->", re.DOTALL)
BLOCKS: Mapping[str, Callable[..., Iterator[str]]] = {
    "alarms": reference.alarms,
    "commands": reference_commands.commands,
    "docstring": reference_commands.docstring,
    "exit-statuses": reference_commands.exit_statuses,
    "extras": reference_commands.extras,
    "message-fields": reference.message_fields,
    "parity-limits": reference_commands.parity_limits,
    "plc-image": reference.plc_image,
    "plc-kinds": reference.plc_kinds,
    "plc-states": reference.plc_states,
    "processes": reference.processes,
    "reasons": reference.reasons,
    "rooms": reference_commands.rooms,
    "settings": reference.settings,
    "targets": reference_commands.targets,
    "time-limits": reference.time_limits,
    "topics": reference.topics,
}


def documents() -> list[Path]:
    """Every README of the project."""
    found = (file for file in ROOT.rglob("README.md") if not any(part.startswith(".") for part in file.relative_to(ROOT).parts))
    return sorted(file for file in found if file.relative_to(ROOT).parts[0] not in ("demo", "build"))


def renewed(text: str) -> str:
    """A document's text with its marked parts as the code has them now."""

    def part(found: re.Match[str]) -> str:
        name, *words = found["name"].split()
        content = "\n".join(BLOCKS[name](*words))
        return f"<!-- BEGIN {found['name']} -->\n{content}\n<!-- END {found['name']} -->"

    return MARKED.sub(part, text)


def main() -> None:
    """Write what has changed."""
    texts = {file: renewed(file.read_text(encoding="utf-8")) for file in documents()}
    for file, now in (texts | generated()).items():
        if not file.exists() or file.read_text(encoding="utf-8") != now:
            file.write_text(now, encoding="utf-8")
            print(f"written: {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
