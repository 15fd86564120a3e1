"""The PLC that polls the bridge's Modbus TCP server."""

from __future__ import annotations

from appliance.config.line import Line
from appliance.config.plc import ModbusConfig, ModbusServerConfig
from appliance.plc.image import LINE_SPAN, PLC_SPAN
from appliance.plc.modbus_client import ModbusClient
from appliance.plc.sim import ByteSide, Side, reachable


def make(line: Line) -> Side:
    """The PLC's side."""
    config = line.config.plc
    assert isinstance(config, ModbusServerConfig), "the table of kinds has found this file"
    at = ModbusConfig(host=reachable(config.address), port=config.port, base=config.base)
    return ByteSide(ModbusClient(at, ours=PLC_SPAN, theirs=LINE_SPAN))
