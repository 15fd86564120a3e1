"""Modbus TCP, the other side being the server: our block is written to holding registers in one request, then theirs read."""

from __future__ import annotations

import logging

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from appliance.config.line import Line
from appliance.config.plc import ModbusConfig
from appliance.plc import BytePlc, Plc, PlcError
from appliance.plc.image import LINE_SPAN, PLC_SPAN, Span, from_registers, to_registers

# What pymodbus logs, its exceptions say as well; without a handler it would be printed among our own output.
logging.getLogger("pymodbus").addHandler(logging.NullHandler())


class ModbusClient:
    """One Modbus TCP server with the process image from register ``base`` on."""

    def __init__(self, config: ModbusConfig, ours: Span, theirs: Span) -> None:
        self._where = f"{config.host}:{config.port}"
        self._unit = config.unit
        self._ours, self._theirs = config.base + ours.start // 2, config.base + theirs.start // 2
        self._count = theirs.length // 2
        self._client = ModbusTcpClient(config.host, port=config.port, timeout=config.timeout_ms / 1000, retries=0)

    def connect(self) -> None:
        """See `BytePort.connect`."""
        if not self._client.connect():
            raise PlcError(f"{self._where} does not answer")

    def exchange(self, ours: bytes) -> bytes:
        """See `BytePort.exchange`."""
        registers = to_registers(ours)
        try:
            written = self._client.write_registers(self._ours, registers, device_id=self._unit)
            self._check(written, self._ours, len(registers), "written")
            read = self._client.read_holding_registers(self._theirs, count=self._count, device_id=self._unit)
        except (ModbusException, OSError) as error:
            raise PlcError(f"{self._where}: {error}") from error
        self._check(read, self._theirs, self._count, "read")
        return from_registers(read.registers)

    def close(self) -> None:
        """See `BytePort.close`."""
        self._client.close()

    def _check(self, answer: ModbusPDU, first: int, count: int, verb: str) -> None:
        if answer.isError():
            raise PlcError(f"{self._where} refuses to have registers {first} to {first + count - 1} {verb} ({answer})")


def make(line: Line) -> Plc:
    """The line's Modbus PLC."""
    config = line.config.plc
    assert isinstance(config, ModbusConfig), "the table of kinds has found this file"
    return BytePlc(ModbusClient(config, ours=LINE_SPAN, theirs=PLC_SPAN))
