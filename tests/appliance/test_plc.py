"""The bridge and the Modbus PLC, against a real server in a process of its own: the registers are what the PLC sees."""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.config import Line, ModbusConfig, need_plc
from appliance.messages import ReasonCode
from appliance.plc import STATE_CODES, VERDICT_CODES, PlcError, PlcStatus, PlcVerdict, make_plc
from appliance.plc.bridge import Bridge
from appliance.plc.modbus import verdict_registers
from appliance.subscriber import Subscriber
from tests.appliance.conftest import MakeLine, on_air, plc_server, read_events, wait_for


class Carrying:
    """A bridge at work in a thread, and what it said."""

    def __init__(self, line: Line) -> None:
        self.said: list[tuple[str, str]] = []
        self._stop = threading.Event()
        self._subscriber = Subscriber(line, "plc", catch_up=True)
        self.bridge = Bridge(self._subscriber, make_plc(need_plc(line)), lambda level, text, _: self.said.append((level, text)))
        self._thread = threading.Thread(target=self.bridge.run, args=(self._stop,), name="bridge")
        self._thread.start()

    def has_said(self, words: str) -> bool:
        return any(words in text for _, text in self.said)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._subscriber.close()


@contextmanager
def carrying(line: Line) -> Iterator[Carrying]:
    bridge = Carrying(line)
    try:
        yield bridge
    finally:
        bridge.stop()


@pytest.fixture
def port(free_ports: Callable[[int], list[int]]) -> int:
    return free_ports(1)[0]


@pytest.fixture
def line(make_line: MakeLine, port: int) -> Line:
    return make_line(plc={"kind": "modbus", "host": "127.0.0.1", "port": port, "acknowledge": True, "acknowledge_ms": 5_000})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "plc.jsonl"


def received(log: Path) -> list[dict[str, Any]]:
    return [event for event in read_events(log) if "verdict" in event]


def statuses(log: Path) -> list[tuple[int, int, int]]:
    return [(event["state"], event["valid"], event["simulated"]) for event in read_events(log) if "state" in event]


RUNNING = (STATE_CODES["running"], 1, 1)
OFFLINE = (STATE_CODES["offline"], 0, 0)


def test_registers_of_a_verdict() -> None:
    registers = verdict_registers(9, PlcVerdict(0x1_2345, "reject", ReasonCode.NO_IMAGE, 1.5))
    assert registers == [9, 2, 4, 0x1, 0x2345, 0x3FC0, 0x0000]
    assert verdict_registers(1, PlcVerdict(0x1_0000_0002, "pass", ReasonCode.NONE, 0.0))[1:5] == [1, 0, 0, 2], "32 bits"
    (score,) = struct.unpack(
        ">f", struct.pack(">HH", *verdict_registers(1, PlcVerdict(1, "reject", ReasonCode.LATE, None))[5:])
    )
    assert math.isnan(score)


def test_the_plc_receives_each_verdict_once_and_in_order(line: Line, port: int, log: Path) -> None:
    with plc_server(port, log), on_air(line) as station:
        station.do(lambda: station.publisher.change_state("running"))
        with carrying(line) as bridge:
            station.publish(1, part_id=70_000, score=0.125)
            station.publish(1, verdict="reject", reason="defect", score=2.5)
            station.publish(1, verdict="reject", reason="no-image", score=None)
            station.publish(20)
            wait_for(lambda: len(received(log)) == 23, "23 verdicts in the registers")
            wait_for(lambda: RUNNING in statuses(log), "the line's state in the registers")
            assert bridge.bridge.delivered == 23
        first, second, third, *rest = received(log)
        assert [first[name] for name in ("verdict", "reason", "part_id", "score")] == [1, 0, 70_000, 0.125]
        assert [second[name] for name in ("verdict", "reason", "part_id", "score")] == [2, 1, 2, 2.5]
        assert [third[name] for name in ("verdict", "reason", "part_id")] == [2, 4, 3]
        assert math.isnan(third["score"])
        assert [one["part_id"] for one in rest] == list(range(4, 24))
        assert [one["handshake"] for one in received(log)] == list(range(1, 24))
        assert statuses(log)[-1] == OFFLINE, "told when the bridge stops"
    assert not any(level == "error" for level, _ in bridge.said)


def test_a_bridge_that_starts_again_goes_on_with_the_plcs_handshake(line: Line, port: int, log: Path) -> None:
    with plc_server(port, log):
        for expected in (1, 2):
            plc = make_plc(need_plc(line))
            plc.connect()
            assert plc.write_verdict(PlcVerdict(expected, "pass", ReasonCode.NONE, 0.0))
            plc.close()
            plc.close()
        assert [one["handshake"] for one in received(log)] == [1, 2]


def test_valid_is_cleared_when_the_line_falls_silent_and_set_when_it_is_back(line: Line, port: int, log: Path) -> None:
    with plc_server(port, log), on_air(line) as station, carrying(line) as bridge:
        station.do(lambda: station.publisher.change_state("running"))
        wait_for(lambda: statuses(log)[-1:] == [RUNNING], "a valid line")
        station.beats = False
        wait_for(lambda: statuses(log)[-1:] == [OFFLINE], "Valid to be cleared")
        assert ("error", "nothing is heard of the line: Valid is cleared") in bridge.said
        station.beats = True
        wait_for(lambda: statuses(log)[-1:] == [RUNNING], "Valid to be set again")


@pytest.mark.parametrize(
    ("state", "valid"),
    [("starting", 0), ("camera-lost", 0), ("stopped", 0), ("running", 1), ("not-calibrated", 1), ("stopping", 1)],
)
def test_valid_only_in_states_that_give_verdicts(line: Line, port: int, log: Path, state: Any, valid: int) -> None:
    with plc_server(port, log), on_air(line) as station, carrying(line):
        station.do(lambda: station.publisher.change_state(state))
        wait_for(lambda: statuses(log)[-1:] == [(STATE_CODES[state], valid, 1)], f"state {state}")
        assert received(log) == []


def test_a_plc_that_comes_later_and_goes_away_in_between_gets_every_fresh_verdict(line: Line, port: int, log: Path) -> None:
    with on_air(line) as station, carrying(line) as bridge:
        station.publish(2)
        wait_for(
            lambda: bridge.has_said(f"PLC: 127.0.0.1:{port} does not answer; inspection goes on"), "the absence to be told"
        )
        with plc_server(port, log):
            wait_for(lambda: ("info", "connected to the PLC") in bridge.said, "the connection")
            wait_for(lambda: len(received(log)) == 2, "the verdicts from before")
        errors = sum(level == "error" for level, _ in bridge.said)
        wait_for(lambda: sum(level == "error" for level, _ in bridge.said) > errors, "the loss to be told")
        station.publish(2)
        second_log = log.with_name("second.jsonl")
        with plc_server(port, second_log):
            wait_for(lambda: len(received(second_log)) == 2, "the verdicts from meanwhile")
    assert [one["part_id"] for one in received(log)] == [1, 2]
    assert [one["part_id"] for one in received(second_log)] == [3, 4]


def test_a_plc_that_does_not_acknowledge_is_told_of_and_verdicts_go_on(make_line: MakeLine, port: int, log: Path) -> None:
    table = {"kind": "modbus", "host": "127.0.0.1", "port": port, "acknowledge": True, "acknowledge_ms": 20}
    line = make_line(plc=table)
    with plc_server(port, log, acknowledge=False), on_air(line) as station, carrying(line) as bridge:
        station.publish(3)
        wait_for(lambda: len(received(log)) == 3, "three verdicts")
        told = ("warning", "the PLC did not acknowledge a verdict in time")
        wait_for(lambda: bridge.said.count(told) == 3, "three warnings")
    assert [one["part_id"] for one in received(log)] == [1, 2, 3]


def test_verdicts_whose_parts_are_gone_are_not_handed_over_but_told(line: Line, port: int, log: Path) -> None:
    with on_air(line) as station, plc_server(port, log):
        station.publish(3, decided="2026-01-01T00:00:00.000000+00:00")
        station.publish(1)
        with carrying(line) as bridge:
            wait_for(lambda: received(log), "the fresh verdict")
        assert [one["part_id"] for one in received(log)] == [4]
        assert ("warning", "verdicts older than 5 s were not handed to the PLC") in bridge.said


def test_lost_verdicts_are_told(line: Line, port: int, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.subscriber.SNAPSHOT_TIMEOUT_MS", 0)
    with plc_server(port, log), on_air(line) as station:
        station.publish(2)
        with carrying(line) as bridge:
            wait_for(lambda: bridge.has_said("verdicts were lost between the line and the bridge"), "the loss")
        assert ("error", "verdicts were lost between the line and the bridge") in bridge.said


def test_a_plc_that_has_no_such_registers_refuses_by_name(port: int, log: Path) -> None:
    plc = make_plc(ModbusConfig(host="127.0.0.1", port=port, base=5_000))
    with plc_server(port, log):
        try:
            with pytest.raises(PlcError, match=rf"127\.0\.0\.1:{port} refuses to have register 5004 read"):
                plc.connect()
            with pytest.raises(PlcError, match="refuses to have registers 5000 to 5003 written"):
                plc.write_status(PlcStatus(1, "running", True, False))
        finally:
            plc.close()


def test_every_state_and_verdict_has_a_fixed_code() -> None:
    assert STATE_CODES == {
        "offline": 0,
        "starting": 1,
        "running": 2,
        "camera-lost": 3,
        "not-calibrated": 4,
        "stopping": 5,
        "stopped": 6,
    }
    assert VERDICT_CODES == {"pass": 1, "reject": 2}
