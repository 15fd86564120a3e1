"""An hour of work: memory stays, and the last ten minutes are as fast as the first."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from tests.faults.conftest import RATE
from tests.faults.station import Station, wait_for

MIB = 2**20


def memory(station: Station) -> int:
    """Resident bytes of the line, its camera and its bridge that no other process shares."""
    names = ("run", "camera", "plc")
    return sum(int(station.process(name).memory_full_info().uss) for name in names)


def test_soak(make_station: Callable[..., Station], rounds: Callable[[int, int], int]) -> None:
    seconds = rounds(6, 3_600)
    window_s, warm_s = seconds / 6, min(120.0, seconds / 6)
    grown: list[int] = []
    with make_station() as station:
        wait_for(lambda: station.passes_after(0) >= 2, "passes")
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < seconds:
            if now > warm_s:  # until then caches fill
                grown.append(memory(station))
            time.sleep(min(10.0, seconds / 20))
        station.finish()
        totals = np.array([event["stages"]["total"] for event in station.told("run") if event["event"] == "verdict"])
    station.prove()
    count = int(window_s * RATE)
    first, last = (float(np.percentile(part, 99)) for part in (totals[:count], totals[-count:]))
    tenth = max(1, len(grown) // 10)
    begin, end = float(np.median(grown[:tenth])), float(np.median(grown[-tenth:]))
    print(
        f"{len(totals)} parts in {seconds} s; memory {begin / MIB:.1f} to {end / MIB:.1f} MiB; "
        f"p99 {first:.1f} ms at first, {last:.1f} ms at last"
    )
    assert len(totals) > 0.97 * RATE * seconds
    if seconds >= 3_600:  # a short run shows caches that fill, and the machine's moods
        assert end < 1.01 * begin
        assert last < 1.10 * first
