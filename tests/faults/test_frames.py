"""Failed buffers and lost packets, at the camera and on the wire: every frame number has exactly one verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.appliance.capture.test_aravis_camera import fake_camera, needs_aravis
from tests.appliance.conftest import emulated
from tests.faults.conftest import SIDE
from tests.faults.station import Event, Station, wait_for


def inspect_frames(station: Station, count: int) -> list[Event]:
    """Run a line, nothing else, for so many parts; returns its verdicts."""
    with station.only("run", "--parts", str(count)):
        wait_for(lambda: len(verdicts(station)) >= count, f"{count} verdicts", 30 + count / 4)
    assert station.errors() == ""
    return verdicts(station)


def verdicts(station: Station) -> list[Event]:
    return [event for event in station.told("run") if event["event"] == "verdict"]


def assert_one_each(found: list[Event], count: int) -> Counter[str]:
    """Frames and parts are numbered without gap or repeat; returns how often each reason was given."""
    assert [event["frame"] for event in found] == list(range(1, count + 1))
    assert [event["part_id"] for event in found] == list(range(1, count + 1))
    for event in found:
        assert (event["verdict"] == "pass") == (event["reason"] == ""), event
        assert event["reason"] != "no-image" or event["score"] is None
    return Counter(event["reason"] for event in found)


def test_failed_buffers(make_station: Callable[..., Station], rounds: Callable[[int, int], int], pictures_folder: Path) -> None:
    count = rounds(40, 1_000)
    features = emulated(pictures_folder) | {"ForceFailedBufferCount": count // 4, "ForceFailedBuffer": True}
    camera = {"kind": "pylon", "serial": "0815-0000", "trigger": "software", "rate": 15, "features": features}
    station = make_station(camera=camera | {"stall_ms": 3_600_000})
    found = inspect_frames(station, count)
    seen = assert_one_each(found, count)
    station.prove_pictures()
    assert seen["no-image"] == count // 4
    assert all(event["detail"].startswith("failed buffer: ") for event in found[: count // 4])
    assert seen[""] + seen["defect"] >= count // 2
    print(f"{count} frames, {count // 4} failed buffers: {dict(seen)}")


@needs_aravis
@pytest.mark.parametrize("per_thousand", [1, 4])
def test_lost_packets(make_station: Callable[..., Station], rounds: Callable[[int, int], int], per_thousand: int) -> None:
    """The fake camera begins to count at 65,401: 135 frames on, its 16-bit counter wraps."""
    # With 4 packets of a thousand lost, one frame of nine is whole: it has 540.
    count = rounds(40 if per_thousand == 1 else 160, 1_000)
    features = {"PixelFormat": "RGB8", "Width": SIDE, "Height": SIDE, "AcquisitionFrameRate": 15.0}
    camera = {"kind": "aravis", "serial": "L1", "trigger": "free", "features": features}
    station = make_station(camera=camera)
    with fake_camera("L1", per_thousand):
        found = inspect_frames(station, count)
    seen = assert_one_each(found, count)
    station.prove_pictures()
    assert seen["no-image"] > 0, "packets were lost"
    assert seen["defect"] > 0, "bars are no good part, but they were seen"
    print(f"{count} frames, {per_thousand} packets of a thousand lost: {dict(seen)}")
