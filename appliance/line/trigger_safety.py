"""Whether a line can tell which picture is whose: what its trigger must have, or it is not started."""

from __future__ import annotations

from appliance.config.camera import CameraConfig
from appliance.config.line import Line
from appliance.host.time_limits import PLC_HANDOVER_S
from engines.common.errors import ConfigError


def need_safe_trigger(line: Line) -> None:
    """Refuse hardware triggers of which one could be lost without a trace.

    A camera that counts its triggers tells of each that it ignored.  Another one does not; then each part's verdict must be
    out, and in the PLC, before the next part comes.  Raises ConfigError with both mends.
    """
    camera = line.config.camera
    if not isinstance(camera, CameraConfig) or camera.trigger != "hardware" or camera.trigger_counter is not None:
        return
    margin_ms = round(PLC_HANDOVER_S * 1000)
    least_ms = line.config.decision.deadline_ms + margin_ms
    if camera.spacing_ms is not None and camera.spacing_ms > least_ms:
        return
    says = "is not stated" if camera.spacing_ms is None else f"= {camera.spacing_ms} is too short"
    raise ConfigError(
        f"{line.file}: camera.spacing_ms {says}: a trigger that the camera ignores would give each part its neighbour's "
        f"verdict; where parts are more than {least_ms} ms apart (decision.deadline_ms + {margin_ms} ms) state it, "
        "else name camera.trigger_counter"
    )
