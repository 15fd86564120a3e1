"""A camera's features, through Aravis's node map."""

from __future__ import annotations

import sys
from typing import Any

from appliance.capture import CameraError
from appliance.capture.features import Place, Reading, as_text, ranged, refusal
from appliance.config.camera import FeatureValue

NO_STEP = sys.float_info.min  # Aravis's increment of a float that has none


class AravisFeatures:
    """See `appliance.capture.features.Features`; ``aravis`` and ``glib`` are the libraries. A silent camera is a GError."""

    def __init__(self, device: Any, aravis: Any, glib: Any) -> None:
        self._device, self._aravis, self._glib = device, aravis, glib
        device.set_register_cache_policy(aravis.RegisterCachePolicy.DISABLE)  # what is read is the camera's own word

    def write(self, name: str, value: FeatureValue, place: Place) -> None:
        """See `Features.write`."""
        node = self._device.get_feature(name)
        if node is None:
            raise CameraError(f"{place.where}this camera has no such feature; remove it or correct its spelling")
        try:
            if isinstance(node, self._aravis.GcCommand):
                node.execute()
            else:
                node.set_value_from_string(as_text(value))
        except self._glib.GError as error:
            if self._is_silence(error):
                raise  # the camera, not the value
            raise refusal(place, value, error.message, self.offered(name)) from error

    def read(self, name: str) -> Reading | None:
        """See `Features.read`."""
        node, aravis = self._device.get_feature(name), self._aravis
        if node is None or isinstance(node, aravis.GcCommand):
            return None
        try:
            if isinstance(node, aravis.GcEnumeration):  # before the integer that it also is
                return Reading(str(node.get_string_value()))
            if isinstance(node, aravis.GcBoolean):
                return Reading(bool(node.get_value()))
            if isinstance(node, aravis.GcInteger):
                return Reading(int(node.get_value()))
            if isinstance(node, aravis.GcFloat):
                step = node.get_inc()
                return Reading(float(node.get_value()), node.get_min(), node.get_max(), step if step > NO_STEP else None)
            return Reading(str(node.get_value_as_string()))
        except self._glib.GError as error:
            if self._is_silence(error):
                raise
            return None  # it can only be written

    def selects(self, name: str) -> bool:
        """See `Features.selects`."""
        node = self._device.get_feature(name)
        return isinstance(node, self._aravis.GcSelector) and bool(node.get_selected_features())

    def offered(self, name: str) -> str:
        """See `Features.offered`."""
        node = self._device.get_feature(name)
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

    def _is_silence(self, error: Any) -> bool:
        return bool(error.matches(self._aravis.device_error_quark(), self._aravis.DeviceError.TIMEOUT))
