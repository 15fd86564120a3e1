"""The camera's features: the line's file sets them, then the trigger, and all must read back as it was asked for.

A camera that ignores a value or takes another in its place would be found out by wrong verdicts only.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.capture import CameraError
from appliance.config.camera import CameraConfig, FeatureValue

ROUNDING = 0.01  # a camera's step of a number, relative to it, where it does not tell the step


@dataclass(frozen=True)
class Place:
    """What asks for a feature: the file, and its key."""

    file: Path
    key: str  # its path there
    feature: str

    @property
    def where(self) -> str:
        """The beginning of a message about it."""
        own = self.key.endswith(f".{self.feature}")
        return f"{self.file}: {self.key}: " + ("" if own else f"{self.feature}: ")


@dataclass(frozen=True)
class Reading:
    """What a feature has; numbers with their range and step, where the camera tells them."""

    value: bool | int | float | str
    low: float | None = None
    high: float | None = None
    step: float | None = None


class Features(Protocol):
    """A camera's features, as a driver gives them; what the camera does not answer to is the driver's own error."""

    def write(self, name: str, value: FeatureValue, place: Place) -> None:
        """Set one, or carry out a command. Raises CameraError of that place when the camera has not, or refuses it."""

    def read(self, name: str) -> Reading | None:
        """What it has; None for a command, and for what cannot be read."""

    def selects(self, name: str) -> bool:
        """Whether others are told apart by it, as the triggers' are by TriggerSelector."""

    def offered(self, name: str) -> str:
        """What it can be set to as the camera stands now; empty where it does not tell."""


def apply_features(config: CameraConfig, file: Path, features: Features) -> None:
    """Set what the line's file asks for, its trigger last, and read all of it back. Raises CameraError."""
    trigger = [(Place(file, key, name), value) for name, (value, key) in config.trigger_features.items()]
    own = [(Place(file, f"camera.features.{name}", name), value) for name, value in config.features.items()]
    for place, value in own:
        _refuse_another_trigger(config, place, value)
    for place, value in [*trigger, *own]:  # the selector first: the file's own may be of this trigger
        features.write(place.feature, value, place)
    for place, value in trigger:  # what the file loads or selects may have changed it
        _write_changed(features, place, value)
    for place, value in own:
        if features.selects(place.feature):
            _write_changed(features, place, value)
        _check(features, place, value, "correct the value, or move it behind the feature that changes it")
    for place, value in trigger:
        if features.selects(place.feature):
            _write_changed(features, place, value)
        _check(features, place, value, f"correct {place.key}, or remove from camera.features what changes it")


def refusal(place: Place, value: FeatureValue, why: str, offered: str) -> CameraError:
    """The camera does not take a value; ``offered`` is what it takes, empty where it does not tell."""
    return CameraError(f"{place.where}the camera refuses {value!r} ({why});{_offers(offered)} correct the value")


def ranged(low: float, high: float, step: float | None) -> str:
    """The values that a number may have; ``step`` None: any between."""
    return f"{low:.10g} to {high:.10g}" + (f" in steps of {step:.10g}" if step is not None else "")


def as_text(value: FeatureValue) -> str:
    """A value as GenICam's libraries read it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def means(asked: FeatureValue, reading: Reading) -> bool:
    """Whether a camera has what it was asked for: numbers as numbers, and rounded to its steps if they are no whole ones."""
    has = reading.value
    if isinstance(has, bool):
        return as_text(asked).lower() in (("true", "1") if has else ("false", "0"))
    if isinstance(has, str):
        return as_text(asked) == has
    number = _number(asked)
    if number is None or isinstance(has, int):
        return number == has
    if number == has:
        return True
    if (reading.low is not None and number < reading.low) or (reading.high is not None and number > reading.high):
        return False  # not rounded, but the last that it has
    return abs(number - has) <= max(reading.step or 0.0, ROUNDING * abs(number))


def _number(asked: FeatureValue) -> float | None:
    if not isinstance(asked, str):
        return asked
    with suppress(ValueError):
        return int(asked, 0)
    with suppress(ValueError):
        return float(asked)
    return None


def _refuse_another_trigger(config: CameraConfig, place: Place, value: FeatureValue) -> None:
    asked, key = config.trigger_features.get(place.feature, (value, ""))
    if as_text(value) == asked or not key:
        return
    mend = f"set {key} = {value!r} instead" if key == "camera.trigger_source" else "remove it, or choose another camera.trigger"
    raise CameraError(
        f'{place.where}{value!r} is against camera.trigger = "{config.trigger}", for which {key} sets it to {asked!r}; {mend}'
    )


def _write_changed(features: Features, place: Place, value: FeatureValue) -> None:
    reading = features.read(place.feature)
    if reading is None or not means(value, reading):
        features.write(place.feature, value, place)


def _check(features: Features, place: Place, value: FeatureValue, mend: str) -> None:
    reading = features.read(place.feature)
    if reading is not None and not means(value, reading):
        offers = _offers(features.offered(place.feature))
        raise CameraError(f"{place.where}was set to {value!r}, but the camera has {reading.value!r};{offers} {mend}")


def _offers(offered: str) -> str:
    return f" it offers {offered};" if offered else ""
