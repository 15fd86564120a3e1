"""The line that faults are tried on: an emulated camera, a real engine, a Modbus PLC."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engines.recipe.bundle import Recipe
from tests.appliance.conftest import MakeLine, emulated, make_line  # noqa: F401 - a fixture
from tests.faults.pictures import Picture, read_pictures, save_pictures
from tests.faults.station import Station

RATE = 15  # parts a second: a load that two cores bear beside the four other processes
SIDE = 512  # of the pictures that the recipe was made for


@pytest.fixture(scope="session")
def pictures_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the emulated camera plays."""
    folder = tmp_path_factory.mktemp("pictures")
    save_pictures(folder)
    return folder


@pytest.fixture(scope="session")
def pictures(pictures_folder: Path, built: Recipe) -> list[Picture]:
    """The truth of each."""
    return read_pictures(pictures_folder, built)


@pytest.fixture
def make_station(
    tmp_path: Path,
    make_line: MakeLine,  # noqa: F811
    built: Recipe,
    pictures_folder: Path,
    pictures: list[Picture],
    free_ports: Callable[[int], list[int]],
) -> Callable[..., Station]:
    """A function that writes a line's file and gives its station, not started yet; tables replace the usual ones.

    A camera of Aravis plays its own bars, each one a bad part, by a count of its own that no command tells: of its parts is
    known only that none may pass. That each gets its own picture is seen in `test_aravis_camera.py`, which looks into them.
    """

    def make(**tables: object) -> Station:
        (port,) = free_ports(1)
        usual: dict[str, object] = {
            "camera": {
                "kind": "pylon",
                "serial": "0815-0000",
                "trigger": "software",
                "rate": RATE,
                "timeout_ms": 500,
                "features": emulated(pictures_folder),
            },
            "engine": {"target": "openvino", "precision": "float32", "slots": 3},
            "decision": {"deadline_ms": 500},
            "plc": {"kind": "modbus", "host": "127.0.0.1", "port": port},
            "journal": {"file": str(tmp_path / "journal.db")},
        }
        line = make_line(recipe=built.folder, **(usual | tables))  # type: ignore[arg-type]
        known = line.config.camera.kind == "pylon"
        return Station(line.name, line.file.parent, tmp_path / "logs", pictures if known else None)

    return make
