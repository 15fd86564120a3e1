"""The table `[camera]` of a line's file: which kinds there are, and what they have in common.

The struct of each kind stands in its own module, beside what it describes.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from engines.common.typed_toml import KindTable

CAMERAS = {  # kind: module with the struct of its table and `connect`; see `appliance.capture`
    "aravis": "appliance.capture.aravis_camera",
    "pylon": "appliance.capture.pylon_camera",
    "replay": "appliance.capture.replay_camera",
    "simulated": "appliance.capture.simulated_camera",
}
NO_TRIGGERS = ("frameid", "framecounter", "timestamp", "blockid")  # in the name of a chunk that counts no triggers
Trigger = Literal["hardware", "software", "free"]
FeatureValue = bool | int | float | str


class AnyCameraConfig(KindTable):
    """The table `[camera]` of whichever kind, and what is asked of it."""

    key = "camera"
    kinds = CAMERAS
    by_network: ClassVar[bool] = False  # whether pictures may come over a network of this box

    @property
    def trigger(self) -> Trigger | None:
        """What makes the camera take a picture; None where there are no parts to take one of."""
        return None

    @property
    def counted(self) -> bool:
        """Whether triggers are known here also while the camera is gone."""
        return True

    @property
    def parts_apart_s(self) -> float:
        """The shortest time between two parts that an outside trigger is for, in seconds; 0 where it is not stated."""
        return 0.0

    @property
    def stall_s(self) -> float:
        """Seconds without a picture that count as a stall; infinite where a line that stands still is no fault."""
        return math.inf


class CameraConfig(AnyCameraConfig, msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """What every camera has that takes pictures of parts; a vendor's library drives it, in a process of its own."""

    by_network = True

    serial: Annotated[str | None, Meta(description="serial number of the camera that is meant")] = None
    ip: Annotated[str | None, Meta(description="or its address; without any of these: the only camera there is")] = None
    trigger: Annotated[
        Trigger, Meta(description="what takes a picture: an input of the camera, this box at `rate`, or nothing")
    ] = "hardware"
    trigger_source: Annotated[str, Meta(description="camera input of the hardware trigger")] = "Line1"
    rate: Annotated[float, Meta(gt=0, le=10_000, description="software triggers a second")] = 10.0
    timeout_ms: Annotated[
        int, Meta(ge=10, le=60_000, description="from software trigger to picture, if the deadline is not sooner")
    ] = 1_000
    stall_ms: Annotated[
        Annotated[int, Meta(ge=100, le=3_600_000)] | None,
        Meta(description="longest pause between two pictures; after it the camera is opened anew"),
    ] = None
    trigger_counter: Annotated[
        str | None, Meta(description="chunk by which the camera numbers hardware triggers, also those that it ignored")
    ] = None
    spacing_ms: Annotated[
        Annotated[int, Meta(ge=1, le=3_600_000)] | None,
        Meta(description="shortest time between two parts; hardware triggers without `trigger_counter` need it"),
    ] = None
    buffers: Annotated[int, Meta(ge=4, le=256, description="pictures that the driver can hold")] = 16
    features: Annotated[
        dict[str, FeatureValue], Meta(description="GenICam features, set in this order at each open; then the trigger")
    ] = {}

    def __post_init__(self) -> None:
        """Refuse a counter of triggers that do not come from outside."""
        if self.trigger_counter is not None and self.trigger != "hardware":
            raise ValueError('trigger_counter goes with trigger = "hardware": all others are counted here')
        if any(word in (self.trigger_counter or "").lower() for word in NO_TRIGGERS):
            raise ValueError(
                f'trigger_counter = "{self.trigger_counter}" counts pictures or time, and no trigger that the camera ignores; '
                "name the chunk of a counter of the trigger's input"
            )

    @property
    def parts_apart_s(self) -> float:
        """See `AnyCameraConfig.parts_apart_s`."""
        return (self.spacing_ms or 0) / 1e3 if self.trigger == "hardware" else 0.0

    @property
    def stall_s(self) -> float:
        """See `AnyCameraConfig.stall_s`."""
        if self.stall_ms is not None:
            return self.stall_ms / 1e3
        return {"software": 3 * self.timeout_ms / 1e3, "free": 2.0, "hardware": math.inf}[self.trigger]

    @property
    def trigger_features(self) -> dict[str, tuple[str, str]]:
        """The trigger's features, in the order in which they are set: value, and the key in the file that asks for it."""
        selected = {"TriggerSelector": ("FrameStart", "camera.trigger")}
        if self.trigger == "free":
            return selected | {"TriggerMode": ("Off", "camera.trigger")}
        source = (
            ("Software", "camera.trigger") if self.trigger == "software" else (self.trigger_source, "camera.trigger_source")
        )
        return selected | {"TriggerMode": ("On", "camera.trigger"), "TriggerSource": source}

    @property
    def counted(self) -> bool:
        """See `AnyCameraConfig.counted`."""
        return self.trigger == "software"

    @property
    def identity(self) -> str:
        """What the camera is found by, in words."""
        return f"serial {self.serial}" if self.serial else f"ip {self.ip}" if self.ip else "(any)"
