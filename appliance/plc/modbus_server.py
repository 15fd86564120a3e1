"""Modbus TCP with a PLC that polls: the bridge is the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from appliance.config.plc import ImageBase, PlcConfig, Port, ThisBox
from appliance.plc import BytePlc, Plc
from appliance.plc.image import LINE_SPAN, PLC_SPAN
from appliance.plc.sim import ByteSide, Side, reachable

ANY_UNIT, ANSWER_S = 1, 0.5


class Config(PlcConfig, frozen=True, forbid_unknown_fields=True, tag="modbus-server", kw_only=True):
    """A PLC that polls: the bridge is the Modbus TCP server."""

    address: ThisBox
    port: Annotated[Port, Meta(description="of this box, which the PLC connects to")] = 1502
    base: ImageBase = 0

    @property
    def where(self) -> str:
        """See `AnyPlcConfig.where`."""
        return f"{self.address}:{self.port}"


def make(config: Config, _line: str, _file: Path) -> Plc:
    """The bridge's own server."""
    from appliance.plc.ports.modbus_tcp import ModbusServer

    return BytePlc(ModbusServer(config.address, config.port, config.base, ours=LINE_SPAN, theirs=PLC_SPAN))


def make_side(config: Config, _file: Path) -> Side:
    """The PLC that polls it."""
    from appliance.plc.ports.modbus_tcp import ModbusClient

    at = reachable(config.address)
    return ByteSide(ModbusClient(at, config.port, ANY_UNIT, config.base, ANSWER_S, ours=PLC_SPAN, theirs=LINE_SPAN))
