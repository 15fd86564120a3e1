"""The bridge and every kind of PLC over real connections, the PLC being a process of its own that tells what it takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.config.line import Line, need_plc
from appliance.host.time_limits import PLC_HANDOVER_S, REJECT_OLDEST_S
from appliance.messages.clock import utc_now
from appliance.messages.orders import OrderSender, orders_address
from appliance.plc.bridge import Bridge, result_of, seconds_left
from tests.appliance.conftest import MakeLine, listen, make_verdict, on_air, plc_of, plc_sim, read_events, taken_by, wait_for

# Real servers and clients, told to be silent, gone and back.
pytestmark = pytest.mark.slow
KINDS = ("modbus", "modbus-server", "opcua", "s7")
CLIENT_KINDS = ("modbus", "s7")  # the bridge connects to the PLC


def table_of(kind: str, port: int) -> dict[str, object]:
    where = "host" if kind in CLIENT_KINDS else "address"
    return {"kind": kind, where: "127.0.0.1", "port": port} | ({"db": 7, "start": 20} if kind == "s7" else {})


@pytest.fixture(params=KINDS)
def line(request: pytest.FixtureRequest, make_line: MakeLine, free_ports: Callable[[int], list[int]]) -> Line:
    """A line with a PLC of each kind."""
    return make_line(plc=table_of(request.param, free_ports(1)[0]))


@pytest.fixture
def modbus(make_line: MakeLine, free_ports: Callable[[int], list[int]]) -> Line:
    """A line with a PLC that is a Modbus server."""
    return make_line(plc=table_of("modbus", free_ports(1)[0]))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "plc.jsonl"


class Carrying:
    """A bridge at work in a thread, what it said, and the alarms that it raised."""

    def __init__(self, line: Line, line_hears: bool) -> None:
        self.said: list[tuple[str, str]] = []
        self.alarms: list[tuple[str, str, str]] = []
        self.asked: list[str] = []  # of the line, to count anew
        self.line_hears = line_hears
        self._stop = threading.Event()
        self._subscriber = listen(line, "plc", catch_up=True)
        self.bridge = Bridge(
            self._subscriber,
            plc_of(line),
            need_plc(line).silent_ms / 1000,
            lambda level, text, _: self.said.append((level, text)),
            lambda *alarm: self.alarms.append(alarm) or self.line_hears,
            lambda why: self.asked.append(why) or self.line_hears,
        )
        self._thread = threading.Thread(target=self.bridge.run, args=(self._stop,), name="bridge")
        self._thread.start()

    def has_said(self, words: str) -> bool:
        return any(words in text for _, text in self.said)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._subscriber.close()


@contextmanager
def carrying(line: Line, line_hears: bool = True) -> Iterator[Carrying]:
    bridge = Carrying(line, line_hears)
    try:
        yield bridge
    finally:
        bridge.stop()


def parts(log: Path) -> list[int]:
    return [event["part_id"] for event in taken_by(log)]


def last_status(log: Path) -> tuple[bool, str] | None:
    statuses = [(event["valid"], event["state"]) for event in read_events(log) if event["event"] == "line"]
    return statuses[-1] if statuses else None


def until_of(line: Line) -> str:
    """What a PLC has told when it is ready: one that connects to the bridge waits for it."""
    return "connected" if need_plc(line).answers_by else "started"


# Every kind


def test_every_result_is_taken_once_and_in_order_also_after_a_restart_of_the_plc(line: Line, log: Path) -> None:
    retain, second = log.with_name("retained.json"), log.with_name("second.jsonl")
    with on_air(line) as station, carrying(line) as bridge:
        station.do(lambda: station.publisher.change_state("running"))
        with plc_sim(line, log, "--retain", retain, until=until_of(line)) as plc:
            wait_for(lambda: last_status(log) == (True, "running"), "a valid line")
            station.publish(1, score=0.125)
            station.publish(1, verdict="reject", reason="defect", score=2.5)
            station.publish(1, verdict="reject", reason="no-image", score=None)
            station.publish(20)
            wait_for(lambda: len(parts(log)) == 23, "23 results in the PLC")
            wait_for(lambda: bridge.bridge.handshake.acknowledged == 23, "their acknowledgement")
            plc.kill()
            plc.wait()
        station.publish(12)
        with plc_sim(line, second, "--retain", retain, until="connected"):
            station.publish(3)
            wait_for(lambda: len(parts(second)) == 15, "the results from meanwhile")
            wait_for(lambda: bridge.bridge.handshake.acknowledged == 38, "their acknowledgement")
            epoch = station.publisher.epoch & 0xFFFF_FFFF
            bridge.stop()
            wait_for(lambda: (last_status(second) or (True,))[0] is False, "Valid to be cleared")
    first, reject, no_image = taken_by(log)[:3]
    assert [first[name] for name in ("part_id", "verdict", "reason", "score")] == [1, "pass", "", 0.125]
    assert [reject[name] for name in ("verdict", "reason", "score")] == ["reject", "defect", 2.5]
    assert [no_image[name] for name in ("verdict", "reason", "score")] == ["reject", "no-image", None]
    assert parts(log) + parts(second) == list(range(1, 39))
    assert {event["epoch"] for event in taken_by(log)} == {epoch}
    assert not [event for event in read_events(log) + read_events(second) if event["event"] == "missed"]


def test_a_silent_plc_is_told_of_once_and_its_results_are_held(
    make_line: MakeLine, free_ports: Callable[[int], list[int]], log: Path
) -> None:
    line = make_line(plc=table_of("modbus", free_ports(1)[0]) | {"silent_ms": 200})
    with on_air(line) as station, carrying(line) as bridge:
        with plc_sim(line, log, "--fault", "stands-still"):
            wait_for(lambda: bridge.has_said("the PLC is silent"), "the silence to be told")
            station.do(lambda: station.publisher.change_state("running"))
            station.publish(9)
            wait_for(lambda: any(event.get("overrun") for event in read_events(log)), "the overrun bit")
            assert bridge.bridge.handshake.acknowledged == 0
        with plc_sim(line, log.with_name("second.jsonl")):
            wait_for(lambda: bridge.has_said("the PLC is back"), "the PLC to be back")
            wait_for(lambda: bridge.bridge.handshake.acknowledged == 9, "all to be handed over")
    raised = [(severity, kind) for severity, _, kind in bridge.alarms]
    assert raised[:2] == [("error", "plc-lost"), ("info", "plc-lost")]


# The bridge


def test_a_bridge_that_starts_again_goes_on_where_the_plc_is(modbus: Line, log: Path) -> None:
    with plc_sim(modbus, log), on_air(modbus) as station:
        station.do(lambda: station.publisher.change_state("running"))
        with carrying(modbus) as bridge:
            station.publish(5)
            wait_for(
                lambda: bridge.bridge.handshake.acknowledged == 5, "five results"
            )  # else the next one shows the last again
        assert parts(log) == [1, 2, 3, 4, 5]
        station.publish(3)
        with carrying(modbus) as bridge:
            wait_for(lambda: len(parts(log)) == 8, "eight results")
            wait_for(lambda: bridge.bridge.handshake.acknowledged == 3, "the new ones only")
    assert parts(log) == list(range(1, 9))


def test_valid_is_cleared_when_the_line_falls_silent_and_set_when_it_is_back(modbus: Line, log: Path) -> None:
    with plc_sim(modbus, log), on_air(modbus) as station, carrying(modbus) as bridge:
        station.do(lambda: station.publisher.change_state("running"))
        wait_for(lambda: last_status(log) == (True, "running"), "a valid line")
        station.beats = False
        wait_for(lambda: last_status(log) == (False, "offline"), "Valid to be cleared")
        assert ("error", "nothing is heard of the line: Valid is cleared") in bridge.said
        station.publish(1)
        station.beats = True
        wait_for(lambda: last_status(log) == (True, "running"), "Valid to be set again")
        wait_for(lambda: parts(log) == [1], "the result")


def test_valid_only_in_states_that_give_verdicts(modbus: Line, log: Path) -> None:
    with plc_sim(modbus, log), on_air(modbus) as station, carrying(modbus):
        for state, valid in (
            ("starting", False),
            ("running", True),
            ("camera-lost", False),
            ("not-calibrated", True),
            ("stopping", True),
            ("stopped", False),
        ):
            station.do(lambda state=state: station.publisher.change_state(state))
            wait_for(lambda state=state, valid=valid: last_status(log) == (valid, state), f"state {state}")


def test_what_was_decided_before_a_line_stopped_is_still_taken(modbus: Line, log: Path) -> None:
    with plc_sim(modbus, log), on_air(modbus) as station, carrying(modbus):
        station.do(lambda: station.publisher.change_state("running"))
        wait_for(lambda: last_status(log) == (True, "running"), "a valid line")

        def end() -> None:
            for _ in range(12):
                station.publisher.publish_verdict(make_verdict(station.publisher.seq + 1, station.publisher.epoch))
            station.publisher.change_state("stopped")

        station.do(end)
        wait_for(lambda: parts(log) == list(range(1, 13)), "all twelve results")
        wait_for(lambda: last_status(log) == (False, "stopped"), "Valid to be cleared then")


def test_a_new_epoch_starts_the_count_again(modbus: Line, log: Path) -> None:
    with plc_sim(modbus, log), carrying(modbus):
        for _ in range(2):
            with on_air(modbus) as station:
                station.do(lambda station=station: station.publisher.change_state("running"))
                before = len(parts(log))
                station.publish(2)
                wait_for(lambda before=before: len(parts(log)) == before + 2, "two results")
    assert parts(log) == [1, 2, 1, 2]
    assert len({event["epoch"] for event in taken_by(log)}) == 2


def test_an_absent_plc_is_told_and_passes_past_their_deadline_are_not_handed_over(modbus: Line, log: Path) -> None:
    past = "2026-01-01T00:00:00.000000+00:00"
    with on_air(modbus) as station, carrying(modbus) as bridge:
        wait_for(lambda: bridge.has_said("does not answer; inspection goes on, next try in 0.5 s"), "the absence to be told")
        station.do(lambda: station.publisher.change_state("running"))
        station.publish(2, deadline=past)
        station.publish(1, verdict="reject", reason="defect", decided=past)
        station.publish(1, verdict="reject", reason="late", deadline=past)
        station.publish(1)
        wait_for(lambda: bridge.bridge.handshake.withdrawn == 3 or bridge.bridge.handshake.pressed, "the results")
        with plc_sim(modbus, log):
            wait_for(lambda: parts(log) == [4, 5], "the results that are still of use")
            wait_for(lambda: bridge.has_said("the PLC is back"), "the PLC to be back")
        wait_for(lambda: bridge.has_said("the PLC has not taken results in time"), "the rest to be told")
        assert bridge.bridge.handshake.withdrawn == 3
    assert [alarm[::2] for alarm in bridge.alarms][:2] == [("error", "plc-lost"), ("info", "plc-lost")]


def test_while_the_plc_is_away_results_are_withdrawn_and_the_alarm_repeated_until_a_line_hears_it(modbus: Line) -> None:
    with on_air(modbus) as station, carrying(modbus, line_hears=False) as bridge:
        wait_for(lambda: len(bridge.alarms) >= 2, "the alarm again")
        bridge.line_hears = True
        wait_for(lambda: bridge.bridge._alarm_raised, "the alarm to be heard")
        station.publish(3, deadline=utc_now())
        wait_for(lambda: bridge.bridge.handshake.withdrawn == 3, "the results to be withdrawn")
        assert not bridge.bridge.handshake.pressed


def test_a_result_is_shown_no_longer_than_its_deadline_allows_whatever_the_clock_does() -> None:
    verdict = make_verdict(1)
    assert 20 < seconds_left(verdict) <= 20 + PLC_HANDOVER_S, "one given at its deadline is still handed over"
    assert REJECT_OLDEST_S - 0.1 < seconds_left(make_verdict(1, verdict="reject", reason="defect")) <= REJECT_OLDEST_S
    later = make_verdict(1, decided="2100-01-01T00:00:00+00:00", deadline="2100-01-01T00:00:01+00:00")
    assert seconds_left(later) == 1 + PLC_HANDOVER_S, "the clock was set back since"
    past = make_verdict(1, decided="2000-01-01T00:00:00+00:00", deadline="2000-01-01T00:00:01+00:00")
    assert seconds_left(past) < 0
    assert result_of(make_verdict(1, epoch=0x1_0000_0002, score=1e300)).score == float("inf"), "beyond float32"
    assert result_of(make_verdict(1, epoch=0x1_0000_0002)).epoch == 2


def test_lost_verdicts_are_told_and_set_the_overrun_bit(modbus: Line, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.messages.subscriber.SNAPSHOT_ANSWER_S", 0)
    with plc_sim(modbus, log), on_air(modbus) as station:
        station.publish(2)
        with carrying(modbus) as bridge:
            wait_for(lambda: bridge.has_said("verdicts were lost between the line and the bridge"), "the loss")
            wait_for(lambda: any(event.get("overrun") for event in read_events(log)), "the overrun bit")


def test_an_alarm_reaches_a_running_line_only(modbus: Line) -> None:
    alarms = OrderSender(orders_address(modbus.name, modbus.config.publish))
    try:
        assert alarms.raise_alarm("error", "nobody is there", "plc-lost") is False
    finally:
        alarms.close()
