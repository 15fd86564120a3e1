"""Basler cameras, through pylon's own emulation: pixels, numbers, faults, and settings that are refused by name."""

from __future__ import annotations

import sys
import threading
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


def pulse(camera: Any) -> Any:
    """A hardware trigger, and the grab result that it brings: the emulation takes this command whatever its source is."""
    camera._camera.WaitForFrameTriggerReady(2_000, pylon.TimeoutHandling_ThrowException)
    camera._camera.TriggerSoftware.Execute()
    return camera._camera.RetrieveResult(2_000, pylon.TimeoutHandling_ThrowException)


def test_a_trigger_counter_that_does_not_come_is_told(tmp_path: Path, connect: Connect) -> None:
    save_noise(tmp_path / "parts", 1, SIDE)
    camera: Any = connect(emulated(tmp_path / "parts", SIDE), trigger="hardware", trigger_counter="ChunkCounter")
    camera.open()
    camera._camera.WaitForFrameTriggerReady(2_000, pylon.TimeoutHandling_ThrowException)
    camera._camera.TriggerSoftware.Execute()
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
    features = emulated(tmp_path / "parts", SIDE, Width=32)
    camera: Any = connect(features, trigger="hardware", trigger_counter="OffsetX")
    camera.open()
    device, frames = camera._camera, []
    for counted in (4, 5, 8, None, 11):  # the 9th failed, or the 10th: one of them was ignored
        if counted is not None:
            device.OffsetX.Value = counted
        result = _WithChunks(pulse(camera), device.GetNodeMap(), failed=counted is None)
        frames += camera._arrivals.frames(camera._arrival(result, waited=True))
    skipped = "the counter skipped it"
    faults = [None, None, skipped, skipped, None, "failed buffer: 0x0", skipped, None]
    assert [frame.number for frame in frames] == list(range(1, 9))
    assert [frame.fault for frame in frames] == faults
    for frame in frames:
        frame.release()


class _Said:
    """A real grab result, of which some is said otherwise: by a name, which the emulation does not."""

    def __init__(self, result: Any, **otherwise: object) -> None:
        self._result = result
        self.__dict__.update(otherwise)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)


def test_a_frame_whose_block_id_is_invalid_is_the_next_one(tmp_path: Path, connect: Connect) -> None:
    save_noise(tmp_path / "parts", 1, SIDE)
    camera: Any = connect(emulated(tmp_path / "parts", SIDE), trigger="free")
    camera.open()
    frames = []
    for numbered in (False, True, False, True):
        result = camera._camera.RetrieveResult(2_000, pylon.TimeoutHandling_ThrowException)
        said = result if numbered else _Said(result, BlockID=2**64 - 1)
        frames += camera._arrivals.frames(camera._arrival(said, waited=True))
    assert [(frame.number, frame.fault) for frame in frames] == [(1, None), (2, None), (3, None), (4, None)]
    for frame in frames:
        frame.release()


def test_a_block_id_that_is_set_back_is_told_and_followed(tmp_path: Path, connect: Connect) -> None:
    save_noise(tmp_path / "parts", 1, SIDE)
    camera: Any = connect(emulated(tmp_path / "parts", SIDE), trigger="hardware")
    camera.open()
    frames = []
    for block in (1_004, 1_005, 0, 1, 2, 3):
        frames += camera._arrivals.frames(camera._arrival(_Said(pulse(camera), BlockID=block), waited=True))
    assert [(frame.number, frame.fault) for frame in frames] == [(1, None), (2, None), (3, None), (4, None)]
    told = "the camera's frame counter went back from 1005 to 0; 2 pictures were dropped meanwhile"
    assert [frame.recount for frame in frames] == [None, None, told, None]
    assert all(frame.image is not None for frame in frames)
    for frame in frames:
        frame.release()


@pytest.mark.parametrize("ticks", [125_000_000, None])
def test_a_picture_that_waited_is_as_old_as_its_time_stamp_says(tmp_path: Path, connect: Connect, ticks: int | None) -> None:
    """In the camera's ticks, or in ns; the emulation has no stamps of its own."""
    save_noise(tmp_path / "parts", 1, SIDE)
    camera: Any = connect(emulated(tmp_path / "parts", SIDE), trigger="hardware")
    camera.open()
    camera._tick_ns = 1e9 / ticks if ticks else 1.0
    frames, taken_ns = [], []
    for waits_s in (0.0, 0.0, 0.3):
        result = pulse(camera)
        taken_ns.append(time.monotonic_ns())
        stamp = int(taken_ns[-1] / camera._tick_ns)
        time.sleep(waits_s)
        frames += camera._arrivals.frames(camera._arrival(_Said(result, TimeStamp=stamp), waited=not waits_s))
    assert abs(frames[-1].captured_ns - taken_ns[-1]) < 50e6
    assert frames[-1].camera_time > 0
    for frame in frames:
        frame.release()


def test_a_picture_that_comes_too_late_is_not_the_next_triggers(tmp_path: Path, connect: Connect) -> None:
    """An exposure that is longer than the time a trigger has: each picture comes while the next one is waited for, or later."""
    saved = save_noise(tmp_path / "parts", 8, SIDE)
    camera: Any = connect(emulated(tmp_path / "parts", SIDE), rate=2, timeout_ms=400, deadline_ms=400)
    camera.open()
    (first,) = grab(camera, 1)
    fire, fired = camera.fire, 0

    def late(limit_s: float) -> bool:
        """The second trigger is ignored until its time is nearly over, as by a camera that is slow."""
        nonlocal fired
        fired += 1
        if fired == 1:
            threading.Timer(0.42, camera._camera.TriggerSoftware.Execute).start()
            return True
        return bool(fire(limit_s))

    camera.fire = late
    frames = [first, *grab(camera, 3)]
    assert [frame.image is None for frame in frames] == [False, True, False, False]
    assert [frame.number for frame in frames] == [1, 2, 3, 4]
    for number in (0, 2, 3):
        np.testing.assert_array_equal(frames[number].image, saved[number])
    assert not any(frame.recount for frame in frames)
    for frame in frames:
        frame.image = None
        frame.release()


def test_a_late_picture_that_is_left_at_the_end_is_no_frame(tmp_path: Path, connect: Connect) -> None:
    """Its trigger has had its own."""
    save_noise(tmp_path / "parts", 1, SIDE)
    camera: Any = connect(emulated(tmp_path / "parts", SIDE))
    camera.open()
    (frame,) = grab(camera, 1)
    frame.image = None
    frame.release()
    camera._camera.TriggerSoftware.Execute()
    until = time.monotonic() + 5
    while not camera._camera.NumReadyBuffers.Value:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert camera.stop() == []


def test_a_trigger_that_the_camera_ignores_begins_a_new_count_and_the_next_ones_are_right(
    tmp_path: Path, connect: Connect
) -> None:
    save_noise(tmp_path / "parts", 8, SIDE)
    camera: Any = connect(emulated(tmp_path / "parts", SIDE), rate=100, timeout_ms=200)
    camera.open()
    frames = grab(camera, 2)
    fire = camera.fire
    camera.fire = lambda _limit_s: True  # and it is not
    frames += grab(camera, 1)
    camera.fire = fire
    frames += grab(camera, 4)
    assert [frame.image is None for frame in frames] == [False, False, True, True, False, False, False]
    assert [i for i, frame in enumerate(frames) if frame.recount] == [4]
    assert [frame.number for frame in frames] == list(range(1, 8))
    for frame in frames:
        frame.image = None
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


def test_nothing_comes_that_nobody_triggered(tmp_path: Path, connect: Connect) -> None:
    save_noise(tmp_path / "parts", 1, SIDE)
    camera: Any = connect(emulated(tmp_path / "parts", SIDE), trigger="hardware")
    camera.open()
    assert camera.grab(0.3) == []
    device = camera._camera
    assert (device.TriggerSelector.Value, device.TriggerMode.Value, device.TriggerSource.Value) == ("FrameStart", "On", "Line1")
    device.TriggerSoftware.Execute()
    (frame,) = grab(camera, 1)
    assert frame.image is not None
    frame.release()


@pytest.mark.parametrize(
    ("trigger", "features", "told"),
    [
        (
            "hardware",
            {"TriggerMode": "Off"},
            r"TriggerMode: 'Off' is against camera\.trigger = \"hardware\", .*remove it, or choose",
        ),
        (
            "software",
            {"TriggerMode": "Off"},
            r"TriggerMode: 'Off' is against camera\.trigger = \"software\", .*remove it, or choose",
        ),
        ("free", {"TriggerMode": "On"}, r"TriggerMode: 'On' is against camera\.trigger = \"free\", .*remove it, or choose"),
        (
            "hardware",
            {"TriggerSource": "Line2"},
            r"TriggerSource: 'Line2' is against .*set camera\.trigger_source = 'Line2' instead",
        ),
        ("software", {"TriggerSource": "Line1"}, r"TriggerSource: 'Line1' is against .*remove it, or choose another"),
        ("hardware", {"TriggerSelector": "FrameEnd"}, r"TriggerSelector: 'FrameEnd' is against .*remove it, or choose another"),
    ],
)
def test_a_trigger_of_the_files_features_that_is_against_its_own_is_refused(
    connect: Connect, trigger: str, features: dict[str, object], told: str
) -> None:
    camera = connect(features, trigger=trigger)
    with pytest.raises(CameraError, match=rf"3\.toml: camera\.features\.{told}"):
        camera.open()
    assert camera.stop() == [], "nothing is open"


def test_the_same_trigger_among_the_files_features_is_fine(tmp_path: Path, connect: Connect) -> None:
    save_noise(tmp_path / "parts", 1, SIDE)
    features = emulated(tmp_path / "parts", SIDE, TriggerSelector="FrameStart", TriggerMode="On", TriggerSource="Line2")
    camera: Any = connect(features, trigger="hardware", trigger_source="Line2")
    camera.open()
    assert camera._camera.TriggerSource.Value == "Line2"


def test_a_source_that_the_camera_has_not_is_told_by_the_files_own_key(connect: Connect) -> None:
    told = (
        r"3\.toml: camera\.trigger_source: TriggerSource: the camera refuses 'Line9' \(.+\); it offers Software, Line1, Line2"
    )
    with pytest.raises(CameraError, match=told):
        connect({}, trigger="hardware", trigger_source="Line9").open()


def test_features_of_every_selected_kind_read_back(tmp_path: Path, connect: Connect) -> None:
    """Numbers written in other ways, a float that is rounded, and features that depend on a selector set anew behind them."""
    save_noise(tmp_path / "parts", 1, SIDE)
    features = emulated(
        tmp_path / "parts",
        SIDE,
        Width="0x40",
        Height=64.0,
        ExposureTimeAbs="1.5e3",
        ReverseX=1,
        ReverseY="false",
        LineSelector="Line2",
        LineInverter=True,
        Gamma=1.00001,
        TriggerActivation="FallingEdge",
    )
    camera: Any = connect(features)
    camera.open()
    device = camera._camera
    assert (device.Width.Value, device.Height.Value, device.ExposureTimeAbs.Value) == (64, 64, 1_500.0)
    assert (device.ReverseX.Value, device.ReverseY.Value, device.LineInverter.Value) == (True, False, True)
    assert device.TriggerActivation.Value == "FallingEdge", "of the trigger that is used"


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (
            {"Width": 64, "OffsetX": 8, "BslCenterX": True},
            r"OffsetX: was set to 8, but the camera has 2016; it offers 0 to 4032 in steps of 1",
        ),
        (
            {"AcquisitionFrameRateAbs": 20, "AcquisitionFrameRate": 50.0},
            r"AcquisitionFrameRateAbs: was set to 20, but the camera has 50\.0",
        ),
    ],
)
def test_a_feature_that_another_one_changes_is_refused(connect: Connect, features: dict[str, object], told: str) -> None:
    mend = "correct the value, or move it behind the feature that changes it"
    with pytest.raises(CameraError, match=rf"3\.toml: camera\.features\.{told}.*; {mend}$"):
        connect(features).open()


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
