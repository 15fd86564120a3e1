"""PLCs: the port that the bridge writes through, and one file for each kind beside it."""

from __future__ import annotations

import importlib
from typing import Protocol

import msgspec

from appliance.config import ModbusConfig
from appliance.messages import ReasonCode

STATE_CODES = {"offline": 0, "starting": 1, "running": 2, "camera-lost": 3, "not-calibrated": 4, "stopping": 5, "stopped": 6}
VERDICT_CODES = {"pass": 1, "reject": 2}  # 0: none yet


class PlcError(Exception):
    """The PLC does not answer or refuses; the bridge tries again."""


class PlcStatus(msgspec.Struct, frozen=True):
    """What the PLC is told every 50 ms."""

    heartbeat: int  # counts up
    state: str  # of the line; `offline` when nothing is heard of it
    valid: bool  # the line is heard of and gives verdicts; else every part must be treated as a reject
    simulated: bool


class PlcVerdict(msgspec.Struct, frozen=True):
    """What the PLC is told of each part."""

    part_id: int
    verdict: str
    reason: ReasonCode
    score: float | None


class Plc(Protocol):
    """One PLC. Every method raises PlcError when the PLC is not there."""

    def connect(self) -> None:
        """Connect, and take up the handshake counter where the PLC has it."""

    def write_status(self, status: PlcStatus) -> None:
        """Tell how the line is."""

    def write_verdict(self, verdict: PlcVerdict) -> bool:
        """Tell a verdict; False when the PLC was to acknowledge it and did not in time."""

    def close(self) -> None:
        """Disconnect; safe to call twice."""


_PLCS = {"modbus": "appliance.plc.modbus"}  # kind in the line file: module with `make(config) -> Plc`


def make_plc(config: ModbusConfig) -> Plc:
    """The configured PLC, not connected yet."""
    plc: Plc = importlib.import_module(_PLCS[str(config.__struct_config__.tag)]).make(config)
    return plc
