"""Subscribing: late, restarted or interrupted, a subscriber gets every verdict once and in order, or counts what is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.config.line import Line
from appliance.messages.publisher import KEPT
from appliance.messages.schema import Alarm, Heartbeat, Verdict
from appliance.messages.subscriber import Liveness, Message, Subscriber
from tests.appliance.conftest import PATIENCE_S, MakeLine, listen, on_air, wait_for

Subscribe = Callable[..., Subscriber]


@pytest.fixture
def line(make_line: MakeLine) -> Line:
    return make_line()


@pytest.fixture
def subscribe(line: Line) -> Iterator[Subscribe]:
    """A function that makes subscribers, which are closed at the end."""
    made: list[Subscriber] = []

    def make(of: Line = line, **settings: Any) -> Subscriber:
        made.append(listen(of, **settings))
        return made[-1]

    yield make
    for subscriber in made:
        subscriber.close()


def receive_until(subscriber: Subscriber, enough: Callable[[list[Message]], bool]) -> list[Message]:
    """All messages up to the first with which the condition holds."""
    messages: list[Message] = []
    until = time.monotonic() + PATIENCE_S
    while not enough(messages):
        assert time.monotonic() < until, f"waited in vain, heard {messages[-5:]}"
        message = subscriber.receive(0.2)
        if message is not None:
            messages.append(message)
    return messages


def hear_beat(subscriber: Subscriber, seq: int = 0) -> list[int]:
    """Numbers of the verdicts up to the first heartbeat that tells of so many."""
    messages = receive_until(subscriber, lambda all_: bool(all_) and isinstance(all_[-1], Heartbeat) and all_[-1].seq >= seq)
    return [message.seq for message in messages if isinstance(message, Verdict)]


def test_hears_what_is_published_once_and_in_order(line: Line, subscribe: Subscribe) -> None:
    subscriber = subscribe()
    with on_air(line) as station:
        assert hear_beat(subscriber) == []
        station.publish(50)
        assert hear_beat(subscriber, 50) == list(range(1, 51))
    assert subscriber.lost == 0


def test_a_late_subscriber_that_catches_up_gets_everything(line: Line, subscribe: Subscribe) -> None:
    with on_air(line) as station:
        station.publish(5)
        subscriber = subscribe(catch_up=True)
        assert hear_beat(subscriber, 5) == [1, 2, 3, 4, 5]
        station.publish(2)
        assert hear_beat(subscriber, 7) == [6, 7]
    assert subscriber.lost == 0


def test_a_late_subscriber_that_does_not_catch_up_starts_where_the_line_is(line: Line, subscribe: Subscribe) -> None:
    with on_air(line) as station:
        station.publish(5)
        subscriber = subscribe()
        assert hear_beat(subscriber, 5) == []
        station.publish(2)
        assert hear_beat(subscriber, 7) == [6, 7]
    assert subscriber.lost == 0


def test_a_gap_is_filled_in_order_before_the_verdict_that_showed_it(line: Line, subscribe: Subscribe) -> None:
    subscriber = subscribe()
    with on_air(line) as station:
        hear_beat(subscriber)
        station.publish(2)
        assert hear_beat(subscriber, 2) == [1, 2]
        station.beats = False  # so that the next verdict, not a heartbeat, shows the gap
        subscriber._sub.unsubscribe(b"3/verdict")
        while not receive_nothing(subscriber):
            pass
        station.publish(3)
        assert receive_nothing(subscriber)
        subscriber._sub.subscribe(b"3/verdict")

        def heard_again() -> bool:
            station.publish()
            return subscriber._sub.poll(50) != 0

        wait_for(heard_again, "verdicts after the gap")
        newest = station.publisher.seq
        messages = receive_until(subscriber, lambda all_: bool(all_) and all_[-1].seq == newest)
    assert [message.seq for message in messages] == list(range(3, newest + 1))
    assert subscriber.lost == 0


def receive_nothing(subscriber: Subscriber) -> bool:
    return subscriber.receive(0.15) is None


def test_a_heartbeat_shows_the_loss_of_the_last_verdicts(line: Line, subscribe: Subscribe) -> None:
    subscriber = subscribe()
    subscriber._sub.unsubscribe(b"3/verdict")
    with on_air(line) as station:
        hear_beat(subscriber)
        station.publish(4)
        assert hear_beat(subscriber, 4) == [1, 2, 3, 4]


def test_verdicts_that_are_not_kept_any_more_are_counted_as_lost(line: Line, subscribe: Subscribe) -> None:
    with on_air(line) as station:
        station.publish(KEPT + 10)
        subscriber = subscribe(catch_up=True)
        assert hear_beat(subscriber, KEPT + 10) == list(range(11, KEPT + 11))
    assert subscriber.lost == 10


def test_without_an_answer_of_the_snapshot_socket_the_gap_is_counted_as_lost(
    line: Line, subscribe: Subscribe, free_ports: Callable[[int], list[int]]
) -> None:
    publish = msgspec.structs.replace(line.config.publish, snapshot=f"tcp://127.0.0.1:{free_ports(1)[0]}")
    deaf = msgspec.structs.replace(line, config=msgspec.structs.replace(line.config, publish=publish))
    with on_air(line) as station:
        station.publish(3)
        subscriber = subscribe(deaf, catch_up=True)
        assert hear_beat(subscriber, 3) == []
        assert subscriber.lost == 3
        station.publish()
        assert hear_beat(subscriber, 4) == [4]


def test_a_restarted_line_is_followed_from_its_first_verdict(line: Line, subscribe: Subscribe) -> None:
    subscriber = subscribe()
    with on_air(line) as station:
        hear_beat(subscriber)
        station.publish(5)
        assert hear_beat(subscriber, 5) == [1, 2, 3, 4, 5]
        first = station.publisher.epoch
    with on_air(line) as station:
        assert station.publisher.epoch > first
        station.publish(2)
        messages = receive_until(subscriber, lambda all_: any(isinstance(one, Heartbeat) and one.seq == 2 for one in all_))
    verdicts = [message for message in messages if isinstance(message, Verdict)]
    assert [(verdict.epoch, verdict.seq) for verdict in verdicts] == [
        (station.publisher.epoch, 1),
        (station.publisher.epoch, 2),
    ]
    assert subscriber.lost == 0


def test_rejects_only_hears_rejects_and_alarms(line: Line, subscribe: Subscribe) -> None:
    subscriber = subscribe(rejects_only=True)
    alarm = Alarm(line="3", epoch=1, seq=0, time="2026-01-01T00:00:00+00:00", severity="error", text="the camera is lost")
    with on_air(line) as station:

        def heard_first() -> bool:
            station.publish(verdict="reject", reason="late")
            return subscriber._sub.poll(20) != 0

        wait_for(heard_first, "the connection")
        station.publish()
        station.do(lambda: station.publisher.publish_alarm(alarm))
        messages = receive_until(subscriber, lambda all_: alarm in all_)
    assert all(isinstance(message, Verdict) and message.reason == "late" for message in messages[:-1])


def test_works_over_ipc(tmp_path: Path, make_line: MakeLine, subscribe: Subscribe) -> None:
    line = make_line(publish={"verdicts": f"ipc://{tmp_path}/v", "snapshot": f"ipc://{tmp_path}/s"})
    with on_air(line) as station:
        station.publish(3)
        assert hear_beat(subscribe(line, catch_up=True), 3) == [1, 2, 3]


def test_a_line_that_never_starts_is_silence(subscribe: Subscribe) -> None:
    assert subscribe().receive(0.05) is None


def test_liveness_needs_a_heartbeat_within_the_longest_silence() -> None:
    liveness = Liveness(0.05)
    assert not liveness.alive, "nothing was heard yet"
    liveness.heard()
    wait_for(lambda: not liveness.alive, "the silence to become too long")
    liveness.heard()
    assert liveness.alive


def test_two_subscribers_do_not_disturb_each_other(line: Line, subscribe: Subscribe) -> None:
    with on_air(line) as station:
        station.publish(4)
        one, other = subscribe(catch_up=True), subscribe(catch_up=True)
        assert hear_beat(one, 4) == hear_beat(other, 4) == [1, 2, 3, 4]
