"""What is said when a camera refuses a feature's value: also what it would take."""

from __future__ import annotations

from appliance.capture import CameraError
from appliance.config.camera import FeatureValue


def refusal(where: str, value: FeatureValue, why: str, offered: str) -> CameraError:
    """The error; ``where`` names file and key, ``offered`` is what it takes, empty where it does not tell."""
    offers = f" it offers {offered};" if offered else ""
    return CameraError(f"{where}: the camera refuses {value!r} ({why});{offers} correct the value")


def ranged(low: float, high: float, step: float | None) -> str:
    """The values that a number may have; ``step`` None: any between."""
    return f"{low:.10g} to {high:.10g}" + (f" in steps of {step:.10g}" if step is not None else "")
