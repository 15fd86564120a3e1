"""Modbus TCP: the PLC is the server, we write holding registers. 32-bit values have their high word first.

    offset  content
    0       heartbeat counter, counts up every 50 ms while the bridge lives
    1       state of the line (STATE_CODES)
    2       valid: 1 while the line is heard of and gives verdicts; at 0 treat every part as a reject
    3       simulated: 1 when the pictures are not of real parts
    4       handshake counter, counts up with each verdict
    5       verdict: 1 pass, 2 reject, 0 none yet
    6       reason (messages.ReasonCode)
    7, 8    part id, unsigned 32 bits
    9, 10   score, float32; NaN where nothing was measured
    11      acknowledge: the PLC writes the handshake counter here when it has taken the verdict

A verdict (4 to 10) is one write, so that the PLC never sees half of it.
"""

from __future__ import annotations

import logging
import math
import struct
import time

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from appliance.config import ModbusConfig
from appliance.plc import STATE_CODES, VERDICT_CODES, PlcError, PlcStatus, PlcVerdict

STATUS, VERDICT, ACKNOWLEDGE, LENGTH = 0, 4, 11, 12
ACKNOWLEDGE_POLL_S = 0.002

# What pymodbus logs, its exceptions say as well; without a handler it would be printed among our own output.
logging.getLogger("pymodbus").addHandler(logging.NullHandler())


class ModbusPlc:
    """One Modbus TCP server."""

    def __init__(self, config: ModbusConfig) -> None:
        self._config = config
        self._client = ModbusTcpClient(config.host, port=config.port, timeout=config.timeout_ms / 1000, retries=0)
        self._handshake = 0

    def connect(self) -> None:
        """See `Plc.connect`."""
        if not self._client.connect():
            raise PlcError(f"{self._config.host}:{self._config.port} does not answer")
        self._handshake = self._read(VERDICT)

    def write_status(self, status: PlcStatus) -> None:
        """See `Plc.write_status`."""
        self._write(STATUS, [status.heartbeat & 0xFFFF, STATE_CODES[status.state], int(status.valid), int(status.simulated)])

    def write_verdict(self, verdict: PlcVerdict) -> bool:
        """See `Plc.write_verdict`."""
        self._handshake = (self._handshake + 1) & 0xFFFF
        self._write(VERDICT, verdict_registers(self._handshake, verdict))
        if not self._config.acknowledge:
            return True
        until = time.monotonic() + self._config.acknowledge_ms / 1000
        while self._read(ACKNOWLEDGE) != self._handshake:
            if time.monotonic() > until:
                return False
            time.sleep(ACKNOWLEDGE_POLL_S)
        return True

    def close(self) -> None:
        """See `Plc.close`."""
        self._client.close()

    def _write(self, offset: int, values: list[int]) -> None:
        try:
            answer = self._client.write_registers(self._config.base + offset, values, device_id=self._config.unit)
        except (ModbusException, OSError) as error:
            raise PlcError(f"{self._config.host}:{self._config.port}: {error}") from error
        if answer.isError():
            raise PlcError(
                f"{self._config.host}:{self._config.port} refuses to have registers "
                f"{self._config.base + offset} to {self._config.base + offset + len(values) - 1} written ({answer})"
            )

    def _read(self, offset: int) -> int:
        try:
            answer = self._client.read_holding_registers(self._config.base + offset, count=1, device_id=self._config.unit)
        except (ModbusException, OSError) as error:
            raise PlcError(f"{self._config.host}:{self._config.port}: {error}") from error
        if answer.isError():
            raise PlcError(
                f"{self._config.host}:{self._config.port} refuses to have register {self._config.base + offset} read ({answer})"
            )
        return int(answer.registers[0])


def verdict_registers(handshake: int, verdict: PlcVerdict) -> list[int]:
    """Registers 4 to 10 of the map."""
    score = struct.pack(">f", math.nan if verdict.score is None else verdict.score)
    part = struct.pack(">I", verdict.part_id & 0xFFFF_FFFF)
    return [
        handshake,
        VERDICT_CODES[verdict.verdict],
        int(verdict.reason),
        *struct.unpack(">HH", part),
        *struct.unpack(">HH", score),
    ]


def make(config: ModbusConfig) -> ModbusPlc:
    """The configured Modbus PLC."""
    return ModbusPlc(config)
