"""The table `[plc]` of a line's file: which kinds there are, and what they have in common.

The struct of each kind stands in its own module, beside what it describes.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from engines.common.typed_toml import KindTable

PLCS = {  # kind: module with the struct of its table, `make` and `make_side`; see `appliance.plc`
    "modbus": "appliance.plc.modbus",
    "modbus-server": "appliance.plc.modbus_server",
    "opcua": "appliance.plc.opcua",
    "s7": "appliance.plc.s7",
}
MAX_PORT = 65_535
Port = Annotated[int, Meta(ge=1, le=MAX_PORT)]
ImageBase = Annotated[int, Meta(ge=0, le=65_000, description="address of the image's first holding register")]
AnswerMs = Annotated[int, Meta(ge=10, le=5_000, description="for one answer of the PLC")]
ThisBox = Annotated[str, Meta(description="of this box, in the PLC's network; 0.0.0.0: every network")]


class AnyPlcConfig(KindTable):
    """The table `[plc]` of whichever kind, and what is asked of it."""

    key = "plc"
    kinds = PLCS
    answers_by: ClassVar[str | None] = None  # what must be on in a PLC that is to answer us; None: it connects to us
    silent_ms: int

    @property
    def where(self) -> str:
        """Address and port that the bridge connects to, or serves at."""
        raise NotImplementedError


class PlcConfig(AnyPlcConfig, msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """What every kind of PLC has."""

    silent_ms: Annotated[
        int, Meta(ge=100, le=60_000, description="a PLC whose heartbeat stands still for longer is told of as silent")
    ] = 1_000
