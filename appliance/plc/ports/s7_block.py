"""The process image in a data block of a Siemens S7: its client, which writes and reads it, and a server to try it with.

The line's block is less than the smallest PDU of an S7 takes (240 bytes), so that it is one request.
"""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass

from snap7.client import Client
from snap7.error import S7Error
from snap7.server import Server
from snap7.type import SrvArea

from appliance.plc import PlcError
from appliance.plc.image import IMAGE_BYTES, LINE_SPAN, PLC_SPAN

logging.getLogger("snap7").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class DataBlock:
    """Where the image lies."""

    host: str
    port: int
    db: int
    start: int  # byte

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class S7Client:
    """One data block of one S7."""

    def __init__(self, at: DataBlock, rack: int, slot: int, timeout_s: float) -> None:
        self._at, self._rack, self._slot, self._timeout_s = at, rack, slot, timeout_s
        self._client = Client()

    def connect(self) -> None:
        """See `BytePort.connect`."""
        try:
            self._client.connect(self._at.host, self._rack, self._slot, self._at.port)
        except (S7Error, OSError) as error:
            raise PlcError(f"{self._at} does not answer ({error})") from error
        connection = self._client.connection
        if connection is not None and connection.socket is not None:  # the library's own five seconds are too long
            connection.timeout = self._timeout_s
            connection.socket.settimeout(connection.timeout)

    def exchange(self, ours: bytes) -> bytes:
        """See `BytePort.exchange`."""
        db, start = self._at.db, self._at.start
        try:
            self._client.db_write(db, start + LINE_SPAN.start, bytearray(ours))
            return bytes(self._client.db_read(db, start + PLC_SPAN.start, PLC_SPAN.length))
        except (S7Error, RuntimeError, OSError) as error:
            raise PlcError(f"{self._at}: DB{db} from byte {start}: {error}") from error

    def close(self) -> None:
        """See `BytePort.close`."""
        self._client.disconnect()


class S7Server:
    """One data block, served until it is closed."""

    def __init__(self, at: DataBlock) -> None:
        self._at = at
        self._block = bytearray(at.start + IMAGE_BYTES)
        self._server: Server | None = None

    def connect(self) -> None:
        """See `BytePort.connect`."""
        at = self._at
        self._server = Server(log=False)
        self._server.register_area(SrvArea.DB, at.db, self._block)
        try:
            self._server.start_to(socket.gethostbyname(at.host), at.port)
        except (S7Error, OSError) as error:
            raise PlcError(f"{at} cannot be bound ({error})") from error

    def exchange(self, ours: bytes) -> bytes:
        """See `BytePort.exchange`."""
        if self._server is None:
            raise PlcError("not served")
        start = self._at.start
        self._server.lock_area(SrvArea.DB, self._at.db)
        try:
            self._block[start + PLC_SPAN.start :] = ours
            return bytes(self._block[start : start + LINE_SPAN.length])
        finally:
            self._server.unlock_area(SrvArea.DB, self._at.db)

    def close(self) -> None:
        """See `BytePort.close`."""
        if self._server is not None:
            self._server.stop()
        self._server = None
