"""Basler cameras through pylon: GigE, USB, and pylon's own emulation (`PYLON_CAMEMU`)."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from appliance.capture import CameraError, CameraLostError, CameraState, Frame
from appliance.capture.counter import GIGE_COUNTER, NO_CHUNK, TRIGGER_COUNTER, USB_COUNTER, FrameCounter
from appliance.capture.feature_refusal import ranged, refusal
from appliance.capture.trigger_clock import TriggerClock, from_trigger
from appliance.config.camera import CameraConfig, FeatureValue

if TYPE_CHECKING:
    from engines.pictures.geometry import Pixels

EMULATION_CLASS, GIGE_CLASS = "BaslerCamEmu", "BaslerGigE"
INVALID_BLOCK_ID, NO_BLOCK_ID = 2**64 - 1, 0  # the latter of a GigE camera that counts no frames; others begin with it


class Config(CameraConfig, frozen=True, forbid_unknown_fields=True, tag="pylon", kw_only=True):
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


class PylonCamera:
    """One Basler camera. A picture stays in the driver's buffer until its frame is released: nothing is copied."""

    state: CameraState = "here"
    patient = False

    def __init__(self, config: Config, line_file: Path, deadline_ms: int) -> None:
        from pypylon import genicam, pylon

        self._pylon, self._genicam = pylon, genicam
        # Pixel types that are taken as they are, with their channels; all others are converted once.
        self._channels = {pylon.PixelType_Mono8: 1, pylon.PixelType_RGB8packed: 3}
        self._config, self._line_file = config, line_file
        self._limit_ms = min(config.timeout_ms, deadline_ms)  # a software trigger's picture is no use later
        self._camera: Any = None
        self._counter = FrameCounter()
        self._unknown: tuple[int, ...] = ()  # block ids that tell no number
        self._converter = pylon.ImageFormatConverter()
        self._clock = TriggerClock(config.rate)
        self.simulated = False

    def open(self) -> None:
        """See `Camera.open`."""
        try:
            device = self._find()
            self.simulated = device.GetDeviceClass() == EMULATION_CLASS
            self._camera = self._pylon.InstantCamera(self._pylon.TlFactory.GetInstance().CreateDevice(device))
            self._camera.Open()
            self._apply_features()
            self._camera.MaxNumBuffer.Value = self._config.buffers
            gige = device.GetDeviceClass() == GIGE_CLASS
            self._unknown = (INVALID_BLOCK_ID, NO_BLOCK_ID) if gige else (INVALID_BLOCK_ID,)
            frame_counter = GIGE_COUNTER if gige else USB_COUNTER
            self._counter.restart(*(TRIGGER_COUNTER if self._config.trigger_counter else frame_counter))
            self._camera.StartGrabbing(self._pylon.GrabStrategy_OneByOne)
            self._clock.start()
        except self._genicam.GenericException as error:
            self.close()
            raise CameraLostError(
                f"{self._line_file}: camera {self._config.identity}: cannot be opened ({_said(error)}); "
                "close whatever else uses it (pylon Viewer?) and check its cable and address"
            ) from error
        except CameraError:
            self.close()
            raise

    def grab(self, timeout_s: float) -> list[Frame]:
        """See `Camera.grab`. With software trigger, this is what triggers, at the configured rate."""
        try:
            if self._config.trigger == "software":
                return self._grab_triggered(timeout_s)
            result = self._camera.RetrieveResult(int(timeout_s * 1000), self._pylon.TimeoutHandling_Return)
            if self._camera.IsCameraDeviceRemoved():
                raise self._gone("lost")
            return self._frames(result)
        except self._genicam.GenericException as error:
            raise self._gone(f"lost ({_said(error)})") from error

    def stop(self) -> list[Frame]:
        """See `Camera.stop`."""
        if self._camera is None:
            return []
        frames: list[Frame] = []
        try:
            while self._camera.NumReadyBuffers.Value:
                frames += self._frames(self._camera.RetrieveResult(0, self._pylon.TimeoutHandling_Return))
            self._camera.StopGrabbing()
        except self._genicam.GenericException as error:
            raise self._gone(f"lost while stopping ({_said(error)})") from error
        return frames

    def close(self) -> None:
        """See `Camera.close`."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.DetachDevice() if camera.IsCameraDeviceRemoved() else camera.Close()

    # Opening

    def _find(self) -> Any:
        """The configured camera's device info; CameraError lists what is there instead."""
        found = list(self._pylon.TlFactory.GetInstance().EnumerateDevices())
        config = self._config
        matching = [
            device
            for device in found
            if (config.serial is None or device.GetSerialNumber() == config.serial)
            and (config.ip is None or (device.IsIpAddressAvailable() and device.GetIpAddress() == config.ip))
            and (config.name is None or device.GetUserDefinedName() == config.name)
        ]
        if len(matching) == 1:
            return matching[0]
        there = ", ".join(f"{device.GetModelName()} serial {device.GetSerialNumber()}" for device in found) or "none"
        if not matching:
            raise CameraLostError(
                f"{self._line_file}: camera {self._config.identity}: not found (cameras here: {there}); check power, cable and "
                "network, or correct camera.serial, camera.ip or camera.name"
            )
        raise CameraError(f"{self._line_file}: camera: more than one fits (cameras here: {there}); set camera.serial")

    def _apply_features(self) -> None:
        for name, value in self._config.all_features.items():
            self._set_feature(name, value)
        mono = str(self._camera.PixelFormat.Value).startswith("Mono")
        self._converter.OutputPixelFormat = self._pylon.PixelType_Mono8 if mono else self._pylon.PixelType_RGB8packed

    def _set_feature(self, name: str, value: FeatureValue) -> None:
        node = self._camera.GetNodeMap().GetNode(name)
        where = f"{self._line_file}: camera.features.{name}"
        if not self._genicam.IsImplemented(node):
            raise CameraError(f"{where}: this camera has no such feature; remove it or correct its spelling")
        if isinstance(node, self._genicam.ICommand):
            node.Execute()
            return
        if not self._genicam.IsWritable(node):
            raise CameraError(f"{where}: cannot be set as the camera stands now; move it behind the feature that it depends on")
        try:
            node.FromString(str(value).lower() if isinstance(value, bool) else str(value))
        except self._genicam.GenericException as error:
            raise refusal(where, value, _said(error), self._offered(node)) from error

    def _offered(self, node: Any) -> str:
        """What a feature can be set to as the camera stands now."""
        if isinstance(node, self._genicam.IEnumeration):
            return ", ".join(node.GetSettableValues())
        if isinstance(node, self._genicam.IBoolean):
            return "true, false"
        if isinstance(node, self._genicam.IInteger):
            return ranged(node.Min, node.Max, node.Inc)
        if isinstance(node, self._genicam.IFloat):
            return ranged(node.Min, node.Max, node.Inc if node.HasInc() else None)
        return ""

    # Grabbing

    def _grab_triggered(self, timeout_s: float) -> list[Frame]:
        if not self._clock.wait(timeout_s):
            return []
        limit, triggered_ns = self._limit_ms, time.monotonic_ns()
        if self._camera.WaitForFrameTriggerReady(limit, self._pylon.TimeoutHandling_Return):
            self._camera.ExecuteSoftwareTrigger()
            left = max(1, limit - (time.monotonic_ns() - triggered_ns) // 1_000_000)
            frames = self._frames(self._camera.RetrieveResult(left, self._pylon.TimeoutHandling_Return))
            if frames:
                return from_trigger(frames, triggered_ns)
        if self._camera.IsCameraDeviceRemoved():
            raise self._gone("lost")
        # A picture that comes after all must not be taken for the next part's: grab anew, which empties the queue.
        self._camera.StopGrabbing()
        self._camera.StartGrabbing(self._pylon.GrabStrategy_OneByOne)
        missing = self._missing(self._counter.skip(), f"no picture within {limit} ms after its trigger", silent=True)
        return from_trigger([missing], triggered_ns)

    def _frames(self, result: Any) -> list[Frame]:
        """The frame in a grab result, after one without picture for each number that the counter skipped."""
        if not result.IsValid():
            return []
        missing = self._counter.advance(self._counted(result))
        if missing is None:
            result.Release()
            return []
        number = self._counter.number
        frames = [self._missing(number - missing + i, "the counter skipped it") for i in range(missing)]
        if not result.GrabSucceeded():
            fault = f"failed buffer: {result.GetErrorDescription() or hex(result.GetErrorCode())}"
            result.Release()
            return [*frames, self._missing(number, fault)]
        captured, camera_time = time.monotonic_ns(), result.TimeStamp
        return [*frames, Frame(number, captured, camera_time, self._picture(result), release=result.Release)]

    def _counted(self, result: Any) -> int | None:
        """The camera's number of a frame, or of its trigger; None where it has none, or a failed buffer has lost it."""
        chunk = self._config.trigger_counter
        if chunk is None:
            return None if result.BlockID in self._unknown else int(result.BlockID)
        if not result.GrabSucceeded():
            return None
        node = result.ChunkDataNodeMap.GetNode(chunk)
        if not self._genicam.IsReadable(node):
            result.Release()
            raise CameraLostError(f"camera {self._config.identity}: {NO_CHUNK.format(chunk)}")
        return int(node.Value)

    def _picture(self, result: Any) -> Pixels:
        import numpy as np

        height, width = result.Height, result.Width
        channels = self._channels.get(result.PixelType)
        if channels is None or result.PaddingX:
            return np.asarray(self._converter.Convert(result).GetArray(), np.uint8)
        flat = np.frombuffer(result.GetImageMemoryView(), np.uint8, count=height * width * channels)
        return flat.reshape((height, width) if channels == 1 else (height, width, channels))

    def _gone(self, how: str) -> CameraLostError:
        return CameraLostError(f"camera {self._config.identity}: {how}; check its cable and power")

    @staticmethod
    def _missing(number: int, fault: str, silent: bool = False) -> Frame:
        return Frame(number, time.monotonic_ns(), 0, None, fault, silent=silent)


def _said(error: Exception) -> str:
    """What pylon says, without the node that it is about and the place in its source."""
    parts = str(error).splitlines()[0].split(" : ")
    said = [part for part in parts if not re.match(r"(Feature|Node) '[^']*'$|\w+Exception thrown ", part)]
    return (said or parts)[0].rstrip(".")


def connect(config: Config, file: Path, _frame_size: object, deadline_ms: int) -> PylonCamera:
    """The Basler camera of a line; its frame size is set by its features."""
    return PylonCamera(config, file, deadline_ms)
