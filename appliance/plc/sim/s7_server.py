"""The S7 with the data block; it stands where the line's file says that the PLC is."""

from __future__ import annotations

import logging
import socket

from snap7.error import S7Error
from snap7.server import Server
from snap7.type import SrvArea

from appliance.config.line import Line
from appliance.config.plc import S7Config
from appliance.plc import PlcError
from appliance.plc.image import IMAGE_BYTES, LINE_SPAN, PLC_SPAN
from appliance.plc.sim import ByteSide, Side

logging.getLogger("snap7").addHandler(logging.NullHandler())


class S7Server:
    """One data block, served until it is closed."""

    def __init__(self, config: S7Config) -> None:
        self._config = config
        self._block = bytearray(config.start + IMAGE_BYTES)
        self._server: Server | None = None

    def connect(self) -> None:
        """See `BytePort.connect`."""
        config = self._config
        self._server = Server(log=False)
        self._server.register_area(SrvArea.DB, config.db, self._block)
        try:
            self._server.start_to(socket.gethostbyname(config.host), config.port)
        except (S7Error, OSError) as error:
            raise PlcError(f"{config.host}:{config.port} cannot be bound ({error})") from error

    def exchange(self, ours: bytes) -> bytes:
        """See `BytePort.exchange`."""
        if self._server is None:
            raise PlcError("not served")
        start = self._config.start
        self._server.lock_area(SrvArea.DB, self._config.db)
        try:
            self._block[start + PLC_SPAN.start :] = ours
            return bytes(self._block[start : start + LINE_SPAN.length])
        finally:
            self._server.unlock_area(SrvArea.DB, self._config.db)

    def close(self) -> None:
        """See `BytePort.close`."""
        if self._server is not None:
            self._server.stop()
        self._server = None


def make(line: Line) -> Side:
    """The PLC's side."""
    config = line.config.plc
    assert isinstance(config, S7Config), "the table of kinds has found this file"
    return ByteSide(S7Server(config))
