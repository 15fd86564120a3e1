"""GigE Vision cameras through Aravis, against its fake camera: a real one in another process, over real sockets."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from appliance.capture import Camera, CameraError, CameraLostError, Frame
from tests.appliance.conftest import MakeLine, camera_of, wait_for

FAKE = shutil.which("arv-fake-gv-camera-0.8")
HERE = FAKE is not None and importlib.util.find_spec("gi") is not None
NO_ARAVIS = "" if HERE else "needs: apt install aravis-tools gir1.2-aravis-0.8 python3-gi, then make aravis"
needs_aravis = pytest.mark.skipif(bool(NO_ARAVIS), reason=NO_ARAVIS)
SIDE = 128
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
        free = FEATURES | {"TriggerMode": "Off"}
        camera = connect(trigger="hardware", trigger_source="Line0", trigger_counter="ChunkCounterValue", features=free)
        camera.open()
        with pytest.raises(
            CameraLostError, match=r"its pictures carry no chunk ChunkCounterValue; correct camera\.trigger_coun"
        ):
            grab(camera, 1)
        camera.close()


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
        ("TriggerSource", "Bogus", "Line0, Software"),
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
