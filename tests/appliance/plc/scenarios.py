"""Belts on which one thing goes wrong that the rules of `appliance/plc/README.md` speak of, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import appliance.plc
from appliance.plc.iec.program import Program, parse
from appliance.plc.image import LINE_SPAN, SLOTS, decode_line
from tests.appliance.plc.belt import CYCLE_MS, Belt
from tests.appliance.plc.line_side import Part

FILE = Path(appliance.plc.__file__).parent / "program.st"
SOURCE = FILE.read_text(encoding="ascii")
PROGRAM = parse(SOURCE)
HEAD_BYTES = LINE_SPAN.length - SLOTS * 18  # before the results


def far(program: Program, **more: object) -> Belt:
    """Parts farther apart than the deadline."""
    return Belt(program, **({"spacing_ms": 1000, "travel_ms": 2500, "parts": 20} | more))  # type: ignore[arg-type]


def dense(program: Program, **more: object) -> Belt:
    """Several parts between trigger and verdict, a dozen on the way."""
    return Belt(program, **({"spacing_ms": 100, "travel_ms": 1200, "parts": 60} | more))  # type: ignore[arg-type]


def quick(program: Program, **more: object) -> Belt:
    """A short deadline, and the gate as near as the time budget allows."""
    short = {"spacing_ms": 500, "travel_ms": 400, "parts": 20, "deadline_ms": 30}
    return Belt(program, **(short | {"latency_ms": (1, 9), "picture_ms": (15, 16)} | more))  # type: ignore[arg-type]


def silence(belt: Belt) -> None:
    belt.line.heard = False


def sound(belt: Belt) -> None:
    belt.line.heard = True


def bridge_hangs(belt: Belt) -> None:
    belt.bridge_stands_until_ms = belt.now_ms + 3000


def two_taken_away(belt: Belt) -> None:
    belt.way.popleft()
    belt.way.popleft()
    belt.inputs["PartsMoved"] = True


def taken_away_unnoticed(belt: Belt) -> None:
    belt.way.popleft()


def put_among_others(belt: Belt) -> None:
    """A bad part is put down behind the camera, in the middle between two others; nobody says so."""
    before = belt.way[-1]
    part = Part(good=False, at_camera_ms=before.at_camera_ms - belt.spacing_ms // 2, hidden=True)
    belt.all.insert(-1, part)
    belt.way.insert(len(belt.way) - 1, part)


def held_up(belt: Belt) -> None:
    """The PLC does nothing from one part before its gate, which is open, to the next."""
    part = belt.way[0]
    assert part.good
    assert belt.plc["OpenGate"]
    belt.way[1].good = False
    belt.plc_stands_until_ms = belt.way[1].at_camera_ms + belt.travel_ms


def extra_and_stands(belt: Belt, who: str, for_ms: int) -> None:
    """An edge just before a bad part's, and then the PLC hears nothing of the bad part's own picture."""

    def stand() -> None:
        if who == "bridge":
            belt.bridge_stands_until_ms = belt.now_ms + for_ms
        else:
            belt.line.heard = False
            belt.at(for_ms, partial(sound, belt))

    belt.at(belt.spacing_ms, lambda: belt.line.expose(None, 0))
    belt.at(belt.spacing_ms + 20, stand)


def exchanged(belt: Belt) -> None:
    """A good part that stands before the open gate becomes a bad one."""
    part = belt.way[0]
    assert part.good
    assert belt.plc["OpenGate"]
    part.good = part.let_go = False
    belt.inputs["PartsMoved"] = True


def put_down(belt: Belt) -> None:
    """A part that comes to the gate when no other is on the way; nobody says so."""
    part = Part(good=False, at_camera_ms=belt.now_ms + 100, hidden=True)
    belt.all.append(part)
    belt.way.append(part)


def camera_gone(belt: Belt) -> None:
    belt.line.camera_on = False


def camera_back(belt: Belt) -> None:
    """Parts went by that nobody counted."""
    belt.line.camera_on = True
    counts_anew(belt)


def line_starts(belt: Belt) -> None:
    belt.line.start()
    belt.line.state = "starting"


def line_runs(belt: Belt) -> None:
    belt.line.state = "running"


def counts_anew(belt: Belt) -> None:
    belt.line.numbers.ask("the test says so")


def extra_picture(belt: Belt) -> None:
    """Of an empty place, which looks good, in the middle between two parts."""
    belt.at(belt.spacing_ms // 2, lambda: belt.line.expose(None, 60))


def late_picture(belt: Belt) -> None:
    """The picture of this part and all after it are kept back."""
    belt.line.kept_back_until_ms = belt.now_ms + 700


def stale_count(belt: Belt, silent: str, first_ms: int, last_ms: int, parts_later: int) -> None:
    """For a while the PLC does not hear that this good part's picture was taken; a trigger that it fires meanwhile is lost.

    The part of that trigger is a bad one.  All is heard again before the picture of that trigger would be due.
    """
    number = len(belt.all) + parts_later
    belt.ignored.add(number)
    belt.all[-1].good = True
    belt.events |= {number: bad, number - 1: good}
    if silent == "line":
        belt.at(first_ms, lambda: setattr(belt.line, "heard", False))
        belt.at(last_ms, lambda: setattr(belt.line, "heard", True))
    else:
        belt.at(first_ms, lambda: setattr(belt, "bridge_stands_until_ms", belt.now_ms + last_ms - first_ms))


def gone_for_a_second(belt: Belt) -> None:
    silence(belt)
    belt.at(1000, partial(sound, belt))


def good(belt: Belt) -> None:
    belt.all[-1].good = True


def bad(belt: Belt) -> None:
    belt.all[-1].good = False


def keep_a_pass(belt: Belt) -> None:
    """What the bridge writes when this good part's result has come."""
    belt.all[-1].good = True
    part_id = len(belt.all)

    def keep() -> None:
        if decode_line(belt.shown).slot_of(part_id).part_id == part_id:
            belt.kept = belt.shown
        else:
            belt.at(CYCLE_MS, keep)

    keep()


def old_writing(belt: Belt, from_byte: int = 0) -> None:
    """What was kept, delayed by the network, is there for one cycle, or the end of it is, while this bad part has no result."""
    belt.all[-1].good = False

    def write() -> None:
        now = belt.shown
        belt.shown = now[:from_byte] + belt.kept[from_byte:]
        belt.at(CYCLE_MS, lambda: setattr(belt, "shown", now))

    belt.at(60, write)


def half_read(belt: Belt) -> None:
    """A good part's result is read while it is written: its verdict is not there yet."""
    belt.all[-1].good = True
    belt.half_read.add(len(belt.all))


def extra_before_a_bad_part(belt: Belt) -> None:
    belt.at(belt.spacing_ms - 30, lambda: belt.line.expose(None, 10))


def lost_picture(belt: Belt) -> None:
    """The camera has counted it, and it does not come."""
    belt.at(10, belt.line.way.clear)


BELTS: dict[str, Callable[[Program], Belt]] = {
    "far apart": far,
    "dense": dense,
    "very dense": lambda program: dense(program, spacing_ms=50, parts=100, picture_limit_ms=40, picture_ms=(10, 15)),
    "id 65,536 comes by": lambda program: dense(program, first_id=65_500),
    "verdicts in bursts": lambda program: dense(
        program, spacing_ms=50, parts=100, picture_limit_ms=40, picture_ms=(10, 15), slow={30: 490, 60: 490, 90: 490}
    ),
    "the line is silent": lambda program: dense(program, parts=90, events={20: silence, 30: sound}),
    "the bridge restarts": lambda program: dense(program, parts=90, events={20: lambda belt: belt.restart_bridge(400)}),
    "the bridge hangs": lambda program: dense(program, parts=120, events={20: bridge_hangs}),
    "the PLC restarts": lambda program: dense(
        program, parts=90, gap_after={17: 1300}, events={20: lambda belt: belt.start_plc(fresh=True)}
    ),
    "the PLC restarts with a retentive memory": lambda program: dense(
        program, parts=90, events={20: lambda belt: belt.start_plc(stands_ms=300, fresh=False)}
    ),
    "the PLC restarts and parts keep coming": lambda program: dense(
        program, parts=90, feed_obeys=False, events={20: lambda belt: belt.start_plc(stands_ms=300, fresh=True)}
    ),
    "parts are taken away": lambda program: dense(program, parts=90, events={20: two_taken_away, 50: two_taken_away}),
    "a part is exchanged at the gate": lambda program: dense(program, travel_ms=1190, events={28: exchanged}),
    "a part is put down behind the camera": lambda program: dense(program, gap_after={17: 1300}, events={17: put_down}),
    "more parts on the way than there is room for": lambda program: dense(program, spacing_ms=50, travel_ms=4000, parts=150),
    "a new epoch after three parts": lambda program: dense(program, events={3: counts_anew}),
    "a new epoch while the line is valid": lambda program: dense(program, parts=90, events={20: camera_gone, 23: camera_back}),
    "the line starts": lambda program: dense(program, parts=120, events={20: line_starts, 35: line_runs}),
    "verdicts are late": lambda program: dense(program, slow=dict.fromkeys(range(5, 60, 7), 700)),
    "results are lost": lambda program: dense(program, unheard={6, 17, 18, 41}, events=dict.fromkeys((6, 18), good)),
    "twelve results in a row are lost": lambda program: dense(program, parts=90, unheard=set(range(20, 32))),
    "the pictures are simulated": lambda program: dense(program, simulated=True),
    "triggers are lost, parts far apart": lambda program: far(program, ignored={5, 12}),
    "the last trigger of a group is lost": lambda program: dense(
        program, ignored={10}, gap_after=dict.fromkeys(range(5, 60, 5), 2500)
    ),
    "one picture too many": lambda program: dense(program, parts=90, events={20: extra_picture}),
    "one picture too many, parts far apart": lambda program: far(program, events={5: extra_picture}),
    "the camera hears a trigger twice": lambda program: dense(program, parts=90, doubled={20}),
    "triggers are lost": lambda program: dense(program, parts=90, ignored={20}),
    "pictures are lost": lambda program: dense(program, parts=90, events={20: lost_picture}),
    "pictures are late": lambda program: dense(program, parts=90, events={20: late_picture}),
    "a part is taken away, and nobody says so": lambda program: dense(program, parts=90, events={20: taken_away_unnoticed}),
    "a part is put among others, and nobody says so": lambda program: dense(program, parts=90, events={20: put_among_others}),
    "the position begins anew": lambda program: dense(program, parts=90, position=2**32 - 6_000),
    "the PLC is held up": lambda program: dense(program, parts=60, travel_ms=1190, events={28: held_up}),
    "all pictures are late by a little more than a spacing": lambda program: Belt(
        program, spacing_ms=500, travel_ms=1300, parts=40, deadline_ms=1000, picture_ms=(530, 541)
    ),
    "an extra picture, and the bridge stands": lambda program: quick(
        program, events={5: partial(extra_and_stands, who="bridge", for_ms=420), 6: bad}
    ),
    "an extra picture, and the line is not heard": lambda program: quick(
        program, events={5: partial(extra_and_stands, who="line", for_ms=420), 6: bad}
    ),
    "parts closer than their pictures take": lambda program: dense(
        program, spacing_ms=50, parts=150, picture_limit_ms=130, picture_ms=(90, 110), events={20: extra_picture}
    ),
    "a bridge that hangs, and a trigger lost": lambda program: dense(
        program,
        gap_after={23: 50},
        parts=90,
        events={20: partial(stale_count, silent="bridge", first_ms=0, last_ms=480, parts_later=4)},
    ),
    "the line is silent, and no part comes": lambda program: dense(
        program, parts=90, gap_after={30: 3000}, events={30: lambda belt: belt.at(200, partial(gone_for_a_second, belt))}
    ),
    "ids come again on the belt": lambda program: dense(
        program, events={2: bad, 3: lambda belt: (bad(belt), counts_anew(belt))} | dict.fromkeys(range(6, 12), good)
    ),
    "a count out of date as parts are synchronised, and a trigger lost": lambda program: dense(
        program,
        parts=90,
        events={
            20: lambda belt: (silence(belt), belt.at(400, partial(sound, belt))),
            21: partial(stale_count, silent="bridge", first_ms=540, last_ms=730, parts_later=7),
        },
    ),
    "a writing of the epoch before": lambda program: far(program, events={5: keep_a_pass, 6: counts_anew, 11: old_writing}),
    "half a writing of the epoch before": lambda program: far(
        program, events={5: keep_a_pass, 6: counts_anew, 11: partial(old_writing, from_byte=HEAD_BYTES)}
    ),
    "a result half read": lambda program: far(program, events={5: half_read, 9: half_read}),
    "the first cycle is not wired": lambda program: dense(
        program, parts=90, first_cycle_wired=False, gap_after={17: 1300}, events={20: lambda belt: belt.start_plc(fresh=True)}
    ),
    "the gate nearer than pictures take": lambda program: far(
        program,
        travel_ms=100,
        picture_limit_ms=200,
        picture_ms=(120, 180),
        events=dict.fromkeys(range(4, 19, 3), extra_before_a_bad_part) | dict.fromkeys(range(5, 20, 3), bad),
    ),
    "the gate is too near": lambda program: far(program, travel_ms=200, latency_ms=(230, 380)),
}
