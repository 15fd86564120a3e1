"""The bridge beside other implementations of each protocol than ours: libmodbus, mbpoll, node-opcua, open62541 and Snap7.

A PLC that finds every field where the README says, reads the line's block and writes its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from appliance.config.line import Line, need_plc
from appliance.messages.part_numbers import PartNumber
from appliance.plc import PlcError, make_plc
from appliance.plc.image import LineBlock, PlcBlock
from tests.appliance.conftest import MakeLine, OnAir, on_air, wait_for
from tests.appliance.plc.foreign.bridge_side import Carrying
from tests.appliance.plc.foreign.ends import CLIENTS, CONNECTED_TO, DB, START, StartPeer, line_and_peer
from tests.appliance.plc.foreign.peers import Mbpoll, Peer, RefusedError, float32
from tests.appliance.plc.foreign.plc import RESULT_FIELDS, ForeignPlc, result_of

# Each peer is a process of its own, with libraries that take a second to load.
pytestmark = pytest.mark.slow

# All four 16-bit words differ from each other and from 0, and the numbers are over half of what 32 bits hold.
EPOCH = 0x1A9_8765_4321  # what a PLC has of it: 0x8765_4321
FIRST = 0x8ABC_FFFE  # parts go over the border of a word
SEEN, FIRED = 0x8ABD_1234, 0x8ABD_2345


@dataclass
class Foreign:
    """A line, its bridge, and a PLC on another implementation."""

    line: Line
    station: OnAir
    bridge: Carrying
    plc: ForeignPlc
    peer: Peer
    start_peer: StartPeer
    ended_by: ExitStack  # the peer


@pytest.fixture
def foreign(
    request: pytest.FixtureRequest, make_line: MakeLine, free_ports: Callable[[int], list[int]], tmp_path: Path
) -> Iterator[Foreign]:
    """A running line with parts near FIRST, and the PLC that the test's parameter names."""
    name, (port,) = request.param, free_ports(1)
    line, start_peer = line_and_peer(name, port, make_line, tmp_path)
    with ExitStack() as stack:
        station = stack.enter_context(on_air(line))
        station.do(lambda: _begin(station))
        servers, clients = (
            stack.enter_context(ExitStack()),
            ExitStack(),
        )  # a bridge outlives the clients, and servers the bridge
        peer = start_peer(servers) if name in CONNECTED_TO else None
        bridge = Carrying(line)
        stack.callback(bridge.close)
        wait_for(lambda: "connected to the PLC" in bridge.said, "the bridge to have its PLC")
        wait_for(lambda: "the line is heard" in bridge.said, "the bridge to hear the line")
        stack.enter_context(clients)
        ended_by = servers if peer else clients
        peer = peer or start_peer(clients)
        yield Foreign(line, station, bridge, ForeignPlc(peer, FIRST - 1), peer, start_peer, ended_by)


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
    wait_for(lambda: plc.cycle() == ninth + 20, "all results taken")
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


@pytest.mark.parametrize("foreign", CONNECTED_TO, indirect=True)
def test_a_foreign_server_that_goes_away_is_taken_up_again(foreign: Foreign) -> None:
    bridge, station = foreign.bridge, foreign.station
    foreign.ended_by.close()
    wait_for(lambda: any("inspection goes on" in text for text in bridge.said), "its absence to be told")
    station.publish(2)
    plc = ForeignPlc(foreign.start_peer(foreign.ended_by), FIRST - 1)
    wait_for(lambda: plc.cycle() == FIRST + 1, "the results from meanwhile")
    assert [result["PartId"] for result in plc.taken] == [FIRST, FIRST + 1]
    wait_for(lambda: bridge.bridge.handshake.acknowledged == 2, "their acknowledgement")


@pytest.mark.parametrize(
    ("foreign", "elsewhere", "told"),
    [
        ("libmodbus-server", {"base": 950}, r"refuses to have registers 950 to 1032 written"),
        ("libmodbus-server", {"base": 910}, r"refuses to have registers 993 to 1000 read"),
        ("snap7", {"db": DB + 1}, rf"DB{DB + 1} from byte {START}: .*does not exist"),
        ("snap7", {"start": 400}, rf"DB{DB} from byte 400: .*Invalid address"),
    ],
    indirect=["foreign"],
)
def test_a_foreign_server_without_room_for_the_image_is_told_with_the_address(
    foreign: Foreign, elsewhere: dict[str, int], told: str
) -> None:
    there: Any = need_plc(foreign.line)
    plc = make_plc(structs.replace(there, **elsewhere), foreign.line.name, foreign.line.file)
    try:
        plc.connect()
        with pytest.raises(PlcError, match=told):
            plc.exchange(LineBlock())
    finally:
        plc.close()


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
