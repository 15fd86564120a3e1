"""Frame numbers: gaps are counted, 16-bit counters unwrapped, stragglers dropped, and a count that breaks is told."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from appliance.capture.counter import ENDLESS, GIGE_SPAN, MISSING_AT_MOST, OLDER_AT_MOST, Counted, FrameCounter

SPANS = [GIGE_SPAN, ENDLESS]


def counter_of(span: int | None) -> FrameCounter:
    counter = FrameCounter()
    counter.restart(span)
    return counter


def missing(counter: FrameCounter, counted: Iterable[int | None]) -> list[int | None]:
    """How many frames are missing before each; None for one that is dropped. None of them breaks the count."""
    told = [counter.advance(one) for one in counted]
    assert not any(one.recount for one in told if one)
    return [None if one is None else one.missing for one in told]


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("first", [0, 1, 2, 3, 50, 100, 101, 65_401, 65_535])
def test_the_first_frames_number_may_be_any(span: int | None, first: int) -> None:
    """A counter that goes on when the camera is opened invents no parts."""
    counter = counter_of(span)
    assert missing(counter, [first]) == [0]
    assert counter.number == 1
    assert missing(counter, [first + 1 if span is None else first % span + 1]) == [0]
    assert counter.number == 2


@pytest.mark.parametrize("span", SPANS)
def test_a_gap_tells_how_many_are_missing(span: int | None) -> None:
    counter = counter_of(span)
    assert missing(counter, [10, 11, 14, 15]) == [0, 0, 2, 0]
    assert counter.number == 6


@pytest.mark.parametrize("span", SPANS)
def test_the_longest_gap_is_counted_and_one_that_is_longer_is_another_count(span: int | None) -> None:
    counter = counter_of(span)
    assert missing(counter, [7, 7 + MISSING_AT_MOST + 1]) == [0, MISSING_AT_MOST]
    told = counter.advance(7 + 2 * MISSING_AT_MOST + 3)
    assert told == Counted(0, "the camera's frame counter went from 1008 to 2010")
    assert counter.number == MISSING_AT_MOST + 3


@pytest.mark.parametrize("span", SPANS)
def test_a_frame_whose_number_was_lost_is_the_next_one_until_a_later_one_tells(span: int | None) -> None:
    counter = counter_of(span)
    # 7, (8), 9, then 10 is ignored by the camera, 11 fails, and so does 12.
    assert missing(counter, [7, None, 9, None, None, 13]) == [0, 0, 0, 0, 0, 1]
    assert counter.number == 7


@pytest.mark.parametrize(
    "counted", [(None, 9, 10), (None, None, 5, 6), (None, None, None), (7, None, 8), (7, None, None, 8, 9)]
)
@pytest.mark.parametrize("span", SPANS)
def test_frames_without_a_number_invent_none_and_drop_none(span: int | None, counted: tuple[int | None, ...]) -> None:
    """Also a number that is newer than the last one known is a new frame's, however many without one came between."""
    counter = counter_of(span)
    assert missing(counter, counted) == [0] * len(counted)
    assert counter.number == len(counted)


@pytest.mark.parametrize("before", range(GIGE_SPAN - 5, GIGE_SPAN + 1))
@pytest.mark.parametrize("ahead", range(1, 12))
def test_a_16_bit_counter_goes_on_after_its_end_without_0(before: int, ahead: int) -> None:
    counter = counter_of(GIGE_SPAN)
    assert missing(counter, [before, (before + ahead - 1) % GIGE_SPAN + 1]) == [0, ahead - 1]
    assert counter.number == 1 + ahead


def test_extended_ids_go_on_after_16_bits() -> None:
    counter = counter_of(GIGE_SPAN)
    assert missing(counter, range(65_530, 65_545)) == [0] * 15


def test_three_rounds_of_a_16_bit_counter_are_counted_without_a_gap() -> None:
    counter = counter_of(GIGE_SPAN)
    assert all(counter.advance(i % GIGE_SPAN + 1) == Counted(0, None) for i in range(3 * GIGE_SPAN + 10))
    assert counter.number == 3 * GIGE_SPAN + 10


@pytest.mark.parametrize(("span", "newest", "older"), [(None, 7, 7), (None, 7, 3), (GIGE_SPAN, 7, 7), (GIGE_SPAN, 2, 65_534)])
def test_a_straggler_is_dropped_and_changes_nothing(span: int | None, newest: int, older: int) -> None:
    counter = counter_of(span)
    assert missing(counter, [newest, older, newest + 1, older, older, newest + 2]) == [0, None, 0, None, None, 0]
    assert counter.number == 3


@pytest.mark.parametrize(
    ("span", "newest", "told"), [(None, 1_005, "1005"), (GIGE_SPAN, 1_005, "1005"), (None, 70_000, "70000")]
)
@pytest.mark.parametrize("first", [0, 1, 900])
def test_a_counter_that_is_set_back_is_followed_from_the_third_frame_on(
    span: int | None, newest: int, told: str, first: int
) -> None:
    counter = counter_of(span)
    assert missing(counter, [newest - 1, newest, first, first + 1]) == [0, 0, None, None]
    again = counter.advance(first + 2)
    dropped = "2 pictures were dropped meanwhile"
    assert again == Counted(0, f"the camera's frame counter went back from {told} to {first}; {dropped}")
    assert counter.number == 3
    assert missing(counter, range(first + 3, first + 2_000)) == [0] * 1_997, "and from then on as if nothing had been"


def test_a_16_bit_counter_that_is_set_back_by_more_than_half_its_numbers_invents_no_parts() -> None:
    """It seems to be ahead: 25,535 parts would get a reject that nobody made."""
    counter = counter_of(GIGE_SPAN)
    assert missing(counter, [40_000]) == [0]
    assert counter.advance(1) == Counted(0, "the camera's frame counter went from 40000 to 1")
    assert counter.number == 2


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("still", [3, 7])
def test_a_counter_that_stands_still_is_no_number_from_then_on(span: int | None, still: int) -> None:
    counter = counter_of(span)
    assert missing(counter, [6, 7, still, still]) == [0, 0, None, None]
    told = counter.advance(still)
    assert told == Counted(0, f"the camera's frame counter stands still at {still}; 2 pictures were dropped meanwhile")
    assert missing(counter, [still] * 100) == [0] * 100
    assert missing(counter, [8, 1, 500]) == [0, 0, 0], "whatever it says"
    assert counter.number == 106
    counter.restart(span)
    assert missing(counter, [1, 3]) == [0, 1], "opened again it may count"


@pytest.mark.parametrize("seed", range(200))
def test_whatever_the_camera_says_no_frame_is_lost_for_long_and_none_is_invented_by_a_broken_count(seed: int) -> None:
    """Of frames that do come, at most two in a row are dropped; whoever breaks the count is told once."""
    draw = random.Random(seed)
    span = draw.choice(SPANS)
    counter, counted = counter_of(span), draw.randrange(1, 70_000) % GIGE_SPAN + 1
    dropped = 0
    for _ in range(500):
        event = draw.random()
        if event < 0.02:
            counted = draw.randrange(1, GIGE_SPAN)  # set back, or on
        elif event < 0.05:
            counted = counted % GIGE_SPAN + 1  # one is lost
        counted = counted % GIGE_SPAN + 1
        before = counter.number
        told = counter.advance(None if draw.random() < 0.03 else counted)
        if told is None:
            dropped += 1
            assert dropped < OLDER_AT_MOST
            assert counter.number == before
        else:
            dropped = 0
            assert 0 <= told.missing <= MISSING_AT_MOST
            assert not (told.recount and told.missing)
            assert counter.number == before + 1 + told.missing


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("span", SPANS)
def test_a_count_that_does_not_break_is_exact(span: int | None, seed: int) -> None:
    """Lost frames, broken ones and stragglers: our number is the camera's, from the first one on."""
    draw = random.Random(seed)
    counter, first = counter_of(span), draw.randrange(1, GIGE_SPAN)
    counter.advance(first)
    at = 0
    for _ in range(1_000):
        at += 1 if draw.random() < 0.9 else draw.randrange(2, 50)
        number = first + at if span is None else (first + at - 1) % span + 1
        told = counter.advance(number)
        assert told is not None
        assert told.recount is None
        assert counter.number == at + 1
        if draw.random() < 0.1:
            older = draw.randrange(1, 200)
            straggler = number - older if span is None else (number - older - 1) % span + 1
            assert counter.advance(straggler) is None
            assert counter.number == at + 1


def test_opened_again_the_cameras_counter_may_be_any_and_ours_goes_on() -> None:
    counter = counter_of(GIGE_SPAN)
    assert missing(counter, [100, 101]) == [0, 0]
    counter.restart(ENDLESS)
    assert missing(counter, [0, 1]) == [0, 0]
    assert counter.number == 4


# Answers to triggers of our own


def test_each_trigger_is_answered_by_the_next_number() -> None:
    counter = counter_of(GIGE_SPAN)
    assert [counter.answers(number) for number in (65_534, 65_535, 1, 2)] == [True] * 4
    assert counter.number == 4


def test_the_number_of_a_trigger_that_was_not_answered_is_used_up() -> None:
    counter = counter_of(GIGE_SPAN)
    assert counter.answers(65_535)
    assert counter.skip(used=True) == 2
    assert counter.is_late(1)
    assert not counter.answers(1), "it is the second trigger's, and comes too late"
    assert counter.answers(2)
    assert counter.number == 3
    assert counter.is_late(1)
    assert not counter.is_late(3), "nobody triggered it"


def test_a_trigger_that_never_reached_the_camera_uses_no_number() -> None:
    counter = counter_of(ENDLESS)
    assert counter.answers(0)
    assert counter.skip(used=False) == 2
    assert counter.answers(1)
    assert counter.number == 3


def test_unnumbered_pictures_answer_as_long_as_none_is_missing() -> None:
    counter = counter_of(GIGE_SPAN)
    assert not counter.knows
    assert [counter.answers(None) for _ in range(3)] == [True] * 3
    assert counter.answers(7)
    assert counter.knows
    counter.skip(used=True)
    assert not counter.answers(None), "it may be the one that did not come"


def test_the_same_number_for_each_trigger_is_none_in_the_end() -> None:
    counter, answered = counter_of(GIGE_SPAN), []
    for _ in range(2 * OLDER_AT_MOST):
        answered.append(counter.answers(7))
        if not answered[-1]:
            counter.begin_anew()
    assert answered == [True, False] * OLDER_AT_MOST
    assert [counter.answers(7) for _ in range(5)] == [True] * 5
    assert not counter.knows
