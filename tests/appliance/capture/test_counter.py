"""Frame numbers: gaps are counted, 16-bit counters are unwrapped, stale frames are known."""

from __future__ import annotations

import pytest

from appliance.capture.counter import GIGE_COUNTER, MOST_AT_START, TRIGGER_COUNTER, USB_COUNTER, FrameCounter

SPAN = 65_535  # 1 to 65535


def counter_of(span: int | None, first: int | None = None) -> FrameCounter:
    counter = FrameCounter()
    counter.restart(span, first)
    return counter


@pytest.mark.parametrize("first", [0, 1, 65_401])
def test_where_the_counter_may_begin_anywhere_the_first_frame_is_number_one(first: int) -> None:
    counter = counter_of(*TRIGGER_COUNTER)
    assert counter.advance(first) == 0
    assert counter.number == 1


@pytest.mark.parametrize(
    ("kind", "first", "missing"),
    [
        (GIGE_COUNTER, 1, 0),
        (GIGE_COUNTER, 3, 2),
        (USB_COUNTER, 0, 0),
        (USB_COUNTER, 1, 1),
        (GIGE_COUNTER, 1 + MOST_AT_START, MOST_AT_START),
        # A camera that does not begin where it should, as Aravis's fake one does not.
        (GIGE_COUNTER, 0, 0),
        (GIGE_COUNTER, 65_401, 0),
        (USB_COUNTER, 1 + MOST_AT_START, 0),
    ],
)
def test_frames_lost_before_the_first_to_arrive_are_missing(kind: tuple[int | None, int], first: int, missing: int) -> None:
    counter = counter_of(*kind)
    assert counter.advance(first) == missing
    assert counter.number == 1 + missing
    assert counter.advance(first + 1) == 0


def test_a_frame_whose_number_was_lost_is_the_next_one_until_a_later_one_tells() -> None:
    counter = counter_of(*TRIGGER_COUNTER)
    # 7, (8), 9, then 10 is ignored by the camera, 11 fails, and so does 12.
    assert [counter.advance(counted) for counted in (7, None, 9, None, None, 13)] == [0, 0, 0, 0, 0, 1]
    assert counter.number == 7


@pytest.mark.parametrize(
    ("kind", "counted", "missing"),
    [
        (TRIGGER_COUNTER, (None, 9, 10), (0, 0, 0)),
        (GIGE_COUNTER, (None, 2, 3), (0, 0, 0)),
        (GIGE_COUNTER, (None, None, 5, 6), (0, 0, 2, 0)),
        (GIGE_COUNTER, (None, 65_402, 65_403), (0, 0, 0)),
        (USB_COUNTER, (None, 1, 2), (0, 0, 0)),
        (USB_COUNTER, (None, None, None), (0, 0, 0)),
    ],
)
def test_first_frames_whose_numbers_were_lost_are_counted_once(
    kind: tuple[int | None, int | None], counted: tuple[int | None, ...], missing: tuple[int, ...]
) -> None:
    counter = counter_of(*kind)
    assert tuple(counter.advance(one) for one in counted) == missing
    assert counter.number == len(counted) + sum(missing)


def test_a_gap_tells_how_many_are_missing() -> None:
    counter = counter_of(None)
    assert [counter.advance(counted) for counted in (10, 11, 14, 15)] == [0, 0, 2, 0]
    assert counter.number == 6


@pytest.mark.parametrize(("before", "after", "missing"), [(65_535, 1, 0), (65_534, 2, 2), (65_535, 3, 2)])
def test_a_16_bit_counter_goes_on_after_its_end(before: int, after: int, missing: int) -> None:
    counter = counter_of(SPAN)
    counter.advance(before)
    assert counter.advance(after) == missing
    assert counter.number == 2 + missing


def test_two_rounds_of_a_16_bit_counter_are_counted_without_a_gap() -> None:
    counter = counter_of(SPAN)
    assert all(counter.advance(i % SPAN + 1) == 0 for i in range(2 * SPAN + 10))
    assert counter.number == 2 * SPAN + 10


@pytest.mark.parametrize(("span", "newest", "stale"), [(None, 7, 7), (None, 7, 3), (SPAN, 7, 7), (SPAN, 2, 65_534)])
def test_a_frame_that_is_older_than_the_newest_is_stale(span: int | None, newest: int, stale: int) -> None:
    counter = counter_of(span)
    counter.advance(newest)
    assert counter.advance(stale) is None
    assert counter.number == 1
    assert counter.advance(newest + 1) == 0, "it changes nothing"


def test_a_frame_that_never_came_takes_a_number_and_the_next_one_is_no_gap() -> None:
    counter = counter_of(None)
    counter.advance(5)
    assert counter.skip() == 2
    assert counter.advance(0) == 0
    assert counter.number == 3


def test_after_a_restart_the_cameras_counter_may_be_any_and_ours_goes_on() -> None:
    counter = counter_of(SPAN)
    counter.advance(100)
    counter.advance(101)
    counter.restart(None, None)
    assert counter.advance(0) == 0
    assert counter.advance(1) == 0
    assert counter.number == 4
