"""The table `[camera]` of a line's file: one struct for each kind of camera."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Rate = Annotated[float, Meta(ge=0, le=10_000, description="parts a second; 0: as fast as they are taken")]
FeatureValue = bool | int | float | str


class CameraConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every camera has that is none of this box's files."""

    serial: str | None = None
    ip: str | None = None
    trigger: Literal["hardware", "software", "free"] = "hardware"
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
    buffers: Annotated[int, Meta(ge=4, le=256, description="pictures that the driver can hold")] = 16
    features: Annotated[dict[str, FeatureValue], Meta(description="GenICam features, set in this order at each open")] = {}

    def __post_init__(self) -> None:
        """Refuse a counter of triggers that do not come from outside."""
        if self.trigger_counter is not None and self.trigger != "hardware":
            raise ValueError('trigger_counter goes with trigger = "hardware": all others are counted here')

    @property
    def stall_s(self) -> float:
        """Seconds without a picture that count as a stall; infinite where a line that stands still is no fault."""
        if self.stall_ms is not None:
            return self.stall_ms / 1e3
        return {"software": 3 * self.timeout_ms / 1e3, "free": 2.0, "hardware": math.inf}[self.trigger]

    @property
    def all_features(self) -> dict[str, FeatureValue]:
        """The trigger's features, then the file's own; drivers change the trigger when they open a camera."""
        trigger: dict[str, FeatureValue] = {"TriggerSelector": "FrameStart"}
        if self.trigger == "free":
            return trigger | {"TriggerMode": "Off"} | self.features
        source = "Software" if self.trigger == "software" else self.trigger_source
        return trigger | {"TriggerMode": "On", "TriggerSource": source} | self.features

    @property
    def counted(self) -> bool:
        """Whether triggers are known here also while the camera is gone."""
        return self.trigger == "software"

    @property
    def identity(self) -> str:
        """What the camera is found by, in words."""
        return f"serial {self.serial}" if self.serial else f"ip {self.ip}" if self.ip else "(any)"


class PylonConfig(CameraConfig, frozen=True, forbid_unknown_fields=True, tag="pylon", tag_field="kind", kw_only=True):
    """A Basler camera, GigE or USB; identified by at most one of serial, ip and name, else the only one there is."""

    name: Annotated[str | None, Meta(description="the user-defined name stored in the camera")] = None

    def __post_init__(self) -> None:
        """Refuse two identities, too."""
        super().__post_init__()
        if sum(identity is not None for identity in (self.serial, self.ip, self.name)) > 1:
            raise ValueError("give only one of serial, ip and name")

    @property
    def identity(self) -> str:
        """What the camera is found by, in words."""
        return f"name {self.name}" if self.name else super().identity


class AravisConfig(CameraConfig, frozen=True, forbid_unknown_fields=True, tag="aravis", tag_field="kind", kw_only=True):
    """Any GigE Vision or USB3 Vision camera, through Aravis; identified by serial or ip, else the only one there is."""

    def __post_init__(self) -> None:
        """Refuse two identities, too."""
        super().__post_init__()
        if self.serial is not None and self.ip is not None:
            raise ValueError("give only one of serial and ip")


class ReplayConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="replay", tag_field="kind", kw_only=True):
    """Pictures from a folder (and its subfolders, in path order) or a video file, instead of a camera."""

    source: Annotated[Path, Meta(description="folder or video file")]
    rate: Rate = 10.0
    loop: bool = False
    resize: Annotated[bool, Meta(description="resize each picture to the recipe's frame; else another size is a reject")] = (
        False
    )


AnyCameraConfig = PylonConfig | AravisConfig | ReplayConfig
