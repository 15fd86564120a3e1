"""A Basler camera's features, through pylon's node map."""

from __future__ import annotations

import re
from typing import Any

from appliance.capture import CameraError
from appliance.capture.features import Place, Reading, as_text, ranged, refusal
from appliance.config.camera import FeatureValue


class PylonFeatures:
    """See `appliance.capture.features.Features`; ``genicam`` is pypylon's module of that name."""

    def __init__(self, nodes: Any, genicam: Any) -> None:
        self._nodes, self._genicam = nodes, genicam

    def write(self, name: str, value: FeatureValue, place: Place) -> None:
        """See `Features.write`."""
        node = self._nodes.GetNode(name)
        if not self._genicam.IsImplemented(node):
            raise CameraError(f"{place.where}this camera has no such feature; remove it or correct its spelling")
        if isinstance(node, self._genicam.ICommand):
            node.Execute()
            return
        if not self._genicam.IsWritable(node):
            raise CameraError(
                f"{place.where}cannot be set as the camera stands now; move it behind the feature that it depends on"
            )
        try:
            node.FromString(as_text(value))
        except self._genicam.GenericException as error:
            raise refusal(place, value, said(error), self.offered(name)) from error

    def read(self, name: str) -> Reading | None:
        """See `Features.read`."""
        node = self._nodes.GetNode(name)
        if isinstance(node, self._genicam.ICommand) or not self._genicam.IsReadable(node):
            return None
        # pylon would answer for the camera with what was written last: (do not verify, do not ask its memory).
        if isinstance(node, self._genicam.IBoolean):
            return Reading(bool(node.GetValue(False, True)))
        if isinstance(node, self._genicam.IInteger):
            return Reading(int(node.GetValue(False, True)))
        if isinstance(node, self._genicam.IFloat):
            step = node.Inc if node.HasInc() else None
            return Reading(float(node.GetValue(False, True)), node.Min, node.Max, step)
        return Reading(str(node.ToString(False, True)))

    def selects(self, name: str) -> bool:
        """See `Features.selects`."""
        node = self._nodes.GetNode(name)
        return bool(self._genicam.IsImplemented(node) and node.Node.IsSelector())

    def offered(self, name: str) -> str:
        """See `Features.offered`."""
        node = self._nodes.GetNode(name)
        if isinstance(node, self._genicam.IEnumeration):
            return ", ".join(node.GetSettableValues())
        if isinstance(node, self._genicam.IBoolean):
            return "true, false"
        if isinstance(node, self._genicam.IInteger):
            return ranged(node.Min, node.Max, node.Inc)
        if isinstance(node, self._genicam.IFloat):
            return ranged(node.Min, node.Max, node.Inc if node.HasInc() else None)
        return ""


def said(error: Exception) -> str:
    """What pylon says, without the node that it is about and the place in its source."""
    parts = str(error).splitlines()[0].split(" : ")
    told = [part for part in parts if not re.match(r"(Feature|Node) '[^']*'$|\w+Exception thrown ", part)]
    return (told or parts)[0].rstrip(".")
