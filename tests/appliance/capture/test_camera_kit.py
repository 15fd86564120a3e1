"""Every camera that there is, put through the kit."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.capture import CameraError
from appliance.config.camera import CAMERAS
from tests.appliance.capture.camera_kit import OBLIGATIONS, SIDE, Bench, Candidate, Table
from tests.appliance.capture.test_aravis_camera import NO_ARAVIS, fake_camera
from tests.appliance.conftest import MakeLine, emulated, save_noise


def replayed(folder: Path) -> Table:
    save_noise(folder, 3, SIDE)
    return {"kind": "replay", "source": str(folder), "loop": True, "rate": 1_000}


def replayed_with_a_damaged_file(folder: Path) -> Table:
    table = replayed(folder)
    (folder / "001.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    return table


def basler(folder: Path) -> Table:
    save_noise(folder, 3, SIDE)
    features = emulated(folder, SIDE)
    return {"kind": "pylon", "serial": "0815-0000", "trigger": "software", "rate": 1_000, "features": features}


def basler_with_failing_buffers(folder: Path) -> Table:
    return basler(folder) | {"features": emulated(folder, SIDE, ForceFailedBufferCount=2, ForceFailedBuffer=True)}


def gige(_folder: Path) -> Table:
    features = {"Width": SIDE, "Height": SIDE, "AcquisitionFrameRate": 50.0}
    table = {"kind": "aravis", "serial": "T1", "trigger": "software", "rate": 1_000, "timeout_ms": 500}
    return table | {"features": features}


def simulated(folder: Path) -> Table:
    save_noise(folder, 3, SIDE)
    return {"kind": "simulated", "source": str(folder), "trigger": "software", "rate": 1_000, "port": free_port()}


def simulated_with_a_damaged_file(folder: Path) -> Table:
    table = simulated(folder)
    replayed_with_a_damaged_file(folder)
    return table


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SLOW = {"aravis", "pylon"}  # their cameras take their time to be found and opened
CANDIDATES = (
    Candidate(
        "replay",
        replayed,
        replayed_with_a_damaged_file,
        absent={"source": "gone"},
        absent_error=CameraError,
        refused={"source": "."},  # the lines' folder, which has no pictures
        refused_key="camera.source",
        by_itself=False,
    ),
    Candidate(
        "pylon",
        basler,
        basler_with_failing_buffers,
        absent={"serial": "4711"},
        refused={"features": {"Widht": SIDE}},
        refused_key="camera.features.Widht",
    ),
    Candidate(
        "simulated",
        simulated,
        simulated_with_a_damaged_file,
        absent={"source": "gone"},
        absent_error=CameraError,
        refused={"features": {"Widht": SIDE}},
        refused_key="camera.features.Widht",
        by_itself=False,
    ),
    Candidate(
        "aravis",
        gige,
        gige,
        absent={"serial": "4711"},
        refused={"features": {"Widht": SIDE}},
        refused_key="camera.features.Widht",
        present=lambda: fake_camera("T1"),
        present_broken=lambda: fake_camera("T1", lost_per_thousand=100),
        input="Line0",
        missing=NO_ARAVIS,
    ),
)


def test_every_kind_is_a_candidate() -> None:
    assert sorted(candidate.kind for candidate in CANDIDATES) == sorted(CAMERAS)


@pytest.mark.parametrize("owes", OBLIGATIONS, ids=lambda owes: owes.__name__)
# Two of Aravis's cameras on one loopback collide: they are not for tests that run side by side.
@pytest.mark.parametrize(
    "candidate", [pytest.param(one, id=one.kind, marks=pytest.mark.slow if one.kind in SLOW else ()) for one in CANDIDATES]
)
def test_a_camera(candidate: Candidate, owes: Callable[[Bench], None], make_line: MakeLine, tmp_path: Path) -> None:
    if candidate.missing:
        pytest.skip(candidate.missing)
    broken = owes.__name__ == "a_missing_picture_is_a_frame_without_one"
    with candidate.present_broken() if broken else candidate.present():
        bench = Bench(candidate, make_line, tmp_path / "pictures")
        try:
            owes(bench)
            assert bench.made, "the obligation was tried on a camera"
        finally:
            bench.close()
