"""The OPC UA address space: the process image as nodes, and beside it what a vision system shows after OPC 40100-1.

Names and states are those of OPC 40100-1 (Machine Vision, part 1): the object VisionSystem, the states of its
VisionStateMachine and of the AutomaticModeStateMachine in it, results with ResultId, PartId, ResultState, IsSimulated,
InternalRecipeId and CreationTime.  It is not the full companion specification: there are no methods, no events and none of
its types, and PartId is a number, not a structure.

Each node's identifier is its path, such as `VisionSystem.Line.Heartbeat`, in the namespace NAMESPACE.
"""

from __future__ import annotations

from datetime import UTC, datetime

from asyncua import ua

from appliance.messages.schema import ReasonCode
from appliance.plc.image import (
    LINE_FIELDS,
    LINE_NODE,
    PLC_FIELDS,
    PLC_NODE,
    RESULTS_NODE,
    ROOT,
    SLOT_FIELDS,
    SLOTS,
    STATE_CODES,
    LineBlock,
    Slot,
)

NAMESPACE = "urn:tfa-inspect"
CURRENT_STATE = f"{ROOT}.VisionStateMachine.CurrentState"
AUTOMATIC_STATE = f"{ROOT}.VisionStateMachine.AutomaticModeStateMachine.CurrentState"
NEVER = datetime(1601, 1, 1, tzinfo=UTC)  # how OPC UA writes no time

_TYPES = {"H": ua.VariantType.UInt16, "I": ua.VariantType.UInt32, "f": ua.VariantType.Float}
STATES = {  # of the line: state of the vision system, and of its automatic mode
    "offline": ("Preoperational", ""),
    "starting": ("Preoperational", ""),
    "running": ("Operational", "ContinuousExecution"),
    "camera-lost": ("Error", ""),
    "not-calibrated": ("Operational", "Initialized"),
    "stopping": ("Operational", "Ready"),
    "stopped": ("Halted", ""),
}
_STATE_OF_CODE = {code: STATES[name] for name, code in STATE_CODES.items()}
UNDEFINED, COMPLETED, ABORTED, FAILED = 0, 1, 3, 4  # ResultState
_RESULT_STATES = {
    ReasonCode.NONE: COMPLETED,
    ReasonCode.DEFECT: COMPLETED,
    ReasonCode.LATE: ABORTED,
    ReasonCode.STOPPING: ABORTED,
}  # every other reason: FAILED


def node_id(path: str, namespace: int) -> ua.NodeId:
    """The identifier of the node with this path."""
    return ua.NodeId(ua.String(path), ua.Int16(namespace))


def line_values(line: LineBlock) -> dict[str, ua.Variant]:
    """The value of every node that the bridge writes."""
    state, automatic = _STATE_OF_CODE[line.state]
    values = {f"{LINE_NODE}.{one.name}": ua.Variant(getattr(line, one.attribute), _TYPES[one.code]) for one in LINE_FIELDS}
    values[CURRENT_STATE] = ua.Variant(ua.LocalizedText(state), ua.VariantType.LocalizedText)
    values[AUTOMATIC_STATE] = ua.Variant(ua.LocalizedText(automatic), ua.VariantType.LocalizedText)
    for i, slot in enumerate(line.slots):
        values |= _slot_values(f"{RESULTS_NODE}.Result{i}", slot, bool(line.simulated))
    return values


def _slot_values(at: str, slot: Slot, simulated: bool) -> dict[str, ua.Variant]:
    created = datetime.fromisoformat(slot.created) if slot.created else NEVER
    state = _RESULT_STATES.get(ReasonCode(slot.reason), FAILED) if slot.valid else UNDEFINED
    return {
        f"{at}.ResultId": ua.Variant(f"{slot.epoch}-{slot.part_id}" if slot.valid else "", ua.VariantType.String),
        f"{at}.ResultState": ua.Variant(state, ua.VariantType.Int32),
        f"{at}.IsSimulated": ua.Variant(simulated and bool(slot.valid), ua.VariantType.Boolean),
        f"{at}.InternalRecipeId": ua.Variant(slot.recipe, ua.VariantType.String),
        f"{at}.CreationTime": ua.Variant(created, ua.VariantType.DateTime),
    } | {f"{at}.{one.name}": ua.Variant(getattr(slot, one.attribute), _TYPES[one.code]) for one in SLOT_FIELDS}


def line_paths() -> list[str]:
    """The nodes that a PLC reads, in the order of the process image."""
    head = [f"{LINE_NODE}.{one.name}" for one in LINE_FIELDS]
    return head + [f"{RESULTS_NODE}.Result{i}.{one.name}" for i in range(SLOTS) for one in SLOT_FIELDS]


def plc_nodes() -> dict[str, ua.VariantType]:
    """The nodes that a PLC writes, with their types."""
    return {f"{PLC_NODE}.{one.name}": _TYPES[one.code] for one in PLC_FIELDS}
