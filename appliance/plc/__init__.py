"""PLCs: the port that the bridge exchanges blocks through, and one file for each kind beside it."""

from __future__ import annotations

from types import ModuleType
from typing import Protocol

from appliance.config.line import Line, need_plc
from appliance.config.plc import AnyPlcConfig
from appliance.plc.image import LineBlock, PlcBlock, decode_plc, encode_line
from engines.common.errors import ConfigError
from engines.common.extras import import_for


class PlcError(Exception):
    """The PLC does not answer or refuses, or our own server cannot be had; the bridge tries again."""


class Plc(Protocol):
    """One PLC. `connect` and `exchange` raise PlcError when they do not succeed."""

    def connect(self) -> None:
        """Connect; where the PLC connects to us, begin to serve."""

    def exchange(self, line: LineBlock) -> PlcBlock:
        """Write the whole of the line's block, then read the PLC's. What was written is unknown when it fails."""

    def close(self) -> None:
        """Disconnect; safe to call twice."""


class BytePort(Protocol):
    """A connection that carries blocks as bytes; the same methods and errors."""

    def connect(self) -> None:
        """See `Plc.connect`."""

    def exchange(self, ours: bytes) -> bytes:
        """Write our block, then read the other side's."""

    def close(self) -> None:
        """See `Plc.close`."""


class BytePlc:
    """A PLC behind a connection that carries bytes."""

    def __init__(self, port: BytePort) -> None:
        self._port = port

    def connect(self) -> None:
        """See `Plc.connect`."""
        self._port.connect()

    def exchange(self, line: LineBlock) -> PlcBlock:
        """See `Plc.exchange`."""
        return decode_plc(self._port.exchange(encode_line(line)))

    def close(self) -> None:
        """See `Plc.close`."""
        self._port.close()


_PLCS = {  # kind in the line file: module with `make(line) -> Plc`
    "modbus": "appliance.plc.modbus_client",
    "modbus-server": "appliance.plc.modbus_server",
    "opcua": "appliance.plc.opcua",
    "s7": "appliance.plc.s7",
}


def make_plc(line: Line) -> Plc:
    """The line's PLC, not connected yet. Raises ConfigError when there is none, or a package is missing for its kind."""
    plc: Plc = import_kind(need_plc(line), _PLCS).make(line)
    return plc


def import_kind(config: AnyPlcConfig, modules: dict[str, str]) -> ModuleType:
    """The module for a kind of PLC. Raises ConfigError with the command that installs what it needs."""
    kind = str(config.__struct_config__.tag)
    return import_for(f'plc.kind = "{kind}"', modules[kind], ConfigError)
