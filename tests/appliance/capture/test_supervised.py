"""A camera in a process of its own that dies, hangs or falls silent: it comes back, and no part is left without a verdict."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from appliance.capture import CameraError, CameraLostError, Frame
from appliance.capture.pylon_camera import Config
from appliance.capture.supervised import SupervisedCamera
from appliance.config.camera import CameraConfig
from appliance.line.running_line import RunningLine
from appliance.messages.alarms import AlarmKind, Severity
from appliance.messages.notices import Notice
from engines.recipe.bundle import Recipe
from tests.appliance.conftest import (
    MadeEngine,
    MakeLine,
    assert_counted,
    camera_processes,
    emulated,
    reasons,
    save_noise,
    verdicts_of,
    wait_for,
)

pytestmark = pytest.mark.slow  # processes that hang, die and come back
SIDE = 64
RATE = 50


class Watched:
    """A supervised camera, and what it told."""

    def __init__(self, camera: SupervisedCamera, notices: list[Notice]) -> None:
        self.camera, self.notices = camera, notices

    def grab(self, enough: Callable[[list[Frame]], object]) -> list[Frame]:
        """Frames, released, until the condition holds for them."""
        frames: list[Frame] = []
        until = time.monotonic() + 20
        while not enough(frames):
            assert time.monotonic() < until, f"frames so far: {frames}"
            for frame in self.camera.grab(0.02):
                frame.release()
                frames.append(frame)
        return frames


@contextmanager
def watched(make_line: MakeLine, wait_for_it: bool = False, **table: object) -> Iterator[Watched]:
    notices: list[Notice] = []

    def notify(severity: Severity, text: str, kind: AlarmKind = "") -> None:
        notices.append(Notice(severity, text, kind))

    camera = {"kind": "pylon", "serial": "0815-0000", "trigger": "software", "rate": RATE} | table
    line = make_line(camera=camera)
    config = line.config.camera
    assert isinstance(config, CameraConfig)
    supervised = SupervisedCamera(
        config, line.file, line.config.decision.deadline_ms, line.config.engine.slots, notify, wait_for_it
    )
    supervised.frame_size = (SIDE, SIDE)
    try:
        supervised.open()
        yield Watched(supervised, notices)
    finally:
        supervised.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.capture.supervised.CAMERA_RETRY_FIRST_S", 0.2)
    monkeypatch.setattr("appliance.capture.process.CAMERA_HUNG_S", 0.5)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    save_noise(tmp_path / "parts", 3, SIDE)
    return tmp_path / "parts"


def test_pictures_cross_the_processes_pixel_for_pixel(make_line: MakeLine, tmp_path: Path) -> None:
    saved = save_noise(tmp_path / "parts", 3, SIDE)
    with watched(make_line, features=emulated(tmp_path / "parts", SIDE)) as one:
        assert one.camera.simulated
        seen: list[Frame] = []
        while len(seen) < 8:
            for frame in one.camera.grab(0.1):
                assert frame.image is not None
                np.testing.assert_array_equal(frame.image, saved[(frame.number - 1) % 3])
                frame.release()
                seen.append(frame)
        assert [frame.number for frame in seen] == list(range(1, 9))
        assert all(0 <= time.monotonic_ns() - frame.captured_ns < 20e9 for frame in seen), "one clock in both processes"


@pytest.mark.parametrize(("pixel_format", "channels"), [("Mono8", 1), ("RGB8Packed", 3), ("BayerRG8", 3)])
def test_how_many_channels_its_pictures_have_is_known_once_it_is_open(
    make_line: MakeLine, pictures: Path, pixel_format: str, channels: int
) -> None:
    with watched(make_line, features=emulated(pictures, SIDE, PixelFormat=pixel_format)) as one:
        assert one.camera.channels == channels
        (frame, *_) = one.grab(lambda frames: frames)
    assert frame.image is not None
    assert (1 if frame.image.ndim == 2 else 3) == channels


def test_pictures_that_all_come_too_late_are_nobodys_and_a_new_count_is_told(make_line: MakeLine, pictures: Path) -> None:
    """Exposed for 200 ms, where a trigger has 50 ms."""
    features = emulated(pictures, SIDE, ExposureTimeAbs=200_000.0)
    with watched(make_line, features=features, timeout_ms=50, stall_ms=20_000) as one:
        frames = one.grab(lambda frames: sum(frame.recount is not None for frame in frames) >= 3)
    assert [frame.number for frame in frames] == list(range(1, len(frames) + 1))
    assert {frame.fault for frame in frames} == {"no picture within 50 ms after its trigger"}
    assert all("raise camera.timeout_ms and decision.deadline_ms" in frame.recount for frame in frames if frame.recount)


def test_pictures_stay_as_they_are_until_released(make_line: MakeLine, tmp_path: Path) -> None:
    saved = save_noise(tmp_path / "parts", 12, SIDE)
    with watched(make_line, features=emulated(tmp_path / "parts", SIDE)) as one:
        held: list[Frame] = []
        while len(held) < 6:  # slots of the engine and the spare ones
            held += one.camera.grab(0.1)
        assert one.camera.grab(0.3) == [], "the seventh waits for room"
        for frame, expected in zip(held, saved, strict=False):
            assert frame.image is not None
            np.testing.assert_array_equal(frame.image, expected)
            frame.release()
        assert [frame.number for frame in one.grab(lambda frames: len(frames) >= 3)][:3] == [7, 8, 9]


@pytest.mark.parametrize("fault", ["kill", "suspend"])
def test_a_camera_that_dies_or_hangs_comes_back_and_counted_triggers_get_their_frames(
    make_line: MakeLine, pictures: Path, fault: str
) -> None:
    features = emulated(pictures, SIDE)
    with watched(make_line, features=features, timeout_ms=100, stall_ms=20_000) as one:
        first = one.grab(lambda frames: len(frames) >= 5)
        (process,) = camera_processes()
        getattr(process, fault)()
        frames = first + one.grab(lambda _: one.camera.state == "gone") + one.grab(lambda _: one.camera.state == "here")
        frames += one.grab(lambda frames: sum(frame.fault is None for frame in frames) >= 3)
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert [frame.number for frame in frames] == list(range(1, len(frames) + 1))
    missing = [frame for frame in frames if frame.fault]
    assert {frame.fault for frame in missing} == {"the camera is lost"}
    span_s = (frames[-1].captured_ns - frames[0].captured_ns) / 1e9
    assert len(frames) == pytest.approx(span_s * RATE, rel=0.25), "as many as there were triggers"
    lost, back = one.notices
    expected = "its process has ended" if fault == "kill" else r"its process has been silent for 0\.\d s, and is killed"
    assert (lost.severity, lost.kind) == ("error", "camera-lost")
    assert re.fullmatch(rf"camera serial 0815-0000: {expected} \(next try in 0\.2 s\)", lost.text)
    assert (back.severity, back.kind) == ("info", "camera-lost")


def test_a_short_silence_is_seen_and_passes(make_line: MakeLine, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.capture.process.CAMERA_HUNG_S", 20)
    with watched(make_line, features=emulated(pictures, SIDE), stall_ms=20_000) as one:
        frames = one.grab(lambda frames: len(frames) >= 3)
        (process,) = camera_processes()
        process.suspend()
        frames += one.grab(lambda _: one.camera.state == "silent")
        process.resume()
        frames += one.grab(lambda _: one.camera.state == "here")
        frames += one.grab(lambda frames: len(frames) >= 3)
    assert [frame.number for frame in frames] == list(range(1, len(frames) + 1))
    assert not any(frame.fault for frame in frames)
    assert one.notices == []


def test_a_line_that_did_not_move_itself_does_not_blame_its_camera(make_line: MakeLine, pictures: Path) -> None:
    """What the camera's process said meanwhile is read late, and was said in time."""
    with watched(make_line, features=emulated(pictures, SIDE), timeout_ms=50, stall_ms=300) as one:
        frames = one.grab(lambda frames: len(frames) >= 3)
        time.sleep(1.5)  # three times as long as a process may hang here, and five times its stall
        frames += one.grab(lambda frames: len(frames) >= 20)
    assert [frame.number for frame in frames] == list(range(1, len(frames) + 1))
    assert not any(frame.fault for frame in frames)
    assert one.notices == []


def test_a_driver_that_hangs_is_killed(make_line: MakeLine, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Opening takes longer than a step may take: the process lives, and its driver does not answer in time.
    monkeypatch.setattr("appliance.capture.process.CAMERA_OPEN_S", 0.01)
    lock = Path("/dev/shm/sem.0GenICam_XML")  # as the library leaves one when its process is killed while it loads
    lock.touch()
    with watched(make_line, wait_for_it=True, features=emulated(pictures, SIDE)) as one:
        assert one.camera.state == "gone"
    assert re.search(r"(its driver has hung|its process has been silent) for \d\.\d s, and is killed", one.notices[0].text)
    assert not lock.exists(), "later processes would wait for it for ever"


def test_a_camera_that_gives_no_pictures_is_a_stall(make_line: MakeLine, pictures: Path) -> None:
    # Its hardware trigger never comes.
    with watched(make_line, trigger="hardware", features=emulated(pictures, SIDE), stall_ms=300) as one:
        assert one.grab(lambda _: one.camera.state == "gone") == []
        assert one.grab(lambda _: one.camera.state == "here") == []
    assert one.notices[0].kind == "stall"
    assert one.notices[0].text.startswith("camera serial 0815-0000: no picture and no broken one for 0.3 s")


def test_broken_pictures_are_no_stall(make_line: MakeLine, pictures: Path) -> None:
    """A bad cable is not mended by opening the camera anew, which would only lose more parts."""
    features = emulated(pictures, SIDE) | {"ForceFailedBufferCount": 1_000, "ForceFailedBuffer": True}
    with watched(make_line, features=features, stall_ms=200) as one:
        frames = one.grab(lambda frames: len(frames) >= RATE)
    assert all(frame.fault and frame.fault.startswith("failed buffer") for frame in frames)
    assert one.notices == []


def test_pauses_grow_while_the_camera_is_absent(make_line: MakeLine, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.capture.supervised.CAMERA_RETRY_FIRST_S", 0.05)
    monkeypatch.setattr("appliance.capture.supervised.CAMERA_RETRY_LONGEST_S", 0.1)
    with watched(make_line, wait_for_it=True, serial="4711", features={}) as one:
        assert one.camera.state == "gone"
        begun = time.monotonic()
        frames = one.grab(lambda _: len(one.notices) >= 3)
        assert len(frames) <= (time.monotonic() - begun + 5) * RATE, (
            "triggers since the start, not since the box was switched on"
        )
    assert [text.text.rsplit("(", 1)[1] for text in one.notices[:3]] == [
        "next try in 0.05 s)",
        "next try in 0.1 s)",
        "next try in 0.1 s)",
    ]
    assert [notice.severity for notice in one.notices[:3]] == ["error", "info", "info"], "one alarm for one absence"
    assert "camera serial 4711: not found (cameras here: Emulation serial 0815-0000" in one.notices[0].text


def test_at_first_an_absent_camera_and_a_refused_setting_are_errors(make_line: MakeLine, pictures: Path) -> None:
    with pytest.raises(CameraLostError, match="camera serial 4711: not found"), watched(make_line, serial="4711"):
        pass
    features = emulated(pictures, SIDE) | {"Width": -5}
    with (
        pytest.raises(CameraError, match=r"camera\.features\.Width: the camera refuses -5"),
        watched(make_line, wait_for_it=True, features=features),
    ):
        pass
    assert not camera_processes()


def test_a_missing_library_in_the_cameras_process_is_told_with_what_installs_it(
    make_line: MakeLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pypylon.py").write_text('raise ModuleNotFoundError("no", name="pypylon")', encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    told = r"^camera\.kind = \"pylon\" needs the library pypylon; run: pip install 'tfa-inspect\[pylon\]'$"
    with pytest.raises(CameraError, match=told), watched(make_line, wait_for_it=True):
        pass


def test_a_picture_that_is_too_large_is_a_frame_without_picture(make_line: MakeLine, tmp_path: Path) -> None:
    save_noise(tmp_path / "parts", 1, 2 * SIDE)
    with watched(make_line, features=emulated(tmp_path / "parts", 2 * SIDE)) as one:
        (frame, *_) = one.grab(lambda frames: frames)
    assert frame.fault == "the frame is 128 x 128 pixels, more than the recipe was made for"


def test_stall_times_follow_the_trigger() -> None:
    assert Config(trigger="hardware").stall_s == float("inf")
    assert Config(trigger="free").stall_s == 2.0
    assert Config(trigger="software", timeout_ms=500).stall_s == 1.5
    assert Config(trigger="hardware", stall_ms=250).stall_s == 0.25


@pytest.mark.parametrize("trigger", ["software", "free"])
def test_a_line_whose_camera_was_lost_goes_on_and_begins_anew_where_parts_were_not_counted(
    make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine, parts_folder: Path, trigger: str
) -> None:
    features = emulated(parts_folder) | ({"AcquisitionFrameRateEnable": True, "AcquisitionFrameRateAbs": 20.0})
    camera = {"kind": "pylon", "serial": "0815-0000", "trigger": trigger, "rate": 20, "features": features}
    running = RunningLine(make_line(recipe=recipe.folder, camera=camera, engine={"slots": 8}))

    def given() -> int:
        return len(verdicts_of(list(running.events)))

    try:
        running.start()
        wait_for(lambda: given() >= 3, "verdicts")
        camera_processes()[0].kill()
        wait_for(lambda: running.state == "camera-lost", "the loss")
        before = given()
        wait_for(lambda: running.state == "running", "the camera's return")
        wait_for(lambda: reasons(verdicts_of(list(running.events)))[before:].count("") >= 3, "verdicts after it")
    finally:
        running.close()
    verdicts = verdicts_of(list(running.events))
    epochs = sorted({verdict.epoch for verdict in verdicts})
    if trigger == "software":
        assert_counted(verdicts, len(verdicts))
        assert "no-image" in reasons(verdicts)
        assert [verdict.frame for verdict in verdicts] == list(range(1, len(verdicts) + 1))
    else:
        assert len(epochs) == 2
        for epoch in epochs:
            of_epoch = [verdict for verdict in verdicts if verdict.epoch == epoch]
            assert_counted(of_epoch, len(of_epoch))
    assert set(reasons(verdicts)) <= {"", "no-image", "stopping", "overrun"}
    notices = [event for event in running.events if isinstance(event, Notice)]
    told = [("error", "camera-lost"), ("info", "camera-lost")]
    if trigger == "free":  # parts passed that nobody counted
        told.append(("warning", "part-count"))
    assert [(notice.severity, notice.kind) for notice in notices] == told
