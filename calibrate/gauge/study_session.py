"""A gauge study taken by hand: each part placed before the line's camera again and again, the line itself stopped.

All parts once, then all of them again: so every repeat places the part anew, and what drifts meanwhile (light that warms up)
counts as the gauge's variation, not as a difference of parts.  Each frame is kept as soon as it is there; an interrupted study
goes on where it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from appliance.capture import Camera, EndOfFrames, Frame, make_camera
from appliance.capture.owner import owned
from appliance.config.camera import Trigger
from appliance.config.line import Line
from calibrate.gauge.study_pictures import ONE, TRUTH_FILE, Gauge, Take
from engines.common.errors import ConfigError, ImageError
from engines.common.files import write_file
from engines.pictures.geometry import Pixels
from engines.pictures.images import png_bytes, read_image

GRAB_S = 0.2
AGAIN = "r"  # typed before Enter: the last take was no good


class Plan(NamedTuple):
    """How many parts and repeats, and where their frames are kept."""

    parts: int
    repeats: int
    folder: Path

    def part(self, index: int) -> str:
        """A part's name, which is its folder's, too."""
        return f"part-{index + 1:02d}"

    def file(self, part: int, repeat: int) -> Path:
        """Where a frame is kept."""
        return self.folder / self.part(part) / f"take-{repeat + 1:02d}.png"

    @property
    def names(self) -> list[str]:
        """Of all parts."""
        return [self.part(index) for index in range(self.parts)]

    @property
    def order(self) -> list[tuple[int, int]]:
        """Part and repeat of each take, in the order in which they are taken."""
        return [(part, repeat) for repeat in range(self.repeats) for part in range(self.parts)]

    def prepare(self, truth: Path | None) -> list[tuple[int, int]]:
        """Make the folder, with the truth in it; returns the takes that are still to be taken.

        Raises ConfigError when the folder holds other pictures, or the whole study.
        """
        expected = {self.file(*take) for take in self.order}
        others = sorted(file for file in self.folder.rglob("*.png") if not file.name.startswith(".") and file not in expected)
        if others:
            raise ConfigError(f"{self.folder}: holds other pictures ({others[0].name}); give a folder of its own with --keep")
        left = [take for take in self.order if not self.file(*take).exists()]
        if not left:
            raise ConfigError(
                f"{self.folder}: holds a whole study; read it with --folder {self.folder}, or take another one with --keep DIR"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if truth is not None and truth.resolve() != (self.folder / TRUTH_FILE).resolve():
            shutil.copyfile(truth, self.folder / TRUTH_FILE)
        return left


def take_study(
    gauge: Gauge, line: Line, plan: Plan, truth: Path | None, ask: Callable[[str], str], say: Callable[[str], None]
) -> tuple[list[Take], bool]:
    """Guide a person through the takes; returns them by part and repeat, and whether the camera was simulated.

    ``ask`` shows a prompt and returns what was typed.  Raises UserError kinds; what was taken until then is kept.
    """
    left = plan.prepare(truth)
    total = plan.parts * plan.repeats
    takes = {one: _measured(gauge, plan, one, read_image(plan.file(*one))) for one in plan.order if one not in left}
    if takes:
        say(f"{len(takes)} of {total} takes are in {plan.folder} already: going on")
    frame, deadline_ms = gauge.recipe.manifest.geometry.frame, line.config.decision.deadline_ms
    camera = make_camera(line.config.camera, line.file, frame, deadline_ms)
    with owned(line.name, line.config.publish, line.file):
        try:
            camera.open()
            at = 0
            while at < len(left):
                part, repeat = left[at]
                again = ", or r and Enter to repeat the last take" if at else ""
                what = f"part {part + 1} of {plan.parts}, take {repeat + 1} of {plan.repeats}"
                typed = ask(f"{what}: place it{' anew' if repeat else ''} and press Enter{again} ").strip().lower()
                if typed == AGAIN and at:
                    at -= 1
                    continue
                image, fault = _picture(camera, line.config.camera.trigger, say)
                if image is None:
                    say(f"no picture: {fault}; once more")
                    continue
                took = _measured(gauge, plan, (part, repeat), image)
                _keep(plan.file(part, repeat), image)
                takes[part, repeat] = took
                say(f"  score {took.score:.4g}, {'pass' if took.passed else 'reject'}")
                at += 1
        except EndOfFrames:
            raise ImageError(f"the replay has no more pictures; the study needs {total}: correct camera.source") from None
        finally:
            _let_go(camera)
            if 0 < len(takes) < total:
                say(f"{len(takes)} of {total} takes are kept in {plan.folder}; the same command goes on from there")
    return [takes[one] for one in sorted(takes)], camera.simulated


def _measured(gauge: Gauge, plan: Plan, take: tuple[int, int], image: Pixels) -> Take:
    return gauge.take(plan.part(take[0]), ONE, plan.file(*take).name, image)


def _picture(camera: Camera, trigger: Trigger | None, say: Callable[[str], None]) -> tuple[Pixels | None, str]:
    """A copy of the next trigger's picture, or why there is none; what came before now is left out."""
    while trigger in ("hardware", "free") and (old := camera.grab(0)):
        _release(old)
    waits = trigger == "hardware"
    while not (frames := camera.grab(GRAB_S)):
        if waits:
            say("  waiting for the trigger")
            waits = False
    newest = frames[-1]
    image = None if newest.image is None else np.array(newest.image)
    fault = newest.fault or "the camera gave none"
    _release(frames)
    return image, fault


def _release(frames: list[Frame]) -> None:
    for frame in frames:
        frame.image = None
        frame.release()


def _keep(file: Path, image: Pixels) -> None:
    try:
        file.parent.mkdir(exist_ok=True)
        write_file(file, png_bytes(image))
    except OSError as error:
        raise ImageError(
            f"{file}: cannot be written ({error.strerror or error}); make room, then run the same command again"
        ) from error


def _let_go(camera: Camera) -> None:
    try:
        _release(camera.stop())
    finally:
        camera.close()
