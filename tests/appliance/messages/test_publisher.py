"""Publishing: topics, heartbeats that tell how far the line is, and a socket that answers what was missed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeVar

import msgspec
import pytest
import zmq

from appliance.config.line import Line
from appliance.messages.clock import utc_now
from appliance.messages.part_numbers import PartNumbers
from appliance.messages.publisher import KEPT, Publisher
from appliance.messages.schema import TOPICS, Alarm, Heartbeat, Snapshot, SnapshotRequest, Verdict
from engines.common.errors import ConfigError
from tests.appliance.conftest import MakeLine, OnAir, make_verdict, on_air, quiet, wait_for

Connect = Callable[[int, str], "zmq.Socket[bytes]"]
T = TypeVar("T")


@pytest.fixture
def line(make_line: MakeLine) -> Line:
    return make_line()


@pytest.fixture
def station(line: Line) -> Iterator[OnAir]:
    with on_air(line) as station:
        yield station


@pytest.fixture
def connect() -> Iterator[Connect]:
    """A function that connects a plain socket, as another program would."""
    with zmq.Context() as context:
        sockets: list[zmq.Socket[bytes]] = []

        def make(kind: int, address: str) -> zmq.Socket[bytes]:
            sockets.append(context.socket(kind))
            sockets[-1].linger, sockets[-1].rcvtimeo = 0, 20_000
            sockets[-1].connect(address)
            return sockets[-1]

        yield make
        for socket in sockets:
            socket.close()


def test_what_is_published_is_what_the_table_of_topics_says(line: Line, station: OnAir, connect: Connect) -> None:
    everything = connect(zmq.SUB, line.config.publish.verdicts)
    everything.subscribe("")
    heard: dict[bytes, set[bytes]] = {}
    until = time.monotonic() + 20
    while len(heard) < len(TOPICS) and time.monotonic() < until:
        station.publish(verdict="reject", reason="defect")
        alarm = Alarm(line="3", epoch=station.publisher.epoch, seq=1, time=utc_now(), severity="error", kind="stall", text="it")
        station.do(lambda alarm=alarm: station.publisher.publish_alarm(alarm))
        while everything.poll(50):
            topic, content = everything.recv_multipart()
            heard.setdefault(topic, set()).add(content)
    rows = {topic.of("3"): topic for topic in TOPICS}
    assert set(heard) == set(rows)
    for topic, contents in heard.items():
        for content in contents:
            assert type(msgspec.json.decode(content, type=rows[topic].message)) is rows[topic].message
    periods = {topic.name: topic.period_s for topic in TOPICS if topic.period_s}
    assert periods == {"heartbeat": 0.1}


def hear(socket: zmq.Socket[bytes], topic: str, kind: type[T]) -> T:
    """The next message of a topic."""
    while True:
        found, content = socket.recv_multipart()
        if found == topic.encode():
            return msgspec.json.decode(content, type=kind)


def ask(socket: zmq.Socket[bytes], content: bytes) -> Snapshot:
    socket.send(content)
    return msgspec.json.decode(socket.recv(), type=Snapshot)


def test_every_verdict_goes_out_and_rejects_on_a_topic_of_their_own(station: OnAir, line: Line, connect: Connect) -> None:
    socket = connect(zmq.SUB, line.config.publish.verdicts)
    socket.subscribe("3/")
    hear(socket, "3/heartbeat", Heartbeat)
    station.publish()
    station.publish(verdict="reject", reason="late")
    station.publish()
    topics: list[tuple[str, int]] = []
    while len(topics) < 4:
        topic, content = socket.recv_multipart()
        if topic != b"3/heartbeat":
            topics.append((topic.decode(), msgspec.json.decode(content, type=Verdict).seq))
    assert topics == [("3/verdict", 1), ("3/verdict", 2), ("3/reject", 2), ("3/verdict", 3)]


def test_what_goes_out_is_what_the_table_of_topics_names(station: OnAir, line: Line, connect: Connect) -> None:
    socket = connect(zmq.SUB, line.config.publish.verdicts)
    socket.subscribe("")  # whatever it is called
    heard = {socket.recv_multipart()[0]: 1}  # it is listened to
    station.publish()
    station.publish(verdict="reject", reason="late")
    alarm = Alarm(line="3", epoch=1, seq=2, time=utc_now(), severity="warning", text="made")
    station.do(lambda: station.publisher.publish_alarm(alarm))
    until = time.monotonic() + 1.0
    while time.monotonic() < until:  # longer than anything waits that goes out by itself
        topic, content = socket.recv_multipart()
        heard[topic] = heard.get(topic, 0) + 1
        assert msgspec.json.decode(content).keys() >= {"line", "epoch", "seq", "time"}
    assert set(heard) == {topic.of(line.name) for topic in TOPICS}
    assert heard[b"3/heartbeat"] > 2, "time enough"


def test_heartbeats_tell_how_far_the_line_is(station: OnAir, line: Line, connect: Connect) -> None:
    socket = connect(zmq.SUB, line.config.publish.verdicts)
    socket.subscribe("3/heartbeat")
    first = hear(socket, "3/heartbeat", Heartbeat)
    assert (first.line, first.epoch, first.seq, first.state) == ("3", station.publisher.epoch, 0, "starting")
    station.publish(3)
    station.publish(2, verdict="reject", reason="no-image")
    wait_for(lambda: (beat := hear(socket, "3/heartbeat", Heartbeat)).seq == 5 and beat.passed == 3, "a heartbeat of five")
    assert hear(socket, "3/heartbeat", Heartbeat).rejected == {"no-image": 2}


def test_heartbeats_come_a_tenth_of_a_second_apart_but_a_new_state_at_once(
    station: OnAir, line: Line, connect: Connect
) -> None:
    socket = connect(zmq.SUB, line.config.publish.verdicts)
    socket.subscribe("3/heartbeat")
    times = [datetime.fromisoformat(hear(socket, "3/heartbeat", Heartbeat).time) for _ in range(6)]
    assert (times[-1] - times[0]).total_seconds() > 0.3
    station.beats = False
    station.do(lambda: station.publisher.change_state("camera-lost"))
    beats = iter(lambda: hear(socket, "3/heartbeat", Heartbeat).state, "camera-lost")
    assert set(beats) <= {"starting"}, "the new state comes although nothing beats any more"


def test_alarms_go_out(station: OnAir, line: Line, connect: Connect) -> None:
    socket = connect(zmq.SUB, line.config.publish.verdicts)
    socket.subscribe("3/")
    hear(socket, "3/heartbeat", Heartbeat)
    alarm = Alarm(line="3", epoch=1, seq=0, time="2026-01-01T00:00:00+00:00", severity="error", text="the camera is lost")
    station.do(lambda: station.publisher.publish_alarm(alarm))
    assert hear(socket, "3/alarm", Alarm) == alarm


def test_the_snapshot_socket_answers_what_came_after(station: OnAir, line: Line, connect: Connect) -> None:
    station.publish(5)
    socket = connect(zmq.DEALER, line.config.publish.snapshot)
    epoch = station.publisher.epoch
    answer = ask(socket, msgspec.json.encode(SnapshotRequest(epoch, 3)))
    assert (answer.line, answer.epoch, answer.seq) == ("3", epoch, 5)
    assert [verdict.seq for verdict in answer.verdicts] == [4, 5]
    other = ask(socket, msgspec.json.encode(SnapshotRequest(epoch - 1, 3)))
    assert [verdict.seq for verdict in other.verdicts] == [1, 2, 3, 4, 5], "another epoch's count says nothing"


@pytest.mark.parametrize("content", [b"", b"hello", b'{"epoch": 1}', b'{"epoch": 1, "seq": -1}', b"\xff\x00", b"[1, 2]"])
def test_a_request_that_cannot_be_read_is_answered_with_everything(
    station: OnAir, line: Line, connect: Connect, content: bytes
) -> None:
    station.publish(2)
    answer = ask(connect(zmq.DEALER, line.config.publish.snapshot), content)
    assert [verdict.seq for verdict in answer.verdicts] == [1, 2]


def test_the_newest_verdicts_are_kept_and_no_more(station: OnAir, line: Line, connect: Connect) -> None:
    station.publish(KEPT + 3)
    answer = ask(connect(zmq.DEALER, line.config.publish.snapshot), msgspec.json.encode(SnapshotRequest(0, 0)))
    assert [verdict.seq for verdict in answer.verdicts] == list(range(4, KEPT + 4))


def test_a_subscriber_that_does_not_read_holds_nobody_up(station: OnAir, line: Line, connect: Connect) -> None:
    socket = connect(zmq.SUB, line.config.publish.verdicts)
    socket.subscribe("3/")
    hear(socket, "3/heartbeat", Heartbeat)
    station.publish(20_000)
    assert station.publisher.seq == 20_000


def test_a_sequence_with_a_gap_cannot_be_published(line: Line) -> None:
    publisher = Publisher(line.name, line.config.publish, line.file, simulated=False, numbers=PartNumbers(quiet))
    try:
        with pytest.raises(AssertionError, match="without a gap"):
            publisher.publish_verdict(make_verdict(2, publisher.epoch))
    finally:
        publisher.close()


def test_a_second_line_on_the_same_address_is_refused_and_leaves_the_first_alone(station: OnAir, line: Line) -> None:
    with pytest.raises(ConfigError, match=r"publish\.verdicts: tcp://.* cannot be bound .*is this line running already\?"):
        Publisher(line.name, line.config.publish, line.file, simulated=False, numbers=PartNumbers(quiet))
    station.publish()
    assert station.publisher.seq == 1
