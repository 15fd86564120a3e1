"""The one owner of part numbers: what agrees is counted on, what does not begins a new epoch and is told."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from appliance.host.time_limits import PART_COUNT_AGAIN_S
from appliance.messages.part_numbers import PartNumber, PartNumbers


@pytest.fixture
def told() -> list[tuple[str, str, str]]:
    return []


@pytest.fixture
def numbers(told: list[tuple[str, str, str]]) -> PartNumbers:
    return PartNumbers(lambda severity, text, kind="": told.append((severity, text, kind)))


def settle(numbers: PartNumbers, part: PartNumber) -> None:
    assert numbers.doubt(part, part.frame) == ""
    numbers.settle(part)


def test_parts_are_numbered_from_1_whatever_the_cameras_first_number_is(numbers: PartNumbers) -> None:
    parts = [numbers.number(frame) for frame in (17, 18, 19)]
    assert [part.id for part in parts] == [1, 2, 3]
    assert len({part.epoch for part in parts}) == 1
    assert (numbers.seen, numbers.settled.id) == (3, 0), "seen long before they have a verdict"
    for part in parts:
        settle(numbers, part)
    assert (numbers.seen, numbers.settled.id) == (3, 3)


@pytest.mark.parametrize("frame", [17, 16, 19, 1])
def test_a_frame_that_is_not_the_next_one_begins_a_new_epoch_and_is_told(
    numbers: PartNumbers, told: list[tuple[str, str, str]], frame: int
) -> None:
    first = numbers.number(17)
    second = numbers.number(frame)
    assert second.epoch > first.epoch
    assert second.id == 1
    assert told == [("warning", f"the camera's frame {frame} came after 17: parts are counted anew", "part-count")]
    assert numbers.number(frame + 1) == PartNumber(second.epoch, 2, frame + 1)


def test_what_the_camera_itself_doubts_begins_a_new_epoch(numbers: PartNumbers, told: list[tuple[str, str, str]]) -> None:
    first = numbers.number(1)
    assert numbers.number(2, "the counter was set back").epoch > first.epoch
    assert [text for _, text, _ in told] == ["the counter was set back: parts are counted anew"]


def test_what_others_ask_for_begins_one_epoch(numbers: PartNumbers, told: list[tuple[str, str, str]]) -> None:
    first = numbers.number(1)
    numbers.ask("the PLC says so")
    numbers.ask("so does the verdict")
    assert numbers.number(2).epoch == first.epoch, "not in the middle of a frame"
    numbers.begin_what_was_asked()
    numbers.begin_what_was_asked()
    assert numbers.counted == PartNumber(numbers.counted.epoch, 0)
    assert numbers.counted.epoch > first.epoch
    assert [text for _, text, _ in told] == ["the PLC says so; so does the verdict: parts are counted anew"]


def test_many_new_epochs_are_one_alarm_and_all_stand_in_the_log(
    numbers: PartNumbers, told: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr("appliance.messages.part_numbers.time.monotonic", lambda: now_s)
    for i in range(3):
        numbers.begin_epoch(str(i))
    now_s += PART_COUNT_AGAIN_S
    numbers.begin_epoch("later")
    assert [(severity, kind) for severity, _, kind in told] == [
        ("warning", "part-count"),
        ("info", ""),
        ("info", ""),
        ("warning", "part-count"),
    ]
    assert [text.partition(":")[0] for _, text, _ in told] == ["0", "1", "2", "later"]


def test_a_verdict_is_doubted_unless_it_is_the_next_parts_and_of_its_own_frame(numbers: PartNumbers) -> None:
    one, two = numbers.number(5), numbers.number(6)
    assert "part 2 of epoch" in numbers.doubt(two, 6)
    assert numbers.doubt(one, 6) == "a verdict on part 1 was of frame 6, and its own is 5"
    settle(numbers, one)
    assert "came where part 2 was due" in numbers.doubt(one, 5)
    numbers.begin_epoch("anew")
    three = numbers.number(7)
    settle(numbers, three)
    assert numbers.doubt(two, 6), "an epoch that is over does not come back"
    with pytest.raises(AssertionError, match="does not come back"):
        numbers.settle(two)
    with pytest.raises(AssertionError, match="without a gap"):
        numbers.settle(PartNumber(three.epoch, 3))


def test_what_is_seen_is_of_the_epoch_that_is_published(numbers: PartNumbers) -> None:
    first = numbers.number(1)
    numbers.begin_epoch("anew")
    numbers.number(2)
    numbers.number(3)
    assert (numbers.settled.epoch, numbers.seen) == (first.epoch, 0)
    numbers.follow(numbers.counted.epoch)
    assert numbers.seen == 2
    numbers.follow(first.epoch)
    assert numbers.settled.epoch == numbers.counted.epoch, "never back"


def test_whatever_happens_each_frame_has_one_part_and_ids_have_no_gap(numbers: PartNumbers) -> None:
    dice = random.Random(3)
    frame, parts = 0, []
    for _ in range(5_000):
        frame += dice.choice((1,) * 20 + (0, 2, -3))
        if dice.random() < 0.01:
            numbers.ask("somebody")
        numbers.begin_what_was_asked()
        parts.append(numbers.number(frame, "the camera" if dice.random() < 0.01 else None))
    assert len(set(parts)) == len(parts)
    for before, after in pairwise(parts):
        assert (after.epoch == before.epoch and after.id == before.id + 1 and after.frame == before.frame + 1) or (
            after.epoch > before.epoch and after.id == 1
        )
    for part in parts:
        settle(numbers, part)
    assert numbers.settled == numbers.counted
