"""Any GigE Vision or USB3 Vision camera through Aravis 0.8 (Debian's python3-gi and gir1.2-aravis-0.8)."""

from __future__ import annotations

import sys
import sysconfig
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.capture import CameraError, CameraLostError, CameraState, Frame
from appliance.capture.counter import GIGE_COUNTER, NO_CHUNK, TRIGGER_COUNTER, USB_COUNTER, FrameCounter
from appliance.capture.feature_refusal import ranged, refusal
from appliance.capture.trigger_clock import TriggerClock, from_trigger
from appliance.config.camera import CameraConfig, FeatureValue

if TYPE_CHECKING:
    from engines.pictures.geometry import Pixels

NO_STEP = sys.float_info.min  # Aravis's increment of a float that has none
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
        self._aravis, self._glib = _library()
        self._config, self._line_file = config, line_file
        self._limit_ms = min(config.timeout_ms, deadline_ms)  # a software trigger's picture is no use later
        self._camera: Any = None
        self._stream: Any = None
        self._chunks: Any = None
        self._counter = FrameCounter()
        self._clock = TriggerClock(config.rate)
        self._format = "Mono8"
        self._to_rgb: Callable[[Pixels], Any] | None = None
        self._control_lost = False
        self.simulated = False

    def open(self) -> None:
        """See `Camera.open`."""
        try:
            self._camera = self._aravis.Camera.new(self._find())
            device = self._camera.get_device()
            self.simulated = (self._camera.get_vendor_name(), self._camera.get_model_name()) == ("Aravis", "Fake")
            self._control_lost = False
            device.connect("control-lost", self._note_lost)
            self._camera.stop_acquisition()  # it may still send to an owner that was killed, and refuse features meanwhile
            self._apply_features(device)
            frame_counter = GIGE_COUNTER if self._camera.is_gv_device() else USB_COUNTER
            self._counter.restart(*(TRIGGER_COUNTER if self._config.trigger_counter else frame_counter))
            self._chunks = self._camera.create_chunk_parser()
            self._start_stream()
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
                return self._grab_triggered(timeout_s)
            frames = self._frames(self._stream.timeout_pop_buffer(int(timeout_s * 1e6)))
            if not frames and self._control_lost:
                raise self._lost("control of it was lost")
            return frames
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
            frames += self._frames(buffer)
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

    def _find(self) -> str:
        """Aravis's name of the configured camera; CameraLostError lists what is there instead."""
        config, aravis = self._config, self._aravis
        aravis.update_device_list()
        found = [
            (aravis.get_device_id(i), aravis.get_device_model(i), aravis.get_device_serial_nbr(i), aravis.get_device_address(i))
            for i in range(aravis.get_n_devices())
            if aravis.get_device_protocol(i) != "Fake"  # Aravis's own, inside this process
        ]
        matching = [
            name
            for name, _, serial, address in found
            if (config.serial is None or serial == config.serial) and (config.ip is None or address == config.ip)
        ]
        there = ", ".join(f"{model} serial {serial} at {address}" for _, model, serial, address in found) or "none"
        if not matching:
            raise CameraLostError(
                f"{self._line_file}: camera {config.identity}: not found (cameras here: {there}); check power, cable and "
                "network, or correct camera.serial or camera.ip"
            )
        if len(matching) > 1:
            raise CameraError(f"{self._line_file}: camera: more than one fits (cameras here: {there}); set camera.serial")
        return str(matching[0])

    def _apply_features(self, device: Any) -> None:
        for name, value in self._config.all_features.items():
            self._set_feature(device, name, value)
        self._format = self._camera.get_pixel_format_as_string()
        if self._format not in CHANNELS:
            raise CameraError(
                f"{self._line_file}: camera.features.PixelFormat: {self._format} cannot be used; "
                f"set one of {', '.join(CHANNELS)}"
            )
        self._to_rgb = None
        if mosaic := MOSAICS.get(self._format):
            import cv2

            self._to_rgb = partial(cv2.cvtColor, code=getattr(cv2, mosaic))

    def _set_feature(self, device: Any, name: str, value: FeatureValue) -> None:
        where = f"{self._line_file}: camera.features.{name}"
        node = device.get_feature(name)
        if node is None:
            raise CameraError(f"{where}: this camera has no such feature; remove it or correct its spelling")
        try:
            if isinstance(node, self._aravis.GcCommand):
                node.execute()
            else:
                node.set_value_from_string(str(value).lower() if isinstance(value, bool) else str(value))
        except self._glib.GError as error:
            if error.matches(self._aravis.device_error_quark(), self._aravis.DeviceError.TIMEOUT):
                raise  # the camera, not the value
            raise refusal(where, value, error.message, self._offered(node)) from error

    def _offered(self, node: Any) -> str:
        """What a feature can be set to as the camera stands now; empty where it does not tell."""
        try:
            if isinstance(node, self._aravis.GcEnumeration):
                return ", ".join(node.dup_available_string_values())
            if isinstance(node, self._aravis.GcBoolean):
                return "true, false"
            if isinstance(node, self._aravis.GcInteger):
                return ranged(node.get_min(), node.get_max(), node.get_inc())
            if isinstance(node, self._aravis.GcFloat):
                step = node.get_inc()
                return ranged(node.get_min(), node.get_max(), step if step > NO_STEP else None)
        except self._glib.GError:
            return ""  # the refusal itself is told without
        return ""

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
        self._clock.start()

    # Grabbing

    def _grab_triggered(self, timeout_s: float) -> list[Frame]:
        if not self._clock.wait(timeout_s):
            return []
        limit, triggered_ns = self._limit_ms, time.monotonic_ns()
        self._camera.software_trigger()
        if frames := self._frames(self._stream.timeout_pop_buffer(limit * 1000)):
            return from_trigger(frames, triggered_ns)
        if self._control_lost:
            raise self._lost("control of it was lost")
        # A picture that comes after all must not be taken for the next part's.
        self._camera.stop_acquisition()
        while (buffer := self._stream.try_pop_buffer()) is not None:
            self._stream.push_buffer(buffer)
        self._camera.start_acquisition()
        missing = self._missing(self._counter.skip(), f"no picture within {limit} ms after its trigger", silent=True)
        return from_trigger([missing], triggered_ns)

    def _frames(self, buffer: Any) -> list[Frame]:
        """The frame in a buffer, after one without picture for each number that the counter skipped."""
        if buffer is None:
            return []
        captured = time.monotonic_ns()
        missing = self._counter.advance(self._counted(buffer))
        frames: list[Frame] = []
        if missing is not None:
            number = self._counter.number
            frames = [self._missing(number - missing + i, "the counter skipped it") for i in range(missing)]
            status = buffer.get_status()
            if status == self._aravis.BufferStatus.SUCCESS:
                frames.append(Frame(number, captured, buffer.get_timestamp(), self._picture(buffer)))
            else:
                frames.append(self._missing(number, f"failed buffer: {status.value_nick.replace('-', ' ')}"))
        self._stream.push_buffer(buffer)
        return frames

    def _counted(self, buffer: Any) -> int | None:
        """The camera's number of a frame, or of its trigger; None for a failed buffer.

        Where a frame's first packet was lost, Aravis leaves the number of the frame that was in this buffer before.
        """
        if buffer.get_status() != self._aravis.BufferStatus.SUCCESS:
            return None
        chunk = self._config.trigger_counter
        if chunk is None:
            return int(buffer.get_frame_id())
        try:
            return int(self._chunks.get_integer_value(buffer, chunk))
        except self._glib.GError as error:
            self._stream.push_buffer(buffer)
            raise CameraLostError(f"camera {self._config.identity}: {NO_CHUNK.format(chunk)}") from error

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

    @staticmethod
    def _missing(number: int, fault: str, silent: bool = False) -> Frame:
        return Frame(number, time.monotonic_ns(), 0, None, fault, silent=silent)


def _library() -> tuple[Any, Any]:
    """Aravis and GLib. Raises CameraError that says how both are installed: no pip brings them."""
    try:
        import gi

        gi.require_version("Aravis", "0.8")
        from gi.repository import Aravis, GLib
    except (ImportError, ValueError) as missing:
        raise CameraError(
            f'camera.kind = "aravis": {missing}; install it with: apt install python3-gi gir1.2-aravis-0.8, and let this '
            f"Python see it with: ln -s /usr/lib/python3/dist-packages/gi {sysconfig.get_path('purelib')}/"
        ) from missing
    return Aravis, GLib


def connect(config: Config, file: Path, _frame_size: object, deadline_ms: int) -> AravisCamera:
    """The camera of a line; its frame size is set by its features."""
    return AravisCamera(config, file, deadline_ms)
