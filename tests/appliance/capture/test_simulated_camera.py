"""The simulated camera's trigger input: one picture for each edge that it hears, and what it tells of the others."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.capture import Camera, CameraLostError, Frame
from appliance.capture.simulated_camera import parts_of
from tests.appliance.capture.test_camera_kit import free_port
from tests.appliance.conftest import MakeLine, camera_of, save_noise

SIDE = 64


class Bench:
    """A camera that is open, and the wire to its trigger input."""

    def __init__(self, make_line: MakeLine, folder: Path, **more: object) -> None:
        self.port = free_port()
        table = {"kind": "simulated", "source": str(folder), "trigger": "hardware", "port": self.port}
        self.camera: Camera = camera_of(make_line(camera=table | more), (SIDE, SIDE))
        self.camera.open()

    def edge(self, what: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            content = what if isinstance(what, bytes) else json.dumps(what).encode()
            wire.sendto(content, ("127.0.0.1", self.port))

    def frames(self, count: int) -> list[Frame]:
        found: list[Frame] = []
        until = time.monotonic() + 10
        while len(found) < count:
            assert time.monotonic() < until, found
            found += self.camera.grab(0.1)
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_noise(tmp_path / "pictures" / "good", 2, SIDE)
    save_noise(tmp_path / "pictures" / "bad", 1, SIDE)
    return tmp_path / "pictures"


@pytest.fixture
def bench(make_line: MakeLine, folder: Path) -> Iterator[Bench]:
    made = Bench(make_line, folder)
    yield made
    made.camera.close()


@pytest.fixture
def counting(make_line: MakeLine, folder: Path) -> Iterator[Bench]:
    made = Bench(make_line, folder, trigger_counter="edges")
    yield made
    made.camera.close()


def test_its_parts_are_good_below_a_folder_of_that_name(folder: Path) -> None:
    assert parts_of(folder) == {"bad/000.png": False, "good/000.png": True, "good/001.png": True}


def test_each_edge_brings_its_picture_with_the_time_at_which_it_came(bench: Bench) -> None:
    begun = time.monotonic_ns()
    for name in ("good/001.png", "bad/000.png"):
        bench.edge({"picture": name})
    one, two = bench.frames(2)
    assert [(one.number, one.source), (two.number, two.source)] == [(1, "good/001.png"), (2, "bad/000.png")]
    assert begun <= one.captured_ns <= two.captured_ns <= time.monotonic_ns()
    assert one.camera_time
    assert one.image is not None


def test_an_edge_that_waits_to_be_read_shows_its_age(bench: Bench) -> None:
    bench.edge({"picture": "good/000.png"})
    bench.frames(1)
    bench.edge({"picture": "good/000.png"})
    sent = time.monotonic_ns()
    time.sleep(0.3)
    (frame,) = bench.frames(1)
    assert abs(frame.captured_ns - sent) < 100_000_000


@pytest.mark.parametrize("what", [b"?", {"picture": "../secret.png"}, {"picture": "good/9.png"}, {"nothing": 1}])
def test_an_edge_that_says_nothing_of_use_is_a_frame_without_picture(bench: Bench, what: object) -> None:
    bench.edge(what)
    (frame,) = bench.frames(1)
    assert frame.image is None
    assert "no such picture" in str(frame.fault)


def test_an_edge_that_is_not_heard_is_missed_only_where_edges_are_counted(bench: Bench, counting: Bench) -> None:
    for one in (bench, counting):
        for name in ("good/000.png", None, "bad/000.png"):
            one.edge({"picture": name})
    assert [frame.number for frame in bench.frames(2)] == [1, 2]
    frames = counting.frames(3)
    assert [(frame.number, frame.image is None) for frame in frames] == [(1, False), (2, True), (3, False)]


def test_a_picture_that_is_late_overtakes_none_and_keeps_its_time(bench: Bench) -> None:
    begun = time.monotonic()
    bench.edge({"picture": "good/000.png", "late_ms": 200})
    bench.edge({"picture": "bad/000.png"})
    frames = bench.frames(2)
    assert time.monotonic() - begun >= 0.2
    assert [frame.source for frame in frames] == ["good/000.png", "bad/000.png"]
    assert all(frame.camera_time for frame in frames)
    assert (frames[1].captured_ns - frames[0].captured_ns) < 100_000_000


def test_a_counter_that_is_set_back_is_told_with_the_third_picture(counting: Bench) -> None:
    for _ in range(5):
        counting.edge({"picture": "good/000.png"})
    counting.frames(5)
    counting.edge({"picture": None, "counted": 0})
    for _ in range(3):
        counting.edge({"picture": "good/000.png"})
    (frame,) = counting.frames(1)
    assert "went back from 5 to" in str(frame.recount)


def test_a_port_that_is_taken_is_told_by_its_key(make_line: MakeLine, folder: Path, bench: Bench) -> None:
    table = {"kind": "simulated", "source": str(folder), "trigger": "hardware", "port": bench.port}
    camera = camera_of(make_line(camera=table), (SIDE, SIDE))
    with pytest.raises(CameraLostError, match=rf"camera\.port: {bench.port} cannot be bound"):
        camera.open()
