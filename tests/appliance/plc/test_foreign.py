"""The bridge beside other implementations of each protocol than ours: libmodbus, mbpoll, node-opcua, open62541 and Snap7.

A PLC that finds every field where the README says, reads the line's block and writes its own.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.config.line import Line
from appliance.messages.part_numbers import PartNumber
from appliance.plc import PlcError
from appliance.plc.image import LineBlock, PlcBlock
from tests.appliance.conftest import MakeLine, OnAir, on_air, plc_of, wait_for
from tests.appliance.plc.foreign.bridge_side import Carrying
from tests.appliance.plc.foreign.peers import Mbpoll, Peer, RefusedError, float32, pipe_peer
from tests.appliance.plc.foreign.plc import RESULT_FIELDS, ForeignPlc, result_of

# Each peer is a process of its own, with libraries that take a second to load.
pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parent / "foreign"
FETCHED = Path(sys.prefix) / "foreign"  # by `make foreign`
NEEDS_DEBIAN = "needs: apt install gcc libc6-dev libmodbus-dev mbpoll"
NEEDS_FETCHED = "needs: make foreign"
CONNECTED_TO = ("libmodbus-server", "snap7")  # the PLC is the server
CLIENTS = ("libmodbus-client", "mbpoll", "node-opcua", "open62541")
BASE, DB, START = 100, 7, 20

# All four 16-bit words differ from each other and from 0, and the numbers are over half of what 32 bits hold.
EPOCH = 0x1A9_8765_4321  # what a PLC has of it: 0x8765_4321
FIRST = 0x8ABC_FFFE  # parts go over the border of a word
SEEN, FIRED = 0x8ABD_1234, 0x8ABD_2345


@dataclass
class Foreign:
    """A line, its bridge, and a PLC on another implementation."""

    station: OnAir
    bridge: Carrying
    plc: ForeignPlc
    peer: Peer
    line: Line
    start_peer: Callable[[ExitStack], Peer]
    peer_stack: ExitStack  # what ends the peer


@pytest.fixture(scope="module")
def modbus_peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program on libmodbus."""
    tools = ("gcc", "mbpoll")
    if not all(map(shutil.which, tools)) or not Path("/usr/include/modbus/modbus.h").exists():
        pytest.skip(NEEDS_DEBIAN)
    program = tmp_path_factory.mktemp("libmodbus") / "modbus_peer"
    source = SCRIPTS / "modbus_peer.c"
    done = subprocess.run(
        ["gcc", "-Wall", "-O1", "-o", program, source, "-lmodbus"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture
def foreign(
    request: pytest.FixtureRequest, make_line: MakeLine, free_ports: Callable[[int], list[int]], tmp_path: Path
) -> Iterator[Foreign]:
    """A running line with parts near FIRST, and the PLC that the test's parameter names."""
    name, (port,) = request.param, free_ports(1)
    line, start_peer = _line_and_peer(name, port, make_line, tmp_path, request)
    with ExitStack() as stack:
        station = stack.enter_context(on_air(line))
        station.do(lambda: _begin(station))
        servers, clients = stack.enter_context(ExitStack()), ExitStack()
        peer = start_peer(servers) if name in CONNECTED_TO else None
        bridge = Carrying(line)
        stack.callback(bridge.close)
        wait_for(lambda: "connected to the PLC" in bridge.said, "the bridge to have its PLC")
        wait_for(lambda: "the line is heard" in bridge.said, "the bridge to hear the line")
        stack.enter_context(clients)
        ended_by = servers if peer else clients
        peer = peer or start_peer(clients)
        yield Foreign(station, bridge, ForeignPlc(peer, FIRST - 1), peer, line, start_peer, ended_by)


def _line_and_peer(
    name: str, port: int, make_line: MakeLine, folder: Path, request: pytest.FixtureRequest
) -> tuple[Line, Callable[[ExitStack], Peer]]:
    there, here, stderr = {"host": "127.0.0.1", "port": port}, {"address": "127.0.0.1", "port": port}, folder / "peer.txt"
    env = os.environ | {"HOME": str(folder), "NODE_PATH": str(FETCHED / "node_modules"), "PYTHONPATH": str(FETCHED / "python")}

    def pipe(where: str, offset: int, *command: object) -> Callable[[ExitStack], Peer]:
        return lambda stack: stack.enter_context(pipe_peer(command, env, stderr, where, offset))

    if name in ("libmodbus-server", "libmodbus-client", "mbpoll"):
        program = request.getfixturevalue("modbus_peer")
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


def _begin(station: OnAir) -> None:
    numbers = station.publisher.numbers
    numbers.settled = PartNumber(EPOCH, FIRST - 1)
    numbers.counted = PartNumber(EPOCH, SEEN)
    station.publisher.change_state("running")


@pytest.mark.parametrize("foreign", [*CONNECTED_TO, *CLIENTS], indirect=True)
def test_a_foreign_plc_reads_every_field_and_is_heard_in_every_field(foreign: Foreign) -> None:
    plc, station, bridge = foreign.plc, foreign.station, foreign.bridge
    wait_for(lambda: plc.look()["Line.Valid"] == 1, "a valid line")
    before = plc.look()
    wait_for(lambda: plc.look()["Line.Heartbeat"] != before["Line.Heartbeat"], "the heartbeat to move")
    head = {"State": 2, "Valid": 1, "Simulated": 1, "Overrun": 0, "Epoch": 0x8765_4321, "Newest": FIRST - 1, "Seen": SEEN}
    assert {name: before[f"Line.{name}"] for name in head} == head
    empty = dict.fromkeys(RESULT_FIELDS, 0)

    # Three kinds of result
    station.publish(1, score=1234.567)
    station.publish(1, verdict="reject", reason="defect", score=0.1)
    station.publish(1, verdict="reject", reason="no-image", score=None)
    wait_for(lambda: result_of(plc.look(), FIRST + 2)["Valid"] == 1, "three results")
    line = plc.look()
    results = [list(result_of(line, FIRST + i).values()) for i in range(4)]
    assert results[0] == [0x8765_4321, FIRST, 1, 0, float32(1234.567), 1]
    assert results[1] == [0x8765_4321, FIRST + 1, 2, 1, float32(0.1), 1]
    assert results[2][:4] == [0x8765_4321, FIRST + 2, 2, 4]
    assert math.isnan(results[2][4])
    assert results[3] == list(empty.values())
    assert [line["Line.Newest"], line["Line.Seen"]] == [FIRST + 2, SEEN]

    # Acknowledgement
    plc.acknowledge(0x8765_4321, FIRST + 2)
    wait_for(lambda: bridge.bridge.handshake.acknowledged == 3, "the acknowledgement")
    wait_for(lambda: all(result_of(plc.look(), FIRST + i) == empty for i in range(3)), "empty slots")
    ninth = FIRST + 11
    station.publish(9)
    wait_for(lambda: plc.look()["Line.Overrun"] == 1, "the ninth result to wait")
    assert [result_of(plc.look(), part)["PartId"] for part in (ninth - 1, ninth)] == [ninth - 1, ninth - 8]
    plc.acknowledge(0x8765_4321, ninth - 8)
    wait_for(lambda: result_of(plc.look(), ninth)["PartId"] == ninth, "the ninth result")
    assert result_of(plc.look(), ninth)["Valid"] == 1

    # At work
    plc.settled = ninth - 8
    station.publish(20)
    wait_for(lambda: plc.cycle() or plc.settled == ninth + 20, "all results taken")  # type: ignore[func-returns-value]
    assert [result["PartId"] for result in plc.taken] == list(range(ninth - 7, ninth + 21))
    wait_for(lambda: bridge.bridge.handshake.acknowledged == 32, "every acknowledgement")
    wait_for(lambda: plc.look()["Line.Overrun"] == 0, "the overrun bit to be cleared")

    # Doubt
    assert bridge.recounts == []
    plc.acknowledge(0x8765_4321, ninth + 20, Fired=FIRED, Doubt=3)
    wait_for(lambda: bridge.recounts, "the line to be told that it must count anew")
    assert bridge.plc.heard == PlcBlock(int(plc.block["Plc.Heartbeat"]), 0x8765_4321, ninth + 20, FIRED, 3)
    assert [f"at part {FIRED}, the line at {SEEN})" in why for why in bridge.recounts] == [True]


@pytest.mark.parametrize("foreign", CLIENTS, indirect=True)
def test_a_foreign_client_can_write_the_plcs_block_only(foreign: Foreign) -> None:
    plc = foreign.plc
    for name in ("Line.Valid", "Line.Epoch", "Result0.PartId"):
        with pytest.raises(RefusedError):
            plc.write({name: 9})
    plc.acknowledge(0x8765_4321, FIRST - 1)
    wait_for(lambda: foreign.bridge.plc.heard == PlcBlock(1, 0x8765_4321, FIRST - 1, 0, 0), "its own block to be heard")
    line = plc.look()
    assert [line[name] for name in ("Line.Valid", "Line.Epoch", "Result0.PartId")] == [1, 0x8765_4321, 0]


@pytest.mark.parametrize("foreign", CONNECTED_TO, indirect=True)
def test_a_bridge_that_stops_leaves_nothing_valid_in_a_foreign_server(foreign: Foreign) -> None:
    plc = foreign.plc
    foreign.station.publish(1)
    wait_for(lambda: result_of(plc.look(), FIRST)["Valid"] == 1, "a result")
    foreign.bridge.stop()
    line = plc.look()
    assert [line["Line.State"], line["Line.Valid"], line["Line.Newest"]] == [0, 0, FIRST]
    assert result_of(line, FIRST) == dict.fromkeys(RESULT_FIELDS, 0)


@pytest.mark.parametrize("foreign", ["mbpoll"], indirect=True)
def test_mbpoll_shows_values_of_two_registers_with_its_switch_for_the_high_word_first(foreign: Foreign) -> None:
    plc, mbpoll = foreign.plc, foreign.peer
    assert isinstance(mbpoll, Mbpoll)
    foreign.station.publish(1, score=1234.5)
    wait_for(lambda: result_of(plc.look(), FIRST)["Valid"] == 1, "a result")
    slot = f"Result{FIRST % 8}"
    (part,) = mbpoll.show(plc.places[f"{slot}.PartId"].register, 1, "4:int", "-B")
    (score,) = mbpoll.show(plc.places[f"{slot}.Score"].register, 1, "4:float", "-B")
    assert int(part) % 2**32 == FIRST, "shown as a signed number"
    assert float(score) == 1234.5
