"""A subscriber that stands still, a PLC that is away or starts anew: inspection goes on at its pace, results come in order."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from tests.faults.conftest import RATE
from tests.faults.station import Event, Station, wait_for


def decided(station: Station) -> list[Event]:
    return [event for event in station.told("run") if event["event"] == "verdict"]


def test_a_subscriber_that_stands_still_and_a_plc_that_is_away(
    make_station: Callable[..., Station], rounds: Callable[[int, int], int]
) -> None:
    away_s = float(rounds(3, 30))
    rates: list[float] = []
    with make_station() as station:
        wait_for(lambda: station.passes_after(0) >= 2, "passes")
        for i in range(rounds(2, 20)):
            station.process("watch").suspend()
            station.process("plc-sim").kill() if i % 2 else station.process("plc-sim").suspend()
            before, since = len(decided(station)), time.monotonic()
            time.sleep(away_s)
            meanwhile = decided(station)[before:]
            rates.append(len(meanwhile) / (time.monotonic() - since))
            assert all(verdict["reason"] in ("", "defect") for verdict in meanwhile), "all were measured, and in time"
            frames = [verdict["frame"] for verdict in meanwhile]
            assert frames == list(range(frames[0], frames[0] + len(frames))), "none was left out"
            station.process("watch").resume()
            station.restart("plc-sim") if i % 2 else station.process("plc-sim").resume()
            back = time.monotonic()
            wait_for(lambda: station.passes_after(back) >= 3, "passes after the return")  # noqa: B023
        station.finish()
    station.prove()
    parts = [(event["epoch"], event["part_id"]) for event in station.taken()]
    assert parts == sorted(parts), "in order"
    print(f"verdicts a second while away: {np.min(rates):.2f} to {np.max(rates):.2f} of {RATE}")
    # No measurement of speed: who waits for a subscriber or a PLC stands still.
    assert np.min(rates) > 0.8 * RATE
