"""Golden challenges: known parts come out right or it is told, the result stays in the journal, and a line asks for one."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from appliance.capture import CameraError
from appliance.capture.owner import owned
from appliance.checks.doctor import Finding, examine
from appliance.checks.known_parts import known_pictures, show_parts, show_pictures, take
from appliance.cli.main import app
from appliance.config.line import Line, need_journal
from appliance.config.records import ChallengeConfig
from appliance.line.challenge_watch import ChallengeWatch, conditions_of
from appliance.line.running_line import RunningLine
from appliance.messages.schema import VerdictName
from appliance.records.challenge_record import Challenge, Conditions, Shown, challenges, due, need_challenge, sign
from appliance.records.journal import Journal, Query, audit, search
from engines.common.errors import ConfigError
from engines.recipe.bundle import Recipe
from tests.appliance.conftest import (
    Floats,
    MadeEngine,
    MakeLine,
    emulated,
    inspect_all,
    loaded_recipe,
    make_verdict,
    save_noise,
    unexpected,
    verdicts_of,
    wait_for,
)

GOOD, BAD = 2, 3  # known pictures
JOURNAL = {"file": "journal.db"}
HOURS = {"every_hours": 12}
CONDITIONS = Conditions("3", "a" * 64, 4, 0.0, "openvino float32")


def challenge(hours_ago: float = 1.0, passed: bool = True, **changes: object) -> Challenge:
    """A challenge of CONDITIONS with one good picture."""
    now = datetime.now(UTC) - timedelta(hours=hours_ago)
    outcome: VerdictName = "pass" if passed else "reject"
    reason = "" if passed else "defect"
    return Challenge(
        time=now.isoformat(timespec="microseconds"),
        by="anna",
        note="",
        machine="box",
        conditions=msgspec.structs.replace(CONDITIONS, **changes),
        kind="pictures",
        passed=passed,
        shown=(Shown("good/000.png", "b" * 64, "pass", outcome, reason, "", 0.5, 1.0, 0.5),),
    )


@pytest.fixture
def known(tmp_path: Path) -> dict[str, object]:
    """The table [challenge], with pictures that MadeEngine is told about by their order."""
    save_noise(tmp_path / "good", GOOD, 512)
    save_noise(tmp_path / "bad", BAD, 512)
    return {"good": "../good", "bad": "../bad"}


@pytest.fixture
def line(make_line: MakeLine, recipe: Recipe, known: dict[str, object]) -> Line:
    """A line that can be challenged with these pictures, and must be."""
    return make_line(recipe=recipe.folder, journal=JOURNAL, challenge=known | HOURS)


def bad_from(first: int) -> Callable[[int, Floats, Floats], None]:
    """An engine's answers: a defect in every picture from this one on."""

    def act(call: int, frame_map: Floats, scores: Floats) -> None:
        if call >= first:
            frame_map[10:30, 10:30] = 1e6
            scores.fill(1e6)

    return act


def run(line: Line, *words: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    """One of `inspect`'s commands in this process."""
    monkeypatch.setattr("engines.common.good_neighbour.give_way", lambda: None)
    monkeypatch.setenv("COLUMNS", "200")
    return CliRunner().invoke(app, [words[0], "--line", line.name, "--config-dir", str(line.file.parent), *words[1:]])


def show_all(line: Line, tell: Callable[[Shown], None] = lambda _: None) -> Challenge:
    with closing(loaded_recipe(line)) as loaded:
        outcomes = show_pictures(loaded, known_pictures(line.config.challenge, line.file))
        return take(need_journal(line), loaded, outcomes, "pictures", "anna", "early shift", tell)


def test_known_pictures_that_come_out_right_are_signed_into_the_journal(
    line: Line, made_engine: MadeEngine, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_engine.act = bad_from(GOOD + 1)
    journal = Journal((line.file.parent / "journal.db"), unexpected)  # a line that runs has it open
    journal.offer(msgspec.json.encode(make_verdict(1)))
    done = run(line, "challenge", "--by", "anna", "--note", "early shift", monkeypatch=monkeypatch)
    journal.offer(msgspec.json.encode(make_verdict(2)))
    journal.close()
    assert done.exit_code == 0, done.output
    assert "passed: 5 of 5 pictures right; signed by anna" in done.output
    file = line.file.parent / "journal.db"
    (signed,) = challenges(file)
    assert (signed.by, signed.note, signed.passed, len(signed.shown)) == ("anna", "early shift", True, GOOD + BAD)
    assert signed.conditions == Conditions("3", recipe.digest, 1, 0.0, "torch float32")
    assert [one.name for one in signed.shown] == [f"good/{i:03d}.png" for i in range(GOOD)] + [
        f"bad/{i:03d}.png" for i in range(BAD)
    ]
    content = (tmp_path / "bad" / "002.png").read_bytes()
    assert signed.shown[-1].sha256 == hashlib.sha256(content).hexdigest()
    assert [(one.verdict, one.reason, one.margin is not None and one.margin > 0) for one in signed.shown] == [
        ("pass", "", True)
    ] * GOOD + [("reject", "defect", True)] * BAD
    assert [verdict.seq for verdict in search(file, Query())] == [2, 1], "history has verdicts only"
    assert audit(file)[:4] == (3, [], 0, 1)
    told = run(line, "history", "--challenges", monkeypatch=monkeypatch)
    assert "passed: 5 of 5 pictures right by anna on" in told.output
    assert "thresholds version 1, sensitivity 0 %, torch float32  early shift" in told.output
    assert "2 verdicts and 1 challenges, the chain holds" in run(line, "audit", monkeypatch=monkeypatch).output


@pytest.mark.parametrize(("first", "wrong"), [(2, "good/001.png"), (GOOD + 2, "bad/000.png")])
def test_one_wrong_picture_fails_the_challenge(
    line: Line, made_engine: MadeEngine, monkeypatch: pytest.MonkeyPatch, first: int, wrong: str
) -> None:
    made_engine.act = bad_from(first)
    done = run(line, "challenge", monkeypatch=monkeypatch)
    assert done.exit_code == 1, done.output
    assert "failed: 4 of 5 pictures right" in done.output
    (signed,) = challenges(line.file.parent / "journal.db")
    assert [one.name for one in signed.shown if not one.right] == [wrong]
    assert [one.name for one in signed.shown if one.margin is not None and one.margin < 0] == [wrong]
    row = next(text for text in done.output.splitlines() if wrong in text)
    assert tuple(heading for heading in ("must be", "verdict", "score", "threshold", "margin") if heading in done.output) == (
        "must be",
        "verdict",
        "score",
        "threshold",
        "margin",
    )
    assert "-" in row.split("│")[-2], "its margin is on the wrong side"


def test_a_bad_part_must_be_rejected_for_its_defect_and_for_nothing_else(line: Line, made_engine: MadeEngine) -> None:
    def act(call: int, frame_map: Floats, scores: Floats) -> None:
        bad_from(GOOD + 1)(call, frame_map, scores)
        if call == GOOD + 1:
            scores.fill(np.nan)

    made_engine.act = act
    pictures = line.file.parent / "../bad"
    (pictures / "001.png").write_bytes((pictures / "001.png").read_bytes()[:500])
    record = show_all(line)
    shown = record.shown
    assert [one.reason for one in shown] == ["", "", "engine-fault", "no-image", "defect"]
    assert [one.right for one in shown] == [True, True, False, False, True]
    assert [one.margin is None for one in shown] == [False, False, True, True, False]
    assert not record.passed


@pytest.mark.parametrize(("first", "signed"), [(1, ["broken off. early shift"]), (GOOD + 1, [])])
def test_who_breaks_off_after_a_wrong_outcome_has_failed(
    line: Line, made_engine: MadeEngine, first: int, signed: list[str]
) -> None:
    made_engine.act = bad_from(first)

    def break_off(_one: Shown) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        show_all(line, break_off)
    file = line.file.parent / "journal.db"
    found = list(challenges(file)) if file.exists() else []
    assert [one.note for one in found] == signed
    assert not any(one.passed for one in found)


def test_pictures_go_the_very_path_of_the_lines_parts(
    make_line: MakeLine, recipe: Recipe, parts_folder: Path, tmp_path: Path
) -> None:
    for name, numbers in (("good", (0, 6)), ("bad", (1, 2))):
        (tmp_path / name).mkdir()
        for number in numbers:
            shutil.copy2(parts_folder / f"{number:03d}.png", tmp_path / name)
    line = make_line(recipe=recipe.folder, journal=JOURNAL, challenge={"good": "../good", "bad": "../bad"})
    given = {verdict.source: verdict for verdict in verdicts_of(inspect_all(line, parts=7))}
    record = show_all(line)
    assert record.conditions.engine == "torch float32"
    assert len(record.shown) == 4
    for one in record.shown:
        verdict = given[Path(one.name).name]
        assert (one.score, one.verdict, one.reason, one.threshold) == (
            verdict.score, verdict.verdict, verdict.reason, verdict.threshold,
        )  # fmt: skip
        assert one.margin is not None
        assert (one.margin >= 0) == one.right


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (None, r"challenge: no known pictures are named; add \[challenge\]"),
        ({"every_hours": 12}, r"challenge: no known pictures are named"),
        ({"good": "../good", "bad": "../none"}, r"none: no such folder"),
        ({"good": "../good", "bad": "../empty"}, r"challenge\.bad: no picture in .*empty"),
        ({"good": "../good"}, r"challenge: good and bad belong together"),
        ({"every_hours": 0}, r"challenge\.every_hours: expected `float` > 0"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    make_line: MakeLine, known: dict[str, object], tmp_path: Path, table: dict[str, object] | None, complaint: str
) -> None:
    (tmp_path / "empty").mkdir()
    tables = {} if table is None else {"challenge": table}
    with pytest.raises(Exception, match=complaint):  # noqa: PT012 - some are refused when the file is read
        line = make_line(journal=JOURNAL, **tables)
        known_pictures(line.config.challenge, line.file)


def test_without_a_journal_nothing_can_be_signed(make_line: MakeLine) -> None:
    with pytest.raises(ConfigError, match=r"challenge: results are signed into the journal, and none is kept"):
        make_line(challenge={"every_hours": 12})


# Whether a line may run


@pytest.mark.parametrize(
    ("signed", "why"),
    [
        ([], "not challenged yet, and challenge.every_hours = 12"),
        ([challenge(11.9)], None),
        ([challenge(12.1)], "was 12.1 hours ago, and challenge.every_hours = 12"),
        ([challenge(-1)], "was -1.0 hours ago"),  # the clock was set back
        ([challenge(3), challenge(1, passed=False)], "by anna, failed: 0 of 1 pictures right"),
        ([challenge(3, passed=False), challenge(1)], None),
        ([challenge(3), challenge(1, passed=False, engine="torch float32")], None),
        ([challenge(recipe="c" * 64)], "no challenge is in the journal of recipe aaaaaaaaaaaa, thresholds version 4"),
        ([challenge(thresholds_version=3)], "no challenge is in the journal"),
        ([challenge(sensitivity=0.05)], "no challenge is in the journal"),
        ([challenge(engine="torch float32")], "no challenge is in the journal"),
        ([challenge(line="4")], "no challenge is in the journal"),
    ],
)
def test_the_newest_challenge_of_just_these_conditions_counts(
    make_line: MakeLine, signed: list[Challenge], why: str | None
) -> None:
    line = make_line(journal=JOURNAL, challenge=HOURS)
    for one in signed:
        sign(need_journal(line), one)
    assert line.config.challenge is not None
    journal = need_journal(line)
    found = due(line.config.challenge, journal, CONDITIONS)
    if why is None:
        assert found is None
    else:
        with pytest.raises(ConfigError) as refused:
            need_challenge(line.config.challenge, journal, CONDITIONS)
        assert why in str(refused.value)
        assert str(refused.value).endswith("show it known parts: inspect challenge --line 3")
    assert due(ChallengeConfig(), journal, CONDITIONS) is None, "where it is not asked for, none is due"


def test_a_line_does_not_start_without_its_challenge(
    line: Line, made_engine: MadeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="line 3: not challenged yet"):
        RunningLine(line)
    made_engine.act = bad_from(GOOD + 1)
    assert run(line, "challenge", monkeypatch=monkeypatch).exit_code == 0
    made_engine.act = bad_from(10_000)
    assert len(verdicts_of(inspect_all(line, parts=2))) == 2
    made_engine.calls = 0
    assert run(line, "challenge", monkeypatch=monkeypatch).exit_code == 1
    with pytest.raises(ConfigError, match="failed: 2 of 5 pictures right; show it known parts"):
        RunningLine(line)


def test_the_doctor_knows_whether_a_challenge_is_due(line: Line, recipe: Recipe) -> None:
    def doctors() -> Finding:
        return next(finding for finding in examine(line) if finding.check == "challenge")  # it looks no further

    assert doctors().outcome == "failed"
    assert doctors().text.endswith("inspect challenge --line 3")
    sign(need_journal(line), challenge(recipe=recipe.digest, thresholds_version=1, engine="torch float32"))
    assert doctors() == Finding("challenge", "ok", "none is due; 5 known pictures")


def test_a_running_line_tells_once_that_a_challenge_is_due_and_that_it_was_made(
    make_line: MakeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.line.challenge_watch.CHALLENGE_LOOK_S", 0.01)
    line = make_line(journal=JOURNAL, challenge=HOURS)
    conditions, looks, told = [CONDITIONS], [0], []

    def now() -> Conditions:
        looks[0] += 1
        return conditions[0]

    def look_on() -> None:
        seen = looks[0]
        wait_for(lambda: looks[0] > seen + 3, "three looks at the journal")

    sign(need_journal(line), challenge())
    watch = ChallengeWatch(
        ChallengeConfig(every_hours=12),
        need_journal(line),
        now,
        lambda severity, text, kind="": told.append((severity, kind, text)),
    )
    try:
        look_on()
        assert told == []
        conditions[0] = msgspec.structs.replace(CONDITIONS, thresholds_version=5)
        look_on()
        assert [one[:2] for one in told] == [("warning", "challenge-due")]
        assert told[0][2].endswith("inspect challenge --line 3; the line goes on")
        sign(need_journal(line), challenge(thresholds_version=5))
        wait_for(lambda: len(told) > 1, "the end of the alarm")
        look_on()
        assert told[1:] == [("info", "challenge-due", "the line has passed a challenge")]
        (line.file.parent / "journal.db").write_bytes(b"no journal any more")
        wait_for(lambda: len(told) > 2, "a journal that cannot be read to be told of")
        assert "cannot be seen" in told[2][2]
    finally:
        watch.close()


# The chain


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("UPDATE verdicts SET content = replace(content, '\"passed\":false', '\"passed\":true') WHERE number = 2", "row 2 was"),
        ("UPDATE verdicts SET content = replace(content, 'anna', 'otto') WHERE number = 2", "row 2 was changed"),
        ("DELETE FROM verdicts WHERE number = 2", "rows 2 to 2 are gone"),
        ("DELETE FROM verdicts WHERE number > 1", "the head tells of 3 rows"),
        ("UPDATE verdicts SET content = '{}' WHERE number = 2", "row 2 was changed"),
    ],
)
def test_a_challenge_that_was_edited_or_removed_is_found(make_line: MakeLine, change: str, fault: str) -> None:
    line = make_line(journal=JOURNAL, challenge=HOURS)
    file = line.file.parent / "journal.db"
    _append_verdict(file, 1)
    sign(need_journal(line), challenge(passed=False))
    _append_verdict(file, 2)
    assert audit(file).faults == []
    with closing(sqlite3.connect(file)) as database, database:
        assert database.execute(change).rowcount > 0
    assert any(one.startswith(fault) for one in audit(file).faults), audit(file)
    if change.startswith("UPDATE"):
        with pytest.raises(ConfigError, match="row 2 is no challenge as it was signed"):
            need_challenge(ChallengeConfig(every_hours=12), file, CONDITIONS)


def _append_verdict(file: Path, seq: int) -> None:
    journal = Journal(file, unexpected)
    journal.offer(msgspec.json.encode(make_verdict(seq)))
    journal.close()


WRITER = """
import sys
from pathlib import Path
from appliance.records.journal_chain import write_record
for i in range(int(sys.argv[3])):
    write_record(Path(sys.argv[1]), b'{"record": "challenge", "writer": "%s", "i": %d}' % (sys.argv[2].encode(), i))
"""


def test_two_processes_write_one_chain(tmp_path: Path) -> None:
    """Three, with the line's own writer; all of them want to make the file."""
    file, each = tmp_path / "journal.db", 60
    words = [sys.executable, "-c", WRITER, str(file)]
    writers = [subprocess.Popen([*words, name, str(each)]) for name in ("a", "b")]
    journal = Journal(file, unexpected)
    for seq in range(1, each + 1):
        journal.offer(msgspec.json.encode(make_verdict(seq)))
    assert [writer.wait(60) for writer in writers] == [0, 0]
    journal.close()
    assert audit(file)[:4] == (3 * each, [], 0, 2 * each)
    assert [verdict.seq for verdict in search(file, Query())] == list(range(each, 0, -1))


# Parts


@pytest.mark.parametrize("trigger", ["software", "free"])
def test_a_person_is_guided_through_known_parts(
    make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine, tmp_path: Path, trigger: str
) -> None:
    parts = save_noise(tmp_path / "parts", 4, 512)
    features = emulated(tmp_path / "parts", AcquisitionFrameRateEnable=True, AcquisitionFrameRateAbs=30.0)
    camera = {"kind": "pylon", "serial": "0815-0000", "trigger": trigger, "features": features}
    line = make_line(recipe=recipe.folder, camera=camera, journal=JOURNAL)
    made_engine.act = bad_from(3)
    asked: list[tuple[str, bool]] = []
    with closing(loaded_recipe(line)) as loaded:
        with (
            owned(line.name, line.config.publish, line.file),
            pytest.raises(CameraError, match="line 3 is running, or another command has its camera"),
        ):
            list(show_parts(line, loaded, 2, unexpected))
        outcomes = show_parts(line, loaded, 2, lambda text, wait: asked.append((text, wait)))
        record = take(need_journal(line), loaded, outcomes, "parts", "anna", "", lambda _: None)
        shown = record.shown
        conditions = conditions_of(loaded)
    assert asked == [(f"put a known {kind} part {i} of 2 under the camera", True) for kind in ("good", "bad") for i in (1, 2)]
    assert [(one.name, one.expected) for one in shown] == [
        ("good part 1", "pass"),
        ("good part 2", "pass"),
        ("bad part 1", "reject"),
        ("bad part 2", "reject"),
    ]
    assert record.passed
    assert (record.kind, record.conditions) == ("parts", conditions)
    digests = [hashlib.sha256(part.data).hexdigest() for part in parts]
    if trigger == "software":
        assert [one.sha256 for one in shown] == digests, "one trigger a part"
    else:
        assert {one.sha256 for one in shown} <= set(digests)


def test_a_replay_has_no_parts(line: Line, made_engine: MadeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(line, "challenge", "--parts", monkeypatch=monkeypatch)
    assert isinstance(done.exception, ConfigError)
    assert "a replay sees no parts; name folders of pictures in [challenge]" in str(done.exception)
    assert not (line.file.parent / "journal.db").exists(), "nothing was shown, nothing is signed"
