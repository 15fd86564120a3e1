"""The belt of `inspect plc-sim`: the shipped program on parts with a truth, and who may have such a belt."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cli.plc_belt import belt_of
from appliance.plc.image import EMPTY, SLOTS, STATE_CODES, VERDICT_CODES, LineBlock, Slot
from appliance.plc.sim.belt import EVERY, BeltSettings, BeltStation
from engines.common.errors import ConfigError
from tests.appliance.conftest import MakeLine, save_noise

EPOCH, CYCLE_S = 7, 0.01
PARTS = {"good/a.png": True, "bad/b.png": False}


class Wire:
    """What the line hears of the trigger."""

    def __init__(self) -> None:
        self.fired: list[str | None] = []

    def fire(self, picture: str | None) -> None:
        self.fired.append(picture)

    def close(self) -> None:
        pass


def run(fault: str, count: int, spacing_s: float = 0.2) -> tuple[BeltStation, list[dict[str, object]]]:
    """A belt beside a line that judges each picture that it hears of at once."""
    wire = Wire()
    settings = BeltSettings(PARTS, spacing_s, 0.6, 0.06, bad_share=0.5, count=count, seed=5, fault=fault)
    station = BeltStation(settings, wire)  # type: ignore[arg-type]
    now_s, beat, told = 0.0, 0, []
    while not station.over:
        now_s, beat = now_s + CYCLE_S, beat + 1
        assert now_s < 200
        heard = [picture for picture in wire.fired if picture is not None]
        slots = [EMPTY] * SLOTS
        for part_id, picture in list(enumerate(heard, 1))[-SLOTS:]:
            verdict = VERDICT_CODES["pass" if PARTS[picture] else "reject"]
            slots[part_id % SLOTS] = Slot(EPOCH, part_id, verdict, 0, 0.5, 1)
        state = STATE_CODES["running"]
        line = LineBlock(beat % 65_536, state, 1, 1, 0, EPOCH, len(heard), len(heard), tuple(slots))
        told += station.cycle(line, now_s)
    return station, told


def test_good_parts_pass_and_bad_ones_do_not() -> None:
    station, told = run("none", 60)
    counts = station.counts
    assert counts.bad_let_go == 0
    assert counts.good_passed > 20
    assert counts.good_rejected <= 2, "the first ones, before it is synchronised"
    parts = [one for one in told if one["event"] == "part"]
    assert [one["part"] for one in parts] == list(range(1, 61))
    assert counts.told == (
        f"good parts: {counts.good_passed} passed, {counts.good_rejected} rejected; "
        f"bad parts: {counts.bad_rejected} rejected, 0 let go"
    )


def test_parts_farther_apart_than_the_gate_is_pass_as_well() -> None:
    station, _ = run("none", 10, spacing_s=3.0)
    assert (station.counts.bad_let_go, station.counts.good_rejected) == (0, 1), "the first, before it is synchronised"
    assert station.counts.good_passed > 2


@pytest.mark.parametrize(
    ("fault", "doubt"), [("loses-triggers", "fewer pictures than triggers"), ("triggers-twice", "more pictures than triggers")]
)
def test_a_spoilt_trigger_is_noticed_and_costs_good_parts_only(fault: str, doubt: str) -> None:
    station, told = run(fault, 3 * EVERY)
    assert station.counts.bad_let_go == 0
    assert station.counts.good_passed > 10
    assert doubt in [one["doubt"] for one in told if one["event"] == "plc"]


def test_only_a_simulated_camera_with_an_input_has_a_belt(make_line: MakeLine, tmp_path: Path) -> None:
    line = make_line()
    assert belt_of(line, None, None, 100, 0.2, "none") is None
    for parts, fault in ((10, "none"), (None, "loses-triggers")):
        with pytest.raises(ConfigError, match=r"camera: only a simulated camera .* leave --parts and faults of triggers out"):
            belt_of(line, parts, None, 100, 0.2, fault)
    save_noise(tmp_path / "pictures", 1)
    one_sided = make_line(camera={"kind": "simulated", "source": str(tmp_path / "pictures"), "spacing_ms": 900})
    with pytest.raises(ConfigError, match=r"camera\.source: .*must have pictures of good parts, below a folder named good"):
        belt_of(one_sided, None, None, 100, 0.2, "none")
    save_noise(tmp_path / "pictures" / "good", 1)
    belt = belt_of(one_sided, None, None, 100, 0.2, "none")
    assert belt is not None
    belt.wire.close()
    settings = belt.settings
    assert (settings.spacing_s, settings.picture_s, settings.count) == (0.9, 0.1, None)
    assert settings.travel_s == pytest.approx(0.1 + 20 + 0.1), "picture, deadline, handover"
