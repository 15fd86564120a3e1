"""The belt of `inspect plc-sim`, for a line whose camera is the simulated one."""

from __future__ import annotations

from appliance.capture.simulated_camera import Config as SimulatedConfig
from appliance.capture.simulated_camera import parts_of
from appliance.config.line import Line
from appliance.host.time_limits import PLC_HANDOVER_S, PLC_STALE_S
from appliance.plc.sim.belt import BeltSettings, BeltStation, TriggerWire
from engines.common.errors import ConfigError

SPACING_MS = 500.0


def belt_of(
    line: Line, parts: int | None, spacing_ms: float | None, picture_ms: float, bad: float, fault: str
) -> BeltStation | None:
    """A belt whose gate is as far as the time budget asks; None when the line's camera is not triggered by it.

    Raises ConfigError when the camera's pictures are not of good and bad parts, and for what only a belt can do.
    """
    camera = line.config.camera
    if not isinstance(camera, SimulatedConfig) or camera.trigger != "hardware":
        if parts is not None or fault in ("loses-triggers", "triggers-twice"):
            raise ConfigError(
                f'{line.file}: camera: only a simulated camera with trigger = "hardware" is triggered by plc-sim; '
                'set camera.kind = "simulated", or leave --parts and faults of triggers out'
            )
        return None
    pictures = parts_of(camera.source)
    if len(set(pictures.values())) < 2:
        raise ConfigError(
            f"{line.file}: camera.source: {camera.source} must have pictures of good parts, below a folder named good, and "
            "of bad ones beside it"
        )
    settings = BeltSettings(
        pictures,
        spacing_s=(spacing_ms or camera.spacing_ms or SPACING_MS) / 1e3,
        travel_s=picture_ms / 1e3 + max(line.config.decision.deadline_ms / 1e3, PLC_STALE_S) + PLC_HANDOVER_S,
        picture_s=picture_ms / 1e3,
        bad_share=bad,
        count=parts,
        fault=fault,
    )
    return BeltStation(settings, TriggerWire(camera.port))
