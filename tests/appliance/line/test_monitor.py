"""The monitor: each alarm once when it begins, once when it is over, and no flapping at its limit."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np
import pytest

from appliance.host.time_limits import JOURNAL_SLOW_S
from appliance.line.monitor import FEWEST_SAMPLES, INNER, MEDIAN_EVERY, PASSES, WINDOW, Monitor, score_band
from appliance.line.running_line import RunningLine
from appliance.messages.notices import Notice
from appliance.messages.schema import Verdict
from engines.recipe.bundle import Recipe
from tests.appliance.conftest import MadeEngine, MakeLine, make_verdict, reasons, verdicts_of, wait_for

GOLDEN = tuple(float(value) for value in range(10, 20))  # its band: 10 to 19
PASS = make_verdict(1, score=14.0)


def rejected(reason: str) -> Verdict:
    return make_verdict(1, verdict="reject", reason=reason, score=None)


def fed(monitor: Monitor, verdicts: Iterable[Verdict], golden: tuple[float, ...] = GOLDEN) -> list[tuple[int, Notice]]:
    """What the monitor tells, and after how many verdicts."""
    return [(i, notice) for i, verdict in enumerate(verdicts, start=1) for notice in monitor.take(verdict, golden)]


def kinds(told: list[tuple[int, Notice]]) -> list[tuple[int, str, str]]:
    return [(i, notice.severity, notice.kind) for i, notice in told]


def test_good_parts_raise_nothing() -> None:
    assert fed(Monitor(), [PASS] * (3 * PASSES)) == []


def test_overruns_are_told_once_and_are_over_after_a_window_without() -> None:
    overrun = rejected("overrun")
    verdicts = [PASS] * 5 + [overrun] * 3 + [PASS] * (WINDOW - 1) + [overrun] + [PASS] * (WINDOW + 50)
    last = 5 + 3 + WINDOW - 1 + 1
    assert kinds(fed(Monitor(), verdicts)) == [(6, "warning", "overrun"), (last + WINDOW, "info", "overrun")]


@pytest.mark.parametrize(("late", "told"), [(1, []), (2, []), (3, ["warning", "info"]), (100, ["warning", "info"])])
def test_late_verdicts_are_told_when_they_are_more_than_two_of_a_hundred(late: int, told: list[str]) -> None:
    verdicts = [PASS] * 30 + [rejected("late")] * late + [PASS] * 300
    found = kinds(fed(Monitor(), verdicts))
    assert [(severity, kind) for _, severity, kind in found] == [(severity, "late-rate") for severity in told]
    if told:
        assert found[0][0] == 33, "at the third"
        assert found[1][0] == 30 + late - 1 + WINDOW, "when one is left among the last hundred"


def test_a_late_rate_at_its_limit_does_not_flap() -> None:
    """Two and three of a hundred in turn: on at the first three, and never off."""
    verdicts = [rejected("late") if i % 40 == 0 else PASS for i in range(4_000)]
    counts = {sum(verdict.reason == "late" for verdict in verdicts[i : i + WINDOW]) for i in range(3_900)}
    assert counts == {2, 3}
    assert [(severity, kind) for _, severity, kind in kinds(fed(Monitor(), verdicts))] == [("warning", "late-rate")]


def scored(score: float, count: int) -> list[Verdict]:
    return [make_verdict(1, score=score)] * count


@pytest.mark.parametrize("score", [19.1, 9.9])
def test_a_median_outside_the_golden_band_is_told_once_and_over_well_within(score: float) -> None:
    monitor = Monitor()
    assert kinds(fed(monitor, scored(score, PASSES * 3))) == [(PASSES, "warning", "drift")]
    back = fed(monitor, scored(14.5, PASSES * 3))
    assert [(notice.severity, notice.kind) for _, notice in back] == [("info", "drift")]
    assert back[0][0] in range(PASSES // 2, PASSES // 2 + MEDIAN_EVERY + 1), "when half of the last parts are good again"
    assert "10 to 19" in back[0][1].text


def test_a_median_at_the_end_of_the_band_does_not_flap() -> None:
    """Just outside and just inside in turn: one alarm; it is over only at a tenth of the band's width inside."""
    low, high = 10.0, 19.0
    inner = high - INNER * (high - low)
    monitor = Monitor()
    turns = [one for _ in range(6) for score in (high + 0.01, high - 0.01, inner + 0.01) for one in scored(score, PASSES)]
    assert kinds(fed(monitor, turns)) == [(PASSES, "warning", "drift")]
    assert [notice.severity for _, notice in fed(monitor, scored(inner - 0.01, PASSES))] == ["info"]


def test_rejects_say_nothing_about_drift() -> None:
    defects = [make_verdict(1, verdict="reject", reason="defect", score=99.0)] * PASSES
    assert fed(Monitor(), [one for pair in zip(defects, scored(14, PASSES), strict=True) for one in pair]) == []


def test_another_recipe_begins_anew() -> None:
    monitor = Monitor()
    fed(monitor, scored(25, PASSES))
    other = tuple(value + 10 for value in GOLDEN)
    assert kinds(fed(monitor, scored(25, 2 * PASSES), other)) == [(1, "info", "drift")]
    assert kinds(fed(monitor, scored(14, PASSES - 1), other)) == [(PASSES // 2, "warning", "drift")], "half of them"
    assert kinds(fed(monitor, scored(99, PASSES * 2), GOLDEN[: FEWEST_SAMPLES - 1])) == [(1, "info", "drift")]


def test_the_band_is_of_ranks_and_needs_samples_enough() -> None:
    assert score_band(GOLDEN[: FEWEST_SAMPLES - 1]) is None
    assert score_band(GOLDEN[::-1]) == (10.0, 19.0)
    assert score_band(tuple(float(value) for value in range(1, 41))) == (3.0, 38.0)


@pytest.mark.parametrize("samples", [FEWEST_SAMPLES, 20, 60])
def test_parts_like_the_golden_samples_seldom_raise_a_drift(samples: int) -> None:
    """Whatever the distribution: here a skewed one, 2,000 calibrations, a window each."""
    rng = np.random.default_rng(5)
    outside = 0
    for _ in range(2_000):
        band = score_band(tuple(rng.lognormal(0, 0.5, samples)))
        assert band is not None
        outside += not band[0] <= float(np.median(rng.lognormal(0, 0.5, PASSES))) <= band[1]
    assert outside / 2_000 < 0.006


def test_a_slow_journal_is_told_once_and_when_it_has_caught_up() -> None:
    monitor = Monitor()
    waits = [0.0, JOURNAL_SLOW_S, 5.1, 60.0, 4.0, 1.5, 5.5, 0.5, 0.0]
    told = [(wait, notice.severity, notice.kind) for wait in waits for notice in monitor.look_at_journal(wait)]
    assert told == [(5.1, "warning", "journal-slow"), (0.5, "info", "journal-slow")]


def test_a_running_line_tells_what_its_monitor_sees(make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine) -> None:
    go_on = threading.Event()
    made_engine.act = lambda *_: go_on.wait(20)
    running = RunningLine(make_line(recipe=recipe.folder, decision={"deadline_ms": 50}, engine={"slots": 1}), parts=4)
    try:
        running.start()
        wait_for(lambda: len(verdicts_of(list(running.events))) == 4, "the verdicts of an engine that hangs")
    finally:
        go_on.set()
        running.close()
    assert set(reasons(verdicts_of(list(running.events)))) <= {"late", "overrun"}
    alarms = [event for event in running.events if isinstance(event, Notice) and event.kind]
    assert [(alarm.severity, alarm.kind) for alarm in alarms] == [("warning", "overrun")]
