"""Siemens S7: the image is bytes of a data block, which must not be optimised; the PLC must allow PUT and GET.

The line's block is less than the smallest PDU of an S7 takes (240 bytes), so that it is one request.
"""

from __future__ import annotations

import logging

from snap7.client import Client
from snap7.error import S7Error

from appliance.config.line import Line
from appliance.config.plc import S7Config
from appliance.plc import BytePlc, Plc, PlcError
from appliance.plc.image import LINE_SPAN, PLC_SPAN

logging.getLogger("snap7").addHandler(logging.NullHandler())


class S7Client:
    """One data block of one S7."""

    def __init__(self, config: S7Config) -> None:
        self._config = config
        self._where = f"{config.host}:{config.port}"
        self._client = Client()

    def connect(self) -> None:
        """See `BytePort.connect`."""
        config = self._config
        try:
            self._client.connect(config.host, config.rack, config.slot, config.port)
        except (S7Error, OSError) as error:
            raise PlcError(f"{self._where} does not answer ({error})") from error
        connection = self._client.connection
        if connection is not None and connection.socket is not None:  # the library's own five seconds are too long
            connection.timeout = config.timeout_ms / 1000
            connection.socket.settimeout(connection.timeout)

    def exchange(self, ours: bytes) -> bytes:
        """See `BytePort.exchange`."""
        config = self._config
        try:
            self._client.db_write(config.db, config.start + LINE_SPAN.start, bytearray(ours))
            return bytes(self._client.db_read(config.db, config.start + PLC_SPAN.start, PLC_SPAN.length))
        except (S7Error, RuntimeError, OSError) as error:
            raise PlcError(f"{self._where}: DB{config.db} from byte {config.start}: {error}") from error

    def close(self) -> None:
        """See `BytePort.close`."""
        self._client.disconnect()


def make(line: Line) -> Plc:
    """The line's S7."""
    config = line.config.plc
    assert isinstance(config, S7Config), "the table of kinds has found this file"
    return BytePlc(S7Client(config))
