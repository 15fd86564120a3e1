"""What a command tells a person: names and notes are shown as they are, whatever stands in them."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from appliance.cli.event_log import EventLog
from appliance.messages.notices import Notice
from appliance.records.challenge_record import Challenge, Conditions
from tests.appliance.conftest import make_verdict

TEXTS = ("[bold]", "a[0]", "C:\\", "[/]", "C:\\[red]", ":warning:", "\\[1] \\\\")


@pytest.fixture
def shown() -> StringIO:
    return StringIO()


@pytest.fixture
def log(shown: StringIO) -> EventLog:
    return EventLog(Console(file=shown, width=400), as_json=False)


@pytest.mark.parametrize("text", TEXTS)
def test_events_are_told_as_they_are(text: str, log: EventLog, shown: StringIO) -> None:
    log.say("error", text, {"file": text})
    log.notice(Notice("warning", text))
    assert shown.getvalue() == f"error   {text}  file={text}\nwarning {text}\n"


@pytest.mark.parametrize("text", TEXTS)
def test_a_verdicts_source_and_detail_are_told_as_they_are(text: str, log: EventLog, shown: StringIO) -> None:
    log.verdict(make_verdict(7, verdict="reject", reason="no-image", score=None, threshold=None, source=text, detail=text))
    (line,) = shown.getvalue().splitlines()
    assert "part      7  reject no-image       score         - / -  " in line
    assert line.endswith(f"1.0 ms  {text}  {text}")


@pytest.mark.parametrize("text", TEXTS)
def test_a_challenges_people_and_notes_are_told_as_they_are(text: str, log: EventLog, shown: StringIO) -> None:
    conditions = Conditions("3", "a" * 64, 4, 0.0, "openvino float32")
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    log.challenge(
        Challenge(time=now, by=text, note=text, machine="box", conditions=conditions, kind="pictures", passed=True, shown=())
    )
    assert shown.getvalue() == f"{now[:19]}  passed: 0 of 0 pictures right by {text} on box: {conditions}  {text}\n"
