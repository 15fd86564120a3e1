"""The command `inspect` as a user runs it: processes, signals, exit statuses, a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from appliance.records.journal import audit
from engines.recipe.bundle import Recipe
from tests.appliance.conftest import (
    PATIENCE_S,
    MakeLine,
    emulated,
    inspect_process,
    on_air,
    plc_sim,
    read_events,
    taken_by,
    wait_for,
)
from tests.virtual_line.demo import agrees

Command = Callable[..., subprocess.CompletedProcess[str]]
OPENVINO = {"target": "openvino", "precision": "float32"}


def the_complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refused command."""
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_camera_to_plc(
    tmp_path: Path, make_line: MakeLine, built: Recipe, parts_folder: Path, free_ports: Callable[[int], list[int]]
) -> None:
    (port,) = free_ports(1)
    camera = {"kind": "pylon", "serial": "0815-0000", "trigger": "software", "features": emulated(parts_folder)}
    plc = {"kind": "modbus", "host": "127.0.0.1", "port": port}
    line = make_line(recipe=built.folder, camera=camera, engine=OPENVINO, plc=plc)
    lines = line.file.parent
    took, told, said = (tmp_path / name for name in ("plc.jsonl", "run.jsonl", "bridge.jsonl"))
    with plc_sim(line, took), inspect_process("plc", "--line", 3, "--config-dir", lines, stdout=said) as bridge:
        with inspect_process("run", "--line", 3, "--config-dir", lines, "--parts", 6, stdout=told) as run:
            assert run.wait(120) == 0
        verdicts = [event for event in read_events(told) if event["event"] == "verdict"]
        wait_for(lambda: len(taken_by(took)) >= 6, "six results in the PLC")
        bridge.terminate()
        assert bridge.wait(PATIENCE_S) == 0
    assert [verdict["part_id"] for verdict in verdicts] == [1, 2, 3, 4, 5, 6]
    assert all(agrees(verdict, taken) for verdict, taken in zip(verdicts, taken_by(took), strict=True))
    assert {event["text"] for event in read_events(said)} >= {"connected to the PLC", "the line is heard"}
    assert read_events(told)[-1]["text"] == "the line has stopped"


def test_signals_stop_lines_that_run_side_by_side_after_their_last_verdict(
    tmp_path: Path, make_line: MakeLine, built: Recipe, parts_folder: Path
) -> None:
    camera = {"kind": "replay", "source": str(parts_folder), "rate": 10, "loop": True}
    names = ("left", "right")
    lines = [make_line(name=name, recipe=built.folder, camera=camera, engine=OPENVINO).file for name in names]
    told = [tmp_path / f"{file.stem}.jsonl" for file in lines]

    def verdicts(file: Path) -> list[dict[str, Any]]:
        return [event for event in read_events(file) if event["event"] == "verdict"]

    with ExitStack() as stack:
        runs = [
            stack.enter_context(inspect_process("run", "--line", file.stem, "--config-dir", file.parent, stdout=log))
            for file, log in zip(lines, told, strict=True)
        ]
        for run, log, number in zip(runs, told, (signal.SIGTERM, signal.SIGINT), strict=True):
            wait_for(lambda log=log: len(verdicts(log)) >= 3, "three verdicts", 60)  # type: ignore[misc]
            run.send_signal(number)
            assert run.wait(PATIENCE_S) == 0
    for log in told:
        last = read_events(log)[-1]
        assert last["text"] == "the line has stopped"
        given = verdicts(log)
        assert last["passed"] + sum(last["rejected"].values()) == len(given)
        assert [verdict["seq"] for verdict in given] == list(range(1, len(given) + 1))
        assert [verdict["frame"] for verdict in given] == list(range(1, len(given) + 1)), "every grabbed part"


@pytest.mark.parametrize("told_to", ["a full disk", "a reader that has gone"])
def test_a_log_that_is_not_taken_does_not_end_a_line(make_line: MakeLine, built: Recipe, told_to: str) -> None:
    line = make_line(recipe=built.folder, engine=OPENVINO, journal={"file": "journal.db"})
    words = [Path(sys.executable).with_name("inspect"), "run", "--line", "3", "--config-dir", line.file.parent, "--parts", "5"]
    with Path("/dev/full").open("wb") as full:
        process = subprocess.Popen(words, stdout=full if told_to == "a full disk" else subprocess.PIPE, stderr=subprocess.PIPE)
        if process.stdout:
            process.stdout.close()
        errors = process.communicate(timeout=PATIENCE_S)[1]
    assert (process.returncode, errors) == (0, b"")
    assert audit(line.file.parent / "journal.db").rows == 5


def test_watch_prints_verdicts_and_stops_at_a_signal(tmp_path: Path, make_line: MakeLine) -> None:
    line = make_line()
    told = tmp_path / "watch.jsonl"
    with on_air(line) as station, inspect_process(
        "watch", "--line", 3, "--config-dir", line.file.parent, "--json", stdout=told
    ) as watch:  # fmt: skip

        def heard() -> bool:
            station.publish(verdict="reject", reason="late")
            return len(read_events(told)) >= 3

        wait_for(heard, "three verdicts")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(PATIENCE_S) == 0
    events = read_events(told)
    assert {(event["event"], event["verdict"], event["reason"]) for event in events} == {("verdict", "reject", "late")}
    assert [event["seq"] for event in events] == list(range(events[0]["seq"], events[0]["seq"] + len(events)))


def test_an_absent_camera_and_a_taken_port_are_one_line_and_exit_status_2(
    tmp_path: Path, make_line: MakeLine, built: Recipe
) -> None:
    make_line(
        name="blind", recipe=built.folder, camera={"kind": "pylon", "serial": "4711", "trigger": "software"}, engine=OPENVINO
    )
    late = make_line(name="late", recipe=built.folder, engine=OPENVINO)
    address = late.config.publish.verdicts
    expected = {
        "blind": "camera serial 4711: not found (cameras here: Emulation serial 0815-0000",
        "late": f"publish.verdicts: {address} cannot be bound",
    }
    with socket.socket() as taken, ExitStack() as stack:
        taken.bind(("127.0.0.1", int(address.rsplit(":", 1)[1])))
        taken.listen()
        runs = [
            stack.enter_context(
                inspect_process("run", "--line", name, "--config-dir", late.file.parent, stdout=tmp_path / name)
            )
            for name in expected
        ]
        assert [run.wait(60) for run in runs] == [2, 2]
    for name, text in expected.items():
        (complaint,) = (tmp_path / name).read_text().splitlines()
        assert complaint.startswith("error: ")
        assert text in complaint


@pytest.mark.parametrize("words", [("run",), ("watch",), ("plc",), ("plc-sim",), ("doctor",)])
def test_an_unknown_line_is_one_line_that_lists_those_there_are(
    make_line: MakeLine, in_process: Command, words: tuple[str, ...]
) -> None:
    lines = make_line().file.parent
    complaint = the_complaint(in_process("inspect", *words, "--line", 7, "--config-dir", lines))
    assert f"line 7: no file 7.toml in {lines} (lines there: 3)" in complaint


def test_a_file_that_is_not_a_plcs_memory_is_refused(make_line: MakeLine, in_process: Command, tmp_path: Path) -> None:
    lines = make_line(plc={"kind": "modbus", "host": "127.0.0.1"}).file.parent
    (tmp_path / "memory").write_text("1, 2")
    done = in_process("inspect", "plc-sim", "--line", 3, "--config-dir", lines, "--retain", tmp_path / "memory")
    assert "memory: not the memory of a PLC" in the_complaint(done)


@pytest.mark.parametrize("word", ["plc", "plc-sim"])
def test_the_bridge_of_a_line_without_plc_is_refused(make_line: MakeLine, in_process: Command, word: str) -> None:
    lines = make_line().file.parent
    assert "no PLC is configured" in the_complaint(in_process("inspect", word, "--line", 3, "--config-dir", lines))


def test_the_bridge_tells_that_the_plc_is_absent_and_stays(
    tmp_path: Path, make_line: MakeLine, free_ports: Callable[[int], list[int]]
) -> None:
    (port,) = free_ports(1)
    lines = make_line(plc={"kind": "modbus", "host": "127.0.0.1", "port": port}).file.parent
    said = tmp_path / "bridge.jsonl"
    with inspect_process("plc", "--line", 3, "--config-dir", lines, stdout=said) as bridge:
        wait_for(lambda: len(said.read_text().splitlines()) >= 2, "two attempts")
        assert bridge.poll() is None
        bridge.terminate()
        assert bridge.wait(PATIENCE_S) == 0
    assert all("does not answer; inspection goes on" in event["text"] for event in read_events(said))


def test_doctor_fails_when_something_failed(tmp_path: Path, make_line: MakeLine, command: Command) -> None:
    lines = make_line(recipe=tmp_path / "gone").file.parent
    done = command("inspect", "doctor", "--line", 3, "--config-dir", lines)
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(r"recipe\s+│ failed", done.stdout)
    assert "no recipe there" in " ".join(done.stdout.replace("│", " ").split())


def test_doctor_tells_names_as_they_are(
    tmp_path: Path, make_line: MakeLine, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "600")  # of a process of its own: what is wider than its table is cut
    gone = f"{tmp_path}/[bold] a[0] [x]/"
    lines = make_line(recipe=gone + "[/] C:\\").file.parent
    done = command("inspect", "doctor", "--line", 3, "--config-dir", lines)
    assert f"{gone}[/] C:\\: no recipe there" in done.stdout


def test_keys_are_made(tmp_path: Path, command: Command) -> None:
    done = command("inspect", "keys", tmp_path / "keys", "--client", "plc", "--client", "office")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(file.name for file in (tmp_path / "keys" / "clients").glob("*.key")) == ["office.key", "plc.key"]
    assert len(done.stdout.splitlines()) == 3


def test_a_terminal_gets_the_live_table(make_line: MakeLine, built: Recipe) -> None:
    lines = make_line(recipe=built.folder, engine={"target": "openvino", "precision": "float32"}).file.parent
    script = str(Path(sys.executable).with_name("inspect"))
    words = [script, "run", "--line", "3", "--config-dir", str(lines), "--parts", "4"]
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "140", "LINES": "40"}
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    try:
        shown = read_to_the_end(ours)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "line 3: " in plain
    assert "on openvino float32, stopped" in plain
    for heading in ("parts/s", "by reason", "latency median", "last rejects", "Ctrl-C stops"):
        assert heading in plain
    assert re.search(r"part +\d+  reject defect", plain)


def test_a_terminal_gets_the_plc_as_a_live_table(make_line: MakeLine, free_ports: Callable[[int], list[int]]) -> None:
    line = make_line(plc={"kind": "modbus", "host": "127.0.0.1", "port": free_ports(1)[0]})
    words = [str(Path(sys.executable).with_name("inspect")), "plc-sim", "--line", "3", "--config-dir", str(line.file.parent)]
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "140", "LINES": "40"}
    shown = ""
    with (
        on_air(line) as station,
        inspect_process("plc", "--line", 3, "--config-dir", line.file.parent, stdout=line.file.with_name("said")),
        subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process,
    ):
        os.close(theirs)
        try:
            station.do(lambda: station.publisher.change_state("running"))
            station.publish(1, verdict="reject", reason="defect")
            until = time.monotonic() + PATIENCE_S
            while not re.search(r"part +1  reject defect", shown) and time.monotonic() < until:
                shown += read_to_the_end(ours, 0.5)
            process.terminate()
            shown += read_to_the_end(ours)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
            os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "PLC of line 3: connected" in plain
    assert "no: every part is a reject" in plain, "before the line was heard"
    assert re.search(r"part +1  reject defect", plain)


def read_to_the_end(terminal: int, seconds: float = 60) -> str:
    """All that a process writes to its terminal."""
    shown, until = b"", time.monotonic() + seconds
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                shown += os.read(terminal, 65_536)
            except OSError:  # the other end is closed
                break
    return shown.decode("utf-8", "replace")
