"""Siemens S7: the image is bytes of a data block, which must not be optimised; the PLC must allow PUT and GET."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from appliance.config.plc import AnswerMs, PlcConfig, Port
from appliance.plc import BytePlc, Plc
from appliance.plc.sim import ByteSide, Side


class Config(PlcConfig, frozen=True, forbid_unknown_fields=True, tag="s7", kw_only=True):
    """A Siemens PLC: the bridge writes into a data block of it."""

    answers_by = "access by PUT and GET"

    host: Annotated[str, Meta(description="address of the PLC")]
    port: Annotated[Port, Meta(description="of its S7 communication")] = 102
    rack: Annotated[int, Meta(ge=0, le=7, description="of the CPU")] = 0
    slot: Annotated[int, Meta(ge=0, le=31, description="of the CPU in the rack")] = 1
    db: Annotated[int, Meta(ge=1, le=65_535, description="number of the data block; not optimised")]
    start: Annotated[int, Meta(ge=0, le=65_000, multiple_of=2, description="the image's first byte in it")] = 0
    timeout_ms: AnswerMs = 500

    @property
    def where(self) -> str:
        """See `AnyPlcConfig.where`."""
        return f"{self.host}:{self.port}"


def make(config: Config, _line: str, _file: Path) -> Plc:
    """The bridge's client."""
    from appliance.plc.ports.s7_block import DataBlock, S7Client

    at = DataBlock(config.host, config.port, config.db, config.start)
    return BytePlc(S7Client(at, config.rack, config.slot, config.timeout_ms / 1000))


def make_side(config: Config, _file: Path) -> Side:
    """The S7, which stands where the line's file says that it is."""
    from appliance.plc.ports.s7_block import DataBlock, S7Server

    return ByteSide(S7Server(DataBlock(config.host, config.port, config.db, config.start)))
