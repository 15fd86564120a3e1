"""The handshake and a PLC's program without sockets: single rules; everything at random is in `test_random_walk.py`."""

from __future__ import annotations

import math

import pytest

from appliance.host.time_limits import PLC_SETTLE_S, PLC_STALE_S
from appliance.plc.handshake import Handshake, Status
from appliance.plc.image import (
    EMPTY,
    IMAGE_BYTES,
    LINE_SPAN,
    PLC_SPAN,
    SLOTS,
    STATE_CODES,
    VERDICT_CODES,
    LineBlock,
    PlcBlock,
    Row,
    Slot,
    decode_line,
    decode_plc,
    encode_line,
    encode_plc,
    from_registers,
    image_rows,
    to_registers,
)
from appliance.plc.sim.program import Event, Memory, Missed, PlcProgram, Seen, Taken

RUNNING = Status(STATE_CODES["running"], valid=True, simulated=True)
EPOCH, PASS, REJECT = 77, VERDICT_CODES["pass"], VERDICT_CODES["reject"]
NEVER_S = 1e9


def result(part: int, verdict: int = PASS, epoch: int = EPOCH) -> Slot:
    return Slot(epoch, part, verdict, 0 if verdict == PASS else 1, 0.5, 1)


def shown(block: LineBlock) -> list[int]:
    return sorted(slot.part_id for slot in block.slots if slot.valid)


def ready() -> Handshake:
    """A handshake whose slots are all free."""
    handshake = Handshake()
    handshake.show(RUNNING, 0)
    handshake.confirm(PlcBlock())
    return handshake


def exchange(handshake: Handshake, plc: PlcBlock, now_s: float = 0) -> LineBlock:
    block = handshake.show(RUNNING, now_s)
    handshake.confirm(plc)
    return block


# The image


def test_the_image_has_the_documented_addresses() -> None:
    assert (LINE_SPAN.start, LINE_SPAN.length, PLC_SPAN.start, PLC_SPAN.length, IMAGE_BYTES) == (0, 166, 166, 16, 182)
    slots = [EMPTY] * SLOTS
    slots[3] = Slot(0x0001_0002, 0x0003_000B, 2, 4, math.nan, 1)
    block = LineBlock(9, 2, 1, 0, 1, 0x0005_0006, 0x0007_0008, 0x0009_000A, tuple(slots))
    registers = to_registers(encode_line(block))
    assert registers[:11] == [9, 2, 1, 0, 1, 5, 6, 7, 8, 9, 10]
    assert registers[11 : 11 + 27] == [0] * 27
    assert registers[38:47] == [1, 2, 3, 0xB, 2, 4, 0x7FC0, 0, 1]
    assert to_registers(encode_plc(PlcBlock(1, 0x0002_0003, 0x0004_0005, 0x0006_0007, 8))) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_the_rows_for_people_are_the_image_without_a_gap() -> None:
    rows = image_rows()
    ends = [row.register + row.registers for row in rows]
    assert [row.register for row in rows] == [0, *ends[:-1]]
    assert ends[-1] == IMAGE_BYTES // 2
    assert all(row.byte == 2 * row.register for row in rows)
    assert rows[9] == Row(
        13, 2, 26, "Result0.PartId", "UDINT, 32 bits", "VisionSystem.ResultManagement.Results.Result0.PartId", rows[9].meaning
    )
    assert (rows[14].register, rows[14].field) == (20, "Result1 to Result7")
    assert (rows[15].register, rows[15].byte, rows[15].node) == (83, 166, "VisionSystem.Plc.Heartbeat")


def test_what_is_encoded_is_decoded() -> None:
    block = LineBlock(65_535, 6, 1, 1, 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, tuple(result(part) for part in range(8, 16)))
    assert decode_line(from_registers(to_registers(encode_line(block)))) == block
    assert decode_plc(encode_plc(PlcBlock(65_535, 2**32 - 1, 1, 2**32 - 1, 4))) == PlcBlock(65_535, 2**32 - 1, 1, 2**32 - 1, 4)


def test_every_state_and_verdict_has_a_fixed_code() -> None:
    assert STATE_CODES == {
        "offline": 0,
        "starting": 1,
        "running": 2,
        "camera-lost": 3,
        "not-calibrated": 4,
        "stopping": 5,
        "stopped": 6,
    }
    assert VERDICT_CODES == {"pass": 1, "reject": 2}


# The handshake's rules


def test_a_result_is_held_until_it_is_acknowledged_and_its_slot_is_empty_before_it_is_used_again() -> None:
    handshake = ready()
    for part in range(1, 10):
        handshake.take(result(part), NEVER_S)
    for _ in range(3):
        block = exchange(handshake, PlcBlock())
        assert shown(block) == list(range(1, 9))
        assert (block.slot_of(1), block.overrun, block.newest) == (result(1), 1, 9)
    exchange(handshake, PlcBlock(1, EPOCH, 1))
    assert handshake.show(RUNNING, 0).slot_of(9) == EMPTY
    assert handshake.show(RUNNING, 0).slot_of(9) == EMPTY, "not confirmed yet"
    handshake.confirm(PlcBlock(2, EPOCH, 1))
    assert shown(handshake.show(RUNNING, 0)) == list(range(2, 10))


def test_an_acknowledgement_settles_all_before_it_and_clears_the_overrun_with_the_last() -> None:
    handshake = ready()
    for part in range(1, 10):
        handshake.take(result(part), NEVER_S)
    assert exchange(handshake, PlcBlock(1, EPOCH, 0)).overrun == 1
    exchange(handshake, PlcBlock(2, EPOCH, 8))
    exchange(handshake, PlcBlock(3, EPOCH, 8))
    assert (exchange(handshake, PlcBlock(4, EPOCH, 9)).overrun, handshake.acknowledged) == (1, 9)
    assert exchange(handshake, PlcBlock(5, EPOCH, 9)).overrun == 0


@pytest.mark.parametrize("plc", [PlcBlock(), PlcBlock(1, EPOCH - 1, 1), PlcBlock(1, EPOCH, 2), PlcBlock(1, EPOCH, 2**32 - 1)])
def test_an_acknowledgement_of_another_epoch_or_of_a_part_not_known_is_ignored(plc: PlcBlock) -> None:
    handshake = ready()
    handshake.take(result(1), NEVER_S)
    exchange(handshake, PlcBlock())
    exchange(handshake, plc)
    assert (shown(exchange(handshake, plc)), handshake.acknowledged) == ([1], 0)


def test_results_that_the_plc_does_not_wait_for_any_more_make_room() -> None:
    handshake = ready()
    for part in range(1, 26):
        handshake.take(result(part, REJECT), NEVER_S)
    assert shown(exchange(handshake, PlcBlock(1, EPOCH, 24))) == list(range(1, 9))
    exchange(handshake, PlcBlock(2, EPOCH, 24))
    assert shown(exchange(handshake, PlcBlock(3, EPOCH, 24))) == [25]
    assert (handshake.acknowledged, handshake.withdrawn) == (8, 16)


def test_a_result_whose_part_was_given_up_before_it_came_is_not_shown() -> None:
    handshake = ready()
    handshake.follow(EPOCH, 0, 1)
    exchange(handshake, PlcBlock(1, EPOCH, 1))
    handshake.take(result(1), NEVER_S)
    assert shown(exchange(handshake, PlcBlock(2, EPOCH, 1))) == []


def test_an_exchange_that_failed_confirms_nothing() -> None:
    handshake = Handshake()
    handshake.take(result(1), NEVER_S)
    for _ in range(3):
        assert shown(handshake.show(RUNNING, 0)) == []
    handshake.confirm(PlcBlock())
    assert shown(handshake.show(RUNNING, 0)) == [1]


def test_at_its_end_a_result_is_withdrawn_and_the_overrun_stays_until_a_later_one_is_acknowledged() -> None:
    handshake = ready()
    handshake.take(result(1), 1.0)
    handshake.take(result(2, REJECT), 5.0)
    assert shown(exchange(handshake, PlcBlock(), 0.9)) == [1, 2]
    block = exchange(handshake, PlcBlock(), 1.0)
    assert (shown(block), block.overrun, handshake.withdrawn) == ([2], 1, 1)
    assert shown(exchange(handshake, PlcBlock(), 5.0)) == []
    assert exchange(handshake, PlcBlock(1, EPOCH, 2), 6.0).overrun == 1
    handshake.take(result(3), 9.0)
    exchange(handshake, PlcBlock(2, EPOCH, 3), 6.0)
    assert exchange(handshake, PlcBlock(3, EPOCH, 3), 6.0).overrun == 0


def test_a_result_that_comes_too_late_or_not_at_all_is_never_shown_but_counted() -> None:
    handshake = ready()
    handshake.take(result(1), 1.0)
    block = handshake.show(RUNNING, 1.0)
    assert (shown(block), block.newest, block.overrun, handshake.withdrawn) == ([], 1, 1, 1)
    lost = ready()
    lost.missed()
    assert lost.show(RUNNING, 0).overrun == 1


def test_a_new_epoch_withdraws_what_is_left_of_the_old_one() -> None:
    handshake = ready()
    for part in range(1, 11):
        handshake.take(result(part), NEVER_S)
    exchange(handshake, PlcBlock())
    handshake.follow(EPOCH + 1, 0, 0)
    block = exchange(handshake, PlcBlock(1, EPOCH, 8))
    assert (shown(block), block.epoch, block.newest, handshake.withdrawn, handshake.acknowledged) == ([], EPOCH + 1, 0, 10, 0)
    handshake.take(result(1, epoch=EPOCH + 1), NEVER_S)
    assert exchange(handshake, PlcBlock(2, EPOCH, 8)).slot_of(1) == result(1, epoch=EPOCH + 1)
    exchange(handshake, PlcBlock(3, EPOCH, 8))
    assert shown(exchange(handshake, PlcBlock(4, EPOCH + 1, 1))) == [1]
    assert shown(exchange(handshake, PlcBlock(4, EPOCH + 1, 1))) == []


@pytest.mark.parametrize("heard_first", [True, False])
def test_a_bridge_that_starts_again_goes_on_after_what_the_plc_has_taken(heard_first: bool) -> None:
    handshake = Handshake()
    if heard_first:
        exchange(handshake, PlcBlock(1, EPOCH, 57))
    for part in range(1, 61):
        handshake.take(result(part), NEVER_S)
    if not heard_first:
        exchange(handshake, PlcBlock(1, EPOCH, 57))
    assert shown(exchange(handshake, PlcBlock(2, EPOCH, 57))) == [58, 59, 60]
    assert handshake.withdrawn == 0


def test_the_last_block_has_nothing_valid() -> None:
    handshake = ready()
    handshake.take(result(1), NEVER_S)
    before = exchange(handshake, PlcBlock())
    last = handshake.farewell()
    assert (last.state, last.valid, shown(last), last.heartbeat) == (STATE_CODES["offline"], 0, [], before.heartbeat + 1)


def test_the_newest_part_is_known_from_heartbeats_too() -> None:
    handshake = ready()
    handshake.take(result(3), NEVER_S)
    handshake.follow(EPOCH, 7, 9)
    assert (handshake.show(RUNNING, 0).newest, handshake.counted) == (7, (EPOCH, 9))
    handshake.follow(EPOCH, 6, 8)
    assert (handshake.show(RUNNING, 0).newest, handshake.counted) == (7, (EPOCH, 9))


# The PLC's program


class Line:
    """A line's block as the program reads it, cycle by cycle."""

    def __init__(self, program: PlcProgram) -> None:
        self.program, self.heartbeat, self.now_s = program, 0, 0.0
        for _ in range(4):
            self.cycle(seconds=PLC_SETTLE_S / 2)

    def cycle(self, *results: Slot, seconds: float = 0.01, beat: bool = True, **changes: int) -> list[Event]:
        self.heartbeat += beat
        self.now_s += seconds
        slots = [EMPTY] * SLOTS
        for one in results:
            slots[one.part_id % SLOTS] = one
        fields = {"valid": 1, "state": 2, "epoch": EPOCH} | changes
        block = LineBlock(heartbeat=self.heartbeat, slots=tuple(slots), **fields)
        return [event for event in self.program.cycle(block, self.now_s) if not isinstance(event, Seen)]


@pytest.fixture
def line() -> Line:
    return Line(PlcProgram(0.5, Memory()))


def test_the_program_takes_each_part_once_and_in_order(line: Line) -> None:
    assert line.cycle(result(2), result(1)) == [Taken(result(1)), Taken(result(2))]
    assert line.cycle(result(2), result(1)) == []
    assert line.program.block.part_id == 2
    assert line.cycle(result(3, REJECT)) == [Taken(result(3, REJECT))]


@pytest.mark.parametrize(
    "wrong",
    [
        Slot(EPOCH - 1, 1, PASS, 0, 0.5, 1),
        Slot(EPOCH, 1, 0, 0, 0.5, 1),
        Slot(EPOCH, 1, 3, 0, 0.5, 1),
        Slot(EPOCH, 1, PASS, 0, 0.5, 0),
        Slot(EPOCH, 1, PASS, 0, 0.5, 2),
    ],
)
def test_the_program_takes_no_result_that_is_not_complete_or_of_another_epoch(line: Line, wrong: Slot) -> None:
    assert line.cycle(wrong) == []
    assert line.program.block.part_id == 0


def test_the_program_takes_nothing_while_the_line_is_not_valid(line: Line) -> None:
    assert line.cycle(result(1), valid=0) == []
    assert line.cycle(result(1), beat=False, seconds=PLC_STALE_S + 0.01) == []
    assert line.cycle(result(1)) == [], "not at once: this may have been written before the interruption"
    assert line.cycle(result(1), seconds=1.1 * PLC_SETTLE_S) == [Taken(result(1))]


def test_a_line_whose_heartbeat_never_moved_is_not_valid() -> None:
    program = PlcProgram(0.5, Memory())
    for i in range(5):
        (*_, seen) = [*program.cycle(LineBlock(7, 2, 1, 0, 0, EPOCH, 1, 1, (result(8),) + (EMPTY,) * 7), i * 0.01), None]
        assert seen is None or not getattr(seen, "valid", False)
    assert program.memory == Memory()


def test_a_part_without_a_result_by_the_ejectors_time_is_missed_and_a_late_result_ignored(line: Line) -> None:
    assert line.cycle(newest=1) == []
    assert [line.cycle(newest=2, seconds=0.1) for _ in range(4)] == [[]] * 4
    assert line.cycle(newest=2, seconds=0.11) == [Missed(EPOCH, 1, 1)]
    assert line.cycle(result(1), newest=2) == []
    assert line.cycle(result(2), newest=2) == [Taken(result(2))]


def test_a_part_before_a_result_that_is_shown_is_missed_at_once(line: Line) -> None:
    assert line.cycle(result(4), newest=4) == [Missed(EPOCH, 1, 3), Taken(result(4))]


def test_the_program_starts_over_in_a_new_epoch_and_goes_on_after_a_restart(line: Line) -> None:
    line.cycle(result(1), result(2))
    again = Line(PlcProgram(0.5, line.program.memory))
    assert again.cycle(result(2), result(3)) == [Taken(result(3))]
    assert again.cycle(result(1, epoch=EPOCH + 1), epoch=EPOCH + 1) == [], "not before it is seen again"
    assert again.cycle(result(1, epoch=EPOCH + 1), epoch=EPOCH + 1) == [Taken(result(1, epoch=EPOCH + 1))]
    assert again.program.block.epoch == EPOCH + 1
