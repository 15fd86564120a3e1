"""The camera's features: the trigger is set last, and whatever reads back otherwise than it was asked for is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.capture import CameraError
from appliance.capture.features import Place, Reading, apply_features, means
from appliance.capture.pylon_camera import Config
from appliance.capture.pylon_features import PylonFeatures
from appliance.config.camera import FeatureValue

FILE = Path("3.toml")
LOADS = "UserSetLoad"  # a command that changes features
COMMANDS = (LOADS, "Ignored")


class FakeCamera:
    """Keeps what is set, of each feature that a selector selects one; ``takes`` tells what it makes of a value."""

    def __init__(self, takes: Callable[[str, FeatureValue], FeatureValue] = lambda _name, value: value) -> None:
        self.values: dict[str, FeatureValue] = {}
        self.written: list[str] = []
        self._takes = takes

    def write(self, name: str, value: FeatureValue, _place: Place) -> None:
        self.written.append(name)
        if name == LOADS:
            self.values |= {
                self.key("TriggerMode"): "Off",
                "Width": 640,
                "LineSelector": "Line3",
                "TriggerSelector": "FrameEnd",
            }
        elif name not in COMMANDS:
            self.values[self.key(name)] = self._takes(name, value)

    def key(self, name: str) -> str:
        """The feature that a name means as the selectors stand."""
        for selector in ("Trigger", "Line"):
            if name.startswith(selector) and name != f"{selector}Selector":
                return f"{name} of {self.values.get(f'{selector}Selector')}"
        return name

    def read(self, name: str) -> Reading | None:
        key = self.key(name)
        return None if name in COMMANDS or key not in self.values else Reading(self.values[key], 0, 100_000, None)

    def selects(self, name: str) -> bool:
        return name.endswith("Selector")

    def offered(self, name: str) -> str:
        return f"other {name}s"


def applied(camera: FakeCamera, trigger: str = "hardware", **features: FeatureValue) -> FakeCamera:
    apply_features(Config(trigger=trigger, trigger_source="Line1", features=features), FILE, camera)  # type: ignore[arg-type]
    return camera


@pytest.mark.parametrize("trigger", ["hardware", "software", "free"])
def test_the_trigger_is_in_force_whatever_the_file_loads(trigger: str) -> None:
    """A user set that is loaded has the trigger off, and another one selected."""
    camera = applied(FakeCamera(), trigger, UserSetLoad=True, Width=64)
    assert camera.values["TriggerSelector"] == "FrameStart"
    assert camera.values["TriggerMode of FrameStart"] == ("Off" if trigger == "free" else "On")
    if trigger != "free":
        assert camera.values["TriggerSource of FrameStart"] == ("Line1" if trigger == "hardware" else "Software")
    assert camera.values["Width"] == 64


def test_the_files_own_features_of_the_trigger_are_of_the_one_that_is_used() -> None:
    camera = FakeCamera()
    camera.values["TriggerSelector"] = "FrameEnd"
    applied(camera, TriggerActivation="FallingEdge", TriggerDelay=5.0)
    assert camera.values["TriggerActivation of FrameStart"] == "FallingEdge"
    assert camera.values["TriggerDelay of FrameStart"] == 5.0


def test_what_has_its_value_already_is_not_written_once_more() -> None:
    """Some cameras refuse to have their trigger changed while it is on."""
    assert applied(FakeCamera(), Width=64).written == ["TriggerSelector", "TriggerMode", "TriggerSource", "Width"]


def test_a_feature_that_a_later_one_changes_is_refused() -> None:
    told = r"3\.toml: camera\.features\.Width: was set to 64, but the camera has 640; it offers other Widths; correct the value"
    with pytest.raises(CameraError, match=told):
        applied(FakeCamera(), Width=64, UserSetLoad=True)


def test_features_are_read_back_as_their_selectors_stood_when_they_were_set() -> None:
    camera = applied(FakeCamera(), LineSelector="Line2", LineInverter=True, UserSetSelector="x")
    assert camera.values["LineInverter of Line2"] is True
    # Behind a command that selects another line, this line's are still found.
    loaded = FakeCamera(lambda name, value: not value if name == "LineInverter" else value)
    with pytest.raises(CameraError, match=r"camera\.features\.LineInverter: was set to True, but the camera has False"):
        applied(loaded, LineSelector="Line2", LineInverter=True, UserSetLoad=True)


@pytest.mark.parametrize(
    ("feature", "has", "told"),
    [
        (
            "TriggerMode",
            "Off",
            r"3\.toml: camera\.trigger: TriggerMode: was set to 'On', but the camera has 'Off'; .*camera\.trigger",
        ),
        (
            "TriggerSource",
            "Line2",
            r"3\.toml: camera\.trigger_source: TriggerSource: was set to 'Line1', but the camera has 'Line2'",
        ),
        (
            "TriggerSelector",
            "FrameEnd",
            r"3\.toml: camera\.trigger: TriggerSelector: was set to 'FrameStart', but the camera has",
        ),
    ],
)
def test_a_trigger_that_the_camera_does_not_take_is_told_by_the_files_own_key(feature: str, has: str, told: str) -> None:
    with pytest.raises(CameraError, match=told):
        applied(FakeCamera(lambda name, value: has if name == feature else value))


@pytest.mark.parametrize(
    ("asked", "has"),
    [(64, 60), (64, 128), (1_000.0, 500.0), (True, False), ("On", "Off"), ("a long name", "a long na"), (500_000.0, 100_000.0)],
)
def test_a_camera_that_ignores_a_value_or_takes_another_is_refused(asked: FeatureValue, has: FeatureValue) -> None:
    with pytest.raises(
        CameraError, match=r"camera\.features\.Some: was set to .*, but the camera has .*; correct the value, or"
    ):
        applied(FakeCamera(lambda name, value: has if name == "Some" else value), Some=asked)


def test_a_command_and_what_cannot_be_read_are_not_compared() -> None:
    assert "Ignored" in applied(FakeCamera(), Ignored=True).written


class _ForgetfulNode:
    """A feature of whose value pylon keeps what was written, where the camera has another."""

    Min, Max, Inc = 1, 4_096, 1

    def __init__(self, kept: FeatureValue, has: FeatureValue) -> None:
        self._kept, self._has = kept, has

    def GetValue(self, verify: bool = False, ignore_cache: bool = False) -> FeatureValue:  # noqa: N802 - pylon's names
        assert not verify
        return self._has if ignore_cache else self._kept

    def ToString(self, verify: bool = False, ignore_cache: bool = False) -> str:  # noqa: N802
        return str(self.GetValue(verify, ignore_cache))

    def HasInc(self) -> bool:  # noqa: N802
        return False


@pytest.mark.parametrize(
    ("kind", "kept", "has"),
    [("IInteger", 64, 60), ("IFloat", 1.0, 2.0), ("IBoolean", True, False), ("IEnumeration", "On", "Off")],
)
def test_pylon_is_asked_for_the_cameras_own_value(kind: str, kept: FeatureValue, has: FeatureValue) -> None:
    kinds = {name: type(name, (), {}) for name in ("ICommand", "IBoolean", "IInteger", "IFloat", "IEnumeration")}
    genicam = SimpleNamespace(**kinds, IsReadable=lambda _node: True)
    node = type("Node", (_ForgetfulNode, kinds[kind]), {})(kept, has)
    reading = PylonFeatures(SimpleNamespace(GetNode=lambda _name: node), genicam).read("Some")
    assert reading is not None
    assert reading.value == has


@pytest.mark.parametrize(
    ("asked", "has"),
    [
        (64, Reading(64)),
        (64.0, Reading(64)),
        ("0x40", Reading(64)),
        ("64", Reading(64)),
        (True, Reading(True)),
        ("true", Reading(True)),
        ("True", Reading(True)),
        (1, Reading(True)),
        (0, Reading(False)),
        (False, Reading(False)),
        ("Mono8", Reading("Mono8")),
        (1_000, Reading(1_000.0)),
        ("1e3", Reading(1_000.0)),
        (33.3, Reading(33.3000333000333)),
        (1_000.0, Reading(1_009.0)),
        (1_000.0, Reading(980.0, 20, 1e6, 35.0)),
        (0.1, Reading(0.10000000149011612)),
        (0.0, Reading(0.0)),
        (-6.0, Reading(-5.99)),
        (5_000.0, Reading(5_000.0, 1, 100, None)),
    ],
)
def test_what_means_the_same(asked: FeatureValue, has: Reading) -> None:
    assert means(asked, has)


@pytest.mark.parametrize(
    ("asked", "has"),
    [
        (64, Reading(63)),
        (100, Reading(96)),
        ("wide", Reading(64)),
        ("nan", Reading(64.0)),
        (True, Reading(False)),
        ("maybe", Reading(True)),
        ("Mono8", Reading("Mono16")),
        (1_000.0, Reading(1_011.0)),
        (1_000.0, Reading(960.0, 20, 1e6, 35.0)),
        (1_001.0, Reading(1_000.0, 20, 1_000, None)),  # clamped
        (19.9, Reading(20.0, 20, 1_000, None)),
        (0.0, Reading(0.1)),
        (6.0, Reading(-6.0)),
    ],
)
def test_what_does_not(asked: FeatureValue, has: Reading) -> None:
    assert not means(asked, has)
