"""Time: monotonic moments become UTC at the edge."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from appliance.messages.clock import utc_now, utc_of


def test_now_is_now_in_utc() -> None:
    before = datetime.now(UTC)
    now = datetime.fromisoformat(utc_now())
    assert now.utcoffset() == timedelta(0)
    assert before - timedelta(milliseconds=1) <= now <= datetime.now(UTC) + timedelta(milliseconds=1)


def test_moments_keep_their_distance() -> None:
    moment = time.monotonic_ns()
    first, second = (datetime.fromisoformat(utc_of(moment + offset)) for offset in (0, 1_500_000_000))
    assert second - first == pytest.approx(timedelta(seconds=1.5), abs=timedelta(seconds=0.2))


def test_a_correction_of_the_wall_clock_shows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = time.monotonic_ns()
    before = datetime.fromisoformat(utc_of(moment))
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600_000_000_000)
    assert datetime.fromisoformat(utc_of(moment)) - before > timedelta(minutes=59)


def test_the_form_is_the_same_at_a_whole_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_800_000_000_000_000_000)
    monkeypatch.setattr(time, "monotonic_ns", lambda: 77)
    assert utc_now() == "2027-01-15T08:00:00.000000+00:00"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", utc_of(77))
