"""A GigE Vision camera that goes away and comes back: the line resumes, with the camera set as before, and counts anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from tests.appliance.capture.test_aravis_camera import fake_camera, needs_aravis
from tests.faults.conftest import SIDE
from tests.faults.station import Station, wait_for


@needs_aravis
def test_a_camera_gone_and_back(make_station: Callable[..., Station], rounds: Callable[[int, int], int]) -> None:
    # A size that is not the fake camera's own: only with its features set again do its pictures fit the recipe.
    features = {"PixelFormat": "RGB8", "Width": SIDE, "Height": SIDE, "OffsetX": 16, "AcquisitionFrameRate": 10.0}
    camera = {"kind": "aravis", "serial": "G1", "trigger": "free", "stall_ms": 1_000, "features": features}
    times = rounds(1, 20)
    away_s = float(rounds(1, 10))
    with make_station(camera=camera) as station, ExitStack() as cameras:
        cameras.enter_context(fake_camera("G1"))

        def measured(since: float) -> int:
            return sum(event["score"] is not None and event["monotonic"] > since for event in station.taken())

        wait_for(lambda: measured(0) >= 2, "measured parts")
        for _ in range(times):
            cameras.close()
            gone = time.monotonic()
            wait_for(lambda: station.invalid_after(gone) is not None, "the PLC to see it")  # noqa: B023
            time.sleep(max(0.0, gone + away_s - time.monotonic()))
            cameras.enter_context(fake_camera("G1"))
            back = time.monotonic()
            wait_for(lambda: measured(back) >= 2, "measured parts after the return", 90)  # noqa: B023
        station.finish()
        lost = [event for event in station.told("run") if event["event"] == "error" and "next try" in event["text"]]
        assert len(lost) >= times
    station.prove()
    assert len({epoch for epoch, _ in station.published()}) == times + 1, "parts were not counted meanwhile"
