"""The line file, `<line>.toml`, as typed, frozen structs: bounds, units and meaning stand here (`[plc]`: config_plc.py).

Paths in a line file are relative to the folder that holds it.
"""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from appliance.config.plc import MAX_PORT, AnyPlcConfig
from engines.common.errors import ConfigError
from engines.common.line_file import LineRecipe, decode_toml, line_file, relative_to
from engines.recipe.sensitivity_changes import MOST

Rate = Annotated[float, Meta(ge=0, le=10_000, description="parts a second; 0: as fast as they are taken")]
Endpoint = Annotated[str, Meta(pattern=r"^(tcp://[^:/]+:\d{1,5}|ipc://.+)$", description="tcp://ADDRESS:PORT or ipc://FILE")]
FeatureValue = bool | int | float | str
INSECURE = "anyone on this network may read the verdicts and pretend to be this line"  # to be said in the line's file


def is_local(endpoint: str) -> bool:
    """Whether only this box can reach an endpoint."""
    host = endpoint.removeprefix("tcp://").rsplit(":", 1)[0]
    return endpoint.startswith("ipc://") or host == "localhost" or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


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

    source: str
    rate: Rate = 10.0
    loop: bool = False
    resize: Annotated[bool, Meta(description="resize each picture to the recipe's frame; else another size is a reject")] = (
        False
    )


class DecisionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a verdict is due, and how far an operator may move it."""

    deadline_ms: Annotated[int, Meta(ge=1, le=60_000, description="from software trigger, else the picture, to verdict")] = 500
    max_sensitivity: Annotated[
        float, Meta(ge=0, le=MOST, description="share that `inspect sensitivity` may lower or raise the thresholds by")
    ] = MOST


class PublishConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where verdicts are published. Beyond loopback and ipc, `keys` is needed, or the words of INSECURE."""

    verdicts: Endpoint = "tcp://127.0.0.1:5563"
    snapshot: Endpoint = "tcp://127.0.0.1:5564"
    keys: Annotated[str | None, Meta(description="folder of CURVE keys, made by `inspect keys`")] = None
    insecure: Annotated[str | None, Meta(description=f"without keys beyond loopback, literally: {INSECURE}")] = None

    def __post_init__(self) -> None:
        """Refuse a port that there is not, one address for two sockets, and an open network without keys."""
        for endpoint in (self.verdicts, self.snapshot):
            if endpoint.startswith("tcp://") and not 1 <= int(endpoint.rsplit(":", 1)[1]) <= MAX_PORT:
                raise ValueError(f"{endpoint}: a port is 1 to {MAX_PORT}")
        if self.verdicts == self.snapshot:
            raise ValueError("verdicts and snapshot must be two addresses")
        if self.insecure not in (None, INSECURE):
            raise ValueError(f'insecure must say exactly "{INSECURE}", or be left out')
        secured = self.keys is not None or self.insecure is not None
        if not secured and not all(is_local(endpoint) for endpoint in (self.verdicts, self.snapshot)):
            raise ValueError(
                "bound beyond loopback without keys: make some with `inspect keys`, and set publish.keys to their folder; "
                f'or take the risk in these words: insecure = "{INSECURE}"'
            )


class JournalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The record of every verdict."""

    file: Annotated[str, Meta(min_length=1, description="SQLite file; on a disk of this box")]


class ArchiveConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Frames and maps of all rejects and of a sample of passes."""

    folder: Annotated[str, Meta(min_length=1, description="may be another line's, too: each has its own quota")]
    quota_gb: Annotated[float, Meta(gt=0, le=1e6, description="oldest passes are removed first, then oldest rejects")] = 20.0
    passes: Annotated[float, Meta(ge=0, le=1, description="share of passes that is kept")] = 0.01
    free_gb: Annotated[float, Meta(ge=0, le=1e6, description="left free on the disk, for the journal and others")] = 1.0


class ChallengeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `inspect challenge` shows the line, and how often it must."""

    good: Annotated[str | None, Meta(description="folder of pictures that must pass")] = None
    bad: Annotated[str | None, Meta(description="folder of pictures that must be rejected for a defect")] = None
    every_hours: Annotated[
        Annotated[float, Meta(gt=0, le=8_760)] | None,
        Meta(description="the line does not start without a passed challenge that is younger"),
    ] = None

    def __post_init__(self) -> None:
        """Refuse half of a challenge."""
        if (self.good is None) != (self.bad is None):
            raise ValueError("good and bad belong together: give both, or none where parts are shown")


class LineConfig(LineRecipe, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line: a camera, a recipe, a stream of verdicts."""

    camera: PylonConfig | AravisConfig | ReplayConfig
    decision: DecisionConfig = DecisionConfig()
    publish: PublishConfig = PublishConfig()
    plc: AnyPlcConfig | None = None
    journal: JournalConfig | None = None
    archive: ArchiveConfig | None = None
    challenge: ChallengeConfig | None = None

    def __post_init__(self) -> None:
        """Refuse challenges without a journal, which they are signed into."""
        if self.challenge is not None and self.journal is None:
            raise ValueError("challenge: results are signed into the journal, and none is kept; add [journal] with its file")


class Line(msgspec.Struct, frozen=True):
    """A line's name, where its file is, and what that says."""

    name: str
    file: Path
    config: LineConfig

    def path(self, relative: str) -> Path:
        """A path of the line file, from the folder that holds the file."""
        return relative_to(self.file, relative)


def load_line(name: str, config_dir: Path | None) -> Line:
    """Find and read a line's file. Raises ConfigError with file and key path."""
    file = line_file(name, config_dir)
    return Line(name, file, decode_toml(file, LineConfig))


def control_address(line: Line) -> str:
    """Where a line takes orders: an abstract socket of this box, one for each place that lines publish at."""
    place = hashlib.sha256(line.config.publish.verdicts.encode()).hexdigest()[:16]
    return f"ipc://@tfa-inspect-{line.name}-{place}"


def need_journal(line: Line) -> Path:
    """The line's journal. Raises ConfigError when its file names none."""
    if line.config.journal is None:
        raise ConfigError(
            f'{line.file}: journal: none is kept; add [journal] with file = "/var/lib/inspect/journal-{line.name}.db"'
        )
    return line.path(line.config.journal.file)


def need_archive(line: Line) -> Path:
    """The folder of the line's archive. Raises ConfigError when its file names none."""
    if line.config.archive is None:
        raise ConfigError(
            f'{line.file}: archive: no frames are kept; add [archive] with folder = "/var/lib/inspect/archive-{line.name}"'
        )
    return line.path(line.config.archive.folder)


def need_plc(line: Line) -> AnyPlcConfig:
    """The line's PLC. Raises ConfigError when its file names none."""
    if line.config.plc is None:
        raise ConfigError(f"{line.file}: plc: no PLC is configured; add a [plc] table (the README has an example)")
    return line.config.plc
