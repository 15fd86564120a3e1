"""Modbus TCP with a PLC that is the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from appliance.config.plc import AnswerMs, ImageBase, PlcConfig, Port
from appliance.plc import BytePlc, Plc
from appliance.plc.image import LINE_SPAN, PLC_SPAN
from appliance.plc.sim import ByteSide, Side


class Config(PlcConfig, frozen=True, forbid_unknown_fields=True, tag="modbus", kw_only=True):
    """A PLC that is a Modbus TCP server; `appliance/plc/README.md` has the process image."""

    answers_by = "Modbus server"

    host: Annotated[str, Meta(description="address of the PLC")]
    port: Annotated[Port, Meta(description="of its Modbus server")] = 502
    unit: Annotated[int, Meta(ge=0, le=255, description="unit identifier, for a gateway")] = 1
    base: ImageBase = 0
    timeout_ms: AnswerMs = 500

    @property
    def where(self) -> str:
        """See `AnyPlcConfig.where`."""
        return f"{self.host}:{self.port}"


def make(config: Config, _line: str, _file: Path) -> Plc:
    """The bridge's client."""
    from appliance.plc.ports.modbus_tcp import ModbusClient

    timeout_s = config.timeout_ms / 1000
    return BytePlc(ModbusClient(config.host, config.port, config.unit, config.base, timeout_s, ours=LINE_SPAN, theirs=PLC_SPAN))


def make_side(config: Config, _file: Path) -> Side:
    """The PLC, which stands where the line's file says that it is."""
    from appliance.plc.ports.modbus_tcp import ModbusServer

    return ByteSide(ModbusServer(config.host, config.port, config.base, ours=PLC_SPAN, theirs=LINE_SPAN))
