"""Aravis itself, and the camera that a line means among those it finds."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Any

from appliance.capture import CameraError, CameraLostError
from appliance.config.camera import CameraConfig


def library() -> tuple[Any, Any]:
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


def find(config: CameraConfig, line_file: Path, aravis: Any) -> str:
    """Aravis's name of the configured camera; CameraLostError lists what is there instead."""
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
            f"{line_file}: camera {config.identity}: not found (cameras here: {there}); check power, cable and "
            "network, or correct camera.serial or camera.ip"
        )
    if len(matching) > 1:
        raise CameraError(f"{line_file}: camera: more than one fits (cameras here: {there}); set camera.serial")
    return str(matching[0])
