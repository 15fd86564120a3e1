"""Modbus TCP: a client, which writes our block in one request and then reads theirs, and a server, whose other side polls.

The server answers any unit number, and a request in one step of its loop: what it reads is never half of two writings.  The
other side cannot write our block.
"""

from __future__ import annotations

import logging

from pymodbus.client import ModbusTcpClient
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from appliance.host.process_table import MODBUS_SERVER
from appliance.host.time_limits import PLC_ANSWER_S
from appliance.plc import PlcError
from appliance.plc.image import Span, from_registers, to_registers
from appliance.plc.ports.loop_thread import LoopThread

# What pymodbus logs, its exceptions say as well; without a handler it would be printed among our own output.
logging.getLogger("pymodbus").addHandler(logging.NullHandler())

ANY_UNIT, READ_HOLDING = 0, 3


class ModbusClient:
    """One Modbus TCP server with the process image from register ``base`` on."""

    def __init__(self, host: str, port: int, unit: int, base: int, timeout_s: float, ours: Span, theirs: Span) -> None:
        self._where, self._unit = f"{host}:{port}", unit
        self._ours, self._theirs = base + ours.start // 2, base + theirs.start // 2
        self._count = theirs.length // 2
        self._client = ModbusTcpClient(host, port=port, timeout=timeout_s, retries=0)

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


class ModbusServer:
    """The process image as registers from ``base`` on, served until it is closed."""

    def __init__(self, address: str, port: int, base: int, ours: Span, theirs: Span) -> None:
        self._address, self._port, self._base = address, port, base
        self._ours, self._theirs = ours, theirs
        self._shown = [0] * (ours.length // 2)
        self._loop: LoopThread | None = None
        self._server: ModbusTcpServer | None = None

    def connect(self) -> None:
        """See `BytePort.connect`."""
        self._loop = LoopThread(MODBUS_SERVER.name)
        try:
            self._server = self._loop.call(self._serve(), PLC_ANSWER_S)
        except (RuntimeError, OSError, ModbusException, TimeoutError) as error:
            raise PlcError(f"{self._address}:{self._port} cannot be bound ({error})") from error

    def exchange(self, ours: bytes) -> bytes:
        """See `BytePort.exchange`; our block is read by the other side when it likes."""
        if self._loop is None or self._server is None:
            raise PlcError(f"{self._address}:{self._port} is not served")
        self._shown = to_registers(ours)
        read = self._server.async_getValues(
            ANY_UNIT, READ_HOLDING, self._base + self._theirs.start // 2, self._theirs.length // 2
        )
        try:
            return from_registers([int(value) for value in self._loop.call(read, PLC_ANSWER_S)])
        except TimeoutError as error:
            raise PlcError(f"{self._address}:{self._port}: the server does not answer") from error

    def close(self) -> None:
        """See `BytePort.close`."""
        if self._loop is not None:
            if self._server is not None:
                self._loop.call(self._server.shutdown(), PLC_ANSWER_S)
            self._loop.close()
        self._loop = self._server = None

    async def _serve(self) -> ModbusTcpServer:
        spans = [
            SimData(
                self._base + span.start // 2,
                count=span.length // 2,
                values=0,
                datatype=DataType.REGISTERS,
                readonly=span is self._ours,
            )
            for span in (self._ours, self._theirs)
        ]
        device = SimDevice(id=ANY_UNIT, simdata=spans, action=self._on_access)
        server = ModbusTcpServer(device, address=(self._address, self._port))
        await server.serve_forever(background=True)
        return server

    async def _on_access(
        self, function: int, start: int, address: int, count: int, registers: list[int], values: list[int] | list[bool] | None
    ) -> ExcCodes | None:
        """Called before each request is carried out: put what we show now into the registers."""
        first = self._base + self._ours.start // 2 - start
        registers[first : first + len(self._shown)] = self._shown
        return None
