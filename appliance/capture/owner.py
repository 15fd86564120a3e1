"""A camera has one owner: the line that runs, or a command that takes pictures for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.capture import CameraError
from appliance.config.line import Line
from appliance.messages.orders import orders_address


@contextmanager
def owned(line: Line) -> Iterator[None]:
    """Hold the address that the line takes orders at: while one of the two has it, the other cannot start.

    Raises CameraError when the line runs, or another command has its camera.
    """
    name = "\0" + orders_address(line.name, line.config.publish).removeprefix("ipc://@")  # as ZeroMQ writes an abstract address
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        try:
            held.bind(name)
        except OSError as error:
            raise CameraError(
                f"{line.file}: line {line.name} is running, or another command has its camera, and a camera has one owner; "
                "stop that first"
            ) from error
        yield
