"""The table of time limits: its rules hold, the code and the units use its values, and settings have bounds that fit."""

from __future__ import annotations

import ast
import configparser
from pathlib import Path

import msgspec.inspect
import pytest

from appliance.config.plc import AnyPlcConfig
from appliance.host.time_limits import LATCH_FAILURES, RULES, Rule, limits

ROOT = Path(__file__).resolve().parents[3]
SECONDS = {limit.name: limit.seconds for limit in limits()}
UNITS = {
    ("inspect@.service", "Service", "WatchdogSec"): "WATCHDOG_S",
    ("inspect@.service", "Service", "RestartSec"): "RESTART_S",
    ("inspect@.service", "Service", "TimeoutStartSec"): "LINE_START_S",
    ("inspect@.service", "Service", "TimeoutStopSec"): "SERVICE_STOP_S",
    ("inspect@.service", "Unit", "StartLimitIntervalSec"): "LATCH_S",
    ("inspect-plc@.service", "Service", "WatchdogSec"): "WATCHDOG_S",
    ("inspect-plc@.service", "Service", "RestartSec"): "RESTART_S",
    ("inspect-plc@.service", "Service", "TimeoutStartSec"): "BRIDGE_START_S",
    ("inspect-plc@.service", "Service", "TimeoutStopSec"): "SERVICE_STOP_S",
}
PROMISED = {"PLC_KNOWS_S", "JOURNAL_LOSS_S"}  # tests hold the code to them


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{'+'.join(sorted(set(rule.shorter)))}<{rule.longer}")
def test_a_rule_holds(rule: Rule) -> None:
    assert sum(SECONDS[name] for name in rule.shorter) < SECONDS[rule.longer], rule.because


def test_every_limit_has_a_meaning_and_is_used_where_it_is_imported() -> None:
    assert SECONDS, "the table is read from the module"
    assert all(limit.seconds > 0 and limit.meaning for limit in limits())
    used = set()
    for file in (ROOT / "appliance").rglob("*.py"):
        if file.name != "time_limits.py":
            used |= {node.id for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Name)}
    assert set(SECONDS) - used == set(UNITS.values()) | PROMISED


@pytest.mark.parametrize(("unit", "section", "key"), UNITS)
def test_the_units_say_what_the_table_says(unit: str, section: str, key: str) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(ROOT / "systemd" / unit)
    assert float(parser[section][key]) == SECONDS[UNITS[unit, section, key]]
    if key == "StartLimitIntervalSec":
        assert int(parser[section]["StartLimitBurst"]) == LATCH_FAILURES


@pytest.mark.parametrize("kind", ["modbus", "s7"])
def test_the_longest_answer_of_a_plc_does_not_look_like_a_hang_of_the_bridge(kind: str) -> None:
    info = msgspec.inspect.type_info(AnyPlcConfig.struct_of(kind))
    assert isinstance(info, msgspec.inspect.StructType)
    types = {field.name: field.type for field in info.fields}
    timeout_ms, silent_ms = (
        one.type if isinstance(one := types[name], msgspec.inspect.Metadata) else one for name in ("timeout_ms", "silent_ms")
    )
    assert isinstance(timeout_ms, msgspec.inspect.IntType)
    assert isinstance(silent_ms, msgspec.inspect.IntType)
    assert timeout_ms.le is not None
    assert silent_ms.ge is not None
    # It connects, writes and reads, each in this time.
    assert 3 * timeout_ms.le / 1000 < SECONDS["WATCHDOG_S"]
    assert silent_ms.ge / 1000 > SECONDS["PLC_PERIOD_S"], "its heartbeat is read several times meanwhile"
