"""Basler cameras, through pylon's own emulation: pixels, numbers, faults, and settings that are refused by name."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pypylon import pylon

from appliance.capture import Camera, CameraError, CameraLostError, Frame
from engines.common.errors import ConfigError
from engines.pictures.geometry import Pixels
from tests.appliance.conftest import MakeLine, camera_of, emulated, save_noise

pytestmark = pytest.mark.slow  # emulated cameras, at the rates of real ones
SIDE = 64
Connect = Callable[..., Camera]


@pytest.fixture
def connect(make_line: MakeLine) -> Iterator[Connect]:
    """A function that makes the emulated camera with these features, software-triggered as fast as it can."""
    made: list[Camera] = []

    def make(features: dict[str, object], deadline_ms: int = 20_000, **settings: object) -> Camera:
        table = {"kind": "pylon", "serial": "0815-0000", "trigger": "software", "rate": 1_000, "features": features}
        line = make_line(camera=table | settings, decision={"deadline_ms": deadline_ms})
        made.append(camera_of(line, (SIDE, SIDE)))
        return made[-1]

    yield make
    for camera in made:
        camera.close()


def grab(camera: Camera, count: int) -> list[Frame]:
    """So many frames; the test releases them."""
    frames: list[Frame] = []
    while len(frames) < count:
        frames += camera.grab(2.0)
    return frames


def grab_pictures(camera: Camera, count: int) -> list[Pixels]:
    """Copies of so many pictures, whose buffers are given back."""
    pictures = []
    for frame in grab(camera, count):
        assert frame.image is not None, frame.fault
        pictures.append(frame.image.copy())
        frame.image = None
        frame.release()
    return pictures


def test_pictures_come_in_name_order_pixel_for_pixel(tmp_path: Path, connect: Connect) -> None:
    saved = save_noise(tmp_path / "parts", 3, SIDE)
    camera = connect(emulated(tmp_path / "parts", SIDE))
    camera.open()
    assert camera.simulated
    pictures = grab_pictures(camera, 4)
    for expected, found in zip([*saved, saved[0]], pictures, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_mono_pictures_stay_grey(tmp_path: Path, connect: Connect) -> None:
    (saved,) = save_noise(tmp_path / "parts", 1, SIDE, grey=True)
    camera = connect(emulated(tmp_path / "parts", SIDE, PixelFormat="Mono8"))
    camera.open()
    (picture,) = grab_pictures(camera, 1)
    assert picture.shape == (SIDE, SIDE)
    np.testing.assert_array_equal(picture, saved)


@pytest.mark.parametrize("pixel_format", ["BGR8Packed", "BayerRG8"])
def test_other_formats_are_converted_to_rgb(tmp_path: Path, connect: Connect, pixel_format: str) -> None:
    colour = np.full((SIDE, SIDE, 3), (200, 120, 40), np.uint8)  # RGB
    (tmp_path / "parts").mkdir()
    cv2.imwrite(str(tmp_path / "parts" / "0.png"), cv2.cvtColor(colour, cv2.COLOR_RGB2BGR))
    camera = connect(emulated(tmp_path / "parts", SIDE, PixelFormat=pixel_format))
    camera.open()
    (picture,) = grab_pictures(camera, 1)
    inside = np.s_[4:-4, 4:-4]  # at its edge a mosaic has no neighbours
    np.testing.assert_allclose(picture[inside].astype(int), colour[inside], atol=2)


def test_a_failed_buffer_is_a_frame_without_picture_and_the_numbers_go_on(tmp_path: Path, connect: Connect) -> None:
    save_noise(tmp_path / "parts", 1, SIDE)
    features = emulated(tmp_path / "parts", SIDE) | {"ForceFailedBufferCount": 2, "ForceFailedBuffer": True}
    camera = connect(features)
    camera.open()
    frames = grab(camera, 4)
    assert [frame.number for frame in frames] == [1, 2, 3, 4]
    assert [frame.image is None for frame in frames] == [True, True, False, False]
    assert all(frame.fault and frame.fault.startswith("failed buffer: ") for frame in frames[:2])
    for frame in frames:
        frame.release()


def test_held_pictures_stay_as_they_are_until_released(tmp_path: Path, connect: Connect) -> None:
    saved = save_noise(tmp_path / "parts", 6, SIDE)
    camera = connect(emulated(tmp_path / "parts", SIDE), buffers=8)
    camera.open()
    frames = grab(camera, 6)
    for expected, frame in zip(saved, frames, strict=True):
        assert frame.image is not None
        assert not frame.image.flags.owndata, "the driver's own buffer"
        np.testing.assert_array_equal(frame.image, expected)
    for frame in frames:
        frame.image = None
        frame.release()


@pytest.mark.parametrize(("timeout_ms", "deadline_ms", "waited_ms"), [(1_000, 20_000, 1_000), (20_000, 700, 700)])
def test_a_trigger_without_picture_is_a_frame_without_picture(
    tmp_path: Path, connect: Connect, timeout_ms: int, deadline_ms: int, waited_ms: int
) -> None:
    """Told after the camera's time or at the part's deadline, whichever is sooner; and both count from the trigger."""
    save_noise(tmp_path / "parts", 1, SIDE)
    camera = connect(emulated(tmp_path / "parts", SIDE), deadline_ms, buffers=4, timeout_ms=timeout_ms)
    camera.open()
    held = grab(camera, 4)
    (missing,) = camera.grab(2.0)
    assert missing.image is None
    assert (missing.number, missing.fault) == (5, f"no picture within {waited_ms} ms after its trigger")
    assert time.monotonic_ns() - missing.captured_ns >= waited_ms * 1_000_000
    for frame in held:
        frame.image = None
        frame.release()
    (frame,) = grab(camera, 1)
    assert frame.image is not None
    assert frame.number == 6
    frame.image = None
    frame.release()


def test_a_trigger_counter_that_does_not_come_is_told(tmp_path: Path, connect: Connect) -> None:
    save_noise(tmp_path / "parts", 1, SIDE)
    camera = connect(emulated(tmp_path / "parts", SIDE, TriggerMode="Off"), trigger="hardware", trigger_counter="ChunkCounter")
    camera.open()
    with pytest.raises(CameraLostError, match=r"its pictures carry no chunk ChunkCounter; correct camera\.trigger_counter, or"):
        camera.grab(2.0)


class _WithChunks:
    """A real grab result with the camera's own features in place of chunks, which the emulation does not send."""

    def __init__(self, result: Any, nodes: Any, failed: bool) -> None:
        self._result, self.ChunkDataNodeMap, self._failed = result, nodes, failed

    def GrabSucceeded(self) -> bool:  # noqa: N802 - pylon's name
        return not self._failed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)


def test_triggers_that_the_camera_ignored_are_parts_without_picture(tmp_path: Path, connect: Connect) -> None:
    save_noise(tmp_path / "parts", 1, SIDE)
    features = emulated(tmp_path / "parts", SIDE, TriggerMode="Off", Width=32)
    camera: Any = connect(features, trigger="hardware", trigger_counter="OffsetX")
    camera.open()
    device, frames = camera._camera, []
    for counted in (4, 5, 8, None, 11):  # the 9th failed, or the 10th: one of them was ignored
        if counted is not None:
            device.OffsetX.Value = counted
        result = device.RetrieveResult(2_000, pylon.TimeoutHandling_ThrowException)
        frames += camera._frames(_WithChunks(result, device.GetNodeMap(), failed=counted is None))
    skipped = "the counter skipped it"
    faults = [None, None, skipped, skipped, None, "failed buffer: 0x0", skipped, None]
    assert [frame.number for frame in frames] == list(range(1, 9))
    assert [frame.fault for frame in frames] == faults
    for frame in frames:
        frame.release()


class _Unnumbered:
    """A real grab result with pylon's word for a block id that is none, which the emulation never gives."""

    BlockID = 2**64 - 1

    def __init__(self, result: Any) -> None:
        self._result = result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)


def test_a_frame_whose_block_id_is_invalid_is_the_next_one(tmp_path: Path, connect: Connect) -> None:
    save_noise(tmp_path / "parts", 1, SIDE)
    camera: Any = connect(emulated(tmp_path / "parts", SIDE, TriggerMode="Off"), trigger="free")
    camera.open()
    frames = []
    for numbered in (False, True, False, True):
        result = camera._camera.RetrieveResult(2_000, pylon.TimeoutHandling_ThrowException)
        frames += camera._frames(result if numbered else _Unnumbered(result))
    assert [(frame.number, frame.fault) for frame in frames] == [(1, None), (2, None), (3, None), (4, None)]
    for frame in frames:
        frame.release()


def test_a_free_running_camera_gives_every_frame(tmp_path: Path, connect: Connect) -> None:
    save_noise(tmp_path / "parts", 2, SIDE)
    camera = connect(emulated(tmp_path / "parts", SIDE), trigger="free")
    camera.open()
    frames = grab(camera, 5)
    assert [frame.number for frame in frames] == [1, 2, 3, 4, 5]
    for frame in frames:
        frame.release()


def test_software_triggers_keep_the_rate(tmp_path: Path, connect: Connect) -> None:
    save_noise(tmp_path / "parts", 1, SIDE)
    camera = connect(emulated(tmp_path / "parts", SIDE), rate=20)
    begun_ns = time.monotonic_ns()
    camera.open()
    frames = grab(camera, 5)
    assert frames[-1].captured_ns - begun_ns >= 4 * 50e6
    slow = connect(emulated(tmp_path / "parts", SIDE), rate=0.1)
    slow.open()
    frames += grab(slow, 1)
    assert slow.grab(0.001) == [], "the next trigger is not due yet"
    for frame in frames:
        frame.release()


def test_reopening_counts_on_and_closing_twice_is_fine(tmp_path: Path, connect: Connect) -> None:
    save_noise(tmp_path / "parts", 1, SIDE)
    camera = connect(emulated(tmp_path / "parts", SIDE))
    camera.close()
    assert camera.stop() == [], "not opened yet"
    camera.open()
    frames = grab(camera, 2)
    assert camera.stop() == []
    assert camera.stop() == []
    camera.close()
    camera.close()
    camera.open()
    frames += grab(camera, 2)
    assert [frame.number for frame in frames] == [1, 2, 3, 4]
    for frame in frames:
        frame.release()


def test_an_absent_camera_is_told_with_those_that_are_there(connect: Connect) -> None:
    there = "Emulation serial 0815-0000, Emulation serial 0815-0001"
    with pytest.raises(CameraError, match=rf"3\.toml: camera serial 4711: not found \(cameras here: {there}\)"):
        connect({}, serial="4711").open()


def test_more_cameras_than_one_want_a_serial_number(make_line: MakeLine) -> None:
    with pytest.raises(CameraError, match=r"more than one fits .*0815-0000.*; set camera\.serial"):
        camera_of(make_line(camera={"kind": "pylon"}), (SIDE, SIDE)).open()


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"Widht": 64}, r"camera\.features\.Widht: this camera has no such feature"),
        ({"SensorWidth": 64}, r"camera\.features\.SensorWidth: cannot be set as the camera stands now"),
    ],
)
def test_a_feature_that_cannot_be_had_is_named_and_the_camera_let_go(
    connect: Connect, features: dict[str, object], expected: str
) -> None:
    camera = connect(features)
    with pytest.raises(CameraError, match=expected):
        camera.open()
    assert camera.stop() == [], "nothing is open"


@pytest.mark.parametrize(
    ("name", "value", "offered"),
    [
        ("Width", 100_000, "1 to 4096 in steps of 1"),
        ("Width", "wide", "1 to 4096 in steps of 1"),
        ("ExposureTimeAbs", -1, "100 to 3000000"),
        ("ReverseX", "maybe", "true, false"),
        ("PixelFormat", "RGB8", r"Mono8, .*RGB8Packed, .*BayerBG16"),
    ],
)
def test_a_value_that_is_refused_is_told_with_what_the_camera_offers(
    connect: Connect, name: str, value: object, offered: str
) -> None:
    told = rf"3\.toml: camera\.features\.{name}: the camera refuses {value!r} \(.+\); it offers {offered}; correct the value$"
    with pytest.raises(CameraError, match=told):
        connect({name: value}).open()


def test_a_missing_package_is_named_with_what_installs_it(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypylon", None)
    told = r"camera\.kind = \"pylon\" needs the library pypylon; run: pip install 'tfa-inspect\[pylon\]'"
    with pytest.raises(ConfigError, match=told):
        connect({})
