"""Cameras: the port, and one file for each kind beside it.

A camera whose vendor's library could hang or crash runs in a process of its own (`process.py`), watched by `supervised.py`.

To add a camera:

1. Write one module with

       class Config(CameraConfig, frozen=True, forbid_unknown_fields=True, tag="mine", kw_only=True)
       def connect(config, file, frame_size, deadline_ms) -> Camera        (arguments: see `make_camera`)

   `Config` is the table `[camera]` with kind = "mine": what it adds to `appliance.config.camera.CameraConfig`, each field with
   its bounds and meaning.  Import the vendor's library, and whatever else is large, where it is used and not at the top:
   every command that reads a line's file imports this module.  What an extra brings stands in `engines.common.extras`.
2. Name the module in `CAMERAS` in `appliance/config/camera.py`.
3. Put it through the test kit: one more `Candidate` in `tests/appliance/capture/test_camera_kit.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from appliance.config.camera import AnyCameraConfig
from engines.common.errors import UserError

if TYPE_CHECKING:
    from engines.pictures.geometry import Pixels


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
    captured_ns: int  # monotonic clock: when it was triggered, where that is done here; else when it was taken, or read
    camera_time: int  # the camera's own clock, in its ticks; 0 where it has none
    image: Pixels | None
    fault: str | None = None
    source: str | None = None  # file of a replayed frame
    silent: bool = False  # the camera sent nothing at all for it
    recount: str | None = None  # why parts must be counted anew from this frame on: the camera's count cannot be trusted
    release: Callable[[], None] = field(default=_keep)


CameraState = Literal["here", "silent", "gone"]  # silent: may be back at once, or be given up; gone: tried again


class Camera(Protocol):
    """One camera of one line; used by one thread at a time, except `Frame.release`, which any thread may call.

    What every camera owes, and what the test kit tries:

    - Frames are numbered from 1 in the order of their triggers, without a gap; what is missing between two pictures (lost on
      the way, broken, never sent after its trigger) is a frame without ``image``, with ``fault``, of that number.
    - Numbers go on when the camera is closed and opened again.
    - A picture does not change until its frame is released; released buffers serve again, so that it never runs dry.
    - Times are of the monotonic clock, and do not go back.  A picture that waited in the driver is told by the camera's time
      stamp, in the time at which it was taken; it does not become younger by being read late.
    - A picture of a trigger of its own is that trigger's, or nobody's, however late it comes.
    - Where the camera's count breaks, or it cannot be told whose the pictures are, the next frame says so in ``recount``.
    - The trigger of the line's file is in force, and all features read back as they were set.
    - `grab` returns within its timeout; only a trigger of its own it sees through, to ``timeout_ms`` or the deadline.
    - Whatever the line's file asks that the camera has not, is a CameraError of one line that names file and key, and what
      there is instead; afterwards nothing is held.  What may be mended by trying again is a CameraLostError.
    """

    simulated: bool  # the pictures are not of real parts
    patient: bool  # its next picture may wait until there is room for it: no part moves on meanwhile
    channels: int | None  # of its pictures: 1 grey, 3 colour; None: not known before the first picture

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


def make_camera(config: AnyCameraConfig, file: Path, frame_size: tuple[int, int] | None, deadline_ms: int) -> Camera:
    """The camera of a line's table, in this process, not opened yet. Raises UserError kinds when its library is missing.

    ``file`` is the line's, for messages; ``frame_size`` the recipe's (width, height), None while there is no recipe; after
    ``deadline_ms`` from its trigger a picture is of no use.
    """
    camera: Camera = config.call("connect", file, frame_size, deadline_ms)
    return camera
