"""A running line whose counts disagree: what is in doubt is a reject, and a new epoch begins and is told; near deadlines."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from statistics import median

import numpy as np
import pytest

from appliance.capture import EndOfFrames, Frame
from appliance.config.line import Line
from appliance.line.pipeline import Pipeline
from appliance.line.running_line import RunningLine
from appliance.line.trigger_safety import need_safe_trigger
from appliance.messages.notices import Notice
from appliance.messages.orders import OrderSender, orders_address
from appliance.messages.schema import Alarm, Heartbeat, Verdict
from engines.common.errors import ConfigError
from engines.recipe.bundle import Recipe
from tests.appliance.conftest import MadeEngine, MakeLine, listen, verdicts_of, wait_for

PICTURE = np.zeros((512, 512, 3), np.uint8)


class ScriptedCamera:
    """Gives the frames that a test puts into it."""

    simulated, patient, state, channels = True, False, "here", 3

    def __init__(self) -> None:
        self.frames: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()

    def take(self, number: int, recount: str | None = None) -> None:
        """A trigger now."""
        self.frames.put(Frame(number, time.monotonic_ns(), 0, PICTURE.copy(), recount=recount))

    def open(self) -> None:
        pass

    def grab(self, timeout_s: float) -> list[Frame]:
        try:
            frame = self.frames.get(timeout=timeout_s)
        except queue.Empty:
            return []
        if frame is None:
            raise EndOfFrames
        return [frame]

    def stop(self) -> list[Frame]:
        return []

    def close(self) -> None:
        pass


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> ScriptedCamera:
    made = ScriptedCamera()
    monkeypatch.setattr("appliance.line.equipment.make_camera", lambda *_: made)
    return made


@pytest.fixture
def line(make_line: MakeLine, recipe: Recipe) -> Line:
    return make_line(recipe=recipe.folder)


@contextmanager
def running(line: Line) -> Iterator[RunningLine]:
    made = RunningLine(line)
    try:
        made.start()
        yield made
    finally:
        made.close()


def given(made: RunningLine) -> list[Verdict]:
    return verdicts_of(list(made.events))


def told(made: RunningLine) -> list[str]:
    return [event.text for event in list(made.events) if isinstance(event, Notice) and event.kind == "part-count"]


def test_a_counter_that_cannot_be_trusted_begins_a_new_epoch_and_what_is_in_flight_is_a_reject_at_once(
    line: Line, camera: ScriptedCamera, made_engine: MadeEngine
) -> None:
    go_on = threading.Event()
    made_engine.act = lambda call, _map, _scores: call != 2 or go_on.wait(20)
    with running(line) as made:
        camera.take(1)
        wait_for(lambda: len(given(made)) == 1, "the first verdict")
        camera.take(2)
        wait_for(lambda: made_engine.calls == 2, "the second part at the engine")
        camera.take(3, recount="the camera's frame counter went back from 1005 to 0")
        wait_for(lambda: len(given(made)) == 2, "the second verdict, long before its deadline")
        go_on.set()
        wait_for(lambda: len(given(made)) == 3, "the third")
        first, second, third = given(made)
        assert told(made) == ["the camera's frame counter went back from 1005 to 0: parts are counted anew"]
    assert [one.verdict for one in (first, second, third)] == ["pass", "reject", "pass"]
    assert (second.reason, second.detail, second.score) == ("miscounted", "parts are counted anew", None)
    assert (first.epoch, second.part_id, third.part_id) == (second.epoch, 2, 1)
    assert third.epoch > second.epoch


@pytest.mark.usefixtures("made_engine")
def test_a_gap_that_the_camera_did_not_tell_is_no_silent_shift(line: Line, camera: ScriptedCamera) -> None:
    with running(line) as made:
        for number in (1, 2, 4, 5):
            camera.take(number)
        wait_for(lambda: len(given(made)) == 4, "four verdicts")
        verdicts = given(made)
        assert told(made) == ["the camera's frame 4 came after 2: parts are counted anew"]
    assert [one.part_id for one in verdicts] == [1, 2, 1, 2]
    assert len({one.epoch for one in verdicts}) == 2


def test_a_verdict_on_anothers_picture_is_a_reject_and_a_new_epoch(
    line: Line, camera: ScriptedCamera, made_engine: MadeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = Pipeline.submit

    def mistaken(self: Pipeline, frame: Frame, *rest: object) -> None:
        submit(self, Frame(99, frame.captured_ns, 0, frame.image) if frame.number == 2 else frame, *rest)

    monkeypatch.setattr(Pipeline, "submit", mistaken)
    with running(line) as made:
        for number in (1, 2):
            camera.take(number)
        wait_for(lambda: told(made), "the contradiction")
        camera.take(3)
        wait_for(lambda: len(given(made)) == 3, "three verdicts")
        verdicts = given(made)
        assert told(made) == ["a verdict on part 2 was of frame 99, and its own is 2: parts are counted anew"]
    assert [(one.verdict, one.reason, one.part_id) for one in verdicts] == [
        ("pass", "", 1),
        ("reject", "miscounted", 2),
        ("pass", "", 1),
    ]
    assert verdicts[2].epoch > verdicts[1].epoch == verdicts[0].epoch


@pytest.mark.parametrize("trigger", ["hardware", "software"])
def test_the_plcs_word_begins_a_new_epoch_where_it_fires_the_triggers(
    make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine, monkeypatch: pytest.MonkeyPatch, trigger: str
) -> None:
    camera = ScriptedCamera()
    monkeypatch.setattr("appliance.line.equipment.SupervisedCamera", lambda *_: camera)
    line = hardware(make_line, recipe, trigger=trigger, spacing_ms=700)
    sender, subscriber = OrderSender(orders_address(line.name, line.config.publish)), listen(line)
    heard: list[object] = []
    try:
        with running(line) as made:
            camera.take(1)
            wait_for(lambda: len(given(made)) == 1, "a verdict")
            wait_for(lambda: sender.count_anew("the PLC saw more pictures than it fired triggers"), "the line to hear it")
            wait_for(lambda: told(made), "the doubt to be told")
            (verdict,) = given(made)

            def heard_of_it() -> bool:
                heard.append(subscriber.receive(0.2))
                alarmed = any(isinstance(one, Alarm) and one.kind == "part-count" for one in heard)
                last = heard[-1]
                return alarmed and isinstance(last, Heartbeat) and (last.epoch > verdict.epoch) == (trigger == "hardware")

            wait_for(heard_of_it, "the alarm, and a heartbeat after it")
    finally:
        sender.close()
        subscriber.close()
    last = heard[-1]
    assert isinstance(last, Heartbeat)
    if trigger == "hardware":
        assert (last.seq, last.seen) == (0, 0), "published without a frame"
    else:
        assert (last.epoch, last.seq, last.seen) == (verdict.epoch, 1, 1)
    alarms = [one for one in heard if isinstance(one, Alarm) and one.kind == "part-count"]
    assert [one.severity for one in alarms] == ["warning"]


def test_a_picture_is_told_long_before_its_verdict(line: Line, camera: ScriptedCamera, made_engine: MadeEngine) -> None:
    go_on = threading.Event()
    made_engine.act = lambda *_: go_on.wait(20)
    subscriber = listen(line)
    try:
        with running(line) as made:
            wait_for(lambda: isinstance(subscriber.receive(0.2), Heartbeat), "the line")
            camera.take(1)

            def seen() -> bool:
                message = subscriber.receive(0.2)
                return isinstance(message, Heartbeat) and (message.seen, message.seq) == (1, 0)

            wait_for(seen, "the picture to be told")
            assert given(made) == []
            go_on.set()
            wait_for(lambda: given(made), "the verdict")
    finally:
        go_on.set()
        subscriber.close()


def test_a_deadline_of_30_ms_is_held_with_an_engine_that_hangs(
    make_line: MakeLine, recipe: Recipe, camera: ScriptedCamera, made_engine: MadeEngine
) -> None:
    go_on = threading.Event()
    made_engine.act = lambda *_: go_on.wait(20)
    late_ms: list[float] = []
    try:
        with running(make_line(recipe=recipe.folder, decision={"deadline_ms": 30}, engine={"slots": 3})) as made:
            for number in range(1, 12):
                begun = time.monotonic()
                camera.take(number)
                wait_for(lambda number=number: len(given(made)) == number, "a verdict")
                late_ms.append((time.monotonic() - begun) * 1e3 - 30)
                time.sleep(0.04)  # in step with nothing: heartbeats come each 100 ms
            go_on.set()
            verdicts = given(made)
    finally:
        go_on.set()
    assert {one.verdict for one in verdicts} == {"reject"}
    assert [one.reason for one in verdicts][:3] == ["late"] * 3, "then no slot is free any more"
    assert median(late_ms[:3]) < 25, "without being woken it comes with the next heartbeat, 50 ms late in the mean"
    assert all(before.part_id + 1 == after.part_id for before, after in pairwise(verdicts))


@pytest.mark.parametrize(("camera_time", "warned"), [(0, True), (123_456, False)])
def test_pictures_without_a_time_stamp_are_told_of_once(
    make_line: MakeLine,
    recipe: Recipe,
    made_engine: MadeEngine,
    monkeypatch: pytest.MonkeyPatch,
    camera_time: int,
    warned: bool,
) -> None:
    camera = ScriptedCamera()
    monkeypatch.setattr("appliance.line.equipment.SupervisedCamera", lambda *_: camera)
    with running(hardware(make_line, recipe, spacing_ms=700)) as made:
        for number in (1, 2):
            camera.frames.put(Frame(number, time.monotonic_ns(), camera_time, PICTURE.copy()))
        wait_for(lambda: len(given(made)) == 2, "two verdicts")
        texts = [event.text for event in list(made.events) if isinstance(event, Notice) and "no time stamp" in event.text]
    assert len(texts) == warned


@pytest.mark.parametrize(("apart_ms", "stamped", "anew"), [(3, True, True), (3, False, False), (700, True, False)])
def test_two_pictures_closer_than_parts_can_be_are_counted_anew(
    make_line: MakeLine,
    recipe: Recipe,
    made_engine: MadeEngine,
    monkeypatch: pytest.MonkeyPatch,
    apart_ms: int,
    stamped: bool,
    anew: bool,
) -> None:
    camera = ScriptedCamera()
    monkeypatch.setattr("appliance.line.equipment.SupervisedCamera", lambda *_: camera)
    with running(hardware(make_line, recipe, spacing_ms=700)) as made:
        taken_ns = time.monotonic_ns()
        for number in (1, 2):
            camera.frames.put(Frame(number, taken_ns + (number - 1) * apart_ms * 1_000_000, number * stamped, PICTURE.copy()))
        wait_for(lambda: len(given(made)) == 2, "two verdicts")
        texts = told(made)
    assert [text.partition(", and parts are")[0] for text in texts] == ["two pictures were taken 3 ms apart"] * anew


# What a line must have, or it is not started


def hardware(make_line: MakeLine, recipe: Recipe, **camera: object) -> Line:
    table = {"kind": "pylon", "serial": "0815-0000", "trigger": "hardware"} | camera
    return make_line(recipe=recipe.folder, camera=table, decision={"deadline_ms": 500})


@pytest.mark.parametrize("stated", [{}, {"spacing_ms": 100}, {"spacing_ms": 600}])
def test_hardware_triggers_that_could_be_lost_without_a_trace_are_refused_with_the_mend(
    make_line: MakeLine, recipe: Recipe, stated: dict[str, object]
) -> None:
    line = hardware(make_line, recipe, **stated)
    told = rf"{line.file}: camera\.spacing_ms .*more than 600 ms apart \(.*\) .* else name camera\.trigger_counter"
    with pytest.raises(ConfigError, match=told):
        need_safe_trigger(line)
    with pytest.raises(ConfigError, match=told):
        RunningLine(line)


@pytest.mark.parametrize("stated", [{"spacing_ms": 601}, {"trigger_counter": "ChunkCounterValue"}, {"trigger": "software"}])
def test_what_can_be_told_apart_is_not_refused(make_line: MakeLine, recipe: Recipe, stated: dict[str, object]) -> None:
    need_safe_trigger(line := hardware(make_line, recipe, **stated))
    assert line.config.camera.trigger == stated.get("trigger", "hardware")
