"""A belt in real processes: parts with a truth, their pictures, a camera in its own process, line, bridge, PLC, over a wire.

The PLC is `inspect plc-sim`, which runs the very `program.st`.  Edges that no part has made, and edges that the camera does not
hear, are put on the trigger's wire; every process is killed or stopped now and then.  No bad part may go through the gate.
"""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.recipe.bundle import Recipe
from tests.appliance.conftest import MakeLine
from tests.faults.pictures import PATTERN, Picture
from tests.faults.station import Event, Station, wait_for

SPACING_MS = 250
KINDS = ("modbus", "modbus-server", "opcua", "s7")


@pytest.fixture(scope="module")
def parts_with_a_truth(tmp_path_factory: pytest.TempPathFactory, pictures_folder: Path, pictures: list[Picture]) -> Path:
    """The pictures of `pictures.py`, those of good parts below a folder named good."""
    folder = tmp_path_factory.mktemp("belt")
    for name in ("good", "bad"):
        (folder / name).mkdir()
    for file, one in zip(sorted(pictures_folder.iterdir()), PATTERN, strict=True):
        (folder / ("bad" if one == "1" else "good") / file.name).symlink_to(file)
    assert len(pictures) == len(PATTERN), "the recipe tells them apart"
    return folder


class Belt:
    """A station with a belt, and what may go wrong with it."""

    def __init__(self, station: Station, port: int, seed: int) -> None:
        self.station, self._port, self.dice = station, port, random.Random(seed)
        self.disturbances = {
            "extra edge": lambda: self._edge({"picture": "good/000.png"}),
            "extra edge, seen late": lambda: self._edge({"picture": "good/000.png", "late_ms": 400}),
            "edge that the camera does not hear": lambda: self._edge({"picture": None}),
            "not an edge": lambda: self._edge("?"),
            "camera's counter set back": lambda: self._edge({"picture": None, "counted": 0}),
            "bridge killed": lambda: self._killed("plc"),
            "line killed": lambda: self._killed("run"),
            "PLC killed": lambda: self._killed("plc-sim"),
            "camera's process killed": lambda: station.process("camera").kill(),
            "camera's process stands still": lambda: self._stands("camera"),
            "bridge stands still": lambda: self._stands("plc"),
            "line stands still": lambda: self._stands("run"),
        }

    def parts(self, after_s: float = 0.0) -> list[Event]:
        """What has gone by the gate since a moment (monotonic)."""
        return [one for one in self.station.told("plc-sim") if one["event"] == "part" and one["monotonic"] > after_s]

    def passes_again(self) -> None:
        """Wait until good parts are let go again."""
        since = time.monotonic()
        wait_for(lambda: sum(part["let_go"] for part in self.parts(since)) >= 2, "good parts to be let go")

    def _edge(self, what: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.sendto(json.dumps(what).encode(), ("127.0.0.1", self._port))

    def _killed(self, command: str) -> None:
        self.station.process(command).kill()
        time.sleep(self.dice.random() * 0.5)
        self.station.restart(command)

    def _stands(self, command: str) -> None:
        process = self.station.process(command)
        process.suspend()
        time.sleep(self.dice.choice((0.1, 0.3, 1.0)))
        process.resume()


@pytest.mark.parametrize("kind", KINDS)
def test_no_bad_part_is_let_go_whatever_goes_wrong(
    kind: str,
    tmp_path: Path,
    make_line: MakeLine,
    built: Recipe,
    parts_with_a_truth: Path,
    free_ports: Callable[[int], list[int]],
    rounds: Callable[[int, int], int],
) -> None:
    plc, trigger = free_ports(2)
    where = {"host": "127.0.0.1"} if kind in ("modbus", "s7") else {"address": "127.0.0.1"}
    line = make_line(
        recipe=built.folder,
        camera={
            "kind": "simulated",
            "source": str(parts_with_a_truth),
            "trigger": "hardware",
            "trigger_counter": "edges",
            "port": trigger,
        },
        engine={"target": "openvino", "precision": "float32", "slots": 3},
        decision={"deadline_ms": 500},
        plc={"kind": kind, "port": plc} | where | ({"db": 7} if kind == "s7" else {}),
        journal={"file": str(tmp_path / "journal.db")},
    )
    options = ("--spacing-ms", str(SPACING_MS), "--bad", "0.5", "--picture-ms", "150")
    station = Station(line.name, line.file.parent, tmp_path / "logs", None, {"plc-sim": options})
    with station:
        belt = Belt(station, trigger, seed=KINDS.index(kind))
        belt.passes_again()
        names = list(belt.disturbances)
        for i in range(rounds(2 if kind == "modbus" else 1, 100)):
            if i % len(names) == 0:
                belt.dice.shuffle(names)
            time.sleep(belt.dice.random())
            belt.disturbances[names[i % len(names)]]()
            belt.passes_again()
    gone = belt.parts()
    let_go = [part for part in gone if part["let_go"]]
    print(f"{kind}: {len(gone)} parts, {sum(part['good'] for part in gone)} good, {len(let_go)} let go")
    assert [part for part in let_go if not part["good"]] == []
    assert sum(not part["good"] for part in gone) > 3
    assert "Traceback" not in station.errors(), station.errors()
