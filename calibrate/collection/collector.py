"""Golden samples from a line's camera: each picture checked, and written whole under a name of its own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import cv2

from appliance.capture import Camera, EndOfFrames, Frame, make_camera
from appliance.capture.supervised import SupervisedCamera
from appliance.config.camera import CameraConfig
from appliance.config.line import Line
from calibrate.collection.picture_checks import Checks, Looks, Reason, Refusal, look_at
from calibrate.pages.contact_sheet import shrink
from engines.common.errors import ConfigError, ImageError
from engines.common.files import write_file
from engines.pictures.geometry import Pixels
from engines.pictures.images import list_images, read_image
from engines.recipe.bundle import MANIFEST, load_recipe

GRAB_TIMEOUT_S = 0.1  # how often a quiet camera lets us look whether to stop
# (width, height) that a picture's place in the memory shared with the camera's process has room for: more than the largest
# sensors have, whatever a recipe says, so that a wrong size is seen as that.  Memory is taken only where a picture is written.
LARGEST_FRAME = (16_384, 16_384)
# Lossless, and the fastest for a camera's noise, which has no strings that come again; parts do not wait.
FASTEST_PNG = (
    cv2.IMWRITE_PNG_COMPRESSION, 1,
    cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
    cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG,
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A picture that was taken; with ``refusal`` it was kept in spite of that."""

    name: str
    looks: Looks
    thumbnail: Pixels
    refusal: Refusal | None = None


class Stop(Protocol):
    """Says whether to stop."""

    def is_set(self) -> bool:
        """Whether to stop now."""


class Notify(Protocol):
    """Takes what the camera has to tell."""

    def __call__(self, severity: str, text: str, kind: str = "") -> None:
        """Tell."""


def golden_folder(asked: Path | None, of_line: Path | None, file: Path) -> Path:
    """Where golden samples lie, by the option or else the line's file. Raises ConfigError when neither says it."""
    folder = asked or of_line
    if folder is None:
        raise ConfigError(f'{file}: golden: no folder is named; add golden = "../golden/NAME", or give --golden DIR')
    return folder


def recipe_size(folder: Path) -> tuple[int, int] | None:
    """(width, height) that a recipe was made for; None while there is no recipe."""
    return load_recipe(folder).manifest.geometry.frame if (folder / MANIFEST).is_file() else None


@contextmanager
def opened_camera(line: Line, size: tuple[int, int] | None, notify: Notify) -> Iterator[Camera]:
    """The line's camera as the line itself uses it, grabbing until the block is left; ``size``: of the recipe, if there is one.

    One that is lost meanwhile is opened anew, which ``notify`` tells. Raises CameraError when it cannot be opened.
    """
    config = line.config.camera
    camera: Camera
    if isinstance(config, CameraConfig):
        supervised = camera = SupervisedCamera(
            config, line.file, line.config.decision.deadline_ms, line.config.engine.slots, notify, wait_for_it=False
        )
        supervised.frame_size = LARGEST_FRAME
    else:
        camera = make_camera(config, line.file, size, line.config.decision.deadline_ms)
    try:
        camera.open()
        yield camera
        for frame in camera.stop():
            _let_go(frame)
    finally:
        camera.close()


class Collection:
    """The golden samples taken in one go, and what was refused."""

    def __init__(self, folder: Path, line: str, wanted: int, keep_all: bool, size: tuple[int, int] | None) -> None:
        """``size``: (width, height) that the line's recipe was made for, if there is one."""
        self.folder, self.wanted, self.checks = folder, wanted, Checks(size)
        self._line, self._keep_all, self._of_recipe = line, keep_all, size is not None
        self._seen = False
        self.taken: list[Sample] = []
        self.refused: Counter[Reason] = Counter()
        self.last: Looks | None = None  # of the newest picture, taken or not

    @property
    def complete(self) -> bool:
        """Whether as many were taken as were wanted."""
        return len(self.taken) >= self.wanted

    def read_present(self, tell: Callable[[int, int], None], say: Callable[[str], None]) -> None:
        """Look at the pictures that the folder holds already: what is taken now is compared with them, too.

        Raises ImageError when there is no such folder.
        """
        files = list_images(self.folder)
        for done, file in enumerate(files, start=1):
            try:
                self.checks.keep(file.name, look_at(read_image(file)))
            except ImageError as error:
                say(f"not compared with: {error}")
            tell(done, len(files))

    def take(self, frame: Frame) -> Sample | Refusal:
        """Check a frame, and write it unless it is refused.

        Raises ImageError when the first picture has another size than the recipe or the folder's pictures, or when the file
        cannot be written.
        """
        if frame.image is None:
            return self._refuse(Refusal("no-picture", frame.fault or "the camera gave none"))
        looks = look_at(frame.image)
        self.last = looks
        if not self._seen and self.checks.size not in (None, looks.size):
            raise self._wrong_size(looks.size)
        self._seen = True
        refusal = self.checks.refuse(looks)
        if refusal is not None and not self._keep_all:
            return self._refuse(refusal)
        sample = Sample(self._write(frame.image, frame.captured_ns), looks, shrink(frame.image), refusal)
        self.taken.append(sample)
        if refusal is None:
            self.checks.keep(sample.name, looks)
        else:
            self.refused[refusal.reason] += 1
        return sample

    def doubtful(self) -> dict[str, Refusal]:
        """Of the samples taken, those that stand out now that all are known."""
        names = {sample.name for sample in self.taken}
        return {name: refusal for name, refusal in self.checks.doubtful().items() if name in names}

    def _refuse(self, refusal: Refusal) -> Refusal:
        self.refused[refusal.reason] += 1
        return refusal

    def _write(self, image: Pixels, captured_ns: int) -> str:
        """Write a picture under the line's name and the UTC time of capture, to the millisecond. Returns the file's name."""
        wall_ms = (time.time_ns() - (time.monotonic_ns() - captured_ns)) // 1_000_000
        while True:
            moment = datetime.fromtimestamp(wall_ms // 1000, UTC)
            file = self.folder / f"{self._line}-{moment:%Y%m%d-%H%M%S}-{wall_ms % 1000:03d}.png"
            if not file.exists():
                break
            wall_ms += 1
        done, png = cv2.imencode(".png", image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR), FASTEST_PNG)
        if not done:
            raise ImageError(f"{file}: a picture of {image.shape[1]} x {image.shape[0]} pixels cannot be written as PNG")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_file(file, png.tobytes())
        except OSError as error:
            raise ImageError(
                f"{file}: cannot be written ({error.strerror or error}); make room or name another folder with --golden, "
                "then run the same command again"
            ) from error
        return file.name

    def _wrong_size(self, size: tuple[int, int]) -> ImageError:
        assert self.checks.size is not None, "compared with it"
        whose = "the line's recipe was made for" if self._of_recipe else f"the pictures in {self.folder} have"
        mend = "name a recipe that is to be made" if self._of_recipe else "name another folder with --golden"
        return ImageError(
            f"the camera gives {size[0]} x {size[1]} pixels, {whose} {self.checks.size[0]} x {self.checks.size[1]}: "
            f"set Width and Height in camera.features, or {mend}"
        )


def collect(camera: Camera, collection: Collection, stop: Stop, tell: Callable[[Sample | Refusal | None], None]) -> str:
    """Take frames until the collection is complete. Returns why it is not, or "" when it is.

    ``tell`` hears of each frame, and with None that there was none for a moment.
    """
    while not collection.complete:
        if stop.is_set():
            return "stopped"
        try:
            frames = camera.grab(GRAB_TIMEOUT_S)
        except EndOfFrames:
            return "the replay is over"
        if not frames:
            tell(None)
        for frame in frames:
            try:
                if not collection.complete:
                    tell(collection.take(frame))
            finally:
                _let_go(frame)
    return ""


def _let_go(frame: Frame) -> None:
    frame.image = None  # before the buffer goes back
    frame.release()
