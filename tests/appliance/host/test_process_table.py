"""The table of what a line is made of: a real line has just these processes, threads, sockets and files."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import psutil

from appliance.config.line import need_journal
from appliance.host import process_table
from appliance.host.process_table import CAMERA, FILES, PROCESSES, SOCKETS, THREADS, Thread
from appliance.line.running_line import RunningLine
from appliance.messages.curve_keys import make_keys
from appliance.messages.orders import orders_address
from appliance.records.challenge_record import sign
from engines.recipe.bundle import Recipe
from tests.appliance.checks.test_challenge import challenge
from tests.appliance.conftest import MadeEngine, MakeLine, emulated, inspect_process, verdicts_of, wait_for

ROOMS = Path(process_table.__file__).parents[1]


def test_rows_belong_to_processes_that_there_are() -> None:
    names = {process.name for process in PROCESSES}
    for row in (*THREADS, *SOCKETS, *FILES):
        assert set(row.process.split(", ")) <= names, row
    assert len({(row.process, row.name) for row in THREADS}) == len(THREADS)


def test_every_thread_of_the_code_bears_a_name_of_the_table() -> None:
    named = set()
    for file in ROOMS.rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if called == "LoopThread":
                named.add(ast.unparse(call.args[0]))
            elif called in ("Thread", "Timer") and file.name not in ("process_table.py", "loop_thread.py"):
                named |= {ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == "name"} or {str(file)}
    rows = {f"{name}.name" for name, row in vars(process_table).items() if isinstance(row, Thread)}
    assert named | {"KEYS.name"} == rows, "a library starts the thread that admits subscribers; a running line has it, below"


class Ports(NamedTuple):
    """What is listened at."""

    verdicts: int
    snapshot: int
    plc: int


def test_a_real_line_is_made_of_what_the_table_says(
    tmp_path: Path,
    make_line: MakeLine,
    recipe: Recipe,
    parts_folder: Path,
    free_ports: Callable[[int], list[int]],
    made_engine: MadeEngine,
) -> None:
    ports = Ports(*free_ports(3))
    make_keys(tmp_path / "keys", ["plc"])
    line = make_line(
        recipe=recipe.folder,
        camera={"kind": "pylon", "serial": "0815-0000", "trigger": "software", "features": emulated(parts_folder)},
        publish={
            "verdicts": f"tcp://127.0.0.1:{ports.verdicts}",
            "snapshot": f"tcp://127.0.0.1:{ports.snapshot}",
            "keys": str(tmp_path / "keys"),
        },
        plc={"kind": "modbus-server", "address": "127.0.0.1", "port": ports.plc},
        journal={"file": str(tmp_path / "journal.db")},
        archive={"folder": str(tmp_path / "frames"), "passes": 1, "free_gb": 0},
        challenge={"every_hours": 12},
    )
    bridge_log = tmp_path / "bridge.log"
    bridge_log.touch()
    before, there = set(threading.enumerate()), _files(tmp_path)
    sign(need_journal(line), challenge(recipe=recipe.digest, thresholds_version=1, engine=made_engine.target))
    with inspect_process("plc", "--line", line.name, "--config-dir", line.file.parent, stdout=bridge_log) as bridge:
        running = RunningLine(line)
        try:
            running.start()
            wait_for(lambda: len(verdicts_of(list(running.events))) > 3, "a few verdicts")
            wait_for(lambda: _listening(psutil.Process(bridge.pid)), "the bridge's server")
            wait_for(lambda: any((tmp_path / "frames").rglob("*.npz")), "a frame in the archive")
            assert {thread.name for thread in set(threading.enumerate()) - before} == _threads("line")
            me = psutil.Process()
            started = {tuple(child.cmdline()[1:3]) for child in me.children() if child.pid != bridge.pid}
            assert started == {tuple(CAMERA.command.split()[1:])}
            assert _listening(me) == {ports.verdicts, ports.snapshot}
            assert _listening(psutil.Process(bridge.pid)) == {ports.plc}
            assert orders_address(line.name, line.config.publish).removeprefix("ipc://") in _abstract(), "where it takes orders"
            assert "/memfd:camera (deleted)" in {
                str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()
            }
            made = {file.relative_to(tmp_path).as_posix() for file in _files(tmp_path) - there}
        finally:
            running.close()
    written = {row.place for row in FILES if row.access == "written" and not row.place.startswith("memfd")}
    settings = {"journal.file": "journal.db", "archive.folder": "frames", "DAY": "????-??-??", " + ": "", " ": ""}
    for setting, value in settings.items():
        written = {place.replace(setting, value) for place in written}
    for name in made:
        assert any(fnmatch(name, place) for place in written), f"{name} is not in the table"
    for place in written:
        assert any(fnmatch(name, place) for name in made), f"{place} is in the table, and not written"


def _threads(process: str) -> set[str]:
    """The names of a process's threads besides the main one, when all that a line's file can ask for is asked for."""
    rows = (row for row in THREADS if row.process == process and row.name != process_table.MAIN)
    return {row.name for row in rows} - {process_table.CHANGE_OVER.name}


def _listening(process: psutil.Process) -> set[int]:
    return {one.laddr.port for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN}


def _abstract() -> set[str]:
    """Abstract sockets of this box that are bound and listen."""
    rows = (row.split() for row in Path("/proc/net/unix").read_text().splitlines()[1:])
    return {row[7] for row in rows if len(row) > 7 and int(row[3], 16) & 0x10000}


def _files(folder: Path) -> set[Path]:
    return {file for file in folder.rglob("*") if file.is_file()}
