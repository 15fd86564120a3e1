"""An hour of work: memory stays, and the last ten minutes are as fast as the first."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.faults.conftest import RATE, SIDE
from tests.faults.station import Station, wait_for

MIB = 2**20
PICTURE = 3 * SIDE * SIDE  # bytes


@dataclass(frozen=True)
class Limits:
    """What may change from the first sixth of a run to its last."""

    grown: float  # share of the memory
    grown_a_part: float  # bytes
    percentile: int  # of the milliseconds from capture to verdict
    slower: float  # share of them


HOUR = Limits(0.01, np.inf, 99, 0.10)
# In seconds caches still fill, and the machine has its moods: what is seen is a picture left behind by every twelfth part, and
# work that grows with the number of parts.
SECONDS = Limits(np.inf, PICTURE / 12, 50, 1.0)


def memory(station: Station) -> int:
    """Resident bytes of the line, its camera and its bridge that no other process shares."""
    names = ("run", "camera", "plc")
    return sum(int(station.process(name).memory_full_info().uss) for name in names)


def test_soak(make_station: Callable[..., Station], rounds: Callable[[int, int], int]) -> None:
    seconds = rounds(12, 3_600)
    limits = HOUR if seconds == 3_600 else SECONDS
    window_s, warm_s = seconds / 6, min(120.0, seconds / 6)
    grown: list[int] = []
    with make_station() as station:
        wait_for(lambda: station.passes_after(0) >= 2, "passes")
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < seconds:
            if now > warm_s:  # until then caches fill
                grown.append(memory(station))
            time.sleep(min(10.0, seconds / 60))
        station.finish()
        totals = np.array([event["stages"]["total"] for event in station.told("run") if event["event"] == "verdict"])
    station.prove()
    count = int(window_s * RATE)
    first, last = (float(np.percentile(part, limits.percentile)) for part in (totals[:count], totals[-count:]))
    sixth = max(1, len(grown) // 6)
    begin, end = float(np.median(grown[:sixth])), float(np.median(grown[-sixth:]))
    a_part = (end - begin) / (RATE * (seconds - warm_s) * 5 / 6)
    print(
        f"{len(totals)} parts in {seconds} s; memory {begin / MIB:.1f} to {end / MIB:.1f} MiB, {a_part / 1024:.1f} KiB a part; "
        f"p{limits.percentile} {first:.1f} ms at first, {last:.1f} ms at last"
    )
    assert len(totals) > 0.9 * RATE * seconds
    assert end < (1 + limits.grown) * begin
    assert a_part < limits.grown_a_part
    assert last < (1 + limits.slower) * first
