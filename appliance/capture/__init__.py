"""Cameras: the port, and one file for each kind beside it.

A camera whose vendor's library could hang or crash runs in a process of its own (`process.py`), watched by `supervised.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from appliance.config.line import Line
from engines.common.errors import UserError
from engines.common.extras import import_for
from engines.common.geometry import Pixels


class CameraError(UserError):
    """The camera cannot be used as it is configured."""


class CameraLostError(CameraError):
    """The camera is absent, taken by another, or does not answer any more: worth another try."""


class EndOfFrames(Exception):  # noqa: N818 - the end of a recording is no error
    """A replay has played its last frame."""


def _keep() -> None:
    """A picture in memory of our own goes with its last reader: there is nothing to give back."""


@dataclass(slots=True)
class Frame:
    """What one trigger brought: a picture, or the reason why there is none.

    ``image`` is (H, W) grey or (H, W, 3) RGB uint8, possibly in the driver's own buffer: valid until ``release`` is called.
    """

    number: int  # the camera's frame number, counted on without wrapping
    captured_ns: int  # monotonic clock: when it was triggered, where that is done here; else when the picture was here
    camera_time: int  # the camera's own clock, in its ticks; 0 where it has none
    image: Pixels | None
    fault: str | None = None
    source: str | None = None  # file of a replayed frame
    silent: bool = False  # the camera sent nothing at all for it
    release: Callable[[], None] = field(default=_keep)


CameraState = Literal["here", "silent", "gone"]  # silent: may be back at once, or be given up; gone: tried again


class Camera(Protocol):
    """One camera of one line; used by one thread at a time, except `Frame.release`."""

    simulated: bool  # the pictures are not of real parts
    patient: bool  # its next picture may wait until there is room for it: no part moves on meanwhile

    @property
    def state(self) -> CameraState:
        """Whether pictures can be expected."""

    def open(self) -> None:
        """Connect, apply the configured features, start to grab. Raises CameraError."""

    def grab(self, timeout_s: float) -> list[Frame]:
        """The next frames, oldest first: usually one; after a gap one without image for each missing; none on timeout.

        Raises CameraLostError when the camera was lost, EndOfFrames when a replay is over.
        """

    def stop(self) -> list[Frame]:
        """Stop grabbing; returns frames that were already taken but not fetched."""

    def close(self) -> None:
        """Let the camera go; safe to call twice and before `open`."""


_CAMERAS = {  # kind in the line file: module with `connect(line, frame_size) -> Camera`
    "aravis": "appliance.capture.aravis_camera",
    "pylon": "appliance.capture.pylon_camera",
    "replay": "appliance.capture.replay_camera",
}


def make_camera(line: Line, frame_size: tuple[int, int]) -> Camera:
    """The line's camera in this process, not opened yet; ``frame_size`` is the recipe's (width, height).

    Raises CameraError when a library is missing for its kind.
    """
    kind = str(line.config.camera.__struct_config__.tag)
    # Imported here: a process loads only its own camera's library.
    camera: Camera = import_for(f'camera.kind = "{kind}"', _CAMERAS[kind], CameraError).connect(line, frame_size)
    return camera
