"""A camera that plays pictures from a folder or a video file at a given rate."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
from msgspec import Meta

from appliance.capture import CameraError, CameraState, EndOfFrames, Frame
from appliance.config.camera import AnyCameraConfig
from engines.common.errors import ImageError

if TYPE_CHECKING:
    from engines.pictures.geometry import Pixels

MOST_KEPT_BYTES = 64 << 20


class Picture(NamedTuple):
    """One picture of a source, or why there is none."""

    source: str
    image: Pixels | None
    fault: str | None


class Config(
    AnyCameraConfig,
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="replay",
    kw_only=True,
):
    """Pictures from a folder (and its subfolders, in path order) or a video file, instead of a camera."""

    source: Annotated[Path, Meta(description="folder or video file")]
    rate: Annotated[float, Meta(ge=0, le=10_000, description="parts a second; 0: as fast as they are taken")] = 10.0
    loop: Annotated[bool, Meta(description="begin again at the end")] = False
    resize: Annotated[bool, Meta(description="resize each picture to the recipe's frame; else another size is a reject")] = (
        False
    )


class ReplayCamera:
    """Plays each picture when it is due; a damaged file is a frame without picture, not a gap."""

    simulated = True
    channels: int | None = None
    state: CameraState = "here"

    def __init__(self, config: Config, line_file: Path, frame_size: tuple[int, int] | None) -> None:
        """``frame_size`` (width, height) is what pictures are resized to, where that is asked for; None: not known yet."""
        self._config, self._line_file, self._source = config, line_file, config.source
        self._frame_size = frame_size if config.resize else None
        self._pictures: Iterator[Picture] = iter(())
        self._period = 1.0 / config.rate if config.rate else 0.0
        self.patient = not config.rate
        self._due = 0.0
        self._number = 0

    def open(self) -> None:
        """See `Camera.open`."""
        from engines.pictures.images import SUFFIXES

        if self._source.is_dir():
            files = sorted(file for file in self._source.rglob("*") if file.suffix.lower() in SUFFIXES)
            if not files:
                raise CameraError(
                    f"{self._line_file}: {self._source}: no picture to replay; set camera.source to a folder of pictures or "
                    "a video file"
                )
            self._pictures = self._folder(files)
        elif self._source.is_file():
            self._pictures = self._video()
        else:
            raise CameraError(f"{self._line_file}: {self._source}: no such folder or video file; correct camera.source")
        self._due = time.monotonic()

    def grab(self, timeout_s: float) -> list[Frame]:
        """See `Camera.grab`."""
        wait = self._due - time.monotonic()
        if wait > timeout_s:
            time.sleep(timeout_s)
            return []
        if wait > 0:
            time.sleep(wait)
        try:
            source, image, fault = next(self._pictures)
        except StopIteration:
            raise EndOfFrames from None
        # Due times follow the schedule, not this call: a line that lags is not given easier work.
        self._due += self._period
        self._number += 1
        return [Frame(self._number, time.monotonic_ns(), 0, image, fault, source)]

    def stop(self) -> list[Frame]:
        """See `Camera.stop`."""
        return []

    def close(self) -> None:
        """See `Camera.close`."""
        self._pictures = iter(())

    def _folder(self, files: list[Path]) -> Iterator[Picture]:
        kept: dict[Path, Picture] = {}  # a line in a loop is to show its own speed, not that of decoding files
        kept_bytes = 0
        while True:
            for file in files:
                picture = kept.get(file) or self._read(file)
                size = 0 if picture.image is None else picture.image.nbytes
                if self._config.loop and file not in kept and kept_bytes + size <= MOST_KEPT_BYTES:
                    kept[file] = picture
                    kept_bytes += size
                yield picture
            if not self._config.loop:
                return

    def _read(self, file: Path) -> Picture:
        from engines.pictures.images import read_image

        source = str(file.relative_to(self._source))
        try:
            return Picture(source, self._sized(read_image(file)), None)
        except ImageError as error:
            return Picture(source, None, str(error))

    def _video(self) -> Iterator[Picture]:
        import cv2
        import numpy as np

        while True:
            video = cv2.VideoCapture(str(self._source))
            try:
                for index in itertools.count():
                    more, image = video.read()
                    if not more:
                        break
                    rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
                    yield Picture(f"{self._source.name}#{index}", self._sized(rgb), None)
            finally:
                video.release()
            if index == 0:
                raise CameraError(
                    f"{self._line_file}: {self._source}: no frame can be read from this file; "
                    "set camera.source to a video that OpenCV can decode"
                )
            if not self._config.loop:
                return

    def _sized(self, image: Pixels) -> Pixels:
        if self._frame_size is None or image.shape[:2] == self._frame_size[::-1]:
            return image
        import cv2
        import numpy as np

        return np.asarray(cv2.resize(image, self._frame_size, interpolation=cv2.INTER_AREA), np.uint8)


def connect(config: Config, file: Path, frame_size: tuple[int, int] | None, _deadline_ms: int) -> ReplayCamera:
    """The replay of a line."""
    return ReplayCamera(config, file, frame_size)
