"""The files for PLC tools beside `program.st`, made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import appliance.plc
from appliance.plc.iec.parser import read
from appliance.plc.iec.tree import File
from tests.appliance.plc.iec.l5x import l5x
from tests.appliance.plc.iec.plcopen import plcopen
from tests.appliance.plc.iec.scl import scl

FOLDER = Path(appliance.plc.__file__).parent
SOURCE = FOLDER / "program.st"
KINDS: Mapping[str, Callable[[File], str]] = {"program.xml": plcopen, "program.scl": scl, "program.L5X": l5x}


def generated() -> dict[Path, str]:
    """What each file is to hold."""
    program = read(SOURCE.read_text(encoding="ascii"))
    return {FOLDER / name: write(program) for name, write in KINDS.items()}
