"""A camera has one owner: the line that runs, or a command that takes pictures for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.capture import CameraError
from appliance.config.publish import PublishConfig
from appliance.messages.orders import orders_address


@contextmanager
def owned(line: str, publish: PublishConfig, file: Path) -> Iterator[None]:
    """Hold the address that a line takes orders at: while one of the two has it, the other cannot start.

    ``file`` is the line's, for messages.
    Raises CameraError when the line runs, or another command has its camera.
    """
    name = "\0" + orders_address(line, publish).removeprefix("ipc://@")  # as ZeroMQ writes an abstract address
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        try:
            held.bind(name)
        except OSError as error:
            raise CameraError(
                f"{file}: line {line} is running, or another command has its camera, and a camera has one owner; "
                "stop that first"
            ) from error
        yield
