"""What every camera of the Protocol owes, tried on any of them: a `Candidate` says how to come by it, `OBLIGATIONS` are tried.

`test_camera_kit.py` puts the cameras that there are through it; a new one is one more `Candidate` there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from appliance.capture import Camera, CameraError, CameraLostError, Frame
from appliance.config.line import Line
from engines.pictures.geometry import Pixels
from tests.appliance.conftest import MakeLine, camera_of

SIDE = 64  # of its pictures
PATIENCE_S = 30.0  # for frames that must come
SLACK_S = 0.5  # of a machine that does something else, too
Table = Mapping[str, object]


@dataclass(frozen=True)
class Candidate:
    """A camera: pictures of SIDE x SIDE, triggered by software where it has triggers, simulated, as fast as it can."""

    kind: str
    table: Callable[[Path], Table]  # its table `[camera]`, given an empty folder that it may fill with pictures
    broken: Callable[[Path], Table]  # the same, where pictures are missing
    absent: Table  # keys that name a camera that is not there
    refused: Table  # keys of which it has nothing, so that `open` refuses them
    refused_key: str  # that one's path in the line's file
    absent_error: type[CameraError] = CameraLostError
    present: Callable[[], AbstractContextManager[object]] = nullcontext  # has the camera there
    present_broken: Callable[[], AbstractContextManager[object]] = nullcontext
    input: str = "Line1"  # of its hardware trigger
    by_itself: bool = True  # it goes on by itself where nothing triggers it, not only when it is asked
    missing: str = ""  # why it cannot be tried on this box


class Bench:
    """A candidate's cameras, closed at the end; one at a time has its device."""

    def __init__(self, candidate: Candidate, make_line: MakeLine, folder: Path) -> None:
        self.candidate, self._make_line, self._folder = candidate, make_line, folder
        self.made: list[Camera] = []
        self._folder.mkdir()
        self._table = candidate.table(folder)

    def line(self, changes: Table) -> Line:
        """A line with this camera."""
        return self._make_line(camera=_merged(self._table, changes))

    def camera(self, **changes: object) -> Camera:
        """One more camera of this kind, its table changed; not opened yet."""
        self.made.append(camera_of(self.line(changes), (SIDE, SIDE)))
        return self.made[-1]

    def opened(self, **changes: object) -> Camera:
        """The same, grabbing."""
        camera = self.camera(**changes)
        _open(camera)
        return camera

    def broken(self) -> Camera:
        """A camera whose pictures are missing now and then, grabbing."""
        self._table = self.candidate.broken(self._folder)
        return self.opened()

    @property
    def triggered(self) -> bool:
        """Whether it has triggers: takes pictures of parts."""
        return self.line({}).config.camera.trigger is not None

    def close(self) -> None:
        """Close every camera."""
        for camera in self.made:
            camera.close()


def _merged(table: Table, changes: Table) -> Table:
    merged = dict(table)
    for key, value in changes.items():
        before = merged.get(key)
        merged[key] = {**before, **value} if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged


def _open(camera: Camera) -> None:
    """Open it; one that is lost is worth another try: on a busy box a camera's answer may come too late."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return camera.open()
        except CameraLostError:
            if time.monotonic() > until:
                raise


def _grab(camera: Camera, enough: Callable[[list[Frame]], bool]) -> list[Frame]:
    """Frames, not released, until there are enough."""
    frames: list[Frame] = []
    until = time.monotonic() + PATIENCE_S
    while not enough(frames):
        assert time.monotonic() < until, f"{len(frames)} frames in {PATIENCE_S:g} s"
        frames += camera.grab(1.0)
    return frames


def _so_many(count: int) -> Callable[[list[Frame]], bool]:
    return lambda frames: len(frames) >= count


def _release(frames: list[Frame]) -> None:
    for frame in frames:
        frame.image = None
        frame.release()


def _assert_counted(frames: list[Frame], first: int = 1) -> None:
    assert [frame.number for frame in frames] == list(range(first, first + len(frames)))
    for frame in frames:
        assert (frame.image is None) == bool(frame.fault), "a picture, or the reason why there is none"


# Obligations


def numbers_rise_from_1_without_a_gap(bench: Bench) -> None:
    frames = _grab(bench.opened(), _so_many(4))
    _assert_counted(frames)
    _release(frames)


def times_are_of_the_monotonic_clock_and_do_not_go_back(bench: Bench) -> None:
    camera = bench.camera()
    begun = time.monotonic_ns()
    _open(camera)
    frames = _grab(camera, _so_many(4))
    times = [begun, *(frame.captured_ns for frame in frames), time.monotonic_ns()]
    assert times == sorted(times)
    assert all(frame.camera_time >= 0 for frame in frames)
    _release(frames)


def pictures_are_grey_or_rgb_bytes_of_the_frames_size(bench: Bench) -> None:
    camera = bench.opened()
    frames = _grab(camera, _so_many(2))
    for frame in frames:
        assert frame.image is not None
        assert frame.image.dtype == np.uint8
        assert frame.image.shape in ((SIDE, SIDE), (SIDE, SIDE, 3))
        assert camera.channels in (None, 1 if frame.image.ndim == 2 else 3)
    _release(frames)


def a_missing_picture_is_a_frame_without_one(bench: Bench) -> None:
    frames = _grab(bench.broken(), lambda frames: any(frame.fault for frame in frames) and not frames[-1].fault)
    _assert_counted(frames)
    assert all("\n" not in (frame.fault or "") for frame in frames)
    _release(frames)


def a_picture_stays_as_it_is_until_it_is_released(bench: Bench) -> None:
    camera = bench.opened()
    held = _grab(camera, _so_many(2))
    copies: list[Pixels] = [np.array(frame.image) for frame in held]
    _release(_grab(camera, _so_many(1)))
    for frame, copy in zip(held, copies, strict=True):
        np.testing.assert_array_equal(frame.image, copy)
    _release(held)


def a_buffer_that_another_thread_releases_serves_again(bench: Bench) -> None:
    camera = bench.opened(**({"buffers": 4} if bench.triggered else {}))
    frames: list[Frame] = []
    for _ in range(12):  # three times as many as there are buffers
        frames += (new := _grab(camera, _so_many(1)))
        thread = threading.Thread(target=_release, args=(new,))
        thread.start()
        thread.join()
    assert [frame.fault for frame in frames] == [None] * len(frames), "never run dry"
    assert [frame.number for frame in frames] == list(range(1, len(frames) + 1))


def grab_returns_within_its_timeout(bench: Bench) -> None:
    camera = bench.opened(rate=0.1)
    frames = _grab(camera, _so_many(1))
    for timeout_s in (0.0, 0.2):
        begun = time.monotonic()
        assert camera.grab(timeout_s) == [], "the next one is not due for ten seconds"
        assert timeout_s - 0.01 <= time.monotonic() - begun <= timeout_s + SLACK_S
    _release(frames)


def nothing_comes_that_nobody_triggered(bench: Bench) -> None:
    changes = {"trigger": "hardware", "trigger_source": bench.candidate.input} if bench.triggered else {"rate": 0.1}
    camera = bench.opened(**changes)
    taken = [] if bench.triggered else _grab(camera, _so_many(1))
    assert camera.grab(0.5) == []
    _release(taken)


def its_count_is_not_broken_by_being_opened(bench: Bench) -> None:
    frames = _grab(bench.opened(), _so_many(5))
    assert [frame.recount for frame in frames] == [None] * len(frames)
    _release(frames)


def stop_returns_what_was_taken_and_not_fetched(bench: Bench) -> None:
    camera = bench.opened(**({"trigger": "free"} if bench.triggered else {}))
    frames = _grab(camera, _so_many(1))
    if bench.triggered:
        time.sleep(0.5)  # some more come meanwhile
    left = camera.stop()
    assert bool(left) == bench.candidate.by_itself
    _assert_counted(frames + left)
    assert camera.stop() == []
    _release(frames + left)


def closing_is_safe_twice_and_before_opening(bench: Bench) -> None:
    camera = bench.camera()
    camera.close()
    assert camera.stop() == [], "not opened yet"
    _open(camera)
    camera.close()
    camera.close()
    assert camera.stop() == []


def numbers_go_on_when_it_is_opened_again(bench: Bench) -> None:
    camera = bench.opened()
    first = _grab(camera, _so_many(2))
    _release(first)
    camera.stop()
    camera.close()
    _open(camera)
    again = _grab(camera, _so_many(2))
    _assert_counted(again, first=first[-1].number + 1)
    _release(again)


def one_that_is_not_there_is_told_by_file_and_key(bench: Bench) -> None:
    camera = bench.camera(**bench.candidate.absent)
    with pytest.raises(bench.candidate.absent_error) as told:
        camera.open()
    _assert_one_line(str(told.value), *(f"camera.{key}" for key in bench.candidate.absent))
    assert camera.stop() == [], "nothing is held"


def what_it_does_not_have_is_told_by_file_and_key_and_the_camera_let_go(bench: Bench) -> None:
    camera = bench.camera(**bench.candidate.refused)
    with pytest.raises(CameraError) as told:
        _open(camera)
    assert not isinstance(told.value, CameraLostError), "another try would not mend it"
    _assert_one_line(str(told.value), bench.candidate.refused_key)
    assert camera.stop() == []
    _release(_grab(bench.opened(), _so_many(1)))


def _assert_one_line(text: str, *names: str) -> None:
    assert "\n" not in text
    for name in ("3.toml", *names):
        assert name in text


def it_says_that_it_is_here_and_simulated(bench: Bench) -> None:
    camera = bench.opened()
    assert camera.state == "here"
    assert camera.simulated
    assert not (camera.patient and bench.triggered), "parts do not wait"


OBLIGATIONS: tuple[Callable[[Bench], None], ...] = (
    numbers_rise_from_1_without_a_gap,
    times_are_of_the_monotonic_clock_and_do_not_go_back,
    pictures_are_grey_or_rgb_bytes_of_the_frames_size,
    a_missing_picture_is_a_frame_without_one,
    a_picture_stays_as_it_is_until_it_is_released,
    a_buffer_that_another_thread_releases_serves_again,
    grab_returns_within_its_timeout,
    nothing_comes_that_nobody_triggered,
    its_count_is_not_broken_by_being_opened,
    stop_returns_what_was_taken_and_not_fetched,
    closing_is_safe_twice_and_before_opening,
    numbers_go_on_when_it_is_opened_again,
    one_that_is_not_there_is_told_by_file_and_key,
    what_it_does_not_have_is_told_by_file_and_key_and_the_camera_let_go,
    it_says_that_it_is_here_and_simulated,
)
