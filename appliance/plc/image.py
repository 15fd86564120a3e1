"""The process image: what a line and its PLC show each other, the same over every protocol.

Two blocks.  The line's is written by the bridge and only read by the PLC; the PLC's is written by the PLC and only read by the
bridge.  Each is a table of fields in the order of their addresses, big-endian and without gaps: two bytes are one Modbus
register, S7 takes the bytes as they are, OPC UA has a node for each field.

The result of part p stands in slot p mod 8.  A slot without a result is all zeros, and is written so at least once between two
results: whichever moments the PLC's reading and our writing fall on, a slot that is read is a mixture of one result and zeros,
never of two results.  Valid is its last field.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass

SLOTS = 8
STATE_CODES = {"offline": 0, "starting": 1, "running": 2, "camera-lost": 3, "not-calibrated": 4, "stopping": 5, "stopped": 6}
VERDICT_CODES = {"pass": 1, "reject": 2}  # 0: none
DOUBTS = {  # of a PLC
    "none": 0,
    "line not valid or in a new epoch": 1,
    "parts on the belt not known": 2,
    "more pictures than triggers": 3,
    "fewer pictures than triggers": 4,
}
MORE_PICTURES, FEWER_PICTURES = 3, 4
ROOT = "VisionSystem"  # the nodes of OPC UA
LINE_NODE, PLC_NODE, RESULTS_NODE = f"{ROOT}.Line", f"{ROOT}.Plc", f"{ROOT}.ResultManagement.Results"
TYPES = {"H": "UINT, 16 bits", "I": "UDINT, 32 bits", "f": "REAL, 32 bits"}  # by the codes of `struct`


@dataclass(frozen=True)
class Field:
    """One field: its name as an attribute and as a node of OPC UA, its type as `struct` writes it, and what it says."""

    attribute: str
    name: str
    code: str  # H: 16 bits, I: 32 bits, f: float32
    meaning: str


LINE_FIELDS = (
    Field("heartbeat", "Heartbeat", "H", "counts up with each writing since the line was heard, every 150 ms at the latest"),
    Field("state", "State", "H", "of the line: " + ", ".join(f"{code} {name}" for name, code in STATE_CODES.items())),
    Field("valid", "Valid", "H", "1 while the line is heard of and gives verdicts; at 0 every part is a reject"),
    Field("simulated", "Simulated", "H", "1 when the pictures are not of real parts"),
    Field("overrun", "Overrun", "H", "1 when a result could not be handed over, until all later ones are acknowledged"),
    Field("epoch", "Epoch", "I", "another number at each start of the line"),
    Field("newest", "Newest", "I", "the newest part that has a verdict; 0 before the first"),
    Field("seen", "Seen", "I", "the newest part whose picture came, or is known to be lost"),
)
SLOT_FIELDS = (
    Field("epoch", "Epoch", "I", "of this result; to be compared with the line's"),
    Field("part_id", "PartId", "I", "counts from 1 in each epoch"),
    Field("verdict", "Verdict", "H", "1 pass, 2 reject, 0 none"),
    Field("reason", "Reason", "H", "of a reject, as a code; 0 on a pass"),
    Field("score", "Score", "f", "NaN where nothing was measured"),
    Field("valid", "Valid", "H", "1 from when the result is complete until it is acknowledged or withdrawn"),
)
PLC_FIELDS = (
    Field("heartbeat", "Heartbeat", "H", "counts up in each cycle of the PLC"),
    Field("epoch", "AcknowledgedEpoch", "I", "epoch of the newest part that the PLC has settled"),
    Field(
        "part_id", "AcknowledgedPart", "I", "that part: its result was taken, or it was rejected without; so were all before it"
    ),
    Field("fired", "Fired", "I", "the newest part that had a trigger; Line.Seen must come to the same"),
    Field("doubt", "Doubt", "H", "why every part is a reject: " + ", ".join(f"{code} {why}" for why, code in DOUBTS.items())),
)


@dataclass(frozen=True, slots=True)
class Slot:
    """One result as the PLC sees it; all zeros where there is none."""

    epoch: int = 0
    part_id: int = 0
    verdict: int = 0
    reason: int = 0
    score: float = 0.0
    valid: int = 0
    recipe: str = ""  # digest; this and the next over OPC UA only
    created: str = ""  # UTC, ISO 8601


EMPTY = Slot()


@dataclass(frozen=True, slots=True)
class LineBlock:
    """What the line shows the PLC."""

    heartbeat: int = 0
    state: int = 0
    valid: int = 0
    simulated: int = 0
    overrun: int = 0
    epoch: int = 0
    newest: int = 0
    seen: int = 0
    slots: tuple[Slot, ...] = (EMPTY,) * SLOTS

    def slot_of(self, part_id: int) -> Slot:
        """Where the result of this part stands, if it is there."""
        return self.slots[part_id % SLOTS]


@dataclass(frozen=True, slots=True)
class PlcBlock:
    """What the PLC shows the line."""

    heartbeat: int = 0
    epoch: int = 0
    part_id: int = 0
    fired: int = 0
    doubt: int = 0


def _layout(fields: tuple[Field, ...]) -> struct.Struct:
    return struct.Struct(">" + "".join(field.code for field in fields))


_HEAD, _SLOT, _PLC = _layout(LINE_FIELDS), _layout(SLOT_FIELDS), _layout(PLC_FIELDS)


@dataclass(frozen=True)
class Span:
    """Where a block lies, bytes from the start of the image."""

    start: int
    length: int


LINE_SPAN = Span(0, _HEAD.size + SLOTS * _SLOT.size)
PLC_SPAN = Span(LINE_SPAN.length, _PLC.size)
IMAGE_BYTES = LINE_SPAN.length + PLC_SPAN.length


def encode_line(block: LineBlock) -> bytes:
    """The line's block as bytes."""
    head = [getattr(block, one.attribute) for one in LINE_FIELDS]
    slots = ((one.epoch, one.part_id, one.verdict, one.reason, one.score, one.valid) for one in block.slots)
    return _HEAD.pack(*head) + b"".join(_SLOT.pack(*slot) for slot in slots)


def line_block(head: Sequence[int], slots: tuple[Slot, ...]) -> LineBlock:
    """The line's block from its fields, in the order of LINE_FIELDS, and its slots."""
    return LineBlock(*head, slots)  # type: ignore[call-arg,arg-type]  # as many as LINE_FIELDS


def decode_line(content: bytes) -> LineBlock:
    """The line's block from its bytes."""
    slots = tuple(Slot(*_SLOT.unpack_from(content, _HEAD.size + i * _SLOT.size)) for i in range(SLOTS))
    return line_block(_HEAD.unpack_from(content), slots)


def encode_plc(block: PlcBlock) -> bytes:
    """The PLC's block as bytes."""
    return _PLC.pack(*astuple(block))


def decode_plc(content: bytes) -> PlcBlock:
    """The PLC's block from its bytes."""
    return PlcBlock(*_PLC.unpack(content))


def to_registers(content: bytes) -> list[int]:
    """Bytes as 16-bit registers, high byte first."""
    return list(struct.unpack(f">{len(content) // 2}H", content))


def from_registers(registers: Sequence[int]) -> bytes:
    """16-bit registers as bytes."""
    return struct.pack(f">{len(registers)}H", *registers)


@dataclass(frozen=True)
class Row:
    """One field of the image in a table for people; addresses count from 0, at the image's first register and byte."""

    register: int
    registers: int
    byte: int
    field: str
    type: str
    node: str  # of OPC UA
    meaning: str


def image_rows() -> list[Row]:
    """Every field in the order of addresses; the slots after the first, which are like it, in one row."""
    rows = _rows("Line", LINE_NODE, LINE_FIELDS, 0)
    rows += _rows("Result0", f"{RESULTS_NODE}.Result0", SLOT_FIELDS, _HEAD.size)
    more, last = _HEAD.size + _SLOT.size, SLOTS - 1
    like = Row(
        more // 2,
        last * _SLOT.size // 2,
        more,
        f"Result1 to Result{last}",
        "as Result0",
        f"{RESULTS_NODE}.Result1 to Result{last}",
        f"result i begins {_SLOT.size // 2} registers, {_SLOT.size} bytes, after the one before",
    )
    return [*rows, like, *_rows("Plc", PLC_NODE, PLC_FIELDS, PLC_SPAN.start)]


def _rows(block: str, node: str, fields: tuple[Field, ...], start: int) -> list[Row]:
    rows = []
    for one in fields:
        size = struct.calcsize(one.code)
        where = start // 2, size // 2, start
        rows.append(Row(*where, f"{block}.{one.name}", TYPES[one.code], f"{node}.{one.name}", one.meaning))
        start += size
    return rows
