"""What goes wrong on a belt, one kind after the other; each is set going at a moment, and lasts as long as it lasts."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.appliance.plc.belt import Belt

Disturb = Callable[[Belt, random.Random], object]


def extra_picture(belt: Belt, dice: random.Random) -> None:
    """An edge on the trigger's wire that no part has made."""
    belt.at(dice.randrange(belt.spacing_ms), lambda: belt.line.expose(belt.before_camera()))


def trigger_heard_twice(belt: Belt, _dice: random.Random) -> None:
    belt.doubled.add(len(belt.all) + 1)


def trigger_not_heard(belt: Belt, _dice: random.Random) -> None:
    belt.ignored.add(len(belt.all) + 1)


def picture_lost(belt: Belt, _dice: random.Random) -> None:
    belt.line.lose = 1


def picture_brought_twice(belt: Belt, _dice: random.Random) -> None:
    belt.line.repeat = 1


def pictures_late(belt: Belt, dice: random.Random) -> None:
    """All pictures from here on come at the end of a pause."""
    belt.line.kept_back_until_ms = belt.now_ms + dice.choice((50, 200, 700, 1500))


def picture_overtaken(belt: Belt, _dice: random.Random) -> None:
    belt.line.overtaken_ms = belt.spacing_ms + 20


def counter_set_back(belt: Belt, dice: random.Random) -> None:
    belt.line.camera_counter = dice.choice((0, max(0, belt.line.camera_counter - 7)))


def counter_jumps(belt: Belt, _dice: random.Random) -> None:
    belt.line.camera_counter += 3


def plc_starts_anew(belt: Belt, dice: random.Random) -> None:
    belt.start_plc(stands_ms=dice.choice((0, 300, 1000)), fresh=True)


def plc_starts_and_remembers(belt: Belt, dice: random.Random) -> None:
    belt.start_plc(stands_ms=dice.choice((0, 300, 1000)), fresh=False)


def bridge_starts_anew(belt: Belt, dice: random.Random) -> None:
    belt.restart_bridge(dice.choice((0, 100, 400, 1000)))


def bridge_hangs(belt: Belt, dice: random.Random) -> None:
    belt.bridge_stands_until_ms = belt.now_ms + dice.choice((100, 200, 400, 1000))


def line_starts_anew(belt: Belt, dice: random.Random) -> None:
    line = belt.line
    line.start()
    line.state = "starting"
    belt.at(dice.choice((50, 300, 1000)), lambda: setattr(line, "state", "running"))


def camera_process_starts_anew(belt: Belt, dice: random.Random) -> None:
    """As `SupervisedCamera` and capture have it: nobody counts the parts that go by meanwhile."""
    line = belt.line
    line.camera_on, line.state = False, "camera-lost"
    line.way.clear()

    def back() -> None:
        line.open_camera()
        line.numbers.begin_epoch("the camera is back")
        line.camera_on, line.state = True, "running"

    belt.at(dice.choice((100, 300, 1000)), back)


def line_not_heard(belt: Belt, dice: random.Random) -> None:
    belt.line.heard = False
    belt.at(dice.choice((50, 150, 300, 700)), lambda: setattr(belt.line, "heard", True))


def verdict_lost(belt: Belt, _dice: random.Random) -> None:
    belt.unheard.add(len(belt.all) + 1)


def verdicts_late(belt: Belt, dice: random.Random) -> None:
    first = len(belt.all) + 1
    belt.slow |= dict.fromkeys(range(first, first + dice.choice((1, 5))), belt.deadline_ms + 50)


def camera_sensor_misses(belt: Belt, _dice: random.Random) -> None:
    belt.camera_sensor[len(belt.all) + 1] = "misses"


def camera_sensor_flickers(belt: Belt, _dice: random.Random) -> None:
    belt.camera_sensor[len(belt.all) + 1] = "flickers"


def gate_sensor_misses(belt: Belt, _dice: random.Random) -> None:
    belt.gate_sensor[len(belt.all) + 1] = "misses"


def gate_sensor_flickers(belt: Belt, _dice: random.Random) -> None:
    belt.gate_sensor[len(belt.all) + 1] = "flickers"


def plc_held_up(belt: Belt, dice: random.Random) -> None:
    """No cycle for so long, and no restart: edges of both sensors are missed."""
    belt.plc_stands_until_ms = belt.now_ms + dice.choice((50, 200, 1000))


def connection_bad(belt: Belt, _dice: random.Random) -> None:
    belt.connection = 0.3
    belt.at(500, lambda: setattr(belt, "connection", 0.0))


KINDS: dict[str, Disturb] = {
    "a picture that no trigger asked for": extra_picture,
    "a trigger that the camera heard twice": trigger_heard_twice,
    "a trigger that the camera did not hear": trigger_not_heard,
    "a picture lost on its way": picture_lost,
    "a picture brought twice": picture_brought_twice,
    "pictures late by 50 to 1,500 ms": pictures_late,
    "a picture overtaken by the next": picture_overtaken,
    "the camera's counter set back": counter_set_back,
    "the camera's counter jumps": counter_jumps,
    "the PLC starts anew": plc_starts_anew,
    "the PLC starts, its memory retentive": plc_starts_and_remembers,
    "the bridge starts anew": bridge_starts_anew,
    "the bridge hangs for 100 to 1,000 ms": bridge_hangs,
    "the line starts anew": line_starts_anew,
    "the camera's process starts anew": camera_process_starts_anew,
    "the bridge does not hear the line for 50 to 700 ms": line_not_heard,
    "exchanges with the PLC lost, delayed, torn, out of date": connection_bad,
    "a verdict lost on its way": verdict_lost,
    "verdicts late": verdicts_late,
    "the camera's sensor misses a part": camera_sensor_misses,
    "the camera's sensor sees a part twice": camera_sensor_flickers,
    "the gate's sensor misses a part": gate_sensor_misses,
    "the gate's sensor sees a part twice": gate_sensor_flickers,
    "the PLC is held up for 50 to 1,000 ms": plc_held_up,
}
