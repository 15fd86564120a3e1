"""PLCs: the port that the bridge exchanges blocks through, and one file for each kind beside it.

To add a kind of PLC:

1. Write one module with

       class Config(PlcConfig, frozen=True, forbid_unknown_fields=True, tag="mine", kw_only=True)
       def make(config, line, file) -> Plc             what the bridge exchanges blocks through (arguments: see `make_plc`)
       def make_side(config, file) -> Side             what `inspect plc-sim` answers through (see `appliance.plc.sim`)

   `Config` is the table `[plc]` with kind = "mine": what it adds to `appliance.config.plc.PlcConfig`, each field with its
   bounds and meaning, and what `AnyPlcConfig` asks.  Import the protocol's library where it is used and not at the top: every
   command that reads a line's file imports this module.  What an extra brings stands in `engines.common.extras`.
2. Name the module in `PLCS` in `appliance/config/plc.py`.
3. Give its table to `tests/appliance/plc/test_kinds.py`, which then has it carry results, faults and restarts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from appliance.config.plc import AnyPlcConfig
from appliance.plc.image import LineBlock, PlcBlock, decode_plc, encode_line


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


def make_plc(config: AnyPlcConfig, line: str, file: Path) -> Plc:
    """The PLC of a line's table, not connected yet; ``line`` is its name, ``file`` its file, for messages.

    Raises ConfigError when a package is missing for its kind.
    """
    plc: Plc = config.call("make", line, file)
    return plc
