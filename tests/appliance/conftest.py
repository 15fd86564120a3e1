"""What the appliance's tests share: line files with free ports, verdicts, engines made to order, waiting for a condition."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import psutil
import pytest

from appliance.capture import Camera, make_camera
from appliance.config.line import Line, load_line, need_plc
from appliance.line.recipe_at_work import LoadedRecipe, recipe_of
from appliance.line.running_line import RunningLine
from appliance.line.threshold_offset import Bound
from appliance.messages.clock import utc_now, utc_of
from appliance.messages.notices import Event
from appliance.messages.part_numbers import PartNumbers
from appliance.messages.publisher import Publisher
from appliance.messages.schema import Verdict
from appliance.messages.subscriber import Subscriber
from appliance.plc import Plc, make_plc
from engines.pictures.geometry import Geometry, Pixels
from engines.recipe.thresholds import Guarantee, Scale, Thresholds
from engines.targets import HostSlot

Table = Mapping[str, object]
Floats = npt.NDArray[np.float32]
PATIENCE_S = 20.0
DEADLINE_NS = 20_000_000_000  # of a made verdict, from now


class MakeLine(Protocol):
    """Writes a line file and reads it back."""

    def __call__(self, *, name: str = ..., recipe: Path | str = ..., **tables: Table) -> Line:
        """``tables`` replace the defaults: the reference, a replay of the rendered parts, a long deadline, free ports."""


@pytest.fixture
def make_line(tmp_path: Path, parts_folder: Path, free_ports: Callable[[int], list[int]]) -> MakeLine:
    """A function that writes a line's file into `lines/` below the test's folder and returns the line."""

    def make(*, name: str = "3", recipe: Path | str = "../recipe", **tables: Table) -> Line:
        verdicts, snapshot = free_ports(2)
        defaults: dict[str, Table] = {
            "engine": {"target": "torch", "precision": "float32"},
            "camera": {"kind": "replay", "source": str(parts_folder), "rate": 0},
            "decision": {"deadline_ms": 20_000},
            "publish": {"verdicts": f"tcp://127.0.0.1:{verdicts}", "snapshot": f"tcp://127.0.0.1:{snapshot}"},
        }
        file = tmp_path / "lines" / f"{name}.toml"
        file.parent.mkdir(exist_ok=True)
        text = f"recipe = {json.dumps(str(recipe))}\n"
        for title, table in (defaults | tables).items():
            text += f"\n[{title}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())
        file.write_text(text, encoding="utf-8")
        return load_line(name, file.parent)

    return make


def _toml(value: object) -> str:
    """A value as TOML writes it; a mapping as an inline table."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def emulated(folder: Path, side: int = 512, **features: object) -> dict[str, object]:
    """The features that make the emulated camera play a folder of pictures."""
    return {
        "TestImageSelector": "Off",
        "ImageFileMode": "On",
        "ImageFilename": str(folder),
        "PixelFormat": "RGB8Packed",
        "Width": side,
        "Height": side,
    } | features


def make_verdict(seq: int, epoch: int = 1, **changes: Any) -> Verdict:
    """A good part's verdict of line 3, decided now."""
    now, deadline = utc_now(), utc_of(time.monotonic_ns() + DEADLINE_NS)
    fields: dict[str, Any] = {
        "line": "3",
        "epoch": epoch,
        "seq": seq,
        "time": now,
        "part_id": seq,
        "frame": seq,
        "verdict": "pass",
        "reason": "",
        "score": 0.25,
        "threshold": 0.5,
        "regions": (),
        "captured": now,
        "decided": now,
        "deadline": deadline,
        "camera_time": 0,
        "stages": {"total": 1.0},
        "recipe": "0" * 64,
        "engine": "made to order",
        "simulated": True,
    }
    return Verdict(**fields | changes)


def make_thresholds(digest: str = "0" * 64, **changes: Any) -> Thresholds:
    """Thresholds of 0.5 for the score and for pixels."""
    fields: dict[str, Any] = {
        "version": 1,
        "recipe_digest": digest,
        "score": "max",
        "score_threshold": 0.5,
        "pixel_threshold": 0.5,
        "minimum_area": 1,
        "engine": "torch float32",
        "scale": Scale(0.0, 1.0, 0.0, 1.0),
        "limit": 1.0,
        "guarantee": Guarantee(0.01, 0.95, 0, None, 1.0, 299, None),
        "method": "set by hand",
        "promise": "none",
        "samples": (),
        "rejects": (),
        "candidates": {},
        "choice": "set by hand",
        "note": "",
        "ignore_mask": None,
        "created": utc_now(),
        "created_by": "test",
    }
    return Thresholds(**fields | changes)


@pytest.fixture
def roomy_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """No frame of a short run is left out of the archive, however slow the disk is just now."""
    monkeypatch.setattr("appliance.records.archive.PLACES", 100)
    monkeypatch.setattr("appliance.records.archive.PLACES_OF_REJECTS", 0)


class MadeEngine:
    """An engine that finds every part perfect, after ``act(call, map, scores)`` has had its way; calls count from 1."""

    target = "torch float32"  # whose scores the recipe's thresholds are of

    def __init__(self, act: Callable[[int, Floats, Floats], object] = lambda _call, _map, _scores: None) -> None:
        self.act, self.calls = act, 0
        self.geometry = Geometry((512, 512), (0, 0, 512, 512))

    def new_slot(self) -> MadeSlot:
        """See `engines.targets.Engine.new_slot`."""
        buffers = HostSlot.of(self.geometry)
        return MadeSlot(buffers.tiles, buffers.frame_map, buffers.scores, buffers.match, self)

    def close(self) -> None:
        """See `engines.targets.Engine.close`."""


@dataclass
class MadeSlot:
    """A slot of `MadeEngine`."""

    tiles: Pixels
    frame_map: Floats
    scores: Floats
    match: Floats
    engine: MadeEngine

    def start(self) -> None:
        """See `engines.targets.EngineSlot.start`."""

    def finish(self) -> None:
        """See `engines.targets.EngineSlot.finish`."""
        self.engine.calls += 1
        self.frame_map.fill(0)
        self.scores.fill(0)
        self.engine.act(self.engine.calls, self.frame_map, self.scores)


@pytest.fixture
def made_engine(monkeypatch: pytest.MonkeyPatch) -> MadeEngine:
    """Stands in for the recipe's engine; its `act` may be replaced."""
    engine = MadeEngine()
    monkeypatch.setattr("appliance.line.recipe_at_work.load_engine", lambda *_: engine)
    return engine


def inspect_all(line: Line, parts: int | None = None) -> list[Event]:
    """Run a line to its end; returns all that it told."""
    running = RunningLine(line, parts)
    try:
        running.start()
        wait_for(lambda: not running.running, "the line's end", 60)
    finally:
        running.close()
    return list(running.events)


def camera_of(line: Line, frame_size: tuple[int, int]) -> Camera:
    """The line's camera in this process, not opened yet."""
    return make_camera(line.config.camera, line.file, frame_size, line.config.decision.deadline_ms)


def plc_of(line: Line) -> Plc:
    """What the line's bridge exchanges blocks through, not connected yet."""
    return make_plc(need_plc(line), line.name, line.file)


def camera_processes() -> list[psutil.Process]:
    """The processes of cameras that this process has started."""
    return [child for child in psutil.Process().children(recursive=True) if "appliance.capture.camera_main" in child.cmdline()]


def verdicts_of(events: list[Event]) -> list[Verdict]:
    """The verdicts among a line's events."""
    return [event for event in events if isinstance(event, Verdict)]


def reasons(verdicts: list[Verdict]) -> list[str]:
    return [verdict.reason for verdict in verdicts]


def assert_counted(verdicts: list[Verdict], count: int) -> None:
    assert [verdict.seq for verdict in verdicts] == list(range(1, count + 1))
    assert [verdict.part_id for verdict in verdicts] == list(range(1, count + 1))
    assert len({verdict.epoch for verdict in verdicts}) == 1


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> None:
    """Return as soon as the condition holds; fail when it does not come to."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.005)


def unexpected(severity: str, text: str, kind: str = "") -> None:
    """Takes notices where none should come. What it raises ends the thread that notifies, which pytest then tells."""
    pytest.fail(f"{severity} {kind}: {text}")


def save_noise(folder: Path, count: int, side: int = 64, grey: bool = False) -> list[Pixels]:
    """Write lossless pictures of noise, named in playing order; returns them as (H, W, 3) RGB or (H, W)."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    pictures = [rng.integers(0, 256, (side, side) if grey else (side, side, 3), np.uint8) for _ in range(count)]
    for i, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{i:03d}.png"), picture if grey else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return pictures


def loaded_recipe(line: Line) -> LoadedRecipe:
    """The line's recipe on its engine, as the line loads it."""
    return LoadedRecipe(recipe_of(line), line.config.engine, Bound.of(line))


def listen(line: Line, client: str = "watch", **how: Any) -> Subscriber:
    """A subscriber to the line."""
    return Subscriber(line.name, line.config.publish, client, **how)


def quiet(_severity: str, _text: str, _kind: str = "") -> None:
    """Takes notices that nobody asks for."""


class OnAir:
    """A publisher at work in a thread of its own, as a line's decision loop uses it."""

    def __init__(self, line: Line) -> None:
        self.publisher = Publisher(line.name, line.config.publish, line.file, simulated=True, numbers=PartNumbers(quiet))
        self.beats = True  # False: the line has fallen silent
        self._orders: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="on air")
        self._thread.start()

    def publish(self, count: int = 1, **changes: Any) -> None:
        """Publish so many verdicts; returns when they are sent."""

        def give() -> None:
            for _ in range(count):
                self.publisher.publish_verdict(make_verdict(self.publisher.seq + 1, self.publisher.epoch, **changes))

        self.do(give)

    def do(self, order: Callable[[], object]) -> None:
        """Have the publisher's thread do something, and wait until it is done."""
        done = threading.Event()

        def carry_out() -> None:
            order()
            done.set()

        self._orders.put(carry_out)
        assert done.wait(PATIENCE_S)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.publisher.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            while not self._orders.empty():
                self._orders.get()()
            if self.beats:
                self.publisher.beat()
            self.publisher.answer_snapshots()
            self.publisher.snapshot_socket.poll(5)


@contextmanager
def on_air(line: Line) -> Iterator[OnAir]:
    """A line's publisher, until the block is left."""
    station = OnAir(line)
    try:
        yield station
    finally:
        station.close()


@contextmanager
def plc_sim(line: Line, log: Path, *options: object, until: str = "connected") -> Iterator[subprocess.Popen[bytes]]:
    """The line's PLC as a process of its own, from when it has told ``until``; ``log`` has what it tells."""
    words = ("plc-sim", "--line", line.name, "--config-dir", line.file.parent, *options)
    with inspect_process(*words, stdout=log) as process:
        wait_for(lambda: any(event["event"] == until for event in read_events(log)), f"the PLC to have {until}")
        yield process


def taken_by(log: Path) -> list[dict[str, Any]]:
    """The results that a PLC has taken."""
    return [event for event in read_events(log) if event["event"] == "taken"]


def read_events(file: Path) -> list[dict[str, Any]]:
    """A file of JSON objects, one a line, without a last line that is still being written."""
    text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


@contextmanager
def inspect_process(*words: object, stdout: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One of `inspect`'s commands in the background; ended at the latest when the block is left."""
    script = Path(sys.executable).with_name("inspect")
    with stdout.open("wb") as out:
        process = subprocess.Popen([script, *map(str, words)], stdout=out, stderr=subprocess.STDOUT, env=os.environ)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(PATIENCE_S)
