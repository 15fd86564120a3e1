"""`inspect doctor`: a good line is found good, and each thing that is wrong is found and named."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.checks.doctor import Finding, examine
from appliance.config.line import Line
from appliance.line.running_line import RunningLine
from appliance.messages.schema import Alarm, Verdict
from engines.recipe.bundle import Recipe
from engines.recipe.model_config import TEMPLATE
from engines.recipe.thresholds import FILE
from tests.appliance.conftest import (
    PATIENCE_S,
    MadeEngine,
    MakeLine,
    assert_counted,
    emulated,
    listen,
    plc_sim,
    reasons,
    wait_for,
)

HOST_CHECKS = {"receive buffer", "mtu"}  # what they find depends on the box


@pytest.fixture
def made_engine(monkeypatch: pytest.MonkeyPatch) -> MadeEngine:
    """Stands in for the recipe's engine."""
    engine = MadeEngine()
    monkeypatch.setattr("appliance.checks.doctor.load_engine", lambda *_: engine)
    return engine


def findings(line: Line) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(line)}


def test_all_is_well_on_a_good_line(
    tmp_path: Path, make_line: MakeLine, recipe: Recipe, parts_folder: Path, free_ports: Callable[[int], list[int]]
) -> None:
    (port,) = free_ports(1)
    camera = {"kind": "pylon", "serial": "0815-0000", "trigger": "software", "features": emulated(parts_folder)}
    line = make_line(recipe=recipe.folder, camera=camera, plc={"kind": "modbus", "host": "127.0.0.1", "port": port})
    with plc_sim(line, tmp_path / "plc.jsonl"):
        found = findings(line)
    checks = [
        "config",
        "trigger",
        "recipe",
        "thresholds",
        "sensitivity",
        "engine",
        "cores",
        "camera",
        "ports",
        "plc",
        "receive buffer",
        "mtu",
    ]
    assert list(found) == checks
    for check in found.keys() - HOST_CHECKS:
        assert found[check].outcome == "ok", found[check]
    assert found["engine"].text == "torch float32 runs"
    unstamped = "they carry no time stamp: of one that waits in the driver it is not seen how old it is"
    assert found["camera"].text == f"gives pictures of 512 x 512 (simulated); {unstamped}"
    assert found["plc"].text == f"127.0.0.1:{port} answers"
    assert {found[check].outcome for check in HOST_CHECKS} <= {"ok", "warning"}


@pytest.mark.usefixtures("made_engine")
def test_an_absent_camera_and_plc_are_found(
    make_line: MakeLine, recipe: Recipe, free_ports: Callable[[int], list[int]]
) -> None:
    (port,) = free_ports(1)
    plc = {"kind": "modbus", "host": "127.0.0.1", "port": port}
    found = findings(make_line(recipe=recipe.folder, camera={"kind": "pylon", "serial": "4711"}, plc=plc))
    assert found["camera"].outcome == found["plc"].outcome == "failed"
    assert "camera serial 4711: not found (cameras here: Emulation serial 0815-0000" in found["camera"].text
    assert found["plc"].text.startswith(f"127.0.0.1:{port} does not answer; check its address")
    assert found["ports"].outcome == "ok", "one failure does not end the examination"


@pytest.mark.parametrize("kind", ["modbus-server", "opcua"])
def test_the_port_of_a_plc_that_connects_to_us_is_tried(
    make_line: MakeLine, free_ports: Callable[[int], list[int]], tmp_path: Path, kind: str
) -> None:
    (port,) = free_ports(1)
    line = make_line(recipe=tmp_path / "none", plc={"kind": kind, "address": "127.0.0.1", "port": port})
    finding = findings(line)["plc"]
    assert (finding.outcome, finding.text) == ("ok", f"127.0.0.1:{port} can be bound, for the PLC to connect to")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        finding = findings(line)["plc"]
    assert finding.outcome == "warning"
    assert f"127.0.0.1:{port} cannot be bound" in finding.text
    assert "fine if this line's bridge is running" in finding.text


def test_a_plc_that_needs_a_certificate_that_is_not_there_is_found(make_line: MakeLine, tmp_path: Path) -> None:
    names = {"certificate": "c.der", "private_key": "k.pem", "clients": "clients"}
    finding = findings(make_line(recipe=tmp_path / "none", plc={"kind": "opcua", "address": "127.0.0.1"} | names))["plc"]
    assert finding.outcome == "failed"
    assert "c.der is not there; make it, or leave certificates out" in finding.text


@pytest.mark.usefixtures("made_engine")
def test_a_line_without_plc_is_a_warning(make_line: MakeLine, recipe: Recipe) -> None:
    finding = findings(make_line(recipe=recipe.folder))["plc"]
    assert (finding.outcome, "nothing ejects rejects" in finding.text) == ("warning", True)


def test_a_tampered_recipe_is_found_and_nothing_of_it_is_run(tmp_path: Path, make_line: MakeLine, recipe: Recipe) -> None:
    copy = tmp_path / "recipe"
    shutil.copytree(recipe.folder, copy)
    (copy / TEMPLATE).write_bytes((copy / TEMPLATE).read_bytes() + b"\0")
    found = findings(make_line(recipe=copy))
    assert found["recipe"].outcome == "failed"
    assert f"{TEMPLATE}: changed since it was written" in found["recipe"].text
    assert not {"thresholds", "engine", "camera"} & found.keys()


@pytest.mark.usefixtures("made_engine")
def test_missing_thresholds_are_found_with_the_command_that_makes_them(
    tmp_path: Path, make_line: MakeLine, recipe: Recipe
) -> None:
    copy = tmp_path / "recipe"
    shutil.copytree(recipe.folder, copy)
    (copy / FILE).unlink()
    finding = findings(make_line(recipe=copy))["thresholds"]
    assert (finding.outcome, "run: calibrate thresholds --line 3 " in finding.text) == ("failed", True)


def test_an_engine_that_gives_no_numbers_is_found(make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine) -> None:
    made_engine.act = lambda _call, _map, scores: scores.fill(np.nan)
    finding = findings(make_line(recipe=recipe.folder))["engine"]
    assert finding.outcome == "failed"
    assert "not finite" in finding.text


@pytest.mark.usefixtures("made_engine")
def test_pictures_of_another_size_are_found(tmp_path: Path, make_line: MakeLine, recipe: Recipe) -> None:
    (tmp_path / "parts").mkdir()
    cv2.imwrite(str(tmp_path / "parts" / "0.png"), np.zeros((48, 64, 3), np.uint8))
    camera = {"kind": "replay", "source": str(tmp_path / "parts"), "rate": 0}
    finding = findings(make_line(recipe=recipe.folder, camera=camera))["camera"]
    assert finding.outcome == "failed"
    assert "its pictures are 64 x 48, the recipe was made for 512 x 512" in finding.text


@pytest.mark.usefixtures("made_engine")
def test_a_hardware_triggered_camera_is_opened_but_not_waited_for(
    make_line: MakeLine, recipe: Recipe, parts_folder: Path
) -> None:
    camera = {"kind": "pylon", "serial": "0815-0000", "features": emulated(parts_folder)}
    text = (
        "opens and takes its features; waits for its hardware trigger, and the line tells with the first picture when "
        "they carry no time stamp"
    )
    finding = findings(make_line(recipe=recipe.folder, camera=camera | {"stall_ms": 60_000}))["camera"]
    assert (finding.outcome, finding.text) == ("ok", text)
    finding = findings(make_line(recipe=recipe.folder, camera=camera))["camera"]
    assert finding.outcome == "warning"
    assert finding.text.startswith(f"{text}; one that falls silent is noticed by its driver only: set camera.stall_ms")


@pytest.mark.usefixtures("made_engine")
def test_a_taken_port_is_found(make_line: MakeLine, recipe: Recipe) -> None:
    line = make_line(recipe=recipe.folder)
    address = line.config.publish.snapshot
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(address.rsplit(":", 1)[1])))
        taken.listen()
        finding = findings(line)["ports"]
    assert finding.outcome == "warning"
    assert finding.text.startswith(f"publish.snapshot: {address}: Address already in use")


def test_a_line_that_runs_meanwhile_is_not_disturbed(
    make_line: MakeLine, recipe: Recipe, parts_folder: Path, made_engine: MadeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.line.recipe_at_work.load_engine", lambda *_: made_engine)
    camera = {"kind": "replay", "source": str(parts_folder), "rate": 20, "loop": True}
    line = make_line(recipe=recipe.folder, camera=camera, engine={"slots": 8}, decision={"deadline_ms": 2_000})
    running = RunningLine(line)
    with closing(running), closing(listen(line, catch_up=True)) as subscriber:
        running.start()
        heard: list[Verdict] = []

        def hear_more() -> None:
            wanted = len(heard) + 3
            while len(heard) < wanted:
                message = subscriber.receive(PATIENCE_S)
                assert message is not None, "silent"
                assert not isinstance(message, Alarm), message
                heard.extend([message] if isinstance(message, Verdict) else [])

        hear_more()
        before, since = len(running.events), time.monotonic()
        assert findings(line)["ports"].outcome == "warning"
        while time.monotonic() < since + 0.5:  # what doctor does may take effect a little later
            hear_more()
        meanwhile = list(running.events)[before:]
        with closing(listen(line, catch_up=True)) as later:
            wait_for(lambda: isinstance(later.receive(0.1), Verdict), "the snapshot's answer")
    assert_counted(heard, len(heard))
    assert set(reasons(heard)) == {""}, "all in time"
    assert [event for event in meanwhile if not isinstance(event, Verdict)] == [], "nothing to tell"


@pytest.mark.usefixtures("made_engine")
@pytest.mark.parametrize(
    ("archive", "outcome", "text"),
    [
        ({"folder": "not/there/yet", "quota_gb": 0.1, "free_gb": 0}, "ok", "GB free, quota 0.1 GB"),
        ({"folder": "frames", "free_gb": 1e6}, "failed", "nothing is archived below archive.free_gb"),
        ({"folder": "frames", "quota_gb": 1e6}, "warning", "archive.quota_gb = 1e+06 does not fit; lower it"),
        ({"folder": "3.toml/frames"}, "failed", "cannot be written; mend its rights"),
    ],
)
def test_the_archives_disk_is_looked_at(
    make_line: MakeLine, recipe: Recipe, archive: dict[str, object], outcome: str, text: str
) -> None:
    finding = findings(make_line(recipe=recipe.folder, archive=archive))["archive"]
    assert finding.outcome == outcome, finding
    assert text in finding.text


def test_thresholds_measured_by_another_engine_are_told(make_line: MakeLine, recipe: Recipe) -> None:
    finding = findings(make_line(recipe=recipe.folder, engine={"target": "openvino", "precision": "float32"}))["thresholds"]
    assert finding.outcome == "warning"
    assert finding.text.startswith("measured by torch float32, this line runs openvino float32: calibrate thresholds --line 3 ")
