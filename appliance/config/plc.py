"""The table `[plc]` of a line file: one struct for each kind of PLC."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

MAX_PORT = 65_535
Port = Annotated[int, Meta(ge=1, le=MAX_PORT)]


class PlcConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """What every kind of PLC has."""

    silent_ms: Annotated[
        int, Meta(ge=100, le=60_000, description="a PLC whose heartbeat stands still for longer is told of as silent")
    ] = 1_000


class ModbusConfig(PlcConfig, frozen=True, forbid_unknown_fields=True, tag="modbus", kw_only=True):
    """A PLC that is a Modbus TCP server; the README has the process image."""

    host: str
    port: Port = 502
    unit: Annotated[int, Meta(ge=0, le=255)] = 1
    base: Annotated[int, Meta(ge=0, le=65_000, description="address of the image's first holding register")] = 0
    timeout_ms: Annotated[int, Meta(ge=10, le=5_000, description="for one answer of the PLC")] = 500


class ModbusServerConfig(PlcConfig, frozen=True, forbid_unknown_fields=True, tag="modbus-server", kw_only=True):
    """A PLC that polls: the bridge is the Modbus TCP server."""

    address: Annotated[str, Meta(description="of this box, in the PLC's network; 0.0.0.0: every network")]
    port: Port = 1502
    base: Annotated[int, Meta(ge=0, le=65_000, description="address of the image's first holding register")] = 0


class OpcUaConfig(PlcConfig, frozen=True, forbid_unknown_fields=True, tag="opcua", kw_only=True):
    """A PLC that is an OPC UA client: the bridge is the server."""

    address: Annotated[str, Meta(description="of this box, in the PLC's network; 0.0.0.0: every network")]
    port: Port = 4840
    certificate: Annotated[Path | None, Meta(description="the server's certificate, .der; sessions are then encrypted")] = None
    private_key: Annotated[Path | None, Meta(description="its private key, .pem")] = None
    clients: Annotated[Path | None, Meta(description="folder with the certificates, .der, of the clients let in")] = None

    def __post_init__(self) -> None:
        """Refuse half of what encryption needs."""
        if len({value is None for value in (self.certificate, self.private_key, self.clients)}) > 1:
            raise ValueError("certificate, private_key and clients belong together: give all three or none")


class S7Config(PlcConfig, frozen=True, forbid_unknown_fields=True, tag="s7", kw_only=True):
    """A Siemens PLC: the bridge writes into a data block of it."""

    host: str
    port: Port = 102
    rack: Annotated[int, Meta(ge=0, le=7)] = 0
    slot: Annotated[int, Meta(ge=0, le=31)] = 1
    db: Annotated[int, Meta(ge=1, le=65_535, description="number of the data block; not optimised")]
    start: Annotated[int, Meta(ge=0, le=65_000, multiple_of=2, description="the image's first byte in it")] = 0
    timeout_ms: Annotated[int, Meta(ge=10, le=5_000, description="for one answer of the PLC")] = 500


AnyPlcConfig = ModbusConfig | ModbusServerConfig | OpcUaConfig | S7Config
