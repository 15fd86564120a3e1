"""Every process of a station killed and suspended at random moments: no part is passed wrongly, none has two verdicts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import numpy as np
import pytest

from appliance.host.time_limits import PLC_KNOWS_S
from tests.faults.station import Station, wait_for

BUSY_MS = 100  # more in `make test`, which may share its machine


@pytest.mark.parametrize("victim", ["run", "plc", "camera"])
def test_a_process_killed_or_suspended(
    make_station: Callable[..., Station], rounds: Callable[[int, int], int], victim: str
) -> None:
    rng = random.Random(victim)
    delays: dict[str, list[float]] = {"kill": [], "suspend": []}
    with make_station() as station:
        for i in range(rounds(2, 100)):
            since = time.monotonic()
            wait_for(lambda: station.valid() and station.passes_after(since) >= 2, "passes")  # noqa: B023
            time.sleep(rng.uniform(0, 0.3))
            process, fault = station.process(victim), ("kill", "suspend")[i % 2]
            moment = time.monotonic()
            getattr(process, fault)()
            wait_for(lambda: station.invalid_after(moment) is not None, "the PLC to see it")  # noqa: B023
            delay = station.invalid_after(moment)
            assert delay is not None
            delays[fault].append(delay)
            time.sleep(rng.uniform(0, 1))
            if fault == "suspend" and rng.random() < 0.5:
                if process.is_running():  # the line itself has killed a camera that was silent for too long
                    process.resume()
            elif victim == "camera":
                continue  # the line starts it anew
            else:
                process.kill()
                station.restart(victim)
        since = time.monotonic()
        wait_for(lambda: station.passes_after(since) >= 2, "passes at the end")
        station.finish()
    station.prove()
    for fault, seen in delays.items():
        if seen:
            median, longest = np.median(seen) * 1000, max(seen) * 1000
            print(f"{victim} {fault}: {len(seen)} times; the PLC saw it after {median:.0f} ms, at most {longest:.0f} ms")
    assert max(delays["kill"] + delays["suspend"]) <= PLC_KNOWS_S + rounds(BUSY_MS, 0) / 1000
    print(f"{len(station.taken())} results taken by the PLC, {len(station.published())} published")
