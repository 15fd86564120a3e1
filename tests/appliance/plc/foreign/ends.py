"""The foreign ends by name: what each needs to be here, how it is started, and the line that it belongs to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.config.line import Line
from tests.appliance.conftest import MakeLine
from tests.appliance.plc.foreign.peers import Mbpoll, Peer, pipe_peer

StartPeer = Callable[[ExitStack], Peer]  # which the stack then ends
SCRIPTS = Path(__file__).parent
FETCHED = Path(sys.prefix) / "foreign"  # by `make foreign`
NEEDS_DEBIAN = "needs: apt install gcc libc6-dev libmodbus-dev mbpoll"
NEEDS_FETCHED = "needs: make foreign"
CONNECTED_TO = ("libmodbus-server", "snap7")  # the PLC is the server
CLIENTS = ("libmodbus-client", "mbpoll", "node-opcua", "open62541")
BASE, DB, START = 100, 7, 20


def line_and_peer(name: str, port: int, make_line: MakeLine, folder: Path) -> tuple[Line, StartPeer]:
    """A line with the kind of PLC that one of CONNECTED_TO or CLIENTS is, and what starts that one."""
    there, here, stderr = {"host": "127.0.0.1", "port": port}, {"address": "127.0.0.1", "port": port}, folder / "peer.txt"
    env = os.environ | {"NODE_PATH": str(FETCHED / "node_modules"), "PYTHONPATH": str(FETCHED / "python")}
    env |= {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}  # node-opcua writes a key there

    def pipe(where: str, offset: int, *command: object) -> StartPeer:
        return lambda stack: stack.enter_context(pipe_peer(command, env, stderr, where, offset))

    if name in ("libmodbus-server", "libmodbus-client", "mbpoll"):
        program = modbus_program(folder)
        role = name.removeprefix("libmodbus-")
        kind = {"kind": "modbus"} | there if name in CONNECTED_TO else {"kind": "modbus-server"} | here
        line = make_line(plc=kind | {"base": BASE})
        return line, pipe("register", BASE, program, role, port) if role != "mbpoll" else lambda _: Mbpoll(port, BASE)
    package, command = {
        "node-opcua": ("node_modules/node-opcua-client", ["node", SCRIPTS / "opcua_client.js", port]),
        "open62541": ("python/o6", [sys.executable, SCRIPTS / "opcua_client.py", port]),
        "snap7": ("node_modules/node-snap7/build/Release", ["node", SCRIPTS / "s7_server.js", port, DB, START + 400]),
    }[name]
    if not (FETCHED / package).exists() or not shutil.which(str(command[0])):
        pytest.skip(NEEDS_FETCHED)
    if name == "snap7":
        return make_line(plc={"kind": "s7", "db": DB, "start": START} | there), pipe("byte", START, *command)
    return make_line(plc={"kind": "opcua"} | here), pipe("node", 0, *command)


def modbus_program(folder: Path) -> Path:
    """The program on libmodbus, compiled."""
    tools = ("gcc", "mbpoll")
    if not all(map(shutil.which, tools)) or not Path("/usr/include/modbus/modbus.h").exists():
        pytest.skip(NEEDS_DEBIAN)
    program = folder / "modbus_peer"
    command = ["gcc", "-Wall", "-Wextra", "-o", str(program), str(SCRIPTS / "modbus_peer.c"), "-lmodbus"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return program
