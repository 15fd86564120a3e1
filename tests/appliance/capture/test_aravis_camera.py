"""GigE Vision cameras through Aravis, against its fake camera: a real one in another process, over real sockets."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psutil
import pytest

from appliance.capture import Camera, CameraError, CameraLostError, Frame
from tests.appliance.conftest import MakeLine, camera_of, wait_for

FAKE = shutil.which("arv-fake-gv-camera-0.8")
HERE = FAKE is not None and importlib.util.find_spec("gi") is not None
NO_ARAVIS = "" if HERE else "needs: apt install aravis-tools gir1.2-aravis-0.8 python3-gi, then make aravis"
needs_aravis = pytest.mark.skipif(bool(NO_ARAVIS), reason=NO_ARAVIS)
SIDE = 128
HEARTBEAT_TIMEOUT = 0x938  # GigE Vision's register, in ms: longer without a word, and a camera has no owner any more
pytestmark = pytest.mark.slow  # its camera needs a second to be found
FEATURES = {"Width": SIDE, "Height": SIDE, "AcquisitionFrameRate": 50.0}


@contextmanager
def fake_camera(serial: str, lost_per_thousand: float = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A camera on loopback; it plays moving bars."""
    assert FAKE is not None
    words = [FAKE, "-i", "127.0.0.1", "-s", serial, "-r", str(lost_per_thousand)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: psutil.Process(process.pid).net_connections("udp"), "the camera")
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def connect(make_line: MakeLine) -> Callable[..., Camera]:
    """A function that makes the camera of this table; close it while the other side is there: it waits for its answers."""

    def make(**table: object) -> Camera:
        settings = {"kind": "aravis", "serial": "T1", "trigger": "software", "rate": 1_000, "features": FEATURES} | table
        return camera_of(make_line(camera=settings), (SIDE, SIDE))

    return make


def grab(camera: Camera, count: int) -> list[Frame]:
    frames: list[Frame] = []
    until = time.monotonic() + 30
    while len(frames) < count:
        assert time.monotonic() < until, f"{len(frames)} frames of {count} in 30 s"
        frames += camera.grab(1.0)
    return frames


@needs_aravis
@pytest.mark.parametrize("trigger", ["software", "free"])
def test_pictures_come_numbered(connect: Callable[..., Camera], trigger: str) -> None:
    with fake_camera("T1"):
        camera = connect(trigger=trigger)
        camera.open()
        assert camera.simulated
        frames = grab(camera, 5)
        assert [frame.number for frame in frames[:5]] == [1, 2, 3, 4, 5]
        assert all(frame.image is not None and frame.image.shape == (SIDE, SIDE) for frame in frames)
        assert frames[0].camera_time < frames[1].camera_time
        assert frames[0].image is not None
        assert frames[0].image.std() > 10, "bars, not a blank"
        camera.stop()
        camera.close()


@needs_aravis
def test_every_number_has_one_frame_although_packets_are_lost(connect: Callable[..., Camera]) -> None:
    """Also where the first packet is, without which Aravis does not know whose picture it has: one of ten frames here."""
    small = FEATURES | {"Width": 64, "Height": 64}
    with fake_camera("T1", lost_per_thousand=100):
        camera = connect(trigger="free", features=small)
        camera.open()
        frames = grab(camera, 100)
        camera.stop()
        camera.close()
    assert [frame.number for frame in frames] == list(range(1, len(frames) + 1))
    ahead = [frame.number - (frame.captured_ns - frames[0].captured_ns) / 20e6 for frame in frames]
    assert max(ahead) < 5, "no number before its frame, 50 of which come in a second"
    faults = {frame.fault for frame in frames if frame.image is None}
    assert faults, "packets were lost"
    assert faults <= {"failed buffer: missing packets", "failed buffer: timeout", "the counter skipped it"}
    whole = [frame for frame in frames if frame.image is not None]
    assert len(whole) > 20
    assert whole[0].image is not None
    # Its pictures tell which is which: the first pixel is the camera's own number, of 255.
    shown = [int(frame.image[0, 0]) - int(whole[0].image[0, 0]) for frame in whole if frame.image is not None]
    assert [number % 255 for number in shown] == [(frame.number - whole[0].number) % 255 for frame in whole]


@needs_aravis
def test_a_camera_whose_owner_was_killed_sends_to_the_next_one(make_line: MakeLine, connect: Callable[..., Camera]) -> None:
    line = make_line(camera={"kind": "aravis", "serial": "T1", "trigger": "free", "features": FEATURES})
    words = [
        "import time",
        "from pathlib import Path",
        "from appliance.config.line import load_line",
        "from tests.appliance.conftest import camera_of",
    ]
    words += [f"camera = camera_of(load_line({line.name!r}, Path({str(line.file.parent)!r})), ({SIDE}, {SIDE}))"]
    words += ["camera.open()", "camera.grab(5)", "print(flush=True)", "time.sleep(60)"]
    with fake_camera("T1"):
        owner = subprocess.Popen([sys.executable, "-c", "\n".join(words)], stdout=subprocess.PIPE)
        assert owner.stdout is not None
        with owner, owner.stdout:
            assert owner.stdout.readline(), "it has the camera"
            owner.kill()
        camera = connect(trigger="free")
        wait_for(lambda: opened(camera), "control, which the camera gives up after 3 s without a word")
        assert len(grab(camera, 3)) >= 3
        camera.stop()
        camera.close()


def opened(camera: Camera) -> bool:
    try:
        camera.open()
    except CameraLostError:
        return False
    return True


@needs_aravis
def test_a_trigger_counter_that_does_not_come_is_told(connect: Callable[..., Camera]) -> None:
    with fake_camera("T1"):
        # It is Software that pulses the fake camera: its line has no plug.
        camera: Any = connect(trigger="hardware", trigger_source="Software", trigger_counter="ChunkCounterValue")
        camera.open()
        camera._camera.software_trigger()
        with pytest.raises(
            CameraLostError, match=r"its pictures carry no chunk ChunkCounterValue; correct camera\.trigger_coun"
        ):
            grab(camera, 1)
        camera.close()


@needs_aravis
def test_nothing_is_inspected_that_nobody_triggered(connect: Callable[..., Camera]) -> None:
    off = FEATURES | {"TriggerMode": "Off"}
    told = r"3\.toml: camera\.features\.TriggerMode: 'Off' is against camera\.trigger = \"hardware\", .*; remove it, or choose"
    with fake_camera("T1"):
        with pytest.raises(CameraError, match=told):
            connect(trigger="hardware", trigger_source="Line0", features=off).open()
        camera = connect(trigger="hardware", trigger_source="Line0")
        camera.open()
        assert camera.grab(1.0) == [], "it would give 25 a second"
        camera.close()


@needs_aravis
def test_a_source_that_the_camera_has_not_is_told_by_the_files_own_key(connect: Callable[..., Camera]) -> None:
    told = (
        r"3\.toml: camera\.trigger_source: TriggerSource: the camera refuses 'Line7' \(.+\); it offers Line0, Software; correct"
    )
    with fake_camera("T1"), pytest.raises(CameraError, match=told):
        connect(trigger="hardware", trigger_source="Line7").open()


@needs_aravis
def test_a_value_that_the_camera_takes_otherwise_is_refused(connect: Callable[..., Camera]) -> None:
    """The fake camera's exposure is of whole microseconds, and nothing in its description says so."""
    told = r"camera\.features\.ExposureTimeAbs: was set to 12\.9, but the camera has 12\.0; it offers 10 to 10000000; correct"
    with fake_camera("T1"), pytest.raises(CameraError, match=told):
        connect(features={"ExposureTimeAbs": 12.9}).open()


@needs_aravis
def test_values_that_mean_the_same_are_taken(connect: Callable[..., Camera]) -> None:
    """A rate that is rounded to a period of microseconds, a number in other words, an enumeration that others depend on."""
    features = FEATURES | {"AcquisitionFrameRate": 33.3, "Width": "0x40", "TriggerActivation": "RisingEdge", "GainRaw": 3}
    with fake_camera("T1"):
        camera = connect(features=features)
        camera.open()
        (frame,) = grab(camera, 1)
        assert frame.image is not None
        assert frame.image.shape == (SIDE, 64)
        camera.close()


class _Said:
    """A real buffer, of which some is said otherwise."""

    def __init__(self, buffer: Any, **otherwise: object) -> None:
        self._buffer = buffer
        self.__dict__.update({name: lambda value=value: value for name, value in otherwise.items()})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._buffer, name)


@needs_aravis
def test_frame_id_0_is_no_number(connect: Callable[..., Camera]) -> None:
    """A GigE camera that counts no frames says so by 0, for each of them."""
    frames: list[Frame] = []
    with fake_camera("T1"):
        camera: Any = connect(trigger="free")
        camera.open()
        for _ in range(10):
            buffer = camera._stream.timeout_pop_buffer(2_000_000)
            arrival = camera._arrival(_Said(buffer, get_frame_id=0), waited=True)
            picture = (camera._picture(buffer), buffer.get_status)
            frames += camera._arrivals.frames(dataclasses.replace(arrival, take=partial(tuple, picture)))
            camera._stream.push_buffer(buffer)
        camera.close()
    assert [frame.number for frame in frames] == list(range(1, 11))
    assert not any(frame.fault or frame.recount for frame in frames)


@needs_aravis
def test_a_picture_that_waited_in_a_stopped_process_is_as_old_as_it_is(make_line: MakeLine) -> None:
    """The process that has the camera stands still for 2.5 s, and reads it all at once afterwards."""
    features = {"Width": 32, "Height": 32, "AcquisitionFrameRate": 10.0}  # small: the kernel holds them meanwhile
    camera = {"kind": "aravis", "serial": "T1", "trigger": "free", "buffers": 64, "features": features}
    line = make_line(camera=camera)
    words = [
        "import time",
        "from pathlib import Path",
        "from appliance.config.line import load_line",
        "from tests.appliance.conftest import camera_of",
        f"camera = camera_of(load_line({line.name!r}, Path({str(line.file.parent)!r})), ({SIDE}, {SIDE}))",
        "camera.open()",
        f"camera._camera.get_device().write_register({HEARTBEAT_TIMEOUT}, 20_000)",
        "while True:",
        "    for frame in camera.grab(1.0):",
        "        print(frame.number, frame.captured_ns, time.monotonic_ns(), frame.camera_time, flush=True)",
    ]
    with fake_camera("T1"):
        reader = subprocess.Popen([sys.executable, "-c", "\n".join(words)], stdout=subprocess.PIPE, text=True)
        assert reader.stdout is not None
        with reader, reader.stdout:
            try:
                rows = [reader.stdout.readline() for _ in range(10)]
                psutil.Process(reader.pid).suspend()
                stopped = time.monotonic_ns()
                time.sleep(2.5)
                psutil.Process(reader.pid).resume()
                rows += [reader.stdout.readline() for _ in range(30)]
            finally:
                reader.kill()
    told = [tuple(map(int, row.split())) for row in rows]
    captured = [one[1] for one in told]
    assert captured == sorted(captured)
    assert all(one[1] <= one[2] for one in told)
    waited = [one for one in told if stopped < one[1] < stopped + int(2.2e9)]
    assert len(waited) >= 10, "they were taken while the process stood still, and say so"
    for _, captured_ns, read_ns, _ in waited:
        assert read_ns - captured_ns >= 0.25e9
    # The camera's own clock says when each was taken.
    pictures = [one for one in told[5:] if one[3]]  # one that was half here when it stood still may be given up
    assert len(pictures) >= len(told) - 8
    taken = [one[3] - pictures[0][3] for one in pictures]
    mapped = [one[1] - pictures[0][1] for one in pictures]
    assert max(abs(a - b) for a, b in zip(taken, mapped, strict=True)) < 50e6
    assert told[-1][2] - told[-1][1] < 0.2e9, "and those taken now are new"


class _SlowStream:
    """A real stream, one of whose buffers is on its way for longer: until so many seconds after it was there."""

    def __init__(self, stream: Any, late: int, delay_s: float) -> None:
        self._stream, self._late, self._delay_s = stream, late, delay_s
        self._count, self._held, self._due_s = 0, None, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def try_pop_buffer(self) -> Any:
        if self._held is not None and time.monotonic() >= self._due_s:
            buffer, self._held = self._held, None
            return buffer
        buffer = self._stream.try_pop_buffer()
        if buffer is not None:
            self._count += 1
            if self._count == self._late:
                self._held, self._due_s = buffer, time.monotonic() + self._delay_s
                return None
        return buffer

    def timeout_pop_buffer(self, timeout_us: int) -> Any:
        until = time.monotonic() + timeout_us / 1e6
        while (buffer := self.try_pop_buffer()) is None and time.monotonic() < until:
            time.sleep(0.001)
        return buffer


@needs_aravis
@pytest.mark.parametrize(("rate", "delay_s"), [(1_000, 0.31), (1_000, 0.5), (2, 0.35)])
def test_a_picture_that_comes_too_late_is_not_the_next_triggers(
    connect: Callable[..., Camera], rate: float, delay_s: float
) -> None:
    """Neither where it comes while the next one is waited for, nor where it comes before."""
    with fake_camera("T1"):
        camera: Any = connect(rate=rate, timeout_ms=300)
        camera.open()
        camera._stream = _SlowStream(camera._stream, late=3, delay_s=delay_s)
        frames = grab(camera, 8)
        camera.stop()
        camera.close()
    assert [frame.image is None for frame in frames] == [number == 2 for number in range(8)]
    assert not any(frame.recount for frame in frames)
    # Each picture shows the camera's own number; and its stamp, of this box's wall clock, is behind its trigger.
    shown = [(i, int(frame.image[0, 0])) for i, frame in enumerate(frames) if frame.image is not None]
    assert [(number - shown[0][1]) % 255 for _, number in shown] == [i for i, _ in shown]
    wall_ns = time.time_ns() - time.monotonic_ns()
    assert all(frame.camera_time - wall_ns >= frame.captured_ns for frame in frames if frame.image is not None)


@needs_aravis
def test_a_trigger_that_the_camera_ignores_begins_a_new_count(connect: Callable[..., Camera]) -> None:
    with fake_camera("T1"):
        camera: Any = connect(rate=1_000, timeout_ms=300)
        camera.open()
        frames = grab(camera, 2)
        fire = camera.fire
        camera.fire = lambda _limit_s: True  # and it is not
        frames += grab(camera, 1)
        camera.fire = fire
        frames += grab(camera, 5)
        camera.stop()
        camera.close()
    assert [frame.image is None for frame in frames] == [False, False, True, True, False, False, False, False]
    assert [i for i, frame in enumerate(frames) if frame.recount] == [4]


@needs_aravis
def test_an_absent_camera_is_told_with_those_that_are_there(connect: Callable[..., Camera]) -> None:
    camera = connect()
    with pytest.raises(CameraLostError, match=r"3\.toml: camera serial T1: not found \(cameras here: none\)"):
        camera.open()
    with fake_camera("T2"), pytest.raises(CameraLostError, match=r"cameras here: Fake serial T2 at 127\.0\.0\.1"):
        camera.open()


@needs_aravis
@pytest.mark.parametrize(
    ("name", "value", "offered"),
    [
        ("Width", "wide", "1 to 2048 in steps of 1"),
        ("AcquisitionFrameRate", "x", "0.1 to 1000"),
        ("PixelFormat", "RGB9", ".*, Mono8, RGB8, Mono16"),
    ],
)
def test_a_value_that_is_refused_is_told_with_what_the_camera_offers(
    connect: Callable[..., Camera], name: str, value: object, offered: str
) -> None:
    told = rf"3\.toml: camera\.features\.{name}: the camera refuses {value!r} \(.+\); it offers {offered}; correct the value$"
    with fake_camera("T1"), pytest.raises(CameraError, match=told):
        connect(features={name: value}).open()


@needs_aravis
def test_a_feature_that_there_is_not_is_named(connect: Callable[..., Camera]) -> None:
    with fake_camera("T1"), pytest.raises(CameraError, match=r"camera\.features\.Widht: this camera has no such feature"):
        connect(features={"Widht": 64}).open()


def test_without_aravis_the_mend_is_told(make_line: MakeLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gi", None)
    with pytest.raises(CameraError, match=r'camera\.kind = "aravis": .*apt install python3-gi gir1\.2-aravis-0\.8'):
        camera_of(make_line(camera={"kind": "aravis"}), (SIDE, SIDE))


def test_two_identities_are_refused(make_line: MakeLine) -> None:
    with pytest.raises(Exception, match="give only one of serial and ip"):
        make_line(camera={"kind": "aravis", "serial": "1", "ip": "192.168.3.11"})
