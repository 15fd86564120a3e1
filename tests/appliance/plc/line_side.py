"""A camera and its line in simulated time, beside the belt: pictures with what they show, and the product's own counters.

A picture carries the number of its trigger and the part that lay before the camera; only the tests look at these.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from appliance.capture.counter import GIGE_SPAN, FrameCounter
from appliance.host.time_limits import PLC_HANDOVER_S, REJECT_OLDEST_S
from appliance.messages.part_numbers import PartNumber, PartNumbers
from appliance.messages.schema import HEARTBEAT_PERIOD_S, ReasonCode
from appliance.plc.handshake import Handshake
from appliance.plc.image import VERDICT_CODES, Slot

U32 = 0xFFFF_FFFF
PASS, REJECT = VERDICT_CODES["pass"], VERDICT_CODES["reject"]
LOOK_MS = 50  # capture looks for orders so often
REJECT_SHOWN_MS, HANDOVER_MS = round(REJECT_OLDEST_S * 1000), round(PLC_HANDOVER_S * 1000)


@dataclass
class Part:
    """A thing on the belt."""

    good: bool
    at_camera_ms: int
    let_go: bool = False
    by_its_own: bool = True  # let go by the verdict on a picture that shows it
    hidden: bool = False  # from the camera's sensor: put down behind it


@dataclass(eq=False)
class Picture:
    """One exposure on its way to the line."""

    trigger: int
    shows: Part | None
    counted: int  # by the camera
    arrives_ms: int
    latency_ms: int  # from here to its verdict


@dataclass
class Job:
    """A part of the line that waits for its verdict."""

    part: PartNumber
    picture: Picture | None
    done_ms: int
    deadline_ms: int


@dataclass
class LineSide:
    """The camera, the line and what it publishes to its bridge."""

    deadline_ms: int
    picture_ms: tuple[int, int]  # from trigger to arrival
    latency_ms: tuple[int, int]  # from there to the verdict
    dice: random.Random
    first_id: int = 1
    simulated: bool = False  # the pictures are of good parts, whatever lies on the belt
    counts_triggers: bool = False  # the camera has a counter of triggers, also those that it ignores
    state: str = "running"
    camera_on: bool = True
    heard: bool = True  # by its bridge

    def __post_init__(self) -> None:
        self.now_ms = self.beat_ms = self.look_ms = 0
        self.triggers = self.camera_counter = 0
        self.way: list[Picture] = []  # from the camera, in the order of arrival
        self.told: list[str] = []
        self.given: list[tuple[Slot, int]] = []  # what the snapshot socket still has, and until when each may be shown
        self.pictures: dict[tuple[int, int], Picture | None] = {}  # by what the PLC knows of a part
        self.kept_back_until_ms = 0  # no picture arrives before
        self.lose = self.repeat = 0  # so many of the next pictures do not arrive; arrive twice
        self.overtaken_ms = 0  # the next picture arrives so much later, and those after it do not wait for it
        self.start(0x0001_FFFF)

    def start(self, epoch: int | None = None) -> None:
        """The line's process starts, with nothing in memory."""
        self.numbers = PartNumbers(lambda _severity, text, _kind="": self.told.append(text))
        if epoch is not None:
            self.numbers.counted = self.numbers.settled = PartNumber(epoch, self.first_id - 1)
        else:
            self.numbers.begin_epoch("the line starts")
            self.numbers.follow(self.numbers.counted.epoch)
        self.jobs: deque[Job] = deque()
        self.given.clear()
        self.open_camera()

    def open_camera(self) -> None:
        """The camera's process starts: it counts frames from its beginning, and what was on the way is gone."""
        self.counter = FrameCounter()
        self.counter.restart(GIGE_SPAN)
        self.offset = self.numbers.counted.frame
        self.camera_counter = 0
        self.way.clear()

    # The camera

    def expose(self, shows: Part | None, latency_ms: int | None = None, delay_ms: int = 0) -> Picture | None:
        """A trigger is heard: a picture of what lies before the camera."""
        self.triggers += 1
        if not self.camera_on:
            return None
        self.camera_counter = self.camera_counter % GIGE_SPAN + 1
        latency_ms = self.dice.randrange(*self.latency_ms) if latency_ms is None else latency_ms
        arrives_ms = self.now_ms + delay_ms + self.dice.randrange(*self.picture_ms)
        arrives_ms = max(arrives_ms, self.kept_back_until_ms)
        picture = Picture(self.triggers, shows, self.camera_counter, arrives_ms + self.overtaken_ms, latency_ms)
        self.overtaken_ms = 0
        if self.lose:
            self.lose -= 1
            return None
        self.way += [picture] * (2 if self.repeat else 1)
        self.repeat = max(0, self.repeat - 1)
        self.way.sort(key=lambda one: one.arrives_ms)
        return picture

    def ignore(self) -> None:
        """A trigger is not heard."""
        self.camera_counter += self.counts_triggers

    # The line

    def step(self, now_ms: int, bridge: Handshake) -> bool:
        """What has come until now goes to the bridge; returns whether something that the PLC waits for."""
        self.now_ms = now_ms
        if self.state == "starting":
            self.way.clear()
            return self._beat(bridge)
        while self.way and self.way[0].arrives_ms <= now_ms:
            self._count(self.way.pop(0))
        if now_ms >= self.look_ms:
            self.look_ms = now_ms + LOOK_MS
            self.numbers.begin_what_was_asked()
        urgent = self._give_verdicts(bridge)
        return self._beat(bridge) or urgent

    def _count(self, picture: Picture) -> None:
        counted = self.counter.advance(picture.counted)
        if counted is None:
            return  # older than the newest
        number = self.offset + self.counter.number
        for lost in range(number - counted.missing, number):
            self._take(lost, None, None)
        self._take(number, picture, counted.recount)

    def _take(self, frame: int, picture: Picture | None, recount: str | None) -> None:
        part = self.numbers.number(frame, recount)
        self.pictures[part.epoch & U32, part.id] = picture
        latency_ms = picture.latency_ms if picture else 0
        self.jobs.append(Job(part, picture, self.now_ms + latency_ms, self.now_ms + self.deadline_ms))

    def _give_verdicts(self, bridge: Handshake) -> bool:
        numbers, gave = self.numbers, False
        epoch = numbers.counted.epoch
        while self.jobs:
            job = self.jobs[0]
            reason = ReasonCode.NONE
            if job.part.epoch < epoch:
                reason = ReasonCode.MISCOUNTED
            elif job.deadline_ms < job.done_ms and self.now_ms >= job.deadline_ms:
                reason = ReasonCode.LATE
            elif self.now_ms < job.done_ms:
                break
            elif job.picture is None:
                reason = ReasonCode.NO_IMAGE
            elif not self._looks_good(job.picture):
                reason = ReasonCode.DEFECT
            self.jobs.popleft()
            numbers.follow(job.part.epoch)
            assert not numbers.doubt(job.part, job.part.frame)
            numbers.settle(job.part)
            self._give(bridge, job, reason)
            gave = True
        numbers.follow(epoch)
        return gave

    def _looks_good(self, picture: Picture) -> bool:
        return self.simulated or picture.shows is None or picture.shows.good  # an empty belt has no fault

    def _give(self, bridge: Handshake, job: Job, reason: ReasonCode) -> None:
        verdict = REJECT if reason else PASS
        until_ms = self.now_ms + REJECT_SHOWN_MS if reason else job.deadline_ms + HANDOVER_MS
        slot = Slot(job.part.epoch & U32, job.part.id, verdict, int(reason), 0.5, 1)
        self.given = [*self.given[-50:], (slot, until_ms)]
        if self.heard and not (job.picture and job.picture.latency_ms < 0):
            bridge.take(slot, until_ms)
        else:
            bridge.missed()

    def _beat(self, bridge: Handshake) -> bool:
        """A heartbeat, if one is due or a picture has come; returns whether the PLC waits for it."""
        settled, seen = self.numbers.settled, self.numbers.seen
        count = settled.epoch & U32, seen
        if not self.heard or (self.now_ms < self.beat_ms and count == bridge.counted):
            return False
        before = bridge.counted
        self.beat_ms = self.now_ms + round(HEARTBEAT_PERIOD_S * 1000)
        bridge.follow(count[0], settled.id, seen)
        self.heard_ms = self.now_ms
        return bridge.counted != before

    heard_ms: int = field(default=0, init=False)
