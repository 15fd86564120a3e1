"""A PLC to try a line with: a program that does what `appliance/plc/README.md` asks, and each kind's other side."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from appliance.config.plc import AnyPlcConfig
from appliance.plc import BytePort
from appliance.plc.image import LineBlock, PlcBlock, decode_line, encode_plc


class Side(Protocol):
    """The PLC's connection to the bridge. `connect` and `exchange` raise `appliance.plc.PlcError`."""

    def connect(self) -> None:
        """Connect, or begin to serve."""

    def exchange(self, plc: PlcBlock) -> LineBlock:
        """Show the PLC's block, and read the line's."""

    def close(self) -> None:
        """Disconnect; safe to call twice."""


class ByteSide:
    """A side whose connection carries bytes."""

    def __init__(self, port: BytePort) -> None:
        self._port = port

    def connect(self) -> None:
        """See `Side.connect`."""
        self._port.connect()

    def exchange(self, plc: PlcBlock) -> LineBlock:
        """See `Side.exchange`."""
        return decode_line(self._port.exchange(encode_plc(plc)))

    def close(self) -> None:
        """See `Side.close`."""
        self._port.close()


def make_side(config: AnyPlcConfig, file: Path) -> Side:
    """The PLC's side of what a line's table configures; ``file`` is the line's, for messages. Raises ConfigError."""
    side: Side = config.call("make_side", file)
    return side


def reachable(address: str) -> str:
    """Where a client on this box finds a server that is bound to this address."""
    return "127.0.0.1" if address in ("0.0.0.0", "") else address
