"""A PLC stand-in: a Modbus TCP server that acknowledges every verdict and writes down what its registers received.

python -m tests.virtual_line.plc_server --port 1502 --log plc.jsonl
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import struct
import time
from pathlib import Path
from typing import TextIO

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from appliance.plc.modbus import ACKNOWLEDGE, LENGTH, STATUS, VERDICT

WRITE_REGISTERS = 16


class Registers:
    """Called by the server at every access; writes one JSON object for each verdict and each change of status."""

    def __init__(self, log: TextIO, acknowledge: bool) -> None:
        self._log, self._acknowledge = log, acknowledge
        self._status: list[int] = []

    async def access(
        self, function: int, start: int, address: int, count: int, registers: list[int], values: list[int] | list[bool] | None
    ) -> ExcCodes | None:
        """React to a write before it is stored."""
        if function != WRITE_REGISTERS or values is None:
            return None
        written = [int(value) for value in values]
        if address == VERDICT:
            handshake, verdict, reason, high, low, *score = written
            self._note(
                handshake=handshake,
                verdict=verdict,
                reason=reason,
                part_id=high << 16 | low,
                score=struct.unpack(">f", struct.pack(">HH", *score))[0],
            )
            if self._acknowledge:
                registers[ACKNOWLEDGE - start] = handshake
        elif address == STATUS and written[1:] != self._status:
            self._status = written[1:]
            self._note(state=written[1], valid=written[2], simulated=written[3])
        return None

    def _note(self, **what: float) -> None:
        self._log.write(json.dumps({"time": time.time(), **what}) + "\n")
        self._log.flush()


async def serve(port: int, log: Path, acknowledge: bool) -> None:
    """Serve until SIGTERM or SIGINT."""
    with log.open("w", encoding="utf-8") as stream:
        registers = SimData(0, count=LENGTH, values=0, datatype=DataType.REGISTERS)
        device = SimDevice(id=1, simdata=[registers], action=Registers(stream, acknowledge).access)
        server = ModbusTcpServer(device, address=("127.0.0.1", port))
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await server.serve_forever(background=True)
        await stop.wait()
        await server.shutdown()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--no-acknowledge", action="store_true")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.log, not arguments.no_acknowledge))


if __name__ == "__main__":
    main()
