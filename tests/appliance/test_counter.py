"""Frame numbers: gaps are counted, 16-bit counters are unwrapped, stale frames are known."""

from __future__ import annotations

import pytest

from appliance.capture.counter import FrameCounter

SPAN = 65_535  # 1 to 65535


@pytest.mark.parametrize("first", [0, 1, 65_401])
def test_the_first_frame_is_number_one_whatever_the_camera_calls_it(first: int) -> None:
    counter = FrameCounter(None)
    assert counter.advance(first) == 0
    assert counter.number == 1


def test_a_gap_tells_how_many_are_missing() -> None:
    counter = FrameCounter(None)
    assert [counter.advance(counted) for counted in (10, 11, 14, 15)] == [0, 0, 2, 0]
    assert counter.number == 6


@pytest.mark.parametrize(("before", "after", "missing"), [(65_535, 1, 0), (65_534, 2, 2), (65_535, 3, 2)])
def test_a_16_bit_counter_goes_on_after_its_end(before: int, after: int, missing: int) -> None:
    counter = FrameCounter(SPAN)
    counter.advance(before)
    assert counter.advance(after) == missing
    assert counter.number == 2 + missing


def test_two_rounds_of_a_16_bit_counter_are_counted_without_a_gap() -> None:
    counter = FrameCounter(SPAN)
    assert all(counter.advance(i % SPAN + 1) == 0 for i in range(2 * SPAN + 10))
    assert counter.number == 2 * SPAN + 10


@pytest.mark.parametrize(("span", "newest", "stale"), [(None, 7, 7), (None, 7, 3), (SPAN, 7, 7), (SPAN, 2, 65_534)])
def test_a_frame_that_is_older_than_the_newest_is_stale(span: int | None, newest: int, stale: int) -> None:
    counter = FrameCounter(span)
    counter.advance(newest)
    assert counter.advance(stale) is None
    assert counter.number == 1
    assert counter.advance(newest + 1) == 0, "it changes nothing"


def test_a_frame_that_never_came_takes_a_number_and_the_next_one_is_no_gap() -> None:
    counter = FrameCounter(None)
    counter.advance(5)
    assert counter.skip() == 2
    assert counter.advance(0) == 0
    assert counter.number == 3


def test_after_a_restart_the_cameras_counter_may_be_any_and_ours_goes_on() -> None:
    counter = FrameCounter(SPAN)
    counter.advance(100)
    counter.advance(101)
    counter.restart(None)
    assert counter.advance(0) == 0
    assert counter.advance(1) == 0
    assert counter.number == 4
