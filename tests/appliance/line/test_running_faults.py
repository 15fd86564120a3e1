"""A running line in trouble: pictures, engine, clock, camera and ports that fail cost single parts, or are refused by name."""

from __future__ import annotations

import shutil
import socket
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.config.line import Line
from appliance.line.running_line import RunningLine
from engines.common.errors import ConfigError
from engines.recipe.bundle import Recipe
from tests.appliance.conftest import (
    Floats,
    MadeEngine,
    MakeLine,
    assert_counted,
    camera_processes,
    emulated,
    inspect_all,
    reasons,
    verdicts_of,
    wait_for,
)


def test_a_part_without_result_at_its_deadline_is_late(make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine) -> None:
    go_on = threading.Event()
    made_engine.act = lambda call, _map, _scores: call > 1 or go_on.wait(20)
    line = make_line(recipe=recipe.folder, decision={"deadline_ms": 250}, engine={"slots": 1})
    running = RunningLine(line, parts=2)
    try:
        running.start()
        wait_for(lambda: verdicts_of(list(running.events)), "the first verdict")
        go_on.set()
        wait_for(lambda: not running.running, "the end")
    finally:
        go_on.set()
        running.close()
    first, second = verdicts_of(list(running.events))
    assert (first.verdict, first.reason, first.score) == ("reject", "late", None)
    assert first.decided >= first.deadline
    assert second.reason in ("", "overrun", "late"), "what the hold-up leaves of the second part's time is not fixed"


def test_a_result_that_is_decided_after_the_deadline_is_late_although_it_was_measured(
    make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = RunningLine(make_line(recipe=recipe.folder, decision={"deadline_ms": 1_000}), parts=1)
    decide = running._pipeline.station.decider.decide
    deadline_passed = threading.Event()
    monkeypatch.setattr(
        running._pipeline.station.decider, "decide", lambda *measured: (deadline_passed.wait(1.1), decide(*measured))[1]
    )
    try:
        running.start()
        wait_for(lambda: not running.running, "the end")
    finally:
        running.close()
    (verdict,) = verdicts_of(list(running.events))
    assert made_engine.calls == 1
    assert (verdict.verdict, verdict.reason, verdict.score) == ("reject", "late", 0.0)


def test_an_engine_that_raises_costs_one_part(make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine) -> None:
    def act(call: int, _map: Floats, _scores: Floats) -> None:
        if call == 2:
            raise RuntimeError("out of memory")

    made_engine.act = act
    verdicts = verdicts_of(inspect_all(make_line(recipe=recipe.folder), parts=4))
    assert_counted(verdicts, 4)
    assert reasons(verdicts) == ["", "engine-fault", "", ""]
    assert verdicts[1].detail == "RuntimeError: out of memory"


def test_scores_that_are_not_numbers_reject(
    make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine, tmp_path: Path
) -> None:
    def act(call: int, frame_map: Floats, scores: Floats) -> None:
        if call == 2:
            frame_map.fill(np.nan)
            scores.fill(np.nan)

    made_engine.act = act
    archive = {"folder": str(tmp_path / "frames"), "passes": 0, "free_gb": 0}
    verdicts = verdicts_of(inspect_all(make_line(recipe=recipe.folder, archive=archive), parts=3))
    assert reasons(verdicts) == ["", "engine-fault", ""]
    assert (verdicts[1].verdict, verdicts[1].score) == ("reject", None)
    (frame,) = (tmp_path / "frames").glob("*/*")
    assert frame.name == f"3-{verdicts[1].epoch}-00000002-engine-fault.png", "the frame alone: there is no map of it"


@pytest.mark.parametrize("key", ["verdicts", "snapshot"])
def test_a_taken_port_is_named_and_the_camera_let_go(
    make_line: MakeLine, recipe: Recipe, parts_folder: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr("appliance.line.recipe_at_work.load_engine", lambda *_: MadeEngine())
    camera = {"kind": "pylon", "serial": "0815-0000", "trigger": "software", "features": emulated(parts_folder)}
    line = make_line(recipe=recipe.folder, camera=camera)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port_of(line, key)))
        taken.listen()
        with pytest.raises(ConfigError, match=rf"3\.toml: publish\.{key}: tcp://.* cannot be bound .*another port"):
            RunningLine(line)
    assert not camera_processes(), "the camera is let go"
    verdicts = verdicts_of(inspect_all(line, parts=1))
    assert (verdicts[0].reason, verdicts[0].frame) == ("", 1), "with the port free again, the same line runs"


def test_unusable_pictures_are_no_image_rejects_and_leave_the_others_alone(
    tmp_path: Path, make_line: MakeLine, parts_folder: Path, recipe: Recipe
) -> None:
    folder = tmp_path / "parts"
    shutil.copytree(parts_folder, folder, ignore=shutil.ignore_patterns("00[4-9].png", "01*.png"))
    damaged, small = folder / "001.png", folder / "002.png"
    damaged.write_bytes(damaged.read_bytes()[:3_000])
    cv2.imwrite(str(small), np.zeros((100, 200, 3), np.uint8))
    camera = {"kind": "replay", "source": str(folder), "rate": 0}
    verdicts = verdicts_of(inspect_all(make_line(recipe=recipe.folder, camera=camera)))
    assert_counted(verdicts, 4)
    assert [verdict.score is not None for verdict in verdicts] == [True, False, False, True]
    assert reasons(verdicts)[1:3] == ["no-image", "no-image"]
    assert all(verdict.verdict == "reject" for verdict in verdicts[1:3])
    assert "001.png: damaged image" in verdicts[1].detail
    assert "the frame is 200 x 100 pixels, the recipe was made for 512 x 512" in verdicts[2].detail


def port_of(line: Line, key: str) -> int:
    return int(getattr(line.config.publish, key).rsplit(":", 1)[1])
