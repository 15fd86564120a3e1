"""Software triggers: no picture is ever given to another trigger than its own, however late, doubled or unnumbered it comes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from appliance.capture import CameraLostError, Frame
from appliance.capture.arrivals import Arrival, Arrivals
from appliance.capture.counter import GIGE_SPAN
from appliance.capture.software_trigger import SoftwareTrigger

LIMIT_MS = 100
MS = 1_000_000


class Time:
    """A clock that goes on only when something waits for it."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000

    def monotonic_ns(self) -> int:
        return self.now_ns

    def monotonic(self) -> float:
        return self.now_ns / 1e9

    def sleep(self, seconds: float) -> None:
        self.now_ns += max(0, int(seconds * 1e9))


@dataclass
class Sent:
    """A picture on its way; of which trigger it is stands in it."""

    here_ns: int
    trigger: int
    counted: int | None
    stamp_ns: int | None
    fault: str | None = None


@dataclass
class FakeDriver:
    """A camera whose behaviour ``answer`` tells for each trigger: delays in ms, one for each picture it makes of it."""

    time: Time
    answer: Callable[[int], list[float]]
    numbered: bool = True
    stamped: bool = False
    ready: Callable[[int], bool] = lambda _trigger: True
    broken: Callable[[int], bool] = lambda _trigger: False
    port: list[Sent] = field(default_factory=list)
    triggers: int = 0
    counted: int = 0
    begun_anew: int = 0
    halted: bool = False
    held: int = 0  # buffers out of the driver

    def fire(self, limit_s: float) -> bool:
        trigger = self.triggers
        self.triggers += 1
        if not self.ready(trigger):
            self.time.sleep(limit_s)
            return False
        for delay_ms in self.answer(trigger):
            self.counted = self.counted % GIGE_SPAN + 1
            here_ns = self.time.now_ns + int(delay_ms * MS)
            stamp_ns = self.time.now_ns + 1 if self.stamped else None
            fault = "failed buffer: missing packets" if self.broken(trigger) else None
            self.port.append(Sent(here_ns, trigger, self.counted if self.numbered and not fault else None, stamp_ns, fault))
        return True

    def arrival(self, timeout_s: float) -> Arrival | None:
        until_ns = self.time.now_ns + int(timeout_s * 1e9)
        self.port.sort(key=lambda sent: sent.here_ns)
        if not self.port or self.port[0].here_ns > until_ns:
            self.time.now_ns = until_ns
            return None
        sent = self.port.pop(0)
        waited = sent.here_ns > self.time.now_ns
        self.time.now_ns = max(self.time.now_ns, sent.here_ns)
        self.held += 1
        picture = np.full((1, 1), sent.trigger % 256, np.uint8)

        def back() -> None:
            self.held -= 1

        return Arrival(
            sent.counted, sent.stamp_ns or 0, sent.stamp_ns, self.time.now_ns, waited, sent.fault, lambda: (picture, back), back
        )

    def halt(self) -> None:
        self.halted = True

    def resume(self) -> None:
        assert self.halted
        self.port.clear()  # what comes still goes to a port that nobody listens at
        self.begun_anew += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    """A clock in place of the box's, for all that a trigger waits for."""
    made = Time()
    for module in ("software_trigger", "trigger_clock", "arrivals"):
        monkeypatch.setattr(f"appliance.capture.{module}.time", made)
    return made


def run(driver: FakeDriver, triggers: int, rate: float = 10.0) -> list[Frame]:
    """So many triggers' frames: numbered without a gap, each picture its own trigger's, and nothing kept of the driver's."""
    arrivals = Arrivals(software=True)
    arrivals.restart(GIGE_SPAN)
    trigger = SoftwareTrigger(driver, arrivals, rate, LIMIT_MS)
    trigger.start()
    frames: list[Frame] = []
    while len(frames) < triggers:
        frames += trigger.grab(1.0)
    assert [frame.number for frame in frames] == list(range(1, len(frames) + 1))
    for i, frame in enumerate(frames):
        assert (frame.image is None) == bool(frame.fault)
        if frame.image is not None:
            assert frame.image[0, 0] == i % 256, "another trigger's picture"
            frame.release()
    times = [frame.captured_ns for frame in frames]
    assert times == sorted(times)
    assert driver.held == 0
    return frames


def with_picture(frames: list[Frame]) -> list[int]:
    return [i for i, frame in enumerate(frames) if frame.image is not None]


@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("numbered", [False, True])
def test_pictures_in_time_are_their_triggers(clock: Time, numbered: bool, stamped: bool) -> None:
    frames = run(FakeDriver(clock, lambda _: [30], numbered, stamped), 300)
    assert with_picture(frames) == list(range(300))
    assert not any(frame.recount for frame in frames)


@pytest.mark.parametrize("late_ms", [101, 110, 130, 150, 180, 199.9])
@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("rate", [1, 5, 100])
def test_one_picture_that_comes_too_late_costs_its_own_part_and_no_other(
    clock: Time, late_ms: float, stamped: bool, rate: float
) -> None:
    """Whether it comes before the next trigger, or while that one's own is waited for."""
    driver = FakeDriver(clock, lambda trigger: [late_ms if trigger == 5 else 30], stamped=stamped)
    frames = run(driver, 20, rate)
    assert with_picture(frames) == [i for i in range(20) if i != 5]
    assert frames[5].fault == "no picture within 100 ms after its trigger"
    assert frames[5].silent, "it did not come until its part was gone"
    assert not any(frame.recount for frame in frames)
    assert not driver.begun_anew


@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("late_ms", [120, 250, 900])
def test_pictures_that_all_come_too_late_are_nobodys(clock: Time, late_ms: float, numbered: bool, stamped: bool) -> None:
    driver = FakeDriver(clock, lambda _: [late_ms], numbered, stamped)
    frames = run(driver, 60)
    assert with_picture(frames) == []
    assert driver.begun_anew
    told = {frame.recount for frame in frames} - {None}
    assert told
    assert all(text and "raise camera.timeout_ms and decision.deadline_ms" in text for text in told)


@pytest.mark.parametrize("stamped", [False, True])
def test_pictures_that_all_come_late_from_some_time_on_are_nobodys(clock: Time, stamped: bool) -> None:
    driver = FakeDriver(clock, lambda trigger: [30 if trigger < 10 else 250], stamped=stamped)
    assert with_picture(run(driver, 60)) == list(range(10))


@pytest.mark.parametrize("stamped", [False, True])
def test_a_trigger_that_the_camera_ignores_costs_two_parts_and_a_new_count(clock: Time, stamped: bool) -> None:
    """Its number goes to the next picture, which cannot be told from a late one."""
    driver = FakeDriver(clock, lambda trigger: [] if trigger == 5 else [30], stamped=stamped)
    frames = run(driver, 20)
    assert with_picture(frames) == [i for i in range(20) if i not in (5, 6)]
    assert [i for i, frame in enumerate(frames) if frame.recount] == [7]
    assert "only pictures that may be earlier triggers' came within 100 ms" in (frames[7].recount or "")
    assert driver.begun_anew == 1
    assert not frames[6].silent, "the camera did send something"


def test_a_trigger_that_never_reached_the_camera_costs_its_own_part(clock: Time) -> None:
    driver = FakeDriver(clock, lambda _: [30], ready=lambda trigger: trigger != 5)
    frames = run(driver, 20)
    assert with_picture(frames) == [i for i in range(20) if i != 5]
    assert not driver.begun_anew


@pytest.mark.parametrize("late_ms", [120, 400, None])
@pytest.mark.parametrize("stamped", [False, True])
def test_where_pictures_have_no_numbers_all_begins_anew_after_one_that_did_not_come(
    clock: Time, late_ms: float | None, stamped: bool
) -> None:
    late = [] if late_ms is None else [late_ms]
    driver = FakeDriver(clock, lambda trigger: late if trigger == 5 else [30], numbered=False, stamped=stamped)
    frames = run(driver, 20)
    assert with_picture(frames) == [i for i in range(20) if i != 5]
    assert [i for i, frame in enumerate(frames) if frame.recount] == [6]


@pytest.mark.parametrize("late_ms", [120, 400, None])
def test_a_first_picture_that_does_not_come_is_not_taken_for_the_second(clock: Time, late_ms: float | None) -> None:
    late = [] if late_ms is None else [late_ms]
    frames = run(FakeDriver(clock, lambda trigger: late if trigger == 0 else [30]), 20)
    assert with_picture(frames) == list(range(1, 20))
    assert frames[1].recount


@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("numbered", [False, True])
def test_two_pictures_of_one_trigger_are_seen_and_the_second_is_nobodys(clock: Time, numbered: bool, stamped: bool) -> None:
    driver = FakeDriver(clock, lambda _: [30, 50], numbered, stamped)
    frames = run(driver, 20)
    assert with_picture(frames) == list(range(20))
    assert [i for i, frame in enumerate(frames) if frame.recount] == [1], "from then on each waits until it is quiet"
    assert "a picture that nobody triggered" in (frames[1].recount or "")


def test_a_camera_that_does_not_stop_is_lost(clock: Time) -> None:
    """Somebody switched its trigger off: opening it sets that again, or says what is wrong."""
    driver = FakeDriver(clock, lambda trigger: list(np.arange(30, 10_000, 20)) if trigger == 5 else [30])
    with pytest.raises(CameraLostError, match="the camera sends pictures that nobody triggers, and does not stop"):
        run(driver, 20)


def test_a_second_picture_that_comes_behind_the_next_trigger_is_known_by_its_time_stamp(clock: Time) -> None:
    frames = run(FakeDriver(clock, lambda _: [30, 120], stamped=True), 20, rate=10)
    assert set(with_picture(frames)) == set(range(20))


@pytest.mark.parametrize("late", [False, True])
def test_a_broken_picture_is_its_triggers_and_a_late_one_makes_none_anothers(clock: Time, late: bool) -> None:
    driver = FakeDriver(clock, lambda trigger: [130 if late and trigger == 5 else 30], broken=lambda trigger: trigger == 5)
    frames = run(driver, 20)
    assert set(range(20)) - set(with_picture(frames)) <= {5, 6}
    assert 5 not in with_picture(frames)


@pytest.mark.parametrize("stamped", [False, True])
def test_a_counter_that_is_set_back_costs_one_part_and_a_new_count(clock: Time, stamped: bool) -> None:
    driver = FakeDriver(clock, lambda _: [30], stamped=stamped, counted=1_000)

    def answer(trigger: int) -> list[float]:
        if trigger == 10:
            driver.counted = 0
        return [30]

    driver.answer = answer
    frames = run(driver, 30)
    assert with_picture(frames) == [i for i in range(30) if i != 10]
    assert [i for i, frame in enumerate(frames) if frame.recount] == [11]


def test_a_16_bit_counter_goes_round(clock: Time) -> None:
    frames = run(FakeDriver(clock, lambda trigger: [130 if trigger == 5 else 30], counted=GIGE_SPAN - 6), 20)
    assert with_picture(frames) == [i for i in range(20) if i != 5]


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_late_ignored_or_broken_no_picture_is_anothers(
    clock: Time, numbered: bool, stamped: bool, seed: int
) -> None:
    """`run` looks at every picture."""
    draw = random.Random(seed)

    def answer(_: int) -> list[float]:
        event = draw.random()
        return [] if event < 0.1 else [draw.uniform(100, 3_000)] if event < 0.3 else [draw.uniform(5, 99)]

    broken = {trigger for trigger in range(300) if draw.random() < 0.05}
    driver = FakeDriver(clock, answer, numbered, stamped, lambda _: draw.random() > 0.05, lambda trigger: trigger in broken)
    frames = run(driver, 250, rate=draw.choice([1, 8, 100]))
    assert len(with_picture(frames)) > 50
