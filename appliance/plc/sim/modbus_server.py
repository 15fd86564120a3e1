"""The PLC that is a Modbus TCP server; it stands where the line's file says that the PLC is."""

from __future__ import annotations

from appliance.config.line import Line
from appliance.config.plc import ModbusConfig
from appliance.plc.image import LINE_SPAN, PLC_SPAN
from appliance.plc.modbus_server import ModbusServer
from appliance.plc.sim import ByteSide, Side


def make(line: Line) -> Side:
    """The PLC's side."""
    config = line.config.plc
    assert isinstance(config, ModbusConfig), "the table of kinds has found this file"
    return ByteSide(ModbusServer(config.host, config.port, config.base, ours=PLC_SPAN, theirs=LINE_SPAN))
