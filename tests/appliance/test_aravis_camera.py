"""GigE Vision cameras through Aravis, against its fake camera: a real one in another process, over real sockets."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from appliance.capture import Camera, CameraError, CameraLostError, Frame, make_camera
from tests.appliance.conftest import MakeLine, wait_for

FAKE = shutil.which("arv-fake-gv-camera-0.8")
needs_aravis = pytest.mark.skipif(
    FAKE is None or importlib.util.find_spec("gi") is None,
    reason="needs: apt install aravis-tools gir1.2-aravis-0.8 python3-gi, then make aravis",
)
SIDE = 128
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
        return make_camera(make_line(camera=settings), (SIDE, SIDE))

    return make


def grab(camera: Camera, count: int) -> list[Frame]:
    frames: list[Frame] = []
    while len(frames) < count:
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
    with fake_camera("T1", lost_per_thousand=10):
        camera = connect(trigger="free")
        camera.open()
        frames = grab(camera, 60)
        camera.stop()
        camera.close()
    assert [frame.number for frame in frames] == list(range(1, len(frames) + 1))
    faults = {frame.fault for frame in frames if frame.image is None}
    assert faults, "1 % of the packets were lost"
    assert faults <= {"failed buffer: missing packets", "failed buffer: timeout", "the counter skipped it"}
    assert any(frame.image is not None for frame in frames)


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
    ("feature", "expected"),
    [
        ({"Widht": 64}, "camera.features.Widht: this camera has no such feature"),
        ({"Width": "wide"}, r"camera.features.Width: the camera refuses 'wide' \("),
        ({"TriggerSource": "Bogus"}, "camera.features.TriggerSource: the camera refuses 'Bogus'"),
    ],
)
def test_refused_settings_are_named(connect: Callable[..., Camera], feature: dict[str, object], expected: str) -> None:
    with fake_camera("T1"):
        camera = connect(features=feature)
        with pytest.raises(CameraError, match=expected):
            camera.open()


def test_without_aravis_the_mend_is_told(make_line: MakeLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gi", None)
    monkeypatch.delitem(__import__("sys").modules, "appliance.capture.aravis_camera", raising=False)
    with pytest.raises(CameraError, match=r'camera\.kind = "aravis": .*apt install python3-gi gir1\.2-aravis-0\.8'):
        make_camera(make_line(camera={"kind": "aravis"}), (SIDE, SIDE))


def test_two_identities_are_refused(make_line: MakeLine) -> None:
    with pytest.raises(Exception, match="give only one of serial and ip"):
        make_line(camera={"kind": "aravis", "serial": "1", "ip": "192.168.3.11"})
