"""A running line: one verdict for each part, in order, until it is stopped or has had its parts."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import msgspec
import pytest

from appliance.line.running_line import RunningLine
from appliance.messages.notices import Notice
from appliance.messages.schema import Heartbeat, Verdict
from appliance.messages.subscriber import Message
from engines.common.errors import RecipeError
from engines.recipe.bundle import WEIGHTS, Recipe, load_recipe
from engines.recipe.thresholds import FILE, load_thresholds, save_thresholds
from tests.appliance.conftest import (
    MadeEngine,
    MakeLine,
    assert_counted,
    inspect_all,
    listen,
    reasons,
    verdicts_of,
    wait_for,
)
from tests.virtual_line.product import DEFECTS


def test_gives_one_measured_verdict_for_each_part_in_order(make_line: MakeLine, recipe: Recipe) -> None:
    events = inspect_all(make_line(recipe=recipe.folder))
    verdicts = verdicts_of(events)
    assert_counted(verdicts, 12)
    assert [verdict.source for verdict in verdicts] == [f"{i:03d}.png" for i in range(12)]
    assert all(verdict.recipe == recipe.digest and verdict.engine == "torch float32" for verdict in verdicts)
    assert all(verdict.simulated for verdict in verdicts)
    for verdict, defect in zip(verdicts, [None, *DEFECTS] * 2, strict=True):
        assert verdict.score is not None
        assert verdict.threshold is not None
        assert (verdict.score <= verdict.threshold and not verdict.regions) == (defect is None)
        assert (verdict.verdict, verdict.reason) == (("reject", "defect") if defect else ("pass", ""))
        assert set(verdict.stages) == {"cut", "queue", "engine", "decide", "total"}
        assert verdict.captured < verdict.decided < verdict.deadline
    assert Notice("info", "the replay is over") in events


def test_without_thresholds_every_part_is_rejected(tmp_path: Path, make_line: MakeLine, recipe: Recipe) -> None:
    copy = tmp_path / "recipe"
    shutil.copytree(recipe.folder, copy)
    (copy / FILE).unlink()
    events = inspect_all(make_line(recipe=copy), parts=2)
    assert reasons(verdicts_of(events)) == ["not-calibrated", "not-calibrated"]
    assert all(verdict.verdict == "reject" for verdict in verdicts_of(events))
    (warning,) = (event for event in events if isinstance(event, Notice) and event.severity == "warning")
    assert "calibrate thresholds --line 3" in warning.text


def test_thresholds_of_another_engine_are_warned_of(tmp_path: Path, make_line: MakeLine, recipe: Recipe) -> None:
    shutil.copytree(recipe.folder, tmp_path / "recipe")
    thresholds = load_thresholds(load_recipe(tmp_path / "recipe"))
    assert thresholds is not None
    save_thresholds(tmp_path / "recipe", msgspec.structs.replace(thresholds, engine="openvino int8"))
    events = inspect_all(make_line(recipe=tmp_path / "recipe"), parts=1)
    (warning,) = (event.text for event in events if isinstance(event, Notice) and event.severity == "warning")
    assert "its thresholds were got from scores of openvino int8, and torch float32 serves" in warning
    named = f"--line 3 --config-dir {tmp_path / 'lines'} --golden DIR"
    assert warning.endswith(f"calibrate with: calibrate thresholds {named}"), "the line's file names no golden samples"


def test_a_tampered_recipe_is_refused(tmp_path: Path, make_line: MakeLine, recipe: Recipe) -> None:
    copy = tmp_path / "recipe"
    shutil.copytree(recipe.folder, copy)
    content = bytearray((copy / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (copy / WEIGHTS).write_bytes(content)
    with pytest.raises(RecipeError, match=f"{WEIGHTS}: changed since it was written"):
        RunningLine(make_line(recipe=copy))


def test_stop_gives_frames_in_flight_their_verdict(make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine) -> None:
    go_on = threading.Event()
    made_engine.act = lambda *_: go_on.wait(20)
    running = RunningLine(make_line(recipe=recipe.folder))
    try:
        running.start()
        wait_for(lambda: running._capture._submitted == 4, "three frames in the slots and one waiting")
        running.stop()
        go_on.set()
        wait_for(lambda: not running.running, "the end")
    finally:
        go_on.set()
        running.close()
    verdicts = verdicts_of(list(running.events))
    assert_counted(verdicts, 4)
    assert reasons(verdicts) == [""] * 4
    assert running.state == "stopped"
    assert running.counts == (4, {})


def test_stops_by_itself_after_the_asked_parts(make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine) -> None:
    assert_counted(verdicts_of(inspect_all(make_line(recipe=recipe.folder), parts=5)), 5)
    assert made_engine.calls == 5


def test_a_running_line_tells_subscribers_its_verdicts_and_state(
    make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine
) -> None:
    line = make_line(recipe=recipe.folder)
    heard: list[Message] = []
    subscriber = listen(line, catch_up=True)
    go_on = threading.Event()
    made_engine.act = lambda *_: go_on.wait(20)
    running = RunningLine(line, parts=3)
    try:
        running.start()
        wait_for(lambda: subscriber.receive(0.2) is not None, "the connection")
        go_on.set()
        wait_for(lambda: not running.running, "the end")
        while (message := subscriber.receive(1.0)) is not None:
            heard.append(message)
    finally:
        go_on.set()
        running.close()
        subscriber.close()
    assert [message for message in heard if isinstance(message, Verdict)] == verdicts_of(list(running.events))
    last = heard[-1]
    assert isinstance(last, Heartbeat)
    assert (last.state, last.seq, last.passed, last.rejected) == ("stopped", 3, 3, {})
