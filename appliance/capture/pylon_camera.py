"""Basler cameras through pylon: GigE, USB, and pylon's own emulation (`PYLON_CAMEMU`)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from appliance.capture import CameraError, CameraLostError, CameraState, Frame
from appliance.capture.arrivals import Arrival, Arrivals, Taken
from appliance.capture.counter import ENDLESS, GIGE_SPAN, NO_CHUNK
from appliance.capture.features import apply_features
from appliance.capture.pylon_features import PylonFeatures, said
from appliance.capture.software_trigger import SoftwareTrigger
from appliance.config.camera import CameraConfig

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
        self._camera: Any = None
        self._arrivals = Arrivals(config.trigger == "software")
        limit_ms = min(config.timeout_ms, deadline_ms)  # a software trigger's picture is no use later
        self._trigger = SoftwareTrigger(self, self._arrivals, config.rate, limit_ms)
        self._unknown: tuple[int, ...] = ()  # block ids that tell no number
        self._tick_ns = 1.0  # of its time stamps
        self._converter = pylon.ImageFormatConverter()
        self.simulated = False
        self.channels: int | None = None

    def open(self) -> None:
        """See `Camera.open`."""
        try:
            device = self._find()
            self.simulated = device.GetDeviceClass() == EMULATION_CLASS
            self._camera = self._pylon.InstantCamera(self._pylon.TlFactory.GetInstance().CreateDevice(device))
            self._camera.Open()
            nodes = self._camera.GetNodeMap()
            apply_features(self._config, self._line_file, PylonFeatures(nodes, self._genicam))
            self._choose_format()
            ticks = nodes.GetNode("GevTimestampTickFrequency")  # a GigE camera's; others count ns
            self._tick_ns = 1e9 / ticks.GetValue() if self._genicam.IsReadable(ticks) and ticks.GetValue() else 1.0
            self._camera.MaxNumBuffer.Value = self._config.buffers
            gige = device.GetDeviceClass() == GIGE_CLASS
            self._unknown = (INVALID_BLOCK_ID, NO_BLOCK_ID) if gige else (INVALID_BLOCK_ID,)
            self._arrivals.restart(GIGE_SPAN if gige and not self._config.trigger_counter else ENDLESS)
            self._camera.StartGrabbing(self._pylon.GrabStrategy_OneByOne)
            self._trigger.start()
        except self._genicam.GenericException as error:
            self.close()
            raise CameraLostError(
                f"{self._line_file}: camera {self._config.identity}: cannot be opened ({said(error)}); "
                "close whatever else uses it (pylon Viewer?) and check its cable and address"
            ) from error
        except CameraError:
            self.close()
            raise

    def grab(self, timeout_s: float) -> list[Frame]:
        """See `Camera.grab`. With software trigger, this is what triggers, at the configured rate."""
        try:
            if self._config.trigger == "software":
                return self._trigger.grab(timeout_s)
            return self._arrivals.frames(self.arrival(timeout_s))
        except self._genicam.GenericException as error:
            raise self._gone(f"lost ({said(error)})") from error

    def stop(self) -> list[Frame]:
        """See `Camera.stop`."""
        if self._camera is None:
            return []
        frames: list[Frame] = []
        try:
            while self._camera.NumReadyBuffers.Value:
                frames += self._arrivals.left(self.arrival(0), self._config.trigger == "software")
            self._camera.StopGrabbing()
        except self._genicam.GenericException as error:
            raise self._gone(f"lost while stopping ({said(error)})") from error
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

    def _choose_format(self) -> None:
        mono = str(self._camera.PixelFormat.Value).startswith("Mono")
        self.channels = 1 if mono else 3
        self._converter.OutputPixelFormat = self._pylon.PixelType_Mono8 if mono else self._pylon.PixelType_RGB8packed

    # Grabbing

    def fire(self, limit_s: float) -> bool:
        """See `TriggeredDriver.fire`."""
        if not self._camera.WaitForFrameTriggerReady(int(limit_s * 1000), self._pylon.TimeoutHandling_Return):
            return False
        self._camera.ExecuteSoftwareTrigger()
        return True

    def arrival(self, timeout_s: float) -> Arrival | None:
        """See `TriggeredDriver.arrival`."""
        waited = not self._camera.NumReadyBuffers.Value
        result = self._camera.RetrieveResult(int(timeout_s * 1000), self._pylon.TimeoutHandling_Return)
        if self._camera.IsCameraDeviceRemoved():
            raise self._gone("lost")
        return self._arrival(result, waited) if result.IsValid() else None

    def halt(self) -> None:
        """See `TriggeredDriver.halt`."""
        self._camera.AcquisitionStop.Execute()

    def resume(self) -> None:
        """See `TriggeredDriver.resume`: this empties what is left, and has the driver listen for another stream."""
        self._camera.StopGrabbing()
        self._camera.StartGrabbing(self._pylon.GrabStrategy_OneByOne)

    def _arrival(self, result: Any, waited: bool) -> Arrival:
        read_ns, camera_time = time.monotonic_ns(), result.TimeStamp
        fault = None
        if not result.GrabSucceeded():
            fault = f"failed buffer: {result.GetErrorDescription() or hex(result.GetErrorCode())}"
        return Arrival(
            counted=self._counted(result),
            camera_time=camera_time,
            camera_ns=int(camera_time * self._tick_ns) if camera_time else None,
            read_ns=read_ns,
            waited=waited,
            fault=fault,
            take=lambda: self._taken(result),
            drop=result.Release,
        )

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

    def _taken(self, result: Any) -> Taken:
        return self._picture(result), result.Release

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


def connect(config: Config, file: Path, _frame_size: object, deadline_ms: int) -> PylonCamera:
    """The Basler camera of a line; its frame size is set by its features."""
    return PylonCamera(config, file, deadline_ms)
