"""Change-over: another recipe takes over between two frames, and nothing is lost, doubled or left in memory."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import msgspec
import psutil
import pytest
import zmq

from appliance.config.line import Line, load_line
from appliance.line.running_line import RunningLine
from appliance.messages.notices import Notice
from appliance.messages.orders import OrderSender, ask_for_recipe, orders_address
from appliance.messages.schema import Alarm, RecipeAnswer, RecipeRequest
from engines.common.errors import ConfigError
from engines.common.line_file import write_line_recipe
from engines.proof.admission import engine_folder
from engines.recipe.bundle import MANIFEST, Manifest, Recipe, load_recipe
from engines.recipe.thresholds import FILE, Thresholds, save_thresholds
from tests.appliance.conftest import (
    MadeEngine,
    MakeLine,
    assert_counted,
    inspect_process,
    listen,
    read_events,
    verdicts_of,
    wait_for,
)

ENGINE_BYTES = 20 << 20  # less than one engine of the small profile takes

Command = Callable[..., subprocess.CompletedProcess[str]]


def _sibling(recipe: Recipe, folder: Path, **changes: object) -> Recipe:
    """A copy of a recipe that differs in its manifest, with its thresholds."""
    shutil.copytree(recipe.folder, folder, ignore=shutil.ignore_patterns("engines"))
    file = folder / MANIFEST
    manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, **changes)))
    copied = load_recipe(folder)
    thresholds = msgspec.json.decode((folder / FILE).read_bytes(), type=Thresholds)
    shutil.rmtree(folder / "thresholds-history")
    save_thresholds(folder, msgspec.structs.replace(thresholds, recipe_digest=copied.digest))
    return copied


@contextmanager
def _running(line: Line) -> Iterator[RunningLine]:
    running = RunningLine(line)
    try:
        running.start()
        yield running
    finally:
        running.close()


def _ask(line: Line, folder: Path) -> RecipeAnswer:
    answer = ask_for_recipe(orders_address(line.name, line.config.publish), folder, lambda _: None, 10, 60)
    assert answer is not None, "the line did not answer"
    return answer


def _least_memory(pid: int) -> int:
    """Resident bytes of a process, the least of a second: just after a change the engine before is there too (100 MiB)."""
    process, readings = psutil.Process(pid), []
    for _ in range(5):
        readings.append(process.memory_info().rss)
        time.sleep(0.2)
    return min(readings)


def _more_parts(running: RunningLine) -> None:
    seen = len(running.events)
    wait_for(lambda: len(running.events) > seen + 5, "more parts")


def _wait_for_notice(running: RunningLine, text: str) -> None:
    wait_for(lambda: any(isinstance(one, Notice) and text in one.text for one in list(running.events)), f"an alarm: {text}")


@pytest.fixture
def looped(make_line: MakeLine, parts_folder: Path, recipe: Recipe, tmp_path: Path) -> Line:
    """A line that runs on and on, with a recipe `other` beside its own."""
    shutil.copytree(recipe.folder, tmp_path / "recipe")
    _sibling(recipe, tmp_path / "other", product="another product")
    return make_line(camera={"kind": "replay", "source": str(parts_folder), "rate": 100, "loop": True})


def test_each_part_gets_one_verdict_across_the_change(looped: Line, made_engine: MadeEngine, tmp_path: Path) -> None:
    with _running(looped) as running:
        for name in ("other", "recipe", "other"):
            _more_parts(running)
            answer = _ask(looped, tmp_path / name)
            assert answer.state == "changed", answer
        _more_parts(running)
        assert running.recipe_name == "other"
    verdicts = verdicts_of(list(running.events))
    assert_counted(verdicts, len(verdicts))
    assert [verdict.frame for verdict in verdicts] == list(range(1, len(verdicts) + 1)), "none lost, none doubled"
    digests = [verdict.recipe for verdict in verdicts]
    changes = [(a, b) for a, b in pairwise(digests) if a != b]
    first, other = load_recipe(tmp_path / "recipe").digest, load_recipe(tmp_path / "other").digest
    assert changes == [(first, other), (other, first), (first, other)]
    assert Notice("info", "recipe other took over from recipe") in running.events


def test_memory_returns_over_many_changes(
    built: Recipe, make_line: MakeLine, parts_folder: Path, tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    """In a process of its own, where the line's memory is all there is."""
    for name in ("a", "b"):
        shutil.copytree(built.folder, tmp_path / name)
    line = make_line(
        recipe="../a",
        camera={"kind": "replay", "source": str(parts_folder), "rate": 5, "loop": True},
        # Room for the parts that come while the next engine is loaded.
        engine={"target": "openvino", "precision": "float32", "slots": 16},
    )
    log, memory, changes = tmp_path / "run.jsonl", [], rounds(15, 50)
    fifth = changes // 5
    early, late = range(fifth, 2 * fifth), range(changes - fifth, changes)
    with inspect_process("run", "--line", "3", "--config-dir", line.file.parent, "--json", stdout=log) as process:
        wait_for(lambda: len(read_events(log)) > 1, "the first part")
        for i in range(changes):
            assert _ask(line, tmp_path / "ba"[i % 2]).state == "changed"
            if i in (*early, *late):
                memory.append(_least_memory(process.pid))
    assert process.returncode == 0
    verdicts = [event for event in read_events(log) if event["event"] == "verdict"]
    assert [verdict["seq"] for verdict in verdicts] == list(range(1, len(verdicts) + 1))
    assert all(verdict["reason"] in ("", "defect") for verdict in verdicts), "all were measured, and in time"
    # 250 to 290 MiB, without a trend. An engine left behind at every change would be nine of them, in fifty thirty.
    growth = min(memory[fifth:]) - min(memory[:fifth])
    assert growth < 3 * ENGINE_BYTES, [value >> 20 for value in memory]


def test_a_recipe_that_cannot_be_loaded_leaves_the_line_as_it_is(looped: Line, made_engine: MadeEngine, tmp_path: Path) -> None:
    geometry = load_recipe(tmp_path / "recipe").manifest.geometry
    small = msgspec.structs.replace(geometry, frame=(256, 256), region=(0, 0, 256, 256))
    _sibling(load_recipe(tmp_path / "recipe"), tmp_path / "small", geometry=small)
    with _running(looped) as running:
        for name, told in (("nowhere", "no recipe there"), ("small", "made for frames of 256 x 256 pixels")):
            answer = _ask(looped, tmp_path / name)
            assert answer.state == "failed"
            assert told in answer.text
            _wait_for_notice(running, told)
        assert running.recipe_name == "recipe"
        _more_parts(running)
    assert {verdict.recipe for verdict in verdicts_of(list(running.events))} == {load_recipe(tmp_path / "recipe").digest}


def test_an_engine_that_is_not_proven_is_refused(
    built: Recipe, make_line: MakeLine, parts_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(built.folder, tmp_path / "other")
    shutil.rmtree(engine_folder(load_recipe(tmp_path / "other"), "openvino", "float32"))
    camera = {"kind": "replay", "source": str(parts_folder), "rate": 10, "loop": True}
    line = make_line(recipe=built.folder, camera=camera, engine={"target": "openvino", "precision": "float32"})
    with _running(line):
        answer = _ask(line, tmp_path / "other")
    assert answer.state == "failed"
    assert "build it with: engines build" in answer.text


def test_one_change_at_a_time_and_only_readable_requests(
    looped: Line, made_engine: MadeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    go_on = threading.Event()
    with _running(looped), zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        monkeypatch.setattr("appliance.line.recipe_at_work.load_engine", lambda *_: (go_on.wait(20), made_engine)[1])
        socket.connect(orders_address(looped.name, looped.config.publish))

        def ask(content: bytes) -> RecipeAnswer:
            socket.send(content)
            return receive()

        def receive() -> RecipeAnswer:
            assert socket.poll(20_000)
            return msgspec.json.decode(socket.recv(), type=RecipeAnswer)

        try:
            assert "no order that a line takes" in ask(b"{}").text
            request = msgspec.json.encode(RecipeRequest(str(tmp_path / "other")))
            assert ask(request).state == "loading"
            assert "another change-over is under way" in ask(request).text
        finally:
            go_on.set()
        assert receive().state == "changed"


def test_a_line_that_breaks_down_during_a_change_still_closes(
    looped: Line, made_engine: MadeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    go_on = threading.Event()
    made_engine.act = lambda *_: go_on.wait(20)
    running = RunningLine(looped)
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        try:
            running.start()
            wait_for(lambda: running._pipeline.station.frames, "a frame in flight")
            socket.connect(orders_address(looped.name, looped.config.publish))
            socket.send(msgspec.json.encode(RecipeRequest(str(tmp_path / "other"))))
            wait_for(lambda: running.recipe_name == "other", "the change")
            monkeypatch.setattr("appliance.line.decision.Decider.decide", lambda *_: 1 / 0)
            go_on.set()
            wait_for(lambda: not running.running, "the end")
        finally:
            go_on.set()
            with pytest.raises(ZeroDivisionError):
                running.close()


def test_a_process_beside_the_line_has_its_alarm_published(looped: Line, made_engine: MadeEngine) -> None:
    with _running(looped) as running:
        sender, subscriber = OrderSender(orders_address(looped.name, looped.config.publish)), listen(looped)
        heard: list[Alarm] = []

        def hear() -> bool:
            message = subscriber.receive(0.1)
            heard.extend([message] if isinstance(message, Alarm) else [])
            return bool(heard)

        try:
            wait_for(lambda: subscriber.receive(0.1), "the line to be heard")
            wait_for(lambda: sender.raise_alarm("error", "the PLC is silent", "plc-lost"), "the line to take alarms")
            wait_for(hear, "the alarm")
        finally:
            sender.close()
            subscriber.close()
    assert (heard[0].severity, heard[0].kind, heard[0].text) == ("error", "plc-lost", "the PLC is silent")
    assert Notice("error", "the PLC is silent", "plc-lost") in running.events


def test_a_line_that_runs_already_is_refused(
    looped: Line, made_engine: MadeEngine, free_ports: Callable[[int], list[int]]
) -> None:
    text = looped.file.read_text()
    with _running(looped):
        snapshot = looped.config.publish.snapshot
        looped.file.write_text(text.replace(snapshot, f"tcp://127.0.0.1:{free_ports(1)[0]}"))
        with pytest.raises(ConfigError, match=r"cannot be bound|is running already"):
            RunningLine(load_line("3", looped.file.parent))


def test_the_command_changes_the_line_and_its_file(
    looped: Line, made_engine: MadeEngine, command: Command, in_process: Command, tmp_path: Path
) -> None:
    words = ("inspect", "recipe", "--line", "3", "--config-dir", looped.file.parent)
    with _running(looped) as running:
        done = command(*words, "other")
        assert (done.returncode, running.recipe_name) == (0, "other"), done.stderr
        assert "recipe other took over from recipe" in done.stdout
        assert load_line("3", looped.file.parent).config.recipe == looped.file.parent.parent / "other"
        unknown = in_process(*words, "ohter")
        assert unknown.returncode == 2
        assert unknown.stderr.count("\n") == 1
        assert "recipes in" in unknown.stderr
        assert "other, recipe" in unknown.stderr
    stopped = in_process(*words, tmp_path / "recipe")
    assert "line 3 does not run; it will start with recipe recipe" in stopped.stdout
    assert load_line("3", looped.file.parent).config.recipe == looped.file.parent.parent / "recipe"


def test_only_the_recipe_of_a_line_file_is_written(tmp_path: Path) -> None:
    file = tmp_path / "lines" / "3.toml"
    file.parent.mkdir()
    rest = '  # the left one\ngolden = "g"\n\n[camera]\nrecipe = "not this"\n'
    file.write_text("# line 3\nrecipe = '../old'" + rest)
    write_line_recipe(file, tmp_path / 'new "one"')
    assert file.read_text() == '# line 3\nrecipe = "../new \\"one\\""' + rest
    file.write_text("[camera]\n")
    with pytest.raises(ConfigError, match="there is no line recipe"):
        write_line_recipe(file, tmp_path / "new")
    assert [one.name for one in file.parent.iterdir()] == ["3.toml"]
