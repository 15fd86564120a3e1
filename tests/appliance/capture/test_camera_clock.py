"""A camera's time stamps in our time: what is read late is old, whatever the two clocks do."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from appliance.capture import CameraLostError
from appliance.capture.camera_clock import WAITED_FOR, CameraClock

MS = 1_000_000
S = 1_000 * MS
START = 5_000 * S  # of our clock


class Camera:
    """Takes a picture every 100 ms; each reaches us 3 ms later, or a little more."""

    def __init__(self, began: int = 0, rate: float = 1.0, seed: int = 1) -> None:
        self._began, self._rate, self._draw = began, rate, random.Random(seed)
        self.now = START

    def pictures(self, count: int, every: int = 100 * MS) -> Iterator[tuple[int, int, int]]:
        """When it was taken; its stamp; when it was here."""
        for _ in range(count):
            self.now += every
            stamp = self._began + int((self.now - START) * self._rate)
            yield self.now, stamp, self.now + 3 * MS + int(self._draw.expovariate(1) * MS / 2)

    def set_to(self, stamp: int) -> None:
        """Its clock shows this from now on."""
        self._began = stamp - int((self.now - START) * self._rate)


def tell(clock: CameraClock, camera: Camera, count: int) -> list[float]:
    """How old each picture seems when it is read, in ms; they are read at once."""
    return [(here - clock.captured(stamp, here, waited=True)) / MS for _, stamp, here in camera.pictures(count)]


@pytest.mark.parametrize("began", [0, 1_796_055_732 * S, 2**63])
def test_pictures_that_are_read_at_once_are_new(began: int) -> None:
    clock = CameraClock()
    assert max(tell(clock, Camera(began), 1_000)) < 10
    assert clock.mapped(None) is None


def test_a_picture_that_waited_shows_its_age_to_the_millisecond() -> None:
    clock, camera = CameraClock(), Camera()
    tell(clock, camera, 100)
    resumed = camera.now + 2_500 * MS
    captured = [(taken, clock.captured(stamp, resumed, waited=False)) for taken, stamp, _ in camera.pictures(25)]
    assert all(0 <= told - taken <= 5 * MS for taken, told in captured), "and not at the time when they were read"
    assert max(tell(clock, camera, 10)) < 10


@pytest.mark.parametrize("ppm", [-300, -80, 80, 300])
def test_clocks_that_drift_apart_make_no_picture_old(ppm: float) -> None:
    clock = CameraClock()
    assert max(tell(clock, Camera(rate=1 + ppm * 1e-6), 36_000)) < 10, "in an hour"


def test_an_hours_pause_makes_no_picture_old() -> None:
    clock, camera = CameraClock(), Camera(rate=1 - 80e-6)
    tell(clock, camera, 100)
    ((_, stamp, here),) = camera.pictures(1, every=3_600 * S)
    assert here - clock.captured(stamp, here, waited=True) < 10 * MS


@pytest.mark.parametrize("stamp", [0, 1, 2**62])
def test_a_clock_that_is_set_far_back_or_on_is_followed_at_once(stamp: int) -> None:
    clock, camera = CameraClock(), Camera(began=1_000 * S)
    tell(clock, camera, 100)
    camera.set_to(stamp)
    assert max(tell(clock, camera, 100)) < 10


@pytest.mark.parametrize("lags", [True, False])
def test_pictures_that_all_come_late_are_told_and_not_taken_for_fresh_ones(lags: bool) -> None:
    """Whether the camera lags, or its clock was set back by less than a period, no stamp can tell."""
    clock, camera = CameraClock(), Camera(began=1_000 * S)
    tell(clock, camera, 100)
    late = 60 * MS
    if not lags:
        camera.set_to(1_000 * S + (camera.now - START) - late)
    pictures = [(stamp, here + late * lags) for _, stamp, here in camera.pictures(WAITED_FOR)]
    ages = [(read - clock.captured(stamp, read, waited=True)) / MS for stamp, read in pictures[:-1]]
    assert min(ages) > 50, "as long as they could be late, they are"
    with pytest.raises(CameraLostError, match=r"last 8 pictures all came (59|60|61) ms late: it lags, or its clock was set"):
        clock.captured(*pictures[-1], waited=True)
    clock.restart()
    assert max(tell(clock, camera, 20)) < 10, "opened anew, it is as at first"


def test_a_backlog_that_does_not_shrink_stays_old() -> None:
    """A driver's queue that is always full gives pictures that are always late."""
    clock, camera = CameraClock(), Camera()
    tell(clock, camera, 100)
    late = [
        here + 1_500 * MS - clock.captured(stamp, here + 1_500 * MS, waited=False) for _, stamp, here in camera.pictures(600)
    ]
    assert min(late) > 1_400 * MS


@pytest.mark.parametrize("stamp", [None, 77])
def test_without_a_stamp_or_with_one_that_stands_still_a_picture_is_as_old_as_its_reading(stamp: int | None) -> None:
    clock = CameraClock()
    times = [clock.captured(stamp, here, waited=True) for here in range(START, START + 10 * S, S)]
    assert times == list(range(START, START + 10 * S, S))


def test_a_broken_picture_with_an_old_stamp_changes_nothing() -> None:
    clock, camera = CameraClock(), Camera(began=10 * S)
    tell(clock, camera, 100)
    camera.now += 20 * MS
    assert clock.captured(9 * S, camera.now, waited=True, sure=False) == camera.now
    assert max(tell(clock, camera, 10)) < 10


def test_a_broken_picture_that_waited_does_not_make_those_behind_it_young() -> None:
    clock, camera = CameraClock(), Camera()
    tell(clock, camera, 100)
    resumed = camera.now + 2 * S
    told = [
        (taken, clock.captured(stamp, resumed, waited=False, sure=i > 0))
        for i, (taken, stamp, _) in enumerate(camera.pictures(10))
    ]
    assert all(captured - taken <= 5 * MS for taken, captured in told)


@pytest.mark.parametrize("seed", range(100))
def test_times_never_go_back_and_are_never_later_than_the_reading(seed: int) -> None:
    draw = random.Random(seed)
    clock, read, stamp, last = CameraClock(), START, draw.randrange(2**40), 0
    for _ in range(500):
        read += draw.randrange(1, S)
        stamp = max(0, stamp + draw.choice([1, 1, 1, -1, 1_000]) * draw.randrange(S))
        if draw.random() < 0.01:
            clock.restart()
        captured = clock.captured(draw.choice([stamp, None]), read, draw.random() < 0.5, draw.random() < 0.9)
        assert last <= captured <= read
        last = captured
