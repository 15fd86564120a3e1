"""Showing a line what is known: pictures from two folders, or parts under its camera; each goes the very path of its parts."""

from __future__ import annotations

import hashlib
import math
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from appliance.capture import Camera, CameraError, Frame, make_camera
from appliance.capture.owner import owned
from appliance.config.camera import CameraConfig
from appliance.config.line import Line
from appliance.config.records import ChallengeConfig
from appliance.line.challenge_watch import conditions_of
from appliance.line.offline import through
from appliance.line.picture_kind import need_kind
from appliance.line.pipeline import Job
from appliance.line.recipe_at_work import LoadedRecipe
from appliance.messages.clock import utc_now
from appliance.messages.schema import VerdictName
from appliance.records.challenge_record import Challenge, Shown, sign
from engines.common.errors import ConfigError, ImageError
from engines.pictures.images import decode_image, list_images, read_content

GRAB_S = 0.1
MOST_FAULTS = 3  # pictures that the camera fails to give of one part
Ask = Callable[[str, bool], None]  # tells a person what to do; True: and waits until it is done


class Known(NamedTuple):
    """What is shown, and what must come of it."""

    name: str
    expected: VerdictName
    sha256: str


def known_pictures(config: ChallengeConfig | None, file: Path) -> list[tuple[Path, VerdictName]]:
    """The pictures that the line's ``file`` names. Raises ConfigError or ImageError when good or bad ones are missing."""
    if config is None or config.good is None or config.bad is None:
        raise ConfigError(
            f'{file}: challenge: no known pictures are named; add [challenge] with good = "DIR" and bad = "DIR", '
            "or show the line's camera known parts: --parts"
        )
    found: list[tuple[Path, VerdictName]] = []
    sides: tuple[tuple[str, Path, VerdictName], ...] = (("good", config.good, "pass"), ("bad", config.bad, "reject"))
    for key, folder, expected in sides:
        files = list_images(folder)
        if not files:
            raise ConfigError(f"{file}: challenge.{key}: no picture in {folder}; put some there that are known")
        found += [(file, expected) for file in files]
    return found


def show_pictures(loaded: LoadedRecipe, pictures: Sequence[tuple[Path, VerdictName]]) -> Iterator[Shown]:
    """Each picture's outcome, in order; also while the line runs: by an engine of its own."""
    waiting: deque[Known] = deque()

    def frames() -> Iterator[Frame]:
        for number, (file, expected) in enumerate(pictures, start=1):
            content = read_content(file)
            image, fault = None, None
            try:
                image = decode_image(content, str(file))
            except ImageError as error:
                fault = str(error)
            waiting.append(Known(f"{file.parent.name}/{file.name}", expected, hashlib.sha256(content).hexdigest()))
            yield Frame(number, time.monotonic_ns(), 0, image, fault, file.name)

    return through(loaded, frames(), lambda job: _outcome(job, waiting.popleft()), loaded.slots)


def show_parts(line: Line, loaded: LoadedRecipe, each: int, ask: Ask) -> Iterator[Shown]:
    """Guide a person through ``each`` known good parts and as many bad ones; each part's outcome.

    Raises ConfigError while the line runs, CameraError when its camera cannot be used.
    """
    config = line.config.camera
    if not isinstance(config, CameraConfig):
        raise ConfigError(f"{line.file}: camera: a replay sees no parts; name folders of pictures in [challenge]")
    waiting: deque[Known] = deque()

    def frames(camera: Camera) -> Iterator[Frame]:
        sides: tuple[tuple[str, VerdictName], ...] = (("good", "pass"), ("bad", "reject"))
        for kind, expected in sides:
            for i in range(1, each + 1):
                frame = _picture_of_part(camera, config, ask, f"known {kind} part {i} of {each}")
                assert frame.image is not None, "seen to there"
                digest = hashlib.sha256(np.ascontiguousarray(frame.image).data).hexdigest()
                waiting.append(Known(f"{kind} part {i}", expected, digest))
                yield frame

    made = make_camera(config, line.file, loaded.geometry.frame, line.config.decision.deadline_ms)
    with owned(line.name, line.config.publish, line.file), _opened(made) as camera:
        need_kind(camera.channels, loaded.geometry, line.file)
        yield from through(loaded, frames(camera), lambda job: _outcome(job, waiting.popleft()), in_flight=1)


def take(
    journal: Path, loaded: LoadedRecipe, outcomes: Iterator[Shown], kind: str, by: str, note: str, tell: Callable[[Shown], None]
) -> Challenge:
    """Wait for all outcomes, each told as it comes; returns the record that is to be signed.

    Whoever breaks off after something came out wrong has failed the challenge: that is signed here, and then raised.
    """
    shown: list[Shown] = []
    try:
        for one in outcomes:
            shown.append(one)
            tell(one)
    except BaseException:
        if not all(one.right for one in shown):
            sign(journal, _record(loaded, shown, kind, by, f"broken off. {note}".strip()))
        raise
    return _record(loaded, shown, kind, by, note)


def _record(loaded: LoadedRecipe, shown: list[Shown], kind: str, by: str, note: str) -> Challenge:
    return Challenge(
        time=utc_now(),
        by=by,
        note=note,
        machine=platform.node(),
        conditions=conditions_of(loaded),
        kind=kind,
        passed=bool(shown) and all(one.right for one in shown),
        shown=tuple(shown),
    )


def _outcome(job: Job[LoadedRecipe], known: Known) -> Shown:
    decider = job.station.decider
    verdict = decider.verdict(job, job.station.line, 0, 1, simulated=False)
    judgement = None
    if job.slot is not None and verdict.score is not None:
        judgement = decider.judge(job.slot.frame_map, job.slot.scores)
    over = math.nan if judgement is None else judgement.margin()
    # Good parts have what is left up to the limit, bad ones what they are beyond it.
    margin = None if not math.isfinite(over) else 1 - over if known.expected == "pass" else over - 1
    return Shown(
        known.name,
        known.sha256,
        known.expected,
        verdict.verdict,
        verdict.reason,
        verdict.detail,
        verdict.score,
        verdict.threshold,
        margin,
    )


@contextmanager
def _opened(camera: Camera) -> Iterator[Camera]:
    with closing(camera):
        camera.open()
        try:
            yield camera
        finally:
            for frame in camera.stop():
                frame.release()


def _picture_of_part(camera: Camera, config: CameraConfig, ask: Ask, part: str) -> Frame:
    """The first picture of a part that the person has put there; what the camera saw before is let go."""
    if config.trigger == "hardware":
        _let_go(camera, config)
        ask(f"put a {part} under the camera; its trigger takes the picture", False)
    else:
        ask(f"put a {part} under the camera", True)
    if config.trigger == "free":
        _let_go(camera, config)
    faults = 0
    while True:
        for i, frame in enumerate(frames := camera.grab(GRAB_S)):
            if frame.image is not None:
                for later in frames[i + 1 :]:
                    later.release()
                return frame
            faults += 1
            if faults == MOST_FAULTS:
                raise CameraError(
                    f"camera {config.identity}: gives no picture of the part ({frame.fault}); see to it: inspect doctor"
                )
            ask(f"no picture ({frame.fault}), once more", False)


def _let_go(camera: Camera, config: CameraConfig) -> None:
    """Pictures that wait with the driver: as many as its buffers at most, in case new ones come as fast."""
    for _ in range(config.buffers):
        frames = camera.grab(0.0)
        for frame in frames:
            frame.release()
        if not frames:
            break
