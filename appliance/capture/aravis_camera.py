"""Any GigE Vision or USB3 Vision camera through Aravis 0.8 (Debian's python3-gi and gir1.2-aravis-0.8)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.capture import CameraError, CameraLostError, CameraState, Frame
from appliance.capture.aravis_features import AravisFeatures
from appliance.capture.aravis_library import find, library
from appliance.capture.arrivals import Arrival, Arrivals, Taken
from appliance.capture.counter import ENDLESS, GIGE_SPAN, NO_CHUNK
from appliance.capture.features import apply_features
from appliance.capture.software_trigger import SoftwareTrigger
from appliance.config.camera import CameraConfig

if TYPE_CHECKING:
    from engines.pictures.geometry import Pixels

NO_FRAME_ID = 0  # of a GigE camera that counts no frames; a USB camera's first one
LAST_WORDS_US = 100_000  # until a picture is put together of the packets that are here
RECEIVE_BUFFER = 16 * 2**20  # bytes; the kernel grants at most net.core.rmem_max
MOSAICS = {  # pixel format: OpenCV's name of its conversion
    "BayerRG8": "COLOR_BayerRGGB2RGB",
    "BayerGR8": "COLOR_BayerGRBG2RGB",
    "BayerGB8": "COLOR_BayerGBRG2RGB",
    "BayerBG8": "COLOR_BayerBGGR2RGB",
}
CHANNELS = {"Mono8": 1, "RGB8": 3, "RGB8Packed": 3} | dict.fromkeys(MOSAICS, 1)


class Config(CameraConfig, frozen=True, forbid_unknown_fields=True, tag="aravis", kw_only=True):
    """Any GigE Vision or USB3 Vision camera, through Aravis; identified by serial or ip, else the only one there is."""

    def __post_init__(self) -> None:
        """Refuse two identities, too."""
        super().__post_init__()
        if self.serial is not None and self.ip is not None:
            raise ValueError("give only one of serial and ip")


class AravisCamera:
    """One camera; a picture is copied out of the driver's buffer, which goes back at once."""

    state: CameraState = "here"
    patient = False

    def __init__(self, config: Config, line_file: Path, deadline_ms: int) -> None:
        self._aravis, self._glib = library()
        self._config, self._line_file = config, line_file
        self._camera: Any = None
        self._stream: Any = None
        self._chunks: Any = None
        self._arrivals = Arrivals(config.trigger == "software")
        limit_ms = min(config.timeout_ms, deadline_ms)  # a software trigger's picture is no use later
        self._trigger = SoftwareTrigger(self, self._arrivals, config.rate, limit_ms)
        self._gige = False
        self._format = "Mono8"
        self._to_rgb: Callable[[Pixels], Any] | None = None
        self._control_lost = False
        self.simulated = False
        self.channels: int | None = None

    def open(self) -> None:
        """See `Camera.open`."""
        try:
            self._camera = self._aravis.Camera.new(find(self._config, self._line_file, self._aravis))
            device = self._camera.get_device()
            self.simulated = (self._camera.get_vendor_name(), self._camera.get_model_name()) == ("Aravis", "Fake")
            self._control_lost = False
            device.connect("control-lost", self._note_lost)
            self._camera.stop_acquisition()  # it may still send to an owner that was killed, and refuse features meanwhile
            apply_features(self._config, self._line_file, AravisFeatures(device, self._aravis, self._glib))
            self._choose_format()
            self._gige = self._camera.is_gv_device()
            self._arrivals.restart(GIGE_SPAN if self._gige and not self._config.trigger_counter else ENDLESS)
            self._chunks = self._camera.create_chunk_parser()
            self._start_stream()
            self._trigger.start()
        except self._glib.GError as error:
            self.close()
            raise CameraLostError(
                f"{self._line_file}: camera {self._config.identity}: cannot be opened ({error.message}); "
                "close whatever else uses it and check its cable and address"
            ) from error
        except CameraError:
            self._give_up_control()
            self.close()
            raise

    def grab(self, timeout_s: float) -> list[Frame]:
        """See `Camera.grab`. With software trigger, this is what triggers, at the configured rate."""
        try:
            if self._config.trigger == "software":
                return self._trigger.grab(timeout_s)
            return self._arrivals.frames(self.arrival(timeout_s))
        except self._glib.GError as error:
            raise self._lost(error.message) from error

    def stop(self) -> list[Frame]:
        """See `Camera.stop`."""
        if self._camera is None:
            return []
        try:
            self._camera.stop_acquisition()
        except self._glib.GError as error:
            raise self._lost(error.message) from error
        frames: list[Frame] = []
        while (buffer := self._stream.try_pop_buffer()) is not None:
            frames += self._arrivals.left(self._arrival(buffer, waited=False), self._config.trigger == "software")
        return frames

    def close(self) -> None:
        """See `Camera.close`."""
        # Both are freed by their last reference; the camera's control is given up with it.
        self._stream = self._chunks = self._camera = None

    # Opening

    def _give_up_control(self) -> None:
        """While something still refers to the camera: who keeps an error of `open`, with its frames, does."""
        if self._camera is not None and self._camera.is_gv_device():
            with suppress(self._glib.GError):  # then the camera ends it by itself, after 3 s without a word
                self._camera.get_device().leave_control()

    def _choose_format(self) -> None:
        self._format = self._camera.get_pixel_format_as_string()
        if self._format not in CHANNELS:
            raise CameraError(
                f"{self._line_file}: camera.features.PixelFormat: {self._format} cannot be used; "
                f"set one of {', '.join(CHANNELS)}"
            )
        self.channels = 3 if self._format in MOSAICS else CHANNELS[self._format]
        self._to_rgb = None
        if mosaic := MOSAICS.get(self._format):
            import cv2

            self._to_rgb = partial(cv2.cvtColor, code=getattr(cv2, mosaic))

    def _start_stream(self) -> None:
        if self._camera.is_gv_device():
            # Raw packet sockets would need rights that a service has not.
            self._camera.gv_set_stream_options(self._aravis.GvStreamOption.PACKET_SOCKET_DISABLED)
        self._stream = self._camera.create_stream(None, None)
        if self._stream is None:
            raise self._lost("it gives no stream")
        if self._camera.is_gv_device():
            self._stream.set_property("socket-buffer", self._aravis.GvStreamSocketBuffer.FIXED)
            self._stream.set_property("socket-buffer-size", RECEIVE_BUFFER)
        payload = self._camera.get_payload()
        for _ in range(self._config.buffers):
            self._stream.push_buffer(self._aravis.Buffer.new_allocate(payload))
        self._camera.start_acquisition()

    # Grabbing

    def fire(self, _limit_s: float) -> bool:
        """See `TriggeredDriver.fire`: Aravis cannot ask whether the camera is ready."""
        self._camera.software_trigger()
        return True

    def arrival(self, timeout_s: float) -> Arrival | None:
        """See `TriggeredDriver.arrival`."""
        buffer = self._stream.try_pop_buffer()
        if waited := buffer is None and timeout_s > 0:
            buffer = self._stream.timeout_pop_buffer(int(timeout_s * 1e6))
        if buffer is None and self._control_lost:  # what it sent before is still its parts'
            buffer, waited = self._stream.timeout_pop_buffer(LAST_WORDS_US), False
        if buffer is not None:
            return self._arrival(buffer, waited)
        if self._control_lost:
            raise self._lost("control of it was lost")
        return None

    def halt(self) -> None:
        """See `TriggeredDriver.halt`."""
        self._camera.stop_acquisition()

    def resume(self) -> None:
        """See `TriggeredDriver.resume`."""
        self._stream = None  # with it goes its port: what the camera still sends there reaches nobody
        self._start_stream()

    def _arrival(self, buffer: Any, waited: bool) -> Arrival:
        read_ns, status, stream = time.monotonic_ns(), buffer.get_status(), self._stream
        good = status == self._aravis.BufferStatus.SUCCESS
        # In ns already: Aravis divides by the frequency of the camera's ticks.  Where it does not know that, it gives the time
        # at which its thread heard of the picture, by the wall clock.  That is no stamp of the camera, and stands still with
        # this process, but it shows what waited in the queue; and it is mapped like a camera's clock, because it may be set.
        stamp_ns, heard_ns = buffer.get_timestamp(), buffer.get_system_timestamp()
        stamped = stamp_ns != heard_ns
        return Arrival(
            counted=self._counted(buffer) if good else None,
            camera_time=stamp_ns if stamped else 0,
            camera_ns=(stamp_ns if stamped else 0) or heard_ns or None,
            read_ns=read_ns,
            waited=waited,
            fault=None if good else f"failed buffer: {status.value_nick.replace('-', ' ')}",
            take=lambda: self._taken(buffer),
            drop=lambda: stream.push_buffer(buffer),
        )

    def _counted(self, buffer: Any) -> int | None:
        """The camera's number of a frame, or of its trigger; None where it has none.

        Not asked of a failed buffer: where a frame's first packet was lost, Aravis leaves the number of the frame before.
        """
        chunk = self._config.trigger_counter
        if chunk is None:
            frame_id = int(buffer.get_frame_id())
            return None if self._gige and frame_id == NO_FRAME_ID else frame_id
        try:
            return int(self._chunks.get_integer_value(buffer, chunk))
        except self._glib.GError as error:
            self._stream.push_buffer(buffer)
            raise CameraLostError(f"camera {self._config.identity}: {NO_CHUNK.format(chunk)}") from error

    def _taken(self, buffer: Any) -> Taken:
        image = self._picture(buffer)
        self._stream.push_buffer(buffer)
        return image, _keep

    def _picture(self, buffer: Any) -> Pixels:
        import numpy as np

        height, width, channels = buffer.get_image_height(), buffer.get_image_width(), CHANNELS[self._format]
        flat = np.frombuffer(buffer.get_data(), np.uint8, count=height * width * channels)
        image = flat.reshape((height, width) if channels == 1 else (height, width, channels))
        return image if self._to_rgb is None else np.asarray(self._to_rgb(image), np.uint8)

    def _note_lost(self, _device: Any) -> None:
        self._control_lost = True

    def _lost(self, why: str) -> CameraLostError:
        return CameraLostError(f"camera {self._config.identity}: lost ({why}); check its cable and power")


def _keep() -> None:
    """The picture was copied: there is nothing to give back."""


def connect(config: Config, file: Path, _frame_size: object, deadline_ms: int) -> AravisCamera:
    """The camera of a line; its frame size is set by its features."""
    return AravisCamera(config, file, deadline_ms)
